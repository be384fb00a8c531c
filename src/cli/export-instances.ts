import type { DatabaseHandle } from '../database/connect/open.ts';
import { describeDatabaseError } from '../database/connect/sqlstate.ts';
import { EXIT, exitCodeOf, worstExitCode } from '../exit.ts';
import { readClock } from '../export/clock.ts';
import { logRun } from '../export/log-run.ts';
import { type Gates, openInstance } from '../export/open.ts';
import { runInstance } from '../export/run.ts';
import type { CommandContext } from './command.ts';
import { printPlans } from './export-plan.ts';
import { addUnreadable, type InstanceEnd, printEnds } from './export-result.ts';
import { chooseScopes, findOrgs, type Scope } from './export-scope.ts';
import { openSchema, useDatabase } from './open-database.ts';
import { readNextTry } from './x-export-next-try.ts';
import { createPlanView } from './x-export-plan-view.ts';
import type { ExportRequest } from './x-export-request.ts';
import { waitWhileHeld } from './x-export-wait.ts';

/** What an export works with, over all instances. */
interface Tools {
  readonly handle: DatabaseHandle;
  readonly now: () => number;
  readonly gates: Gates;
}

/**
 * Exports one instance after the other; one's trouble never stops another.
 * Returns the exit code; throws only if nothing could begin, or on a signal.
 */
export async function exportInstances(context: CommandContext, request: ExportRequest): Promise<number> {
  const chosen = chooseScopes(context.config.instances, request);
  if (request.dryRun) return await printPlans(context, request, chosen);
  const giveUpAtMs = context.hostNow() + request.wait * 1_000;
  const handle = await waitWhileHeld(context, giveUpAtMs, () => openSchema(context, { createIfEmpty: true }));
  return await useDatabase(handle, async () => {
    const tools = { handle, now: await readClock(context, handle), gates: new Map() };
    const { scopes, ends } = await narrowToOrgs(context, request, { tools, chosen });
    for (const scope of scopes) {
      const work = () => exportInstance(context, request, { tools, scope });
      const isOnly = scopes.length + ends.length === 1;
      ends.push(
        await endOf(context, scope, { isOnly, work: () => waitWhileHeld(context, giveUpAtMs, work) }),
      );
    }
    printEnds(context, ends, request.verbose);
    return worstExitCode(ends.map(exitCodeOfEnd));
  });
}

/** Leaves of the instances those that have the organizations asked for, and the ends of those that do not say. */
async function narrowToOrgs(
  context: CommandContext,
  request: ExportRequest,
  { tools, chosen }: { tools: Tools; chosen: readonly Scope[] },
): Promise<{ scopes: readonly Scope[]; ends: InstanceEnd[] }> {
  if (request.org === null) return { scopes: chosen, ends: [] };
  const ends: InstanceEnd[] = [];
  const sources = [];
  for (const scope of chosen) {
    try {
      sources.push({ scope, context: openInstance(context, scope.instance, tools), hasTables: true });
    } catch (error) {
      if (chosen.length === 1) throw error;
      ends.push({ instanceId: scope.instance.instanceId, error });
    }
  }
  const { scopes, failures } = await findOrgs(sources, request.org, context.signal);
  for (const [instanceId, error] of failures) {
    if (chosen.length === 1) throw error;
    ends.push({ instanceId, error });
  }
  return { scopes: scopes.filter(({ instance }) => !failures.has(instance.instanceId)), ends };
}

async function exportInstance(
  context: CommandContext,
  request: ExportRequest,
  { tools, scope }: { tools: Tools; scope: Scope },
): Promise<InstanceEnd> {
  const { instance, streams, orgIds } = scope;
  const { kind, ask, shard } = request;
  const rate = request.rate ?? instance.requestsPerSecond;
  const view = createPlanView(context, { rate, showsPlan: kind === 'backfill' });
  const opened = openInstance(context, instance, { ...tools, rate, onAttempt: view.onAttempt });
  // The plan is only worth its queries where someone reads it.
  const wantsPlan = !context.output.json && (kind === 'backfill' || context.output.isTerminal);
  try {
    const outcome = await runInstance(opened, {
      kind,
      ask,
      orgIds,
      shard,
      streams,
      runId: context.newId(),
      signal: context.signal,
      onProgress: view.onProgress,
      onPlan: wantsPlan ? view.onPlan : undefined,
    });
    const { instanceId } = instance;
    const isShown = outcome.tally.waiting > 0 && !context.output.json;
    const nextTryAt = isShown ? await readNextTry(tools.handle.db, instanceId, tools.now()) : null;
    if (ask === undefined) return { instanceId, outcome, nextTryAt };
    const { horizonDays } = context.config.policy;
    const asked = { instanceId, range: ask.range, horizonDays };
    return { instanceId, outcome: addUnreadable(outcome, asked), nextTryAt };
  } catch (error) {
    throw describeDatabaseError(error, tools.handle.describe) ?? error;
  } finally {
    view.stop();
  }
}

async function endOf(
  context: CommandContext,
  { instance: { instanceId } }: Scope,
  { isOnly, work }: { isOnly: boolean; work: () => Promise<InstanceEnd> },
): Promise<InstanceEnd> {
  const { logger } = context;
  try {
    const end = await work();
    if ('outcome' in end && !context.isSummaryEnough) logRun(logger, instanceId, end.outcome);
    return end;
  } catch (error) {
    // With a single instance its error is the command's; so is a signal.
    if (context.signal.aborted || isOnly) throw error;
    if (!context.isSummaryEnough)
      logger.error({ err: error, instance_id: instanceId }, 'instance not exported');
    return { instanceId, error };
  }
}

function exitCodeOfEnd(end: InstanceEnd): number {
  if ('error' in end) return exitCodeOf(end.error);
  const { report, refusal } = end.outcome;
  if (refusal) return EXIT.refused;
  return report.status === 'complete' ? EXIT.ok : EXIT.incomplete;
}
