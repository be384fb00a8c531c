import type { Problem, RunProgress, RunResult } from '../console/sources.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { AppError, BusyError, describeError, LosantError } from '../errors.ts';
import { recordFailedRun } from '../ledger/runs.ts';
import { createInstanceContext, type RunEnvironment } from '../loading/context.ts';
import { logRun, type RunOutcome } from '../loading/report.ts';
import { runInstance } from '../loading/run.ts';
import type { Metrics } from '../server/metrics.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';

/** The tools of the worker, the same for all its instances and runs. */
export interface RunTools extends Omit<RunEnvironment, 'now'> {
  readonly config: Config;
  readonly signal: AbortSignal;
  readonly newId: () => string;
  readonly metrics: Metrics;
  /** Reads the database's clock; rejects if the database is unreachable or its clock too far off. */
  readonly readNow: () => Promise<() => number>;
  readonly nextWakeAt: () => Date | null;
}

export interface WorkerRunResult {
  readonly result: RunResult;
  readonly problem: Problem | null;
  /** The error that broke the run off, for the log; undefined if none did. */
  readonly error?: unknown;
}

/** Never throws: a failure of one instance must not stop the others. */
export async function exportInstance(
  tools: RunTools,
  instance: InstanceConfig,
  onProgress: (progress: RunProgress) => void,
): Promise<WorkerRunResult> {
  const { handle, metrics, logger, hostNow, signal, nextWakeAt } = tools;
  const { instanceId } = instance;
  const runId = tools.newId();
  const fields = { instance_id: instanceId, run_id: runId };
  let now: (() => number) | null = null;
  let startedAtMs = hostNow();
  let end: WorkerRunResult;
  try {
    now = await tools.readNow();
    startedAtMs = now();
    const startedAt = new Date(startedAtMs).toISOString();
    const log = logProgress(tools, fields);
    // The token is read here, so that a replaced one is used without a restart.
    const onAttempt: RunEnvironment['onAttempt'] = (request) => metrics.countRequest(request);
    const opened = createInstanceContext({ ...tools, now, onAttempt }, instance);
    const outcome = await runInstance(opened, {
      kind: 'scheduled',
      runId,
      orgIds: null,
      streams: null,
      range: null,
      force: false,
      signal,
      nextWakeAt,
      onProgress: ({ plannedCells, readCells }) => {
        const progress = { plannedCells, readCells };
        log(progress);
        onProgress({ startedAt, ...progress });
      },
    });
    logRun(logger, instanceId, outcome);
    end = endOf(outcome);
  } catch (error) {
    const context = { where: handle.label, role: 'losant_usage_writer' } as const;
    end = classifyFailure(describeDatabaseError(error, context) ?? error, signal.aborted);
    if (now !== null) await recordFailure(tools, instanceId, { runId, end });
  }
  if (['complete', 'partial', 'refused'].includes(end.result)) {
    metrics.showTokenRefused(instanceId, end.result === 'refused');
  }
  metrics.countRun(instanceId, { result: end.result, durationMs: (now ?? hostNow)() - startedAtMs });
  return end;
}

function endOf({ report, refusal }: RunOutcome): WorkerRunResult {
  if (refusal) return { result: 'refused', problem: describe(refusal) };
  if (report.status === 'complete') return { result: 'complete', problem: null };
  const [first] = report.failures;
  const { code, message } = first ?? { code: 'incomplete', message: 'something that was due is missing' };
  const hint = 'losant-usage gaps lists what is missing; the worker keeps trying';
  return { result: 'partial', problem: { code, message, hint } };
}

/** Returns the end of a run that broke off. Pure. */
export function classifyFailure(error: unknown, isAskedToEnd: boolean): WorkerRunResult {
  if (isAskedToEnd) return { result: 'interrupted', problem: null };
  if (error instanceof BusyError) return { result: 'standby', problem: null };
  const isRefusal = error instanceof LosantError && ['unauthorized', 'forbidden'].includes(error.kind);
  return { result: isRefusal ? 'refused' : 'failed', problem: describe(error), error };
}

/** Whether to look again before the next wake-up: what kept this run away may be gone soon. */
export function looksAgain({ result, problem }: WorkerRunResult): boolean {
  return result === 'standby' || (result === 'failed' && problem?.code === 'database_unreachable');
}

/** Returns what may be shown to readers: the message of an error that is not ours may contain anything. */
function describe(error: unknown): Problem {
  if (error instanceof AppError) return describeError(error);
  return { code: 'unexpected', message: 'unexpected failure', hint: 'see the log' };
}

/** The errors after which nothing is written: no database answers, or its schema is not this program's. */
const NOT_RECORDED = ['database_unreachable', 'database_too_old', 'database_too_new', 'database_mismatch'];

/** Records a run that could not even begin, for people who see only the database. */
async function recordFailure(
  { handle, host, version, logger }: RunTools,
  instanceId: string,
  { runId, end }: { readonly runId: string; readonly end: WorkerRunResult },
): Promise<void> {
  if (end.problem === null || NOT_RECORDED.includes(end.problem.code)) return;
  const origin = { run_id: runId, instance_id: instanceId, host, version };
  const run = { ...origin, kind: 'scheduled', is_full: true } as const;
  await recordFailedRun(handle.db, run, end.problem.message).catch((error: unknown) => {
    logger.warn({ err: error, instance_id: instanceId }, 'failed run not recorded');
  });
}

/** The interval of progress lines: short enough to see a long run move, long enough for a log. */
const PROGRESS_LOG_INTERVAL_MS = 60_000;

/** Logs the beginning of a run at its first progress, and then its progress once a minute. */
export function logProgress(
  { logger, hostNow }: Pick<RunEnvironment, 'logger' | 'hostNow'>,
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
