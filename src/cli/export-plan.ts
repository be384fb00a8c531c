import { readSchemaState } from '../database/migrate/migrate.ts';
import { readInstance } from '../database/write/instances.ts';
import { EXIT } from '../exit.ts';
import { readClock } from '../export/clock.ts';
import type { InstanceContext, PlanSummary } from '../export/context.ts';
import { openInstance } from '../export/open.ts';
import { previewRun } from '../export/preview.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { showDuration } from '../terminal/time.ts';
import { count, showDays, showNumber } from '../terminal/words.ts';
import type { CommandContext } from './command.ts';
import { findOrgs, type Scope } from './export-scope.ts';
import { openDatabase, useDatabase } from './open-database.ts';
import type { ExportRequest } from './x-export-request.ts';

/** `--dry-run`: prints what would be read. Writes nothing; asks Losant only for organizations it does not know yet. */
export async function printPlans(
  context: CommandContext,
  request: ExportRequest,
  chosen: readonly Scope[],
): Promise<number> {
  const { output, signal } = context;
  return await useDatabase(await openDatabase(context, { ifMissing: 'stand_in' }), async (handle) => {
    const hasTables = (await readSchemaState(handle)).state !== 'empty';
    const tools = { handle, now: await readClock(context, handle), gates: new Map() };
    const open = (scope: Scope) => openInstance(context, scope.instance, tools);
    const scopes = await narrowToOrgs(request, { chosen, open, hasTables, signal });
    const plans: PlanSummary[] = [];
    for (const scope of scopes) {
      const { instanceId, requestsPerSecond } = scope.instance;
      const isKnown = hasTables && (await readInstance(handle.db, instanceId)) !== null;
      const { ask, shard } = request;
      const { orgIds, streams } = scope;
      const plan = await previewRun(open(scope), { ask, orgIds, shard, streams, signal }, { isKnown });
      plans.push(plan);
      if (!output.json) output.print(...renderPlan(plan, request.rate ?? requestsPerSecond));
    }
    if (output.json) output.printJson(plans.length === 1 ? plans[0] : plans);
    return EXIT.ok;
  });
}

async function narrowToOrgs(
  { org }: ExportRequest,
  {
    chosen,
    open,
    hasTables,
    signal,
  }: {
    chosen: readonly Scope[];
    open: (scope: Scope) => InstanceContext;
    hasTables: boolean;
    signal: AbortSignal;
  },
): Promise<readonly Scope[]> {
  if (org === null) return chosen;
  const sources = chosen.map((scope) => ({ scope, context: open(scope), hasTables }));
  const { scopes, failures } = await findOrgs(sources, org, signal);
  const [failure] = failures.values();
  if (failures.size > 0) throw failure;
  return scopes;
}

/** A plan for people, with the time it takes at `rate` requests per second. */
export function renderPlan(plan: PlanSummary, rate: number): Line[] {
  const { instanceId, from, to, orgs, cells, reasons, requests } = plan;
  const lines: Line[] = [
    line`Instance ${styled('bold', instanceId)}: plan for ${count(orgs, 'organization')}`,
  ];
  if (from === null || to === null) lines.push('  nothing to read');
  else {
    const why = Object.entries(reasons).map(([reason, number]) => `${showNumber(number)} ${reason}`);
    lines.push(
      `  ${showDays({ from, to })}: ${count(cells, 'number')} to read (${why.join(', ')})`,
      `  ${count(requests, 'request')}, about ${showDuration((requests / rate) * 1_000)} at ${rate} per second`,
    );
  }
  if (plan.pastHorizon > 0) {
    lines.push(
      `  ${count(plan.pastHorizon, 'number')} past the horizon left out (--past-horizon asks anyway)`,
    );
  }
  if (plan.unavailable > 0) {
    lines.push(`  ${count(plan.unavailable, 'number')} no longer available, to be marked so`);
  }
  if (plan.waiting > 0) lines.push(`  ${count(plan.waiting, 'number')} missing, but not due for another try`);
  return lines;
}
