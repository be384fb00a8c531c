import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { InstanceStatus, Problem, RunProgress, RunResult } from '../console/sources.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { AppError, BusyError, describeError, isRejection, LosantError } from '../errors.ts';
import { readBackfill } from '../ledger/runs.ts';
import type { RunSetup } from '../loading/context.ts';
import { findNextCommand, logRun, NEXT_RUN_CONTINUES, type RunOutcome } from '../loading/report.ts';
import { runInstance } from '../loading/run.ts';
import type { Metrics } from '../server/metrics.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';
import type { InstanceActivity } from './heartbeat.ts';

export interface InstanceLoopOptions extends RunTools {
  /** The time until the next try of a standby process, or of a worker whose database was unreachable. */
  readonly retryIntervalMs?: number | undefined;
  readonly onRunEnd: (result: RunResult) => void;
}

/** With the duration of a lease, an expired lease is acquired within a minute and a half. */
const RETRY_INTERVAL_MS = 20_000;

/** The progress of a run of this process, or of a backfill of another one. */
interface CurrentRun extends Pick<RunProgress, 'runId' | 'readCells' | 'failedReads'> {
  /** The cells read by the last wake-up, or when the run was first seen. */
  readonly readCellsAtWakeUp: number;
}

/** Runs one instance at the start and at each wake-up, and stands by while another process runs it. */
export class InstanceLoop {
  readonly #options: InstanceLoopOptions;
  readonly #instance: InstanceConfig;
  #status: InstanceStatus;
  /** Aborts at a wake-up, which ends the wait for it. */
  #wakeUp = new AbortController();
  /** Whether the run of the last wake-up has not finished. The start is the first wake-up. */
  #hasWork = true;
  /** Of the runs that have finished since the last wake-up. */
  readonly #results = new Set<RunResult>();
  #currentRun: CurrentRun | null = null;

  constructor(options: InstanceLoopOptions, instance: InstanceConfig) {
    this.#options = options;
    this.#instance = instance;
    const noRun = { progress: null, lastRun: null, problem: null };
    this.#status = { instanceId: instance.instanceId, state: 'starting', ...noRun };
  }

  get status(): InstanceStatus {
    return this.#status;
  }

  /** Whether a run of this process is in progress, about to start, or to be retried because it lost the database. */
  get isWorking(): boolean {
    return this.#hasWork || this.#status.state === 'working';
  }

  get activity(): InstanceActivity {
    const { readCells = 0, readCellsAtWakeUp = 0, failedReads = 0 } = this.#currentRun ?? {};
    const run = { hasProgress: readCells > readCellsAtWakeUp, hasFailedReads: failedReads > 0 };
    const isRunning = this.#hasWork || this.#currentRun !== null;
    return { results: [...this.#results], currentRun: isRunning ? run : null };
  }

  /** Handles a wake-up. One that comes during a run is not lost: a new run follows. */
  wake(): void {
    this.#results.clear();
    const run = this.#currentRun;
    this.#currentRun = run && { ...run, readCellsAtWakeUp: run.readCells };
    this.#hasWork = true;
    this.#wakeUp.abort();
  }

  /** Resolves when the signal has aborted and the current run has ended. */
  async run(): Promise<void> {
    let isWakeUp = true;
    while (!this.#options.signal.aborted) {
      const result = await this.#runOnce(isWakeUp);
      isWakeUp = await this.#waitForWork(isRetriedSoon(result));
    }
  }

  async #runOnce(isWakeUp: boolean): Promise<WorkerRunResult> {
    const { instanceId } = this.#instance;
    const previousStatus = this.#status;
    const run = await loadOnSchedule(this.#options, this.#instance, (progress) => {
      this.#recordProgress(progress);
      this.#status = { ...previousStatus, state: 'working', progress };
    });
    if (run.backfill) this.#recordProgress(run.backfill);
    else this.#currentRun = null;
    this.#status = {
      instanceId,
      state: run.result === 'standby' ? 'standby' : 'idle',
      progress: null,
      lastRun: { finishedAt: new Date(this.#options.hostNow()).toISOString(), result: run.result },
      problem: run.problem,
    };
    this.#log(run, previousStatus, isWakeUp);
    const isUnfinished = run.result === 'failed' && isRetriedSoon(run);
    if (!isUnfinished) this.#results.add(run.result);
    this.#hasWork = isUnfinished || this.#wakeUp.signal.aborted;
    this.#options.onRunEnd(run.result);
    return run;
  }

  #recordProgress({ runId, readCells, failedReads }: Omit<CurrentRun, 'readCellsAtWakeUp'>): void {
    const previousRun = this.#currentRun;
    const readCellsAtWakeUp = previousRun?.runId === runId ? previousRun.readCellsAtWakeUp : readCells;
    this.#currentRun = { runId, readCells, failedReads, readCellsAtWakeUp };
  }

