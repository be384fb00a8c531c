import { BusyError, describeError } from '../errors.ts';
import { LEASE_MS, type Lease, RENEWAL_INTERVAL_MS, releaseLease, renewLease } from '../ledger/lease.ts';
import type { RunLedger } from '../ledger/load.ts';
import { finishRun, interruptDeadRuns, type NewRun, type RunStatus, recordProgress, startRun } from '../ledger/runs.ts';
import type { RunContext, RunEnvironment, RunOptions } from './context.ts';
import { Rejections } from './rejections.ts';
import { type RunOutcome, Tally } from './report.ts';

/**
 * Renews the lease while `work` runs, records the end of the run, and releases the lease. Throws BusyError `lease_lost`
 * if another process has taken over, or the reason why the run had to end.
 */
export async function runUnderLease(
  context: RunContext,
  options: RunOptions,
  lease: Lease,
  work: (session: Session) => Promise<RunOutcome>,
): Promise<RunOutcome> {
  const { db, logger } = context;
  const session = new Session(context, options, lease);
  const renewals = setInterval(() => void session.renew(), RENEWAL_INTERVAL_MS);
  try {
    await interruptDeadRuns(db, lease);
    const outcome = await work(session);
    await session.end(outcome.report.status, null);
    return outcome;
  } catch (error) {
    const reason: unknown = session.signal.aborted ? session.signal.reason : error;
    const isInterrupted = options.signal.aborted || reason instanceof BusyError;
    const { message } = describeError(reason);
    // The original error matters more than a failed record of it; the next run completes the record.
    await session.end(isInterrupted ? 'interrupted' : 'failed', message).catch((err: unknown) => {
      logger.warn({ err, run_id: options.runId }, 'could not record the end of the run');
    });
    throw reason;
  } finally {
    clearInterval(renewals);
    await releaseLease(db, lease).catch((err: unknown) => {
      logger.warn({ err }, 'lease not released; it will expire');
    });
  }
}

export class Session {
  readonly context: RunContext;
  readonly options: RunOptions;
  readonly tally: Tally;
  readonly rejections = new Rejections();
  /** Aborts when the process stops, the lease is lost, or the database is unreachable for as long as a lease. */
  readonly signal: AbortSignal;
  readonly ledger: RunLedger;
  /** The cells that are planned and not loaded yet, by their IDs: those of a few pages. */
  readonly cellsInFlight = new Set<string>();
  attemptedCells = 0;
  isRecorded = false;
  /** How many cells were due at the beginning; more may have become due since. */
  cellsDue = 0;
  readonly #lease: Lease;
  readonly #stop = new AbortController();
  #renewedAtMs: number;
  #isRenewing = false;

  constructor(context: RunContext, options: RunOptions, lease: Lease) {
    this.context = context;
    this.options = options;
    this.tally = new Tally(context);
    this.signal = AbortSignal.any([options.signal, this.#stop.signal]);
    const { db, policy, now } = context;
    this.ledger = { db, policy, now, lease, runId: options.runId };
    this.#lease = lease;
    this.#renewedAtMs = now();
  }

  /** Records the run. A run without anything to read is never recorded. */
  async begin(): Promise<void> {
    await startRun(this.context.db, toNewRun(this.context, this.options));
    this.isRecorded = true;
    this.reportProgress();
  }

  reportProgress(): void {
    const { planned: readCells, failedReads } = this.tally;
    const plannedCells = Math.max(this.cellsDue, readCells);
    this.options.onProgress?.({ plannedCells, readCells, failedReads });
  }

  /** Aborts the run if the lease is lost, or could not be renewed for too long. */
  async renew(): Promise<void> {
    if (this.#isRenewing) return;
    const { handle, now } = this.context;
    this.#isRenewing = true;
    try {
      await renewLease(handle.leaseDb, this.#lease);
      this.#renewedAtMs = now();
      if (this.isRecorded) await recordProgress(handle.leaseDb, this.options.runId, this.tally.counts);
    } catch (error) {
      if (error instanceof BusyError || now() - this.#renewedAtMs >= LEASE_MS) this.#stop.abort(error);
    } finally {
      this.#isRenewing = false;
    }
  }

  async end(status: Exclude<RunStatus, 'running'>, error: string | null): Promise<void> {
    if (!this.isRecorded) return;
    const { range, counts } = this.tally;
    const failures = this.tally.groupFailures();
    await finishRun(this.context.db, this.options.runId, { status, range, counts, failures, error });
  }
}

export function toNewRun(
  { host, version }: Pick<RunEnvironment, 'host' | 'version'>,
  { runId, kind, range, orgIds, streams }: RunOptions,
): NewRun {
  const isFull = kind !== 'backfill' && range === null && orgIds === null && streams === null;
  return { run_id: runId, kind, is_full: isFull, host, version };
}
