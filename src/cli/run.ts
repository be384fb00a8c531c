import { addDays, dayAt } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { exportOptions } from './export-options.ts';
import { dayOption, rateOption, required, requireOrder, requirePastDay, switchOption } from './options.ts';

export const run = defineCommand({
  needs: ['losant', 'database'],
  isQuiet: true,
  whenInterrupted: 'what was loaded stays; the next run goes on from there',
  options: { date: dayOption('read this day again, due or not'), ...exportOptions },
  examples: ({ yesterday }) => ({
    run: 'everything that is due',
    'run --dry-run': 'what that would read',
    [`run --date ${yesterday} --stream payload_totals`]: 'one stream of one day again',
    'run --shard 0/4 --wait 60': 'the first of four parts, which run beside each other',
  }),
  async run(context, { date, ...request }) {
    const { exportInstances, withHeartbeat } = await import('./export-instances.ts');
    if (date !== null) {
      requirePastDay('--date', date, context.hostNow());
      const range = { from: date, to: date };
      const ask = { range, reason: 'asked', force: true, pastHorizon: false } as const;
      return await exportInstances(context, { ...request, kind: 'manual', ask });
    }
    return await withHeartbeat(context, request, () =>
      exportInstances(context, { ...request, kind: 'manual' }),
    );
  },
});

export const backfill = defineCommand({
  needs: ['losant', 'database'],
  isQuiet: true,
  whenInterrupted: 'what was loaded stays; the same command goes on from there',
  options: {
    from: required(dayOption('first day')),
    to: dayOption('last day, included', 'yesterday'),
    ...exportOptions,
    force: switchOption('read the days that are stored again'),
    pastHorizon: switchOption('ask also for days that Losant should no longer keep'),
    rate: rateOption('requests per second, instead of REQUESTS_PER_SECOND'),
  },
  examples: ({ twoMonthsAgo, yesterday }) => ({
    [`backfill --from ${twoMonthsAgo}`]: 'two months up to yesterday; the same command goes on',
    [`backfill --from ${twoMonthsAgo} --dry-run`]: 'how many requests that takes, and how long',
    [`backfill --from ${yesterday} --org 575ec8687ae143cd83dc4a97 --force`]:
      'yesterday of one organization again',
  }),
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