  /** Between wake-ups, a failure is logged only if the previous one was different. */
  #log({ result, error, problem }: WorkerRunResult, previousStatus: InstanceStatus, isWakeUp: boolean): void {
    const { logger } = this.#options;
    const fields = { instance_id: this.#instance.instanceId };
    const isStandby = result === 'standby';
    if (isStandby !== (previousStatus.state === 'standby')) {
      logger.info(fields, isStandby ? 'standing by' : 'no longer standing by');
    }
    if (result === 'interrupted') logger.info(fields, 'run interrupted');
    const isRepeated = !isWakeUp && problem?.code === previousStatus.problem?.code;
    if (error !== undefined && !isRepeated) logger.error({ ...fields, err: error }, 'could not load the instance');
  }

  /** Returns true if a wake-up ended the wait, false if it is time for a retry. */
  async #waitForWork(isRetried: boolean): Promise<boolean> {
    const { retryIntervalMs = RETRY_INTERVAL_MS } = this.#options;
    const signal = AbortSignal.any([this.#options.signal, this.#wakeUp.signal]);
    if (isRetried) await sleep(retryIntervalMs, undefined, { signal }).catch(() => undefined);
    else if (!signal.aborted) await once(signal, 'abort');
    const isWoken = this.#wakeUp.signal.aborted;
    if (isWoken) this.#wakeUp = new AbortController();
    return isWoken;
  }
}

/** The tools of the worker, the same for all its instances and runs. */
export interface RunTools extends RunSetup {
  readonly config: Config;
  readonly signal: AbortSignal;
  readonly newId: () => string;
  readonly metrics: Metrics;
  readonly nextWakeAt: () => Date | null;
}

export interface WorkerRunResult {
  readonly result: RunResult;
  readonly problem: Problem | null;
  /** The error that ended the run, for the log; undefined if none did. */
  readonly error?: unknown;
  /** The backfill of another process for which this one stands by, if there is one. */
  readonly backfill?: Awaited<ReturnType<typeof readBackfill>>;
}

/** Never throws: a failure of one instance must not stop the others. */
async function loadOnSchedule(
  tools: RunTools,
  instance: InstanceConfig,
  onProgress: (progress: RunProgress) => void,
): Promise<WorkerRunResult> {
  const { handle, metrics, logger, hostNow, signal, nextWakeAt } = tools;
  const { instanceId } = instance;
  const runId = tools.newId();
  const startedAtMs = hostNow();
  const startedAt = new Date(startedAtMs).toISOString();
  let end: WorkerRunResult;
  let hasResponse = false;
  let isTokenRejected: boolean;
  try {
    const log = logProgress(tools, { instance_id: instanceId, run_id: runId });
    const onAttempt: RunSetup['onAttempt'] = (request) => {
      metrics.countRequest(request);
      hasResponse ||= request.status === 200;
    };
    // It reads the token, so that a replaced one is used without a restart.
    const outcome = await runInstance({ ...tools, onAttempt }, instance, {
      kind: 'scheduled',
      runId,
      orgIds: null,
      streams: null,
      range: null,
      force: false,
      signal,
      nextWakeAt,
      onProgress: (progress) => {
        log(progress);
        metrics.showLastRunFailed(instanceId, false);
        onProgress({ runId, startedAt, ...progress });
      },
    });
    logRun(logger, outcome);
    end = endOf(outcome);
    // A scope that is rejected leaves others, or other organizations, to load.
    isTokenRejected = outcome.refusal?.kind === 'unauthorized';
  } catch (error) {
    const context = { where: handle.label, role: 'losant_usage_writer', nextStep: NEXT_RUN_CONTINUES } as const;
    end = classifyFailure(describeDatabaseError(error, context) ?? error, signal.aborted);
    isTokenRejected = end.result === 'refused';
    if (end.result === 'standby') end = { ...end, backfill: await findBackfill(tools, instanceId) };
  }
  if (isTokenRejected) metrics.showTokenRejected(instanceId, true);
  // An outage does not show whether Losant accepts the token.
  else if (hasResponse && end.result !== 'failed') metrics.showTokenRejected(instanceId, false);
  metrics.showLastRunFailed(instanceId, end.result === 'failed');
  metrics.countRun(instanceId, { result: end.result, durationMs: Math.max(0, hostNow() - startedAtMs) });
  return end;
}

function endOf(outcome: RunOutcome): WorkerRunResult {
  const { report, refusal } = outcome;
  if (refusal) return { result: 'refused', problem: describe(refusal) };
  if (report.status === 'complete') return { result: 'complete', problem: null };
  const [first] = report.failures;
  const { code, message } = first ?? { code: 'incomplete', message: 'something that was due is missing' };
  const command = findNextCommand(outcome);
  const hint = `${command === null ? '' : `${command} shows what is wrong; `}the worker keeps trying`;
  return { result: 'partial', problem: { code, message, hint } };
}

export function classifyFailure(error: unknown, isAskedToEnd: boolean): WorkerRunResult {
  if (isAskedToEnd) return { result: 'interrupted', problem: null };
  if (error instanceof BusyError) return { result: 'standby', problem: null };
  const isRefusal = error instanceof LosantError && isRejection(error.kind);
  return { result: isRefusal ? 'refused' : 'failed', problem: describe(error), error };
}

/** Returns the backfill for which this process stands by; null also if it could not be read. */
async function findBackfill({ handle, logger }: RunTools, instanceId: string) {
  return await readBackfill(handle.db, instanceId).catch((error: unknown) => {
    logger.warn({ err: error, instance_id: instanceId }, 'could not read which run has the lease');
    return null;
  });
}

/** Returns whether to retry before the next wake-up, because the obstacle may be gone soon. */
export function isRetriedSoon({ result, problem }: WorkerRunResult): boolean {
  return result === 'standby' || (result === 'failed' && problem?.code === 'database_unreachable');
}

/** Returns what may be shown to readers: the message of an error that is not ours may contain anything. */
function describe(error: unknown): Problem {
  if (error instanceof AppError) return describeError(error);
  return { code: 'unexpected', message: 'unexpected failure', hint: 'see the log' };
}

/** The interval of progress lines: short enough to see a long run move, long enough for a log. */
const PROGRESS_LOG_INTERVAL_MS = 60_000;

/** Logs the beginning of a run at its first progress, and then its progress once a minute. */
export function logProgress(
  { logger, hostNow }: Pick<RunSetup, 'logger' | 'hostNow'>,
  fields: { readonly instance_id: string; readonly run_id: string },
): (progress: Pick<RunProgress, 'plannedCells' | 'readCells'>) => void {
  let lastLineMs: number | null = null;
  return ({ plannedCells, readCells }) => {
    if (lastLineMs !== null && hostNow() - lastLineMs < PROGRESS_LOG_INTERVAL_MS) return;
    if (lastLineMs === null) logger.info(fields, 'run started');
    else logger.info({ ...fields, cells_planned: plannedCells, cells_done: readCells }, 'run in progress');
    lastLineMs = hostNow();
  };
}
