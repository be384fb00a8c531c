/** Sends the digest of each day. */
import { setTimeout as sleep } from 'node:timers/promises';
import ky from 'ky';
import type { LoadStatus } from '../console/sources.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { readNowMs } from '../database/session.ts';
import { readDigest, renderMessage } from '../digest/digest.ts';
import { BusyError } from '../errors.ts';
import { isDigestSent, recordDigest } from '../ledger/instance.ts';
import { acquireLease, type Lease, releaseLease } from '../ledger/lease.ts';
import type { Config } from '../settings/config.ts';
import { localDayAt, notifyInstantOf } from '../settings/notify-time.ts';
import { HOUR_MS, type UsageDay } from '../usage/day.ts';
import { deliver, isDelivered } from './heartbeat.ts';
import type { WorkerTools } from './scheduled-run.ts';

interface DigestTimerOptions extends Pick<WorkerTools, 'logger' | 'signal' | 'hostNow' | 'newId' | 'host'> {
  readonly config: Pick<Config, 'notify' | 'notifyAt' | 'consoleUrl'>;
  readonly handle: Pick<DatabaseHandle, 'db'>;
  readonly loop: { readonly isWorking: boolean; readonly status: Pick<LoadStatus, 'progress'> };
}

const CHECK_INTERVAL_MS = 20_000;
const DELIVERY_RETRY_INTERVAL_MS = 10 * 60_000;
/** With the interval above, they take less than an hour. */
const MAX_DELIVERIES = 5;

interface PendingDigest {
  readonly day: UsageDay;
  /** When this process saw that it is due. */
  readonly noticedAtMs: number;
  deliveries: number;
  nextDeliveryAtMs: number;
  /** Whether only its record is left to write: a message that was received is not sent again. */
  isDone: boolean;
}

/**
 * Has a timer of its own, so that neither the schedule nor a run delays it for long. A day is recorded once its digest
 * was delivered, or given up: if it were recorded first, a process that dies in between would lose it. Only the holder
 * of the lease sends it, so no other process sends it meanwhile; what is left is a message that comes twice, if this
 * process dies between the delivery and the record.
 */
export class DigestTimer {
  readonly #options: DigestTimerOptions;
  #pending: PendingDigest | null = null;
  /** The last day that this process has nothing to do for any more. */
  #lastDay: UsageDay = '';
  #isFailing = false;

  constructor(options: DigestTimerOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { signal } = this.#options;
    while (!signal.aborted) {
      await this.check();
      await sleep(CHECK_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Does what is due now. Never throws: the next check tries again. */
  async check(): Promise<void> {
    const { logger, hostNow, loop, config } = this.#options;
    if (config.notify === null) return;
    const nowMs = hostNow();
    try {
      const pending = await this.#noticeDueDay(nowMs);
      // The run of the morning changes what needs attention, so the digest waits for it, but no longer than an hour.
      const canWait = pending !== null && !pending.isDone && nowMs - pending.noticedAtMs < HOUR_MS;
      if (pending === null || nowMs < pending.nextDeliveryAtMs || (loop.isWorking && canWait)) return;
      await this.#sendUnderLease(pending, config.notify, nowMs);
      this.#isFailing = false;
    } catch (error) {
      // Another process that runs sends it. One that is backfilling does not, so this is tried again.
      if (error instanceof BusyError) return;
      if (!this.#isFailing) logger.warn({ err: error }, 'could not handle the digest; trying again');
      this.#isFailing = true;
      // After an outage of the database, the digest waits for a run again, for at most an hour.
      if (this.#pending?.isDone === false) this.#pending = null;
    }
  }

  /**
   * Returns the digest that is due; null if none is. The database's clock decides: by a clock that is ahead for a
   * moment, no later day would be due for long.
   */
  async #noticeDueDay(nowMs: number): Promise<PendingDigest | null> {
    if (this.#pending?.isDone === true) return this.#pending;
    if (this.#findDueDay(nowMs) !== null) {
      const day = this.#findDueDay(await readNowMs(this.#options.handle));
      if (day !== null) {
        this.#pending = { day, noticedAtMs: nowMs, deliveries: 0, nextDeliveryAtMs: nowMs, isDone: false };
      }
    }
    return this.#pending;
  }

  /** Returns the day whose digest becomes due at a time; null if it has been noticed. */
  #findDueDay(atMs: number): UsageDay | null {
    const { notifyAt } = this.#options.config;
    const day = localDayAt(atMs, notifyAt);
    const isNoticed = day <= this.#lastDay || day === this.#pending?.day;
    return !isNoticed && atMs >= notifyInstantOf(day, notifyAt) ? day : null;
  }

  async #sendUnderLease(pending: PendingDigest, notify: NonNullable<Config['notify']>, nowMs: number): Promise<void> {
    const { handle, newId, host } = this.#options;
    const { db } = handle;
    const { day } = pending;
    const runLease = await this.#readRunLease();
    const lease = runLease ?? (await acquireLease(db, { runId: newId(), host }));
    try {
      if (!(await isDigestSent(db, day))) {
        pending.isDone ||= await this.#deliver(pending, notify, nowMs);
        if (!pending.isDone) return;
        await recordDigest({ db, lease }, day);
      }
    } finally {
      if (runLease === null) await releaseLease(db, lease);
    }
    this.#lastDay = day;
    this.#pending = null;
  }

  /** Returns the lease of the run in progress of this process; null if there is none. */
  async #readRunLease(): Promise<Lease | null> {
    const { handle, loop } = this.#options;
    const { progress } = loop.status;
    if (progress === null) return null;
    const query = handle.db.selectFrom('lease').select('epoch').where('run_id', '=', progress.runId);
    return (await query.executeTakeFirst()) ?? null;
  }

  /** Returns whether the day is done: delivered, given up, or without anything to say. */
  async #deliver(pending: PendingDigest, { url, format }: NonNullable<Config['notify']>, nowMs: number) {
    const { handle, config, logger, signal } = this.#options;
    const { day } = pending;
    const digest = await readDigest(handle.db, day);
    if (digest.isEmpty) {
      logger.info({ day }, 'nothing needs attention, so no digest is sent');
      return true;
    }
    const body = renderMessage(digest, format, config.consoleUrl);
    const headers = { 'content-type': 'application/json' };
    // A message that the end of the process interrupts is sent again by the next one.
    const request = ky.post(url, { body, headers, signal, timeout: 10_000, redirect: 'manual', retry: 0 });
    const delivery = await deliver(request);
    pending.deliveries += 1;
    pending.nextDeliveryAtMs = nowMs + DELIVERY_RETRY_INTERVAL_MS;
    if (isDelivered(delivery)) {
      logger.info({ day }, 'digest sent');
      return true;
    }
    if (signal.aborted) return false;
    const isLast = pending.deliveries >= MAX_DELIVERIES;
    const fields = { day, reason: typeof delivery === 'number' ? `HTTP ${delivery}` : delivery };
    if (isLast) logger.warn(fields, 'digest not delivered');
    else logger.info(fields, 'digest not delivered; trying again in 10 minutes');
    return isLast;
  }
}
