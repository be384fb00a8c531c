import { addDays, dayAt } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import {
  day,
  flag,
  id,
  optional,
  required,
  requirePastDay,
  requirePastDays,
  several,
  stream,
  whole,
} from './options.ts';

/** The longest wait; a longer one is a matter for a scheduler. */
const WAIT_MAX_SECONDS = 86_400;

export const waitOption = optional(
  'SECONDS',
  'wait up to this long for another process',
  whole(0, WAIT_MAX_SECONDS),
  '0',
);

const scopeOptions = {
  instance: several('ID', 'only these instances', id('instance')),
  org: several('ID', 'only these organizations', id('organization')),
  stream: several('NAME', 'only these streams', stream),
  dryRun: flag('print the plan and change nothing'),
  verbose: flag('print every count, and the log on a terminal'),
};

export const run = defineCommand({
  needs: ['losant', 'database'],
  isQuiet: true,
  whenInterrupted: 'what was loaded stays; the next run goes on from there',
  options: {
    date: optional('YYYY-MM-DD', 'read this day again, due or not', day),
    ...scopeOptions,
    wait: waitOption,
    end: optional(
      'ID',
      'end an instance that left the settings: no day after yesterday is wanted of it',
      id('instance'),
    ),
  },
  examples: ({ yesterday }) => ({
    run: 'everything that is due',
    'run --dry-run': 'what that would read',
    [`run --date ${yesterday} --stream payload_totals`]: 'one stream of one day again',
  }),
  async run(context, { date, end, wait, ...scope }) {
    const { endLeftInstance, exportInstances, withHeartbeat } = await import('./export-instances.ts');
    if (end !== null) return await endLeftInstance(context, end);
    const request = {
      ...scope,
      kind: 'manual',
      range: null,
      force: false,
      waitMs: (wait ?? 0) * 1_000,
    } as const;
    if (date === null) return await withHeartbeat(context, scope, () => exportInstances(context, request));
    requirePastDay('--date', date, context.hostNow());
    return await exportInstances(context, { ...request, range: { from: date, to: date } });
  },
});

export const backfill = defineCommand({
  needs: ['losant', 'database'],
  isQuiet: true,
  whenInterrupted: 'its days stay due: the next run reads them, and so does the same command',
  options: {
    from: required('YYYY-MM-DD', 'first day', day),
    to: optional('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
    ...scopeOptions,
    force: flag('read the days that are stored again'),
  },
  examples: ({ twoMonthsAgo, yesterday }) => ({
    [`backfill --from ${twoMonthsAgo}`]: 'two months up to yesterday; the same command goes on',
    [`backfill --from ${twoMonthsAgo} --dry-run`]: 'how many requests that takes, and how long',
    [`backfill --from ${yesterday} --org 575ec8687ae143cd83dc4a97 --force`]:
      'yesterday of one organization again',
  }),
  async run(context, { from, to, force, ...scope }) {
    const range = { from, to: to ?? addDays(dayAt(context.hostNow()), -1) };
    requirePastDays(range, ['--from', '--to'], context.hostNow());
    const { exportInstances } = await import('./export-instances.ts');
    return await exportInstances(context, { ...scope, kind: 'backfill', range, force, waitMs: undefined });
  },
});
