/** Sends the digest of each day, and refreshes what needs attention when it is due. */
import { setTimeout as sleep } from 'node:timers/promises';
import ky from 'ky';
import type { DatabaseHandle } from '../database/handle.ts';
import { readNowMs } from '../database/session.ts';
import { listNewItems, readDigest, renderMessage } from '../digest/digest.ts';
import { BusyError } from '../errors.ts';
import {
  claimDigests,
  type DigestClaim,
  type DigestResult,
  hasUnfinishedDigest,
  recordDigests,
  refreshAttention,
} from '../ledger/attention.ts';
import { acquireLease, releaseLease } from '../ledger/lease.ts';
import { readAttention } from '../queries/attention.ts';
import type { Config } from '../settings/config.ts';
import { localDayAt, notifyInstantOf } from '../settings/notify-time.ts';
import { HOUR_MS, type UsageDay } from '../usage/day.ts';
import { type Delivery, deliver, isDelivered } from './heartbeat.ts';
import type { RunTools } from './instance-loop.ts';

export interface DigestTimerOptions extends Pick<RunTools, 'logger' | 'signal' | 'hostNow' | 'newId' | 'host'> {
  readonly config: Pick<Config, 'instances' | 'notify' | 'notifyAt' | 'consoleUrl'>;
  readonly handle: Pick<DatabaseHandle, 'db'>;
  readonly isLoading: () => boolean;
}

/** How often it looks whether there is something to do, and the time between two attempts to send. */
const CHECK_INTERVAL_MS = 20_000;
const RETRY_INTERVAL_MS = 60_000;

interface PendingDigest {
  readonly day: UsageDay;
  /** When this process saw that it is due, or last failed to handle it. */
  readonly sinceMs: number;
  /** Null before the first attempt to send it. */
  readonly firstAttemptMs: number | null;
  readonly nextAttemptMs: number;
  /** The last result, until it is recorded: a message that was received is not sent again. */
  readonly result: DigestResult | null;
}

/** Has a timer of its own, so that neither the schedule nor a run delays it for long. */
export class DigestTimer {
  readonly #options: DigestTimerOptions;
  readonly #claimId: string;
  #pending: PendingDigest | null = null;
  #lastDay = '';
  #isFailing = false;

