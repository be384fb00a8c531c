import { addDays, dayAt } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { exportOptions } from './export-options.ts';
import { dayOption, rateOption, required, requireOrder, requirePastDay, switchOption } from './options.ts';

export const backfill = defineCommand({
  needs: 'losant',
  isQuiet: true,
  whenInterrupted: 'what was loaded stays; the same command goes on from there',
  options: {
    from: required(dayOption('first day')),
    to: { ...dayOption('last day, included'), shownDefault: 'yesterday' },
    ...exportOptions,
    force: switchOption('read the days that are stored again'),
    pastHorizon: switchOption('ask also for days that Losant should no longer keep'),
    rate: rateOption('requests per second, instead of REQUESTS_PER_SECOND'),
  },
  examples: ({ twoMonthsAgo, yesterday }) => [
    { args: `backfill --from ${twoMonthsAgo}`, does: 'two months up to yesterday; the same command goes on' },
    { args: `backfill --from ${twoMonthsAgo} --dry-run`, does: 'how many requests that takes, and how long' },
    {
      args: `backfill --from ${yesterday} --org 575ec8687ae143cd83dc4a97 --force`,
      does: 'yesterday of one organization again',
    },
  ],
  /** Reads a range of days, skipping what is stored unless it is due or forced. */
  async run(context, { from, to, force, pastHorizon, rate, ...request }) {
    const range = { from, to: to ?? addDays(dayAt(context.hostNow()), -1) };
    requirePastDay('--from', range.from, context.hostNow());
    requirePastDay('--to', range.to, context.hostNow());
    requireOrder(range);
    const { exportInstances } = await import('./export-instances.ts');
    const ask = { range, reason: 'backfill', force, pastHorizon } as const;
    return await exportInstances(context, { ...request, rate, kind: 'backfill', ask });
  },
});
