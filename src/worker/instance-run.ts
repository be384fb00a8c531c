import type { RunProgress, RunResult, Trouble } from '../console/sources.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import { describeError, ExportError, HeldError, LosantError } from '../errors.ts';
import {
  type ExportEnvironment,
  type Gates,
  openInstance,
  type Progress,
  type Settled,
} from '../export/context.ts';
import { logRun, type RunOutcome, runInstance } from '../export/run.ts';
import { recordFailedRun } from '../ledger/runs.ts';
import type { Metrics } from '../server/metrics.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';
import { count } from '../terminal/words.ts';
import { PlannedRequests, type RequestProgress } from '../usage/planned-requests.ts';

/** What the worker works with, the same for all its instances and runs. */
export interface WorkerTools extends ExportEnvironment {
  readonly config: Config;
  readonly signal: AbortSignal;
  readonly newId: () => string;
  readonly handle: DatabaseHandle;
  readonly metrics: Metrics;
  /** Reads the database's clock; rejects if the database is unreachable or its clock too far off. */
  readonly readNow: () => Promise<() => number>;
}

export interface RunTools extends WorkerTools {
  readonly gates: Gates;
  /** The state left by the last run that left no gap, by instance id; it spares the next run the same checks. */
  readonly settled: Map<string, Settled>;
}

export interface RunEnd {
  readonly result: RunResult;
  readonly trouble: Trouble | null;
  /** Who holds the lease, of a standby, in a sentence. */
  readonly holder?: string;
}

export interface RunWatch {
  /** Called when this process has the instance and something is due, and then as the work goes on. */
  readonly onProgress: (progress: RunProgress) => void;
  /** Called while the run waits, with what for; null when it goes on. */
  readonly onWait: (trouble: Trouble | null) => void;
}

/** `exportInstance` never throws: a failure of one instance must not stop the others. */
export async function exportInstance(
  tools: RunTools,
  instance: InstanceConfig,
  watch: RunWatch,
): Promise<RunEnd> {
  const { handle, metrics, settled, logger, hostNow, signal } = tools;
  const { instanceId } = instance;
  const runId = tools.newId();
  let now: (() => number) | null = null;
  let startedAtMs = hostNow();
  let end: RunEnd;
  try {
    now = await tools.readNow();
    startedAtMs = now();
    const outcome = await startRun(tools, instance, { ...watch, now, runId, startedAtMs });
    logRun(logger, instanceId, outcome);
    metrics.countWork(outcome.tally);
    metrics.showTokenRefused(instanceId, outcome.refusal !== null);
    if (outcome.settled) settled.set(instanceId, outcome.settled);
    else settled.delete(instanceId);
    end = endOf(outcome);
  } catch (error) {
    const err = describeDatabaseError(error, handle.describe) ?? error;
    end = judgeFailure(err, signal.aborted);
    if (end.result === 'refused') metrics.showTokenRefused(instanceId, true);
    if (end.result === 'standby')
      logger.debug({ instance_id: instanceId, err }, 'another process exports the instance');
    else if (end.result === 'interrupted') logger.info({ instance_id: instanceId }, 'run interrupted');
    else logger.error({ instance_id: instanceId, err }, 'instance not exported');
    if (now !== null) await recordFailure(tools, instance, { runId, end });
  }
  const endedAtMs = (now ?? hostNow)();
  metrics.countRun(instanceId, { result: end.result, durationMs: endedAtMs - startedAtMs, endedAtMs });
  return end;
}

async function startRun(
  tools: RunTools,
  instance: InstanceConfig,
  run: RunWatch & { now: () => number; runId: string; startedAtMs: number },
): Promise<RunOutcome> {
  const { now, onProgress, onWait, runId, startedAtMs } = run;
  const { handle, gates, metrics, hostNow, signal } = tools;
  const { instanceId, requestsPerSecond: rate } = instance;
  const startedAt = new Date(startedAtMs).toISOString();
  let requests = 0;
  const planned = new PlannedRequests();
  let planStartedAt = startedAt;
  // The token is read here, so that a replaced one is used without a restart.
  const opened = openInstance(tools, instance, {
    handle,
    now,
    gates,
    onAttempt: (request) => {
      requests += 1;
      planned.count(request);
      metrics.countRequest(request);
    },
    onWait: (wait) => {
      const waited = wait === null ? 0 : hostNow() - wait.sinceMs;
      for (const each of ['losant', 'database'] as const) {
        metrics.showWaiting(instanceId, each, wait?.waitsFor === each ? waited : 0);
      }
      if (wait === null) return onWait(null);
      const { waitsFor, message, hint } = wait;
      onWait({ code: `waiting_for_${waitsFor}`, kind: 'waiting', message, hint });
    },
  });
  const log = logProgress(tools, { instanceId, runId });
  return await runInstance(opened, {
    kind: 'scheduled',
    runId,
    orgIds: null,
    streams: null,
    signal,
    settled: tools.settled.get(instanceId),
    onPlan: (plan) => {
      planned.plan(plan);
      planStartedAt = new Date(now()).toISOString();
    },
    onProgress: (cells: Progress) => {
      // Progress is reported only once there is a plan.
      const plan = { ...(planned.progress as RequestProgress), startedAt: planStartedAt, rate };
      const progress = { startedAt, ...cells, requests, plan };
      log(progress);
      onProgress(progress);
    },
  });
}

