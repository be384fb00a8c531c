import { setTimeout as sleep } from 'node:timers/promises';
import { HeldError } from '../errors.ts';
import {
  type BeginOptions,
  LEASE_MS,
  type LeaseHold,
  RENEW_MS,
  releaseLease,
  renewLease,
} from '../ledger/lease.ts';
import { finishRun, interruptDeadRuns, type RunStatus, startRun } from '../ledger/runs.ts';
import { type InstanceContext, isFullRun, type RunOptions } from './context.ts';
import type { Tally } from './report.ts';

/** The conditions of a run's transactions. */
type RunWrite = BeginOptions & { readonly runId: string };

/**
 * Runs `work` under the lease, which is renewed and released however the work ends. Throws HeldError if another process
 * took it over, or the reason why the run had to end.
 */
export async function holdSession<T extends { readonly status: 'complete' | 'partial' }>(
  context: InstanceContext,
  options: RunOptions,
  { lease, tally }: { readonly lease: LeaseHold; readonly tally: Tally },
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = new Session(context, options, { lease, tally });
  const renewals = session.keepAlive();
  try {
    await interruptDeadRuns(context.db, context.instanceId);
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
    await renewals;
    await releaseIfPossible(context, lease);
  }
}

/** The lease, the signal and the record of a run while it lives. */
export class Session {
  /**
   * Aborts when the run must end: the process was asked to, the lease is lost, or the database was unreachable for as
   * long as a lease lasts.
   */
  readonly signal: AbortSignal;
  readonly write: RunWrite;
  /** Whether the run is on record. */
  isBegun = false;
  readonly #context: InstanceContext;
  readonly #options: RunOptions;
  readonly #lease: LeaseHold;
  readonly #tally: Tally;
  readonly #stop = new AbortController();

  constructor(
    context: InstanceContext,
    options: RunOptions,
    { lease, tally }: { readonly lease: LeaseHold; readonly tally: Tally },
  ) {
    this.signal = AbortSignal.any([options.signal, this.#stop.signal]);
    this.write = { runId: options.runId, lease, now: context.now };
    this.#context = context;
    this.#options = options;
    this.#lease = lease;
    this.#tally = tally;
  }

  /** Records the run, once; a run that has nothing to read leaves no trace. */
  async begin(): Promise<void> {
    if (this.isBegun) return;
    const { db, instanceId, host, version } = this.#context;
    const { runId, kind } = this.#options;
    await startRun(db, { runId, instanceId, kind, isFull: isFullRun(this.#options), host, version });
    this.isBegun = true;
  }

  /** Renews the lease until stopped. Stops the run if it may not continue. */
  async keepAlive(): Promise<void> {
    const { db, now } = this.#context;
    let renewedAtMs = now();
    while (await pause(RENEW_MS, this.#stop.signal)) {
      try {
        await renewLease(db, this.#lease);
        renewedAtMs = now();
      } catch (error) {
        if (error instanceof HeldError || now() - renewedAtMs >= LEASE_MS) this.#stop.abort(error);
      }
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  async end(status: Exclude<RunStatus, 'running'>, error: string | null): Promise<void> {
    if (!this.isBegun) return;
    const { runId } = this.#options;
    const { range } = this.#tally;
    const counts = this.#tally.toCounts();
    await finishRun(this.#context.db, {
      runId,
      status,
      range,
      counts,
      failures: this.#tally.groupFailures(),
      error,
    });
  }

  /**
   * Records the end of the run. A failure to do so is only logged: the reason the run broke off matters more, and the
   * next run records the end.
   */
  async endIfPossible(status: 'interrupted' | 'failed', reason: unknown): Promise<void> {
    try {
      await this.end(status, reason instanceof Error ? reason.message : String(reason));
    } catch (error) {
      this.#context.logger.warn({ err: error, run_id: this.#options.runId }, 'end of run not recorded');
    }
  }
}

/** Waits for `ms`. Returns false if it was stopped before. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await sleep(ms, undefined, { signal });
    return true;
  } catch {
    return false;
  }
}

/** Releases the lease. A failure is only logged, because a lease that is not released lapses within a minute. */
async function releaseIfPossible({ db, logger }: InstanceContext, lease: LeaseHold): Promise<void> {
  try {
    await releaseLease(db, lease);
  } catch (error) {
    logger.warn({ err: error, instance_id: lease.instanceId }, 'lease not released, it lapses by itself');
  }
}
