import { defineCommand } from './command.ts';
import { exportOptions } from './export-options.ts';
import { dayOption, requirePastDay } from './options.ts';

export const run = defineCommand({
  needs: 'losant',
  isQuiet: true,
  whenInterrupted: 'what was loaded stays; the next run goes on from there',
  options: { date: dayOption('read this day again, due or not'), ...exportOptions },
  examples: ({ yesterday }) => [
    { args: 'run', does: 'everything that is due' },
    { args: 'run --dry-run', does: 'what that would read' },
    { args: `run --date ${yesterday} --stream payload_totals`, does: 'one stream of one day again' },
    { args: 'run --shard 0/4 --wait 60', does: 'the first of four parts, which run beside each other' },
  ],
  /** Exports now what is due, or reads one day again. */
  async run(context, { date, ...request }) {
    const { exportInstances, withHeartbeat } = await import('./export-instances.ts');
    if (date !== null) {
      requirePastDay('--date', date, context.hostNow());
      const ask = {
        range: { from: date, to: date },
        reason: 'asked',
        force: true,
        pastHorizon: false,
      } as const;
      return await exportInstances(context, { ...request, kind: 'manual', ask });
    }
    return await withHeartbeat(context, request, () =>
      exportInstances(context, { ...request, kind: 'manual' }),
    );
  },
});
