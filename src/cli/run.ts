import type { Ask } from '../usage/plan.ts';
import { defineCommand } from './command.ts';
import { dayOption } from './options.ts';
import { requirePastDay } from './x-days.ts';
import { exportOptions } from './x-export-options.ts';

export const run = defineCommand({
  name: 'run',
  summary: 'export now all that is due, or one day again',
  group: 'Export',
  needs: 'losant',
  isQuiet: true,
  options: { date: dayOption('read this day again, due or not'), ...exportOptions },
  examples: [
    { args: 'run', does: 'everything that is due' },
    { args: 'run --dry-run', does: 'what that would read' },
    { args: 'run --date 2026-11-23 --stream payload_totals', does: 'one stream of one day again' },
    { args: 'run --shard 0/4 --wait 60', does: 'the first of four parts, which run beside each other' },
  ],
  /** Exports now what is due, or reads one day again. */
  async run(context, { date, ...request }) {
    const { exportInstances } = await import('./export-instances.ts');
    if (date !== null) {
      requirePastDay('--date', date, context.hostNow());
      const range = { from: date, to: date };
      const ask: Ask = { range, reason: 'asked', force: true, pastHorizon: false };
      return await exportInstances(context, { ...request, kind: 'manual', ask });
    }
    const { withHeartbeat } = await import('./x-export-heartbeat.ts');
    return await withHeartbeat(context, request, () =>
      exportInstances(context, { ...request, kind: 'manual' }),
    );
  },
});
