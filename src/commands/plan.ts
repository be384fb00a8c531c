import { EXIT } from '../exit.ts';
import { readInstance } from '../database/write/instances.ts';
import { readSchemaState } from '../database/migrate/migrate.ts';
import type { PlanSummary } from '../export/context.ts';
import { previewRun } from '../export/preview.ts';
import { type CommandContext, printJson } from './command.ts';
import { openDatabase, openInstance, readClock, useDatabase } from './open.ts';
import { chooseStreams, type ExportRequest } from './request.ts';

/** `--dry-run`: prints what would be read. Writes nothing; asks Losant only for organizations it does not know yet. */
export async function printPlan(context: CommandContext, request: ExportRequest): Promise<number> {
  const { config, output, signal } = context;
  return await useDatabase(await openDatabase(context), async (handle) => {
    const isEmpty = (await readSchemaState(handle)).state === 'empty';
    const now = await readClock(context, handle);
    const plans: PlanSummary[] = [];
    for (const instance of config.instances) {
      const opened = openInstance(context, instance, { handle, now, gates: new Map(), rate: request.rate });
      const isKnown = !isEmpty && (await readInstance(handle.db, instance.instanceId)) !== null;
      const streams = chooseStreams(instance, request.streams);
      const { ask, orgIds } = request;
      const plan = await previewRun(opened, { ask, orgIds, streams, signal }, { isKnown });
      plans.push(plan);
      if (!output.json) output.write(renderPlan(plan, request.rate ?? instance.requestsPerSecond));
    }
    if (output.json) printJson(output, plans.length === 1 ? plans[0] : plans);
    return EXIT.ok;
  });
}

/** A plan for people, with the time it takes at `rate` requests per second. */
export function renderPlan(plan: PlanSummary, rate: number): string {
  const { instanceId, from, to, orgs, cells, reasons, requests } = plan;
  const lines = [`Instance ${instanceId}: plan for ${orgs} organizations`];
  if (from === null) lines.push('  nothing to read');
  else {
    const why = Object.entries(reasons).map(([reason, count]) => `${count} ${reason}`);
    lines.push(
      `  ${from === to ? from : `${from}..${to}`}: ${cells} cells (${why.join(', ')})`,
      `  ${requests} requests, about ${renderDuration(requests / rate)} at ${rate} per second`,
    );
  }
  if (plan.pastHorizon > 0)
    lines.push(
      `  ${plan.pastHorizon} cells are past the horizon and left out (--past-horizon asks for them all the same)`,
    );
  if (plan.unavailable > 0)
    lines.push(`  ${plan.unavailable} cells can no longer be had and will be marked unavailable`);
  if (plan.waiting > 0) lines.push(`  ${plan.waiting} cells are missing, but not due for another try`);
  return `${lines.join('\n')}\n`;
}

function renderDuration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