function endOf({ report, refusal }: RunOutcome): RunEnd {
  if (refusal) return { result: 'refused', trouble: describe(refusal) };
  const { status, failures, gapsLeft } = report;
  const result = status === 'complete' ? 'complete' : 'partial';
  if (result === 'complete' && gapsLeft === 0) return { result, trouble: null };
  const left = { code: 'gaps_left', message: `${count(gapsLeft, 'gap')} left in the ledger` };
  const { code, message } = failures[0] ?? left;
  const hint = 'losant-usage gaps lists what is missing; the worker keeps trying';
  const kind = failures.length === 0 ? 'gaps' : 'failure';
  return { result, trouble: { code, message, hint, kind } };
}

/** `judgeFailure` returns the end of a run that broke off. Pure. */
export function judgeFailure(error: unknown, isAskedToEnd: boolean): RunEnd {
  if (isAskedToEnd) return { result: 'interrupted', trouble: null };
  if (error instanceof HeldError) return { result: 'standby', trouble: null, holder: error.message };
  const isRefusal = error instanceof LosantError && ['unauthorized', 'forbidden'].includes(error.kind);
  return { result: isRefusal ? 'refused' : 'failed', trouble: describe(error) };
}

/** `looksAgain` returns whether to look again before the next wake-up: what kept this run away may be gone soon. */
export function looksAgain({ result, trouble }: RunEnd): boolean {
  return result === 'standby' || (result === 'failed' && trouble?.code === 'database_unreachable');
}

function describe(error: unknown): Trouble {
  // The message of any other error may contain anything, so only the log shows where it happened.
  const described =
    error instanceof ExportError
      ? describeError(error)
      : { code: 'unexpected', message: 'an unexpected failure', hint: 'the log says where it happened' };
  return { ...described, kind: 'failure' };
}

/** The errors after which nothing is written: no database answers, or its schema is not this program's. */
const NOT_RECORDED = ['database_unreachable', 'database_too_old', 'database_too_new', 'database_mismatch'];

/** `recordFailure` records a run that could not even begin, for people who see only the database. */
async function recordFailure(
  { handle, host, version, logger }: RunTools,
  { instanceId, streams }: InstanceConfig,
  { runId, end }: { runId: string; end: RunEnd },
): Promise<void> {
  if (end.trouble === null || NOT_RECORDED.includes(end.trouble.code)) return;
  const run = { runId, instanceId, kind: 'scheduled', isFull: true, streams, host, version } as const;
  try {
    await recordFailedRun(handle.db, run, end.trouble.message);
  } catch (error) {
    logger.warn({ err: error, instance_id: instanceId }, 'failed run not recorded');
  }
}

/** The interval of progress lines: short enough to see a long run move, long enough for a log. */
const LINE_EVERY_MS = 60_000;

/** `logProgress` logs the beginning of a run at its first progress, and then its progress once a minute. */
export function logProgress(
  { logger, hostNow }: Pick<ExportEnvironment, 'logger' | 'hostNow'>,
  { instanceId, runId }: { instanceId: string; runId: string },
): (progress: RunProgress) => void {
  const fields = { instance_id: instanceId, run_id: runId };
  let lastLineMs: number | null = null;
  return ({ planned, done, requests }) => {
    const isFirst = lastLineMs === null;
    if (lastLineMs !== null && hostNow() - lastLineMs < LINE_EVERY_MS) return;
    lastLineMs = hostNow();
    if (isFirst) logger.info(fields, 'run started');
    else logger.info({ ...fields, cells_done: done, cells_planned: planned, requests }, 'run under way');
  };
}
