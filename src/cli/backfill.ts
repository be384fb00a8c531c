import { SettingsError } from '../errors.ts';
import type { Ask } from '../usage/plan.ts';
import { defineCommand } from './command.ts';
import { dayOption, rateOption, required, switchOption } from './options.ts';
import { requirePastDay } from './x-days.ts';
import { exportOptions } from './x-export-options.ts';

export const backfill = defineCommand({
  name: 'backfill',
  summary: 'read a range of days; skips what is held unless it is due',
  group: 'Export',
  needs: 'losant',
  isQuiet: true,
  options: {
    from: required(dayOption('first day')),
    to: required(dayOption('last day, included')),
    ...exportOptions,
    force: switchOption('read the days that are held again'),
    pastHorizon: switchOption('ask also for days that Losant should no longer keep'),
    rate: rateOption('requests per second, instead of REQUESTS_PER_SECOND'),
  },
  examples: [
    { args: 'backfill --from 2026-09-01 --to 2026-11-23', does: 'all of autumn; the same command goes on' },
    {
      args: 'backfill --from 2026-09-01 --to 2026-11-23 --dry-run',
      does: 'how many requests that takes, and how long',
    },
    {
      args: 'backfill --from 2026-11-20 --to 2026-11-20 --org 575ec8687ae143cd83dc4a97 --force',
      does: 'one day of one organization again',
    },
  ],
  /** Reads a range of days, skipping what is held unless it is due or forced. */
  async run(context, { from, to, force, pastHorizon, rate, ...request }) {
    requirePastDay('--from', from, context.hostNow());
    requirePastDay('--to', to, context.hostNow());
    if (from > to) {
      throw new SettingsError(`--from ${from} is later than --to ${to}`, {
        hint: 'give the earlier day first; both are included',
      });
    }
    const { exportInstances } = await import('./export-instances.ts');
    const ask: Ask = { range: { from, to }, reason: 'backfill', force, pastHorizon };
    return await exportInstances(context, { ...request, rate, kind: 'backfill', ask });
  },
});
