import { readSchemaState } from '../database/migrate.ts';
import { EXIT } from '../exit.ts';
import { openInstance, type PlanSummary, type Progress, readClock } from '../export/context.ts';
import { previewRun } from '../export/preview.ts';
import { readInstance } from '../ledger/instances.ts';
import type { AttemptReport } from '../losant/client.ts';
import { createProgress, LINE_EVERY_MS } from '../terminal/progress.ts';
import { type Line, line, styled } from '../terminal/text.ts';
import { count, showDays, showDuration, showNumber } from '../terminal/words.ts';
import { PlannedRequests } from '../usage/planned-requests.ts';
import type { CommandContext } from './command.ts';
import { type ExportRequest, findOrgs, type Scope } from './export-scope.ts';
import { openDatabase, useDatabase } from './open-database.ts';

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
    const { scopes, failures } = await findOrgs(chosen, request.org, { open, hasTables, signal });
    const [failure] = failures.values();
    if (failures.size > 0) throw failure;
    const plans: PlanSummary[] = [];
    for (const scope of scopes) {
      const { instanceId, requestsPerSecond } = scope.instance;
      const isKnown = hasTables && (await readInstance(handle.db, instanceId)) !== null;
      const { kind, ask, shard } = request;
      const { orgIds, streams } = scope;
      const plan = await previewRun(open(scope), { kind, ask, orgIds, shard, streams, signal }, { isKnown });
      plans.push(plan);
      if (!output.json) output.print(...renderPlan(plan, request.rate ?? requestsPerSecond));
    }
    if (output.json) output.printJson(plans.length === 1 ? plans[0] : plans);
    return EXIT.ok;
  });
}

/** A plan for people, with the time it takes at `rate` requests per second. */
function renderPlan(plan: PlanSummary, rate: number): Line[] {
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

/** Shows a run while it works: its plan, and how many of the plan's requests are done. */
export function createPlanView(
  { output, stderr, hostNow }: CommandContext,
  { rate, showsPlan }: { rate: number; showsPlan: boolean },
) {
  const bar = createProgress({ output, stderr, now: hostNow, rate, noun: 'request' });
  const requests = new PlannedRequests();
  let lastLineMs = hostNow();
  return {
    onPlan: (summary: PlanSummary) => {
      requests.plan(summary);
      if (showsPlan) output.remark(...renderPlan(summary, rate));
      bar.start(summary.requests);
    },
    // Where no plan was made, the numbers planned so far are all that is known: no time left can be told.
    onProgress: ({ planned, done }: Progress) => {
      if (requests.progress !== null || output.json || hostNow() - lastLineMs < LINE_EVERY_MS) return;
      lastLineMs = hostNow();
      output.remark(`${showNumber(done)} of ${count(planned, 'number')} done so far`);
    },
    onAttempt: (report: AttemptReport) => {
      requests.count(report);
      if (requests.progress !== null) bar.show(requests.progress.done);
    },
    stop: () => bar.stop(),
  };
}
