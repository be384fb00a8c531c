import type { Problem, RunProgress, RunResult } from '../console/sources.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { AppError, BusyError, describeError, LosantError } from '../errors.ts';
import { readBackfill, recordFailedRun } from '../ledger/runs.ts';
import type { RunEnvironment } from '../loading/context.ts';
import { findNextCommand, logRun, type RunOutcome } from '../loading/report.ts';
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
  /** The error that ended the run, for the log; undefined if none did. */
  readonly error?: unknown;
  /** The backfill of another process for which this one stands by, if there is one. */
  readonly backfill?: Awaited<ReturnType<typeof readBackfill>>;
}

/** Never throws: a failure of one instance must not stop the others. */
export async function loadOnSchedule(
  tools: RunTools,
  instance: InstanceConfig,
  onProgress: (progress: RunProgress) => void,
): Promise<WorkerRunResult> {
  const { handle, metrics, logger, hostNow, signal, nextWakeAt } = tools;
  const { instanceId } = instance;
  const runId = tools.newId();
  let now: (() => number) | null = null;
  let startedAtMs = hostNow();
  let end: WorkerRunResult;
  try {
    now = await tools.readNow();
    startedAtMs = now();
    const startedAt = new Date(startedAtMs).toISOString();
    const log = logProgress(tools, { instance_id: instanceId, run_id: runId });
    let hasResponse = false;
    const onAttempt: RunEnvironment['onAttempt'] = (request) => {
      metrics.countRequest(request);
      hasResponse ||= request.status === 200;
    };
    // It reads the token, so that a replaced one is used without a restart.
    const outcome = await runInstance({ ...tools, now, onAttempt }, instance, {
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
    logRun(logger, instanceId, outcome);
    end = endOf(outcome);
    if (end.result === 'refused') metrics.showTokenRejected(instanceId, true);
    // An outage does not show whether Losant accepts the token.
    else if (hasResponse) metrics.showTokenRejected(instanceId, false);
  } catch (error) {
    const context = { where: handle.label, role: 'losant_usage_writer' } as const;
    end = classifyFailure(describeDatabaseError(error, context) ?? error, signal.aborted);
    if (end.result === 'refused') metrics.showTokenRejected(instanceId, true);
    if (end.result === 'standby') end = { ...end, backfill: await findBackfill(tools, instanceId) };
    else if (now !== null) await recordFailure(tools, instanceId, { runId, end });
  }
  metrics.showLastRunFailed(instanceId, end.result === 'failed');
  metrics.countRun(instanceId, { result: end.result, durationMs: (now ?? hostNow)() - startedAtMs });
  return end;
}

function endOf(outcome: RunOutcome): WorkerRunResult {
  const { report, refusal } = outcome;
  if (refusal) return { result: 'refused', problem: describe(refusal) };
  if (report.status === 'complete') return { result: 'complete', problem: null };
  const [first] = report.failures;
  const { code, message } = first ?? { code: 'incomplete', message: 'something that was due is missing' };
  const hint = `${findNextCommand(outcome)} shows what is wrong; the worker keeps trying`;
  return { result: 'partial', problem: { code, message, hint } };
}

export function classifyFailure(error: unknown, isAskedToEnd: boolean): WorkerRunResult {
  if (isAskedToEnd) return { result: 'interrupted', problem: null };
  if (error instanceof BusyError) return { result: 'standby', problem: null };
  const isRefusal = error instanceof LosantError && ['unauthorized', 'forbidden'].includes(error.kind);
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

/** The errors after which nothing is written: no database responds, or its schema is not this program's. */
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
