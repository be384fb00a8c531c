import { setTimeout as sleep } from 'node:timers/promises';
import { HeldError } from '../errors.ts';
import { LEASE_MS, type LeaseHold, RENEW_MS, releaseLease, renewLease, takeLease } from '../ledger/lease.ts';
import { beatRun, finishRun, interruptDeadRuns, type RunStatus, startRun } from '../ledger/runs.ts';
import { type InstanceContext, isFullRun, type RunOptions } from './context.ts';
import type { Tally } from './report.ts';

/** The lease, signal and record of a run while it lives. */
export interface Session {
  readonly runId: string;
  /** The lease; null for a backfill, which runs beside others. */
  readonly lease: LeaseHold | null;
  /**
   * Aborts when the run must end: the process was asked to, the lease is lost, or the database was
   * unreachable for as long as a lease lasts.
   */
  readonly signal: AbortSignal;
  /** Whether the run is on record. */
  readonly isBegun: () => boolean;
  /** Records the run, once; a run that has nothing to do leaves no trace. */
  readonly begin: () => Promise<void>;
}

export interface SessionResult<T> {
  readonly value: T;
  readonly isRecorded: boolean;
}

/**
 * `holdSession` runs `work` under the lease of the instance or shard with the run on record. Both are kept fresh by
 * the database's clock and ended however the work ends. Throws HeldError if another process holds the
 * lease or took it over.
 */
export async function holdSession<T extends { readonly status: 'complete' | 'partial' }>(
  context: InstanceContext,
  options: RunOptions,
  tally: Tally,
  work: (session: Session) => Promise<T>,
): Promise<SessionResult<T>> {
  const { db, instanceId, host } = context;
  const { runId, kind, shard } = options;
  const lease = kind === 'backfill' ? null : await takeLease(db, { instanceId, shard, runId, host });
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const record = new RunRecord(context, options, tally);
  const heartbeat = keepAlive({ context, lease, record, stop });
  try {
    await interruptDeadRuns(db, instanceId, lease?.lapsedRunIds);
    const begun = { begin: () => record.begin(), isBegun: () => record.isBegun };
    const value = await work({ runId, lease, signal, ...begun });
    await record.end(value.status, null);
    return { value, isRecorded: record.isBegun };
  } catch (error) {
    const reason: unknown = signal.aborted ? signal.reason : error;
    const isInterrupted = options.signal.aborted || reason instanceof HeldError;
    await record.endIfPossible(isInterrupted ? 'interrupted' : 'failed', reason);
    throw reason;
  } finally {
    stop.abort();
    await heartbeat;
    if (lease) await releaseIfPossible(context, lease);
  }
}

/** Renews the lease and the run's heartbeat until stopped. Stops the run if it may not continue. */
async function keepAlive({
  context,
  lease,
  record,
  stop,
}: {
  context: InstanceContext;
  lease: LeaseHold | null;
  record: RunRecord;
  stop: AbortController;
}): Promise<void> {
  let renewedAtMs = context.now();
  while (await pause(RENEW_MS, stop.signal)) {
    try {
      if (lease) await renewLease(context.db, lease);
      await record.beat();
      renewedAtMs = context.now();
    } catch (error) {
      const isOver = error instanceof HeldError || context.now() - renewedAtMs >= LEASE_MS;
      if (isOver) stop.abort(error);
    }
  }
}

/** `pause` waits for `ms`. Returns false if it was stopped before. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}

/**
 * Releases the lease. A failure is only logged, because a lease that is not released lapses within a
 * minute.
 */
async function releaseIfPossible({ db, logger }: InstanceContext, lease: LeaseHold): Promise<void> {
  try {
    await releaseLease(db, lease);
  } catch (error) {
    logger.warn({ err: error, instance_id: lease.instanceId }, 'lease not released, it lapses by itself');
  }
}

class RunRecord {
  isBegun = false;
  readonly #context: InstanceContext;
  readonly #options: RunOptions;
  readonly #tally: Tally;
  readonly #requestsBefore: number;

  constructor(context: InstanceContext, options: RunOptions, tally: Tally) {
    this.#context = context;
    this.#options = options;
    this.#tally = tally;
    this.#requestsBefore = context.requestCount();
  }

  async begin(): Promise<void> {
    if (this.isBegun) return;
    const { db, instanceId, host, version } = this.#context;
    const { runId, kind } = this.#options;
    await startRun(db, {
      runId,
      instanceId,
      kind,
      isFull: isFullRun(this.#options),
      streams: this.#options.streams ?? this.#context.streams,
      host,
      version,
    });
    this.isBegun = true;
    await this.beat();
  }

  /** Renews the run's heartbeat and takes the run's share of the token's rate. */
  async beat(): Promise<void> {
    if (!this.isBegun) return;
    const { db, instanceId, shareRate, requestCount } = this.#context;
    const requests = requestCount() - this.#requestsBefore;
    shareRate(await beatRun(db, { runId: this.#options.runId, instanceId, requests }));
  }

  async end(status: Exclude<RunStatus, 'running'>, error: string | null): Promise<void> {
    if (!this.isBegun) return;
    const { range } = this.#tally;
    const counts = this.#tally.toCounts();
    await finishRun(this.#context.db, {
      runId: this.#options.runId,
      status,
      range,
      counts,
      failures: this.#tally.groupFailures(),
      error,
    });
  }

  /**
   * Records the end of the run. A failure to do so is only logged: the reason the run broke off matters
   * more, and the next run records the end.
   */
  async endIfPossible(status: 'interrupted' | 'failed', reason: unknown): Promise<void> {
    try {
      await this.end(status, reason instanceof Error ? reason.message : String(reason));
    } catch (error) {
      this.#context.logger.warn({ err: error, run_id: this.#options.runId }, 'end of run not recorded');
    }
  }
}
