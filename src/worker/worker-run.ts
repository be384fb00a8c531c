import type { CommandContext } from '../commands/command.ts';
import { openInstance } from '../commands/open/instance.ts';
import type { DatabaseHandle } from '../database/connect/open.ts';
import { describeDatabaseError } from '../database/connect/sqlstate.ts';
import { recordFailedRun } from '../database/write/runs.ts';
import { DatabaseError, describeError, ExportError, HeldError, LosantError } from '../errors.ts';
import { logRun } from '../export/log-run.ts';
import { type RunOutcome, runInstance } from '../export/run.ts';
import type { Gate } from '../losant/gate.ts';
import type { Metrics } from '../server/metrics.ts';
import type { PassResult, Trouble } from '../server/status.ts';
import type { InstanceConfig } from '../settings/instance.ts';

/** What a pass works with. */
export interface PassTools {
  readonly context: CommandContext;
  readonly handle: DatabaseHandle;
  /** One for each token, kept from pass to pass: a pause that Losant asked for goes on. */
  readonly gates: Map<string, Gate>;
  readonly metrics: Metrics;
}

/** How a pass over one instance ended. */
export interface PassEnd {
  readonly result: PassResult;
  readonly trouble: Trouble | null;
  /** Whether it is worth looking again before the next wake-up. */
  readonly lookAgain: boolean;
}

/**
 * One pass over one instance. Never throws: whatever happens is this instance's
 * trouble alone. `onStart` is called once the instance is this process's to export.
 */
export async function passInstance(
  tools: PassTools,
  instance: InstanceConfig,
  { now, onStart }: { now: () => number; onStart: () => void },
): Promise<PassEnd> {
  const { context, handle, gates, metrics } = tools;
  const { instanceId } = instance;
  const runId = context.newId();
  const startedAtMs = now();
  const finish = (end: PassEnd): PassEnd => {
    const endedAtMs = now();
    metrics.countPass(instanceId, { result: end.result, durationMs: endedAtMs - startedAtMs, endedAtMs });
    return end;
  };
  try {
    // The token is read here, so that one that was replaced is used without a restart.
    const opened = openInstance(context, instance, {
      handle,
      now,
      gates,
      onAttempt: (request) => metrics.countRequest(request),
    });
    const outcome = await runInstance(opened, {
      kind: 'scheduled',
      runId,
      orgIds: null,
      streams: instance.streams,
      signal: context.signal,
      onProgress: onStart,
    });
    logRun(context.logger, instanceId, outcome);
    metrics.countWork(outcome.tally);
    metrics.showTokenRefused(instanceId, outcome.refusal !== null);
    return finish(endOf(outcome));
  } catch (error) {
    const known = describeDatabaseError(error, handle.describe) ?? error;
    const end = judgeFailure(known, context.signal.aborted);
    if (end.result === 'refused') metrics.showTokenRefused(instanceId, true);
    logFailure(context, instanceId, { end, error: known });
    await recordFailure(tools, instance, { runId, end });
    return finish(end);
  }
}

function endOf({ report, refusal }: RunOutcome): PassEnd {
  if (refusal) return { result: 'refused', trouble: describe(refusal), lookAgain: false };
  if (report.status === 'complete') return { result: 'complete', trouble: null, lookAgain: false };
  const failure = report.failures[0];
  const trouble = {
    code: failure?.code ?? 'waiting',
    message: failure?.message ?? 'something due is missing, but it is not time for another try',
    hint: 'losant-usage gaps lists what is missing; the worker goes on trying',
  };
  return { result: 'partial', trouble, lookAgain: false };
}

/** What a pass that broke off means for its instance. Pure. */
export function judgeFailure(error: unknown, isInterrupted: boolean): PassEnd {
  if (isInterrupted) return { result: 'interrupted', trouble: null, lookAgain: false };
  if (error instanceof HeldError) return { result: 'standby', trouble: null, lookAgain: true };
  const isRefusal = error instanceof LosantError && ['unauthorized', 'forbidden'].includes(error.kind);
  const isAway = error instanceof DatabaseError && error.kind === 'database_unreachable';
  return { result: isRefusal ? 'refused' : 'failed', trouble: describe(error), lookAgain: isAway };
}

function describe(error: unknown): Trouble {
  // What is not one of this program's errors may say anything: the log has the place.
  if (error instanceof ExportError) return describeError(error);
  return { code: 'unexpected', message: 'an unexpected failure', hint: 'the log says where it happened' };
}

function logFailure(
  { logger }: CommandContext,
  instanceId: string,
  { end, error }: { end: PassEnd; error: unknown },
): void {
  const fields = { instance_id: instanceId, err: error };
  if (end.result === 'standby') logger.debug(fields, 'another process exports the instance');
  else if (end.result === 'interrupted') logger.info({ instance_id: instanceId }, 'pass interrupted');
  else logger.error(fields, 'instance not exported');
}

/** A pass that could not even begin is put on record, for those who only see the database. */
async function recordFailure(
  { context, handle }: PassTools,
  { instanceId, streams }: InstanceConfig,
  { runId, end }: { runId: string; end: PassEnd },
): Promise<void> {
  if (end.trouble === null || end.lookAgain) return;
  const { host, version } = context;
  const run = { runId, instanceId, kind: 'scheduled', isFull: true, streams, host, version } as const;
  try {
    await recordFailedRun(handle.db, run, end.trouble.message);
  } catch (error) {
    context.logger.warn({ err: error, instance_id: instanceId }, 'failed pass not recorded');
  }
}
