import { SettingsError } from '../errors.ts';
import { EXIT } from '../exit.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { dayOption, idsOption, switchOption } from './options.ts';
import { requirePastDay } from './x-days.ts';

/** Until then a day is read again, and with it the instance's totals. */
const DAYS_SHOWN = 31;

export const reconcile = defineCommand({
  name: 'reconcile',
  summary: "our sums beside Losant's own totals; exits 3 if final numbers differ",
  group: 'Look',
  needs: 'database',
  options: {
    from: { ...dayOption('first day'), shownDefault: '30 days before --to' },
    to: { ...dayOption('last day, included'), shownDefault: 'yesterday' },
    instance: idsOption('instance', 'only these instances'),
    verbose: switchOption('print what agrees too, and the log on a terminal'),
  },
  examples: [
    { args: 'reconcile', does: 'the last 31 days, and the months they touch' },
    { args: 'reconcile --from 2026-10-01 --to 2026-10-31 --verbose', does: 'every comparison of October' },
  ],
  async run(context, { from, to, instance: instanceIds, verbose }) {
    const { output, hostNow } = context;
    const last = to ?? addDays(dayAt(hostNow()), -1);
    const range = { from: from ?? addDays(last, 1 - DAYS_SHOWN), to: last };
    requirePastDay('--to', range.to, hostNow());
    requirePastDay('--from', range.from, hostNow());
    if (range.from > range.to) {
      const hint = 'give the earlier day first; both are included';
      throw new SettingsError(`--from ${range.from} is later than --to ${range.to}`, { hint });
    }
    const { withDatabase } = await import('./open-database.ts');
    const { requireKnownInstances } = await import('./instances.ts');
    const { readInstanceNames } = await import('../database/read/instances.ts');
    const { readReconciliation, readWitnessProblems } = await import('../database/read/reconciliation.ts');
    const { renderReconciliation } = await import('./reconcile.ts');
    const { found, problems } = await withDatabase(context, async ({ db }) => {
      requireKnownInstances(instanceIds ?? [], [...(await readInstanceNames(db)).keys()]);
      const found = await readReconciliation(db, { range, instanceIds, withEqual: verbose });
      return { found, problems: await readWitnessProblems(db, instanceIds) };
    });
    const standing = found.rows.filter(({ differs, isFinal }) => differs && isFinal).length;
    if (output.json) output.printJson({ ...range, differences: standing, ...found, problems });
    else output.print(...renderReconciliation({ range, found, problems, nowMs: hostNow() }));
    return standing > 0 ? EXIT.incomplete : EXIT.ok;
  },
});
