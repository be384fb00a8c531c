/** One run of the worker: its result, its problem in words for readers, and its metrics. */
import type { Problem, RunProgress, RunResult } from '../console/sources.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { AppError, BusyError, describeError, isRejection, LosantError } from '../errors.ts';
import { readBackfill } from '../ledger/runs.ts';
import type { RunSetup } from '../loading/context.ts';
import { findNextCommand, logRun, NEXT_RUN_CONTINUES, type RunOutcome } from '../loading/report.ts';
import { runOnce } from '../loading/run.ts';
import type { Metrics } from '../server/metrics.ts';

export interface WorkerTools extends RunSetup {
  readonly signal: AbortSignal;
  readonly newId: () => string;
  readonly metrics: Metrics;
}

export interface WorkerRunResult {
  readonly result: RunResult;
  readonly problem: Problem | null;
  /** The error that ended the run, for the log; undefined if none did. */
  readonly error?: unknown;
  /** The backfill of another process for which this one stands by, if there is one. */
  readonly backfill?: Awaited<ReturnType<typeof readBackfill>>;
}

/** Never throws: the worker goes on. */
export async function runOnSchedule(
  tools: WorkerTools,
  onProgress: (progress: RunProgress) => void,
): Promise<WorkerRunResult> {
  const { handle, metrics, logger, hostNow, signal } = tools;
  const runId = tools.newId();
  const startedAtMs = hostNow();
  const startedAt = new Date(startedAtMs).toISOString();
  let end: WorkerRunResult;
  let hasResponse = false;
  let isTokenRejected: boolean;
  try {
    const log = logProgress(tools, runId);
    const onAttempt: RunSetup['onAttempt'] = (request) => {
      metrics.countRequest(request);
      hasResponse ||= request.status === 200;
    };
    const outcome = await runOnce(
      { ...tools, onAttempt },
      {
        kind: 'scheduled',
        runId,
        orgIds: null,
        streams: null,
        range: null,
        force: false,
        signal,
        onProgress: (progress) => {
          log(progress);
          metrics.showLastRunFailed(false);
          onProgress({ runId, startedAt, ...progress });
        },
      },
    );
    logRun(logger, outcome);
    end = endOf(outcome);
    // A scope that is rejected leaves others, or other organizations, to load.
    isTokenRejected = outcome.rejection?.kind === 'unauthorized';
  } catch (error) {
    const context = { where: handle.label, role: 'losant_usage_writer', nextStep: NEXT_RUN_CONTINUES } as const;
    end = classifyFailure(describeDatabaseError(error, context) ?? error, signal.aborted);
    isTokenRejected = end.result === 'rejected';
    if (end.result === 'standby') end = { ...end, backfill: await findBackfill(tools) };
  }
  if (isTokenRejected) metrics.showTokenRejected(true);
  // An outage does not show whether Losant accepts the token.
  else if (hasResponse && end.result !== 'failed') metrics.showTokenRejected(false);
  metrics.showLastRunFailed(end.result === 'failed');
  metrics.countRun({ result: end.result, durationMs: Math.max(0, hostNow() - startedAtMs) });
  return end;
}

function endOf(outcome: RunOutcome): WorkerRunResult {
  const { report, rejection } = outcome;
  if (rejection) return { result: 'rejected', problem: describeProblem(rejection) };
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
  const isRejected = error instanceof LosantError && isRejection(error.kind);
  return { result: isRejected ? 'rejected' : 'failed', problem: describeProblem(error), error };
}

/** Returns the backfill for which this process stands by; null also if it could not be read. */
async function findBackfill({ handle, logger }: WorkerTools) {
  return await readBackfill(handle.db).catch((error: unknown) => {
    logger.warn({ err: error }, 'could not read which run has the lease');
    return null;
  });
}

/** Returns whether to retry before the next wake-up, because the obstacle may be gone soon. */
export function isRetriedSoon({ result, problem }: WorkerRunResult): boolean {
  return result === 'standby' || (result === 'failed' && problem?.code === 'database_unreachable');
}

/** Returns what may be shown to readers: the message of an error that is not ours may contain anything. */
function describeProblem(error: unknown): Problem {
  if (error instanceof AppError) return describeError(error);
  return { code: 'unexpected', message: 'unexpected failure', hint: 'see the log' };
}

/** The interval of progress lines: short enough to see a long run move, long enough for a log. */
const PROGRESS_LOG_INTERVAL_MS = 60_000;

/** Logs the beginning of a run at its first progress, and then its progress once a minute. */
export function logProgress(
  { logger, hostNow }: Pick<RunSetup, 'logger' | 'hostNow'>,
  runId: string,
): (progress: Pick<RunProgress, 'plannedCells' | 'readCells'>) => void {
  let lastLineMs: number | null = null;
  return ({ plannedCells, readCells }) => {
    if (lastLineMs !== null && hostNow() - lastLineMs < PROGRESS_LOG_INTERVAL_MS) return;
    const fields = { run_id: runId };
    if (lastLineMs === null) logger.info(fields, 'run started');
    else logger.info({ ...fields, cells_planned: plannedCells, cells_done: readCells }, 'run in progress');
    lastLineMs = hostNow();
  };
}
