import type { RunProgress, RunResult, Trouble } from '../console/sources.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { describeError, ExportError, HeldError, LosantError } from '../errors.ts';
import { type ExportEnvironment, openInstance } from '../export/context.ts';
import { logRun, type RunOutcome } from '../export/report.ts';
import { runInstance } from '../export/run.ts';
import { recordFailedRun } from '../ledger/runs.ts';
import type { Metrics } from '../server/metrics.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';

/** The tools of the worker, the same for all its instances and runs. */
export interface RunTools extends Omit<ExportEnvironment, 'now'> {
  readonly config: Config;
  readonly signal: AbortSignal;
  readonly newId: () => string;
  readonly metrics: Metrics;
  /** Reads the database's clock; rejects if the database is unreachable or its clock too far off. */
  readonly readNow: () => Promise<() => number>;
  readonly nextWakeAt: () => Date | null;
}

export interface RunEnd {
  readonly result: RunResult;
  readonly trouble: Trouble | null;
  /** The error that broke the run off, for the log; undefined if none did. */
  readonly error?: unknown;
}

/** Never throws: a failure of one instance must not stop the others. */
export async function exportInstance(
  tools: RunTools,
  instance: InstanceConfig,
  onProgress: (progress: RunProgress) => void,
): Promise<RunEnd> {
  const { handle, metrics, logger, hostNow, signal, nextWakeAt } = tools;
  const { instanceId } = instance;
  const runId = tools.newId();
  const fields = { instance_id: instanceId, run_id: runId };
  let now: (() => number) | null = null;
  let startedAtMs = hostNow();
  let end: RunEnd;
  try {
    now = await tools.readNow();
    startedAtMs = now();
    const startedAt = new Date(startedAtMs).toISOString();
    const log = logProgress(tools, fields);
    // The token is read here, so that a replaced one is used without a restart.
    const onAttempt: ExportEnvironment['onAttempt'] = (request) => metrics.countRequest(request);
    const opened = openInstance({ ...tools, now, onAttempt }, instance);
    const outcome = await runInstance(opened, {
      kind: 'scheduled',
      runId,
      orgIds: null,
      streams: null,
      range: null,
      force: false,
      signal,
      nextWakeAt,
      onProgress: ({ planned, done }) => {
        log({ planned, done });
        onProgress({ startedAt, planned, done });
      },
    });
    logRun(logger, instanceId, outcome);
    end = endOf(outcome);
  } catch (error) {
    const work = { where: handle.describe, role: 'losant_usage_writer' } as const;
    end = judgeFailure(describeDatabaseError(error, work) ?? error, signal.aborted);
    if (now !== null) await recordFailure(tools, instanceId, { runId, end });
  }
  if (['complete', 'partial', 'refused'].includes(end.result)) {
    metrics.showTokenRefused(instanceId, end.result === 'refused');
  }
  metrics.countRun(instanceId, { result: end.result, durationMs: (now ?? hostNow)() - startedAtMs });
  return end;
}

function endOf({ report, refusal }: RunOutcome): RunEnd {
  if (refusal) return { result: 'refused', trouble: describe(refusal) };
  if (report.status === 'complete') return { result: 'complete', trouble: null };
  const [first] = report.failures;
  const { code, message } = first ?? { code: 'incomplete', message: 'something that was due is missing' };
  const hint = 'losant-usage gaps lists what is missing; the worker keeps trying';
  return { result: 'partial', trouble: { code, message, hint } };
}

/** Returns the end of a run that broke off. Pure. */
export function judgeFailure(error: unknown, isAskedToEnd: boolean): RunEnd {
  if (isAskedToEnd) return { result: 'interrupted', trouble: null };
  if (error instanceof HeldError) return { result: 'standby', trouble: null };
  const isRefusal = error instanceof LosantError && ['unauthorized', 'forbidden'].includes(error.kind);
  return { result: isRefusal ? 'refused' : 'failed', trouble: describe(error), error };
}

/** Whether to look again before the next wake-up: what kept this run away may be gone soon. */
export function looksAgain({ result, trouble }: RunEnd): boolean {
  return result === 'standby' || (result === 'failed' && trouble?.code === 'database_unreachable');
}

/** Returns what may be shown to readers: the message of an error that is not ours may contain anything. */
function describe(error: unknown): Trouble {
  if (error instanceof ExportError) return describeError(error);
  return { code: 'unexpected', message: 'an unexpected failure', hint: 'the log says where it happened' };
}

/** The errors after which nothing is written: no database answers, or its schema is not this program's. */
const NOT_RECORDED = ['database_unreachable', 'database_too_old', 'database_too_new', 'database_mismatch'];

/** Records a run that could not even begin, for people who see only the database. */
async function recordFailure(
  { handle, host, version, logger }: RunTools,
  instanceId: string,
  { runId, end }: { readonly runId: string; readonly end: RunEnd },
): Promise<void> {
  if (end.trouble === null || NOT_RECORDED.includes(end.trouble.code)) return;
  const place = { run_id: runId, instance_id: instanceId, host, version };
  const run = { ...place, kind: 'scheduled', is_full: true } as const;
  await recordFailedRun(handle.db, run, end.trouble.message).catch((error: unknown) => {
    logger.warn({ err: error, instance_id: instanceId }, 'failed run not recorded');
  });
}

/** The interval of progress lines: short enough to see a long run move, long enough for a log. */
const LINE_EVERY_MS = 60_000;

/** Logs the beginning of a run at its first progress, and then its progress once a minute. */
export function logProgress(
  { logger, hostNow }: Pick<ExportEnvironment, 'logger' | 'hostNow'>,
  fields: { readonly instance_id: string; readonly run_id: string },
): (progress: Pick<RunProgress, 'planned' | 'done'>) => void {
  let lastLineMs: number | null = null;
  return ({ planned, done }) => {
    if (lastLineMs !== null && hostNow() - lastLineMs < LINE_EVERY_MS) return;
    if (lastLineMs === null) logger.info(fields, 'run started');
    else logger.info({ ...fields, cells_planned: planned, cells_done: done }, 'run under way');
    lastLineMs = hostNow();
  };
}
