import { setTimeout as sleep } from 'node:timers/promises';
import { HeldError } from '../errors.ts';
import { EXIT, exitCodeOf, worstExitCode } from '../exit.ts';
import type { Gate } from '../losant/gate.ts';
import type { InstanceConfig } from '../settings/instance.ts';
import type { DatabaseHandle } from '../database/connect/open.ts';
import { describeDatabaseError } from '../database/connect/sqlstate.ts';
import type { PlanSummary } from '../export/context.ts';
import { type RunOutcome, runInstance } from '../export/run.ts';
import type { CommandContext } from './command.ts';
import { openInstance, openSchema, readClock, useDatabase } from './open.ts';
import { printPlan, renderPlan } from './plan.ts';
import { createProgress } from './progress.ts';
import { chooseStreams, type ExportRequest } from './request.ts';
import { type InstanceEnd, logEnd, printEnds } from './result.ts';

/** How often a held lease or folder is tried again while waiting. */
const WAIT_STEP_MS = 1_000;

/**
 * Exports one instance after the other; one's trouble never stops another.
 * Returns the exit code; throws only if nothing could begin, or on a signal.
 */
export async function exportInstances(context: CommandContext, request: ExportRequest): Promise<number> {
  if (request.dryRun) return await printPlan(context, request);
  const giveUpAtMs = context.hostNow() + request.waitSeconds * 1_000;
  const handle = await waitWhileHeld(context, giveUpAtMs, () => openSchema(context, { createIfEmpty: true }));
  return await useDatabase(handle, async () => {
    const now = await readClock(context, handle);
    const gates = new Map<string, Gate>();
    const ends: InstanceEnd[] = [];
    for (const instance of context.config.instances) {
      const exportOne = () => exportInstance(context, instance, { request, handle, now, gates });
      ends.push(await endOf(instance, () => waitWhileHeld(context, giveUpAtMs, exportOne), context));
    }
    printEnds(context, ends);
    return worstExitCode(ends.map(exitCodeOfEnd));
  });
}

async function exportInstance(
  context: CommandContext,
  instance: InstanceConfig,
  {
    request,
    handle,
    now,
    gates,
  }: { request: ExportRequest; handle: DatabaseHandle; now: () => number; gates: Map<string, Gate> },
): Promise<RunOutcome> {
  const { kind, ask, orgIds, rate } = request;
  const progress = createProgress(context);
  const showPlan = (plan: PlanSummary) =>
    context.output.remark(renderPlan(plan, rate ?? instance.requestsPerSecond));
  try {
    return await runInstance(openInstance(context, instance, { handle, now, gates, rate }), {
      kind,
      ask,
      orgIds,
      runId: context.newId(),
      streams: chooseStreams(instance, request.streams),
      signal: context.signal,
      onProgress: progress.show,
      onPlan: kind === 'backfill' ? showPlan : undefined,
    });
  } catch (error) {
    throw describeDatabaseError(error, handle.describe) ?? error;
  } finally {
    progress.stop();
  }
}

async function endOf(
  { instanceId }: InstanceConfig,
  work: () => Promise<RunOutcome>,
  context: CommandContext,
): Promise<InstanceEnd> {
  try {
    const outcome = await work();
    logEnd(context.logger, instanceId, outcome);
    return { instanceId, outcome };
  } catch (error) {
    // With a single instance its error is the command's; so is a signal.
    if (context.signal.aborted || context.config.instances.length === 1) throw error;
    context.logger.error({ err: error, instance_id: instanceId }, 'instance not exported');
    return { instanceId, error };
  }
}

function exitCodeOfEnd(end: InstanceEnd): number {
  if ('error' in end) return exitCodeOf(end.error);
  if (end.outcome.refusal) return EXIT.refused;
  return end.outcome.report.status === 'complete' ? EXIT.ok : EXIT.incomplete;
}

/** Tries again while another process holds what `open` needs, until `giveUpAtMs`. */
async function waitWhileHeld<T>(
  { hostNow, signal, output }: CommandContext,
  giveUpAtMs: number,
  open: () => Promise<T>,
): Promise<T> {
  let hasSaid = false;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const mayWait = error instanceof HeldError && error.kind !== 'lease_lost' && hostNow() < giveUpAtMs;
      if (!mayWait) throw error;
      if (!hasSaid) output.remark(`${error.message}; waiting\n`);
      hasSaid = true;
      await sleep(Math.min(WAIT_STEP_MS, giveUpAtMs - hostNow()), undefined, { signal });
    }
  }
}
