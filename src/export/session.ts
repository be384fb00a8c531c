import { setTimeout as sleep } from 'node:timers/promises';
import { HeldError } from '../errors.ts';
import { LEASE_MS, type LeaseHold, RENEW_MS, releaseLease, renewLease, takeLease } from '../ledger/lease.ts';
import type { LoadOptions } from '../ledger/load.ts';
import { beatRun, finishRun, interruptDeadRuns, type RunStatus, startRun } from '../ledger/runs.ts';
import { type InstanceContext, isFullRun, type RunOptions } from './context.ts';
import type { Tally } from './report.ts';

/**
 * `holdSession` runs `work` under the lease of the instance or shard, none for a backfill, which runs beside others,
 * with the run on record. Both are kept fresh by the database's clock and ended however the work ends. Throws
 * HeldError if another process holds the lease or took it over.
 */
export async function holdSession<T extends { readonly status: 'complete' | 'partial' }>(
  context: InstanceContext,
  options: RunOptions,
  tally: Tally,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const { db, instanceId, host } = context;
  const { runId, kind, shard } = options;
  const lease = kind === 'backfill' ? null : await takeLease(db, { instanceId, shard, runId, host });
  const session = new Session(context, options, { tally, lease });
  const heartbeat = session.keepAlive();
  try {
    await interruptDeadRuns(db, instanceId, lease?.lapsedRunIds);
    const value = await work(session);
    await session.end(value.status, null);
    return value;
  } catch (error) {
    const reason: unknown = session.signal.aborted ? session.signal.reason : error;
    const isInterrupted = options.signal.aborted || reason instanceof HeldError;
    await session.endIfPossible(isInterrupted ? 'interrupted' : 'failed', reason);
    throw reason;
  } finally {
    session.stop();
    await heartbeat;
    if (lease) await releaseIfPossible(context, lease);
  }
}

/** Session is the lease, the signal and the record of a run while it lives. */
export class Session {
  /**
   * Aborts when the run must end: the process was asked to, the lease is lost, or the database was
   * unreachable for as long as a lease lasts.
   */
  readonly signal: AbortSignal;
  /** The conditions of its transactions. */
  readonly writing: LoadOptions;
  /** Whether the run is on record. */
  isBegun = false;
  readonly #context: InstanceContext;
  readonly #options: RunOptions;
  readonly #tally: Tally;
  readonly #requestsBefore: number;
  readonly #stop = new AbortController();

  constructor(
    context: InstanceContext,
    options: RunOptions,
    { tally, lease }: { readonly tally: Tally; readonly lease: LeaseHold | null },
  ) {
    this.signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.writing = { runId: options.runId, lease, now: context.now };
    this.#context = context;
    this.#options = options;
    this.#tally = tally;
    this.#requestsBefore = context.requestCount();
  }

  /** Records the run, once; a run that has nothing to do leaves no trace. */
  async begin(): Promise<void> {
    if (this.isBegun) return;
    const { db, instanceId, host, version } = this.#context;
    const { runId, kind } = this.#options;
    const streams = this.#options.streams ?? this.#context.streams;
    const isFull = isFullRun(this.#options);
    await startRun(db, { runId, instanceId, kind, isFull, streams, host, version });
    this.isBegun = true;
    await this.#beat();
  }

  /** Renews the lease and the run's heartbeat until stopped. Stops the run if it may not continue. */
  async keepAlive(): Promise<void> {
    const { db, now } = this.#context;
    let renewedAtMs = now();
    while (await pause(RENEW_MS, this.#stop.signal)) {
      try {
        if (this.writing.lease) await renewLease(db, this.writing.lease);
        await this.#beat();
        renewedAtMs = now();
      } catch (error) {
        if (error instanceof HeldError || now() - renewedAtMs >= LEASE_MS) this.#stop.abort(error);
      }
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Renews the run's heartbeat. */
  async #beat(): Promise<void> {
    if (!this.isBegun) return;
    const { db, instanceId, requestCount } = this.#context;
    const requests = requestCount() - this.#requestsBefore;
    await beatRun(db, { runId: this.#options.runId, instanceId, requests });
  }

  async end(status: Exclude<RunStatus, 'running'>, error: string | null): Promise<void> {
    if (!this.isBegun) return;
    const { range } = this.#tally;
    const [counts, failures] = [this.#tally.toCounts(), this.#tally.groupFailures()];
    await finishRun(this.#context.db, { runId: this.#options.runId, status, range, counts, failures, error });
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
