import { BusyError } from '../errors.ts';
import { LEASE_MS, type Lease, RENEW_MS, releaseLease, renewLease } from '../ledger/lease.ts';
import type { RunLedger } from '../ledger/load.ts';
import { finishRun, interruptDeadRuns, type RunStatus, startRun } from '../ledger/runs.ts';
import type { InstanceContext, RunOptions } from './context.ts';
import { Refusals } from './refusals.ts';
import { type RunOutcome, Tally } from './report.ts';

/**
 * Runs `work` under the lease, which is renewed and released however the work ends. Throws BusyError if another process
 * took it over, or the reason why the run had to end.
 */
export async function runUnderLease(
  context: InstanceContext,
  options: RunOptions,
  lease: Lease,
  work: (session: Session) => Promise<RunOutcome>,
): Promise<RunOutcome> {
  const { db, instanceId, logger } = context;
  const session = new Session(context, options, lease);
  const renewals = setInterval(() => void session.renew(), RENEW_MS);
  try {
    await interruptDeadRuns(db, instanceId);
    const outcome = await work(session);
    await session.end(outcome.report.status, null);
    return outcome;
  } catch (error) {
    const reason: unknown = session.signal.aborted ? session.signal.reason : error;
    const isInterrupted = options.signal.aborted || reason instanceof BusyError;
    const message = reason instanceof Error ? reason.message : String(reason);
    // The original error matters more than a failed record of it; the next run completes the record.
    await session.end(isInterrupted ? 'interrupted' : 'failed', message).catch((err: unknown) => {
      logger.warn({ err, run_id: options.runId }, 'could not record the end of the run');
    });
    throw reason;
  } finally {
    clearInterval(renewals);
    await releaseLease(db, lease).catch((err: unknown) => {
      logger.warn({ err, instance_id: instanceId }, 'lease not released; it will expire');
    });
  }
}

/** A run that has the lease: its signal, its record, what it has counted, and what Losant has refused. */
export class Session {
  readonly context: InstanceContext;
  readonly options: RunOptions;
  readonly tally: Tally;
  readonly refusals = new Refusals();
  /**
   * Aborts when the run must end: the process was asked to, the lease is lost, or the database was unreachable for as
   * long as a lease lasts.
   */
  readonly signal: AbortSignal;
  /** The ledger as this run writes it. */
  readonly ledger: RunLedger;
  /** Whether the run is on record. */
  isBegun = false;
  readonly #lease: Lease;
  readonly #stop = new AbortController();
  #renewedAtMs: number;

  constructor(context: InstanceContext, options: RunOptions, lease: Lease) {
    this.context = context;
    this.options = options;
    this.tally = new Tally(context.instanceId, context.requestCount);
    this.signal = AbortSignal.any([options.signal, this.#stop.signal]);
    const { db, instanceId, policy, now } = context;
    this.ledger = { db, instanceId, policy, now, lease, runId: options.runId };
    this.#lease = lease;
    this.#renewedAtMs = now();
  }

  /** Records the run; one that has nothing to read leaves no trace. */
  async begin(): Promise<void> {
    const { db, instanceId, host, version } = this.context;
    const { runId: run_id, kind, range, orgIds, streams } = this.options;
    // Its success means that nothing is missing.
    const is_full = kind !== 'backfill' && range === null && orgIds === null && streams === null;
    await startRun(db, { run_id, instance_id: instanceId, kind, is_full, host, version });
    this.isBegun = true;
  }

  /** Renews the lease. Stops the run if it may not continue. */
  async renew(): Promise<void> {
    const { db, now } = this.context;
    try {
      await renewLease(db, this.#lease);
      this.#renewedAtMs = now();
    } catch (error) {
      if (error instanceof BusyError || now() - this.#renewedAtMs >= LEASE_MS) this.#stop.abort(error);
    }
  }

  async end(status: Exclude<RunStatus, 'running'>, error: string | null): Promise<void> {
    if (!this.isBegun) return;
    const { tally } = this;
    const end = { status, range: tally.range, counts: tally.counts, failures: tally.groupFailures() };
    await finishRun(this.context.db, this.options.runId, { ...end, error });
  }
}
