import { number } from '../settings/kinds.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { type CommandContext, type CommandResult, defineCommand } from './command.ts';
import type { LoadRequest } from './load-usage.ts';
import { day, flagOption, optionalOption, requiredOption, requireEndedDays, selectionOptions } from './options.ts';

export const runCommand = defineCommand({
  needs: ['losant', 'database'],
  role: 'losant_usage_writer',
  options: {
    day: optionalOption('YYYY-MM-DD', 'read this day again even if it is not due', day),
    ...selectionOptions,
    wait: optionalOption(
      'SECONDS',
      'how long to wait for another process that is running',
      number(0, 86_400, 'seconds'),
      '0',
    ),
  },
  async run(context, { day: requestedDay, wait, ...selection }) {
    const range = requestedDay === null ? null : { from: requestedDay, to: requestedDay };
    if (range !== null) requireEndedDays(range, ['--day', '--day'], context.hostNow());
    const request = { kind: 'manual', range, force: false, selection, waitMs: (wait ?? 0) * 1_000 } as const;
    // A run of a part cannot vouch that nothing is missing, so it does not ping the monitor.
    const isPart = [range, selection.org, selection.stream].some((part) => part !== null);
    return await load(context, { ...request, sendsHeartbeat: !isPart && !selection.dryRun });
  },
});

export const backfill = defineCommand({
  needs: ['losant', 'database'],
  role: 'losant_usage_writer',
  options: {
    from: requiredOption('YYYY-MM-DD', 'first day', day),
    to: optionalOption('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
    ...selectionOptions,
    force: flagOption('also read days that are already stored'),
  },
  async run(context, { from, to, force, ...selection }) {
    const range = { from, to: to ?? addDays(dayAt(context.hostNow()), -1) };
    requireEndedDays(range, ['--from', '--to'], context.hostNow());
    const waitMs = Number.POSITIVE_INFINITY;
    return await load(context, { kind: 'backfill', range, force, selection, waitMs, sendsHeartbeat: false });
  },
});

/** Imports what loads only now, because it takes longer than to parse the arguments and to print help. */
async function load(context: CommandContext, request: LoadRequest): Promise<CommandResult> {
  const { loadUsage } = await import('./load-usage.ts');
  return await loadUsage(context, request);
}