  constructor(options: DigestTimerOptions) {
    this.#options = options;
    this.#claimId = options.newId();
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
    const { logger, hostNow } = this.#options;
    const nowMs = hostNow();
    try {
      if (this.#findDueDay(nowMs) !== null) await this.#noticeDueDay(nowMs);
      if (this.#pending !== null && nowMs >= this.#pending.nextAttemptMs) await this.#handle(this.#pending, nowMs);
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) logger.warn({ err: error }, 'could not handle the digest; trying again');
      this.#isFailing = true;
      // After an outage of the database the run comes first, within another hour.
      if (this.#pending !== null) this.#pending = { ...this.#pending, sinceMs: nowMs };
    }
  }

  /** Returns the day whose digest becomes due at a time; null if it has been noticed. */
  #findDueDay(atMs: number): UsageDay | null {
    const { notifyAt } = this.#options.config;
    const day = localDayAt(atMs, notifyAt);
    const isDue = day > this.#lastDay && day !== this.#pending?.day && atMs >= notifyInstantOf(day, notifyAt);
    return isDue ? day : null;
  }

  /**
   * The database's clock decides: by a clock that is ahead for a moment, no later day would be due for long. A new day
   * replaces one that an outage has delayed, unless that one's result only has to be recorded.
   */
  async #noticeDueDay(nowMs: number): Promise<void> {
    const day = this.#findDueDay(await readNowMs(this.#options.handle));
    if (day === null || (this.#pending?.result ?? null) !== null) return;
    this.#pending = { day, sinceMs: nowMs, firstAttemptMs: null, nextAttemptMs: nowMs, result: null };
  }

  async #handle(pending: PendingDigest, nowMs: number): Promise<void> {
    const { handle, isLoading, config } = this.#options;
    const instanceIds = config.instances.map(({ instanceId }) => instanceId);
    const attention = await readAttention(handle.db, { instanceIds });
    const canWait = pending.result === null && nowMs - pending.sinceMs < HOUR_MS;
    const isRunning = isLoading() || attention.some(({ hasRunInProgress }) => hasRunInProgress);
    if (isRunning && canWait) return;
    for (const { instanceId, attentionAt } of attention) {
      const isOld = attentionAt === null || Date.parse(attentionAt) < pending.sinceMs;
      if (isOld && !(await this.#refresh(instanceId, pending.day)) && canWait) return;
    }
    if (config.notify === null) this.#finish(pending);
    else await this.#send(pending, { db: handle.db, claimId: this.#claimId, day: pending.day, instanceIds }, nowMs);
  }

  #finish({ day }: PendingDigest): void {
    this.#lastDay = day;
    this.#pending = null;
  }

  /** Refreshes under the lease; returns false if another has it, who refreshes. A failure leaves the table as it is. */
  async #refresh(instanceId: string, day: UsageDay): Promise<boolean> {
    const { handle, logger, newId, host } = this.#options;
    try {
      const lease = await acquireLease(handle.db, { instanceId, runId: newId(), host });
      try {
        await refreshAttention({ db: handle.db, instanceId, lease }, day);
      } finally {
        await releaseLease(handle.db, lease);
      }
    } catch (error) {
      if (error instanceof BusyError) return false;
      const fields = { instance_id: instanceId, err: error };
      if (!this.#isFailing) logger.warn(fields, 'could not refresh what needs attention');
    }
    return true;
  }

  /** Sends one message for all instances that it can claim. */
  async #send(pending: PendingDigest, claim: DigestClaim, nowMs: number): Promise<void> {
    const { logger } = this.#options;
    const instanceIds = await claimDigests(claim);
    if (instanceIds.length > 0) {
      const firstAttemptMs = pending.firstAttemptMs ?? nowMs;
      const isLast = nowMs - firstAttemptMs >= HOUR_MS;
      const result = pending.result ?? (await this.#attempt({ ...claim, instanceIds }, isLast));
      this.#pending = { ...pending, firstAttemptMs, nextAttemptMs: nowMs + RETRY_INTERVAL_MS, result };
      await recordDigests({ ...claim, instanceIds }, result);
      this.#pending = { ...this.#pending, result: null };
      const { outcome, error } = result;
      const fields = { day: pending.day, instance_ids: instanceIds, outcome };
      if (error !== null) logger.warn({ ...fields, reason: error }, 'digest not delivered');
      else logger.info(fields, outcome === 'sent' ? 'digest sent' : 'nothing new for a digest');
    }
    if (!(await hasUnfinishedDigest(claim))) this.#finish(pending);
  }

  async #attempt({ db, instanceIds, day }: DigestClaim, isLast: boolean): Promise<DigestResult> {
    const { config, signal } = this.#options;
    const digest = await readDigest(db, { instanceIds, day });
    if (!digest.isDue || config.notify === null) return { outcome: 'nothing_new', error: null, newItems: [] };
    const { url, format } = config.notify;
    const body = renderMessage(digest, format, config.consoleUrl);
    const headers = { 'content-type': 'application/json' };
    // A message that the end of the process interrupts is sent again by the next one.
    const request = ky.post(url, { body, headers, signal, timeout: 10_000, redirect: 'manual', retry: 0 });
    const response = await deliver(request);
    if (isDelivered(response)) return { outcome: 'sent', error: null, newItems: listNewItems(digest) };
    const error = typeof response === 'number' ? `HTTP ${response}` : response;
    if (!isRetried(response)) return { outcome: 'rejected', error, newItems: [] };
    return { outcome: isLast ? 'failed' : null, error, newItems: [] };
  }
}

function isRetried(response: Delivery): boolean {
  return typeof response === 'string' || response === 408 || response === 429 || response >= 500;
}
