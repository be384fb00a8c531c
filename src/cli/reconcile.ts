import { EXIT } from '../errors.ts';
import { type Comparison, readOpenRange, readReconciliation } from '../queries/reconciliation.ts';
import { type Line, line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import { type DayRange } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { chooseJudged } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { day, flag, id, optional, requirePastDays, several } from './options.ts';

export const reconcile = defineCommand({
  needs: ['database'],
  options: {
    from: optional('YYYY-MM-DD', 'first day', day, 'that of the oldest open month, or 30 days before --to'),
    to: optional('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
    instance: several('ID', 'only these instances', id('instance')),
    verbose: flag('print what agrees too, and the log on a terminal'),
  },
  examples: ({ lastMonth: { from, to } }) => ({
    reconcile: 'the last 31 days, and every month that is not closed',
    [`reconcile --from ${from} --to ${to} --verbose`]: 'every comparison of last month',
  }),
  async run(context, { from, to, instance, verbose }) {
    const { output, hostNow } = context;
    const nowMs = hostNow();
    const found = await withDatabase(context, async (handle) => {
      const instanceIds = await chooseJudged(context, handle, instance);
      const open = await readOpenRange(handle.db, { instanceIds, nowMs });
      const range = { from: from ?? open.from, to: to ?? open.to };
      requirePastDays(range, ['--from', '--to'], nowMs);
      const all = await readReconciliation(handle.db, { instanceIds, range });
      const counts = {
        days: new Set(all.map(({ instanceId, day: date }) => `${instanceId} ${date}`)).size,
        comparisons: all.length,
        equal: all.filter(({ outcome }) => outcome === 'equal').length,
      };
      return { range, counts, rows: verbose ? all : all.filter(({ outcome }) => outcome !== 'equal') };
    });
    const differences = found.rows.filter(({ outcome }) => outcome === 'differs').length;
    output.printJson({ ...found.range, ...found.counts, differences, rows: found.rows });
    output.print(...renderReconciliation(found));
    return differences > 0 ? EXIT.incomplete : EXIT.ok;
  },
});

const LINES_MAX = 200;

interface Found {
  readonly range: DayRange;
  readonly counts: { readonly days: number; readonly comparisons: number; readonly equal: number };
  readonly rows: readonly Comparison[];
}

function renderReconciliation({ range, counts, rows }: Found): Line[] {
  if (counts.comparisons === 0) {
    const why = "no total of Losant's own has been read, and no counterparts are stored";
    return [`Nothing to compare for ${showDays(range)}: ${why}.`];
  }
  const countOf = (wanted: Comparison['outcome']) => rows.filter(({ outcome }) => outcome === wanted).length;
  const [differing, pending, others] = [countOf('differs'), countOf('pending'), countOf('not_compared')];
  const differ = `${count(differing, 'settled number')} ${differing === 1 ? 'differs' : 'differ'}`;
  const head: Line = [
    `Our sums beside Losant's totals, and counterparts beside each other, ${showDays(range)}: `,
    differing > 0 ? styled('red', differ) : styled('green', 'no settled number differs'),
    `, ${count(counts.equal, 'number')} equal, ${count(pending, 'number')} pending, ${others} not compared.`,
  ];
  const isOne = new Set(rows.map(({ instanceId }) => instanceId)).size === 1;
  const table = renderTable({
    head: ['day', 'metric', 'compared with', 'ours', 'theirs', 'difference', ''],
    rows: rows.map((row) => renderComparison(row, isOne)),
    right: [3, 4, 5],
    most: LINES_MAX,
  });
  return rows.length === 0 ? [head] : [head, ...table];
}

function renderComparison(row: Comparison, isOnlyInstance: boolean): Line[] {
  const { outcome, difference, orgsMissing, orgsDiffering, reason } = row;
  const tone = outcome === 'differs' ? 'red' : 'yellow';
  const shown =
    difference === null ? '' : `${difference.startsWith('-') ? '' : '+'}${showAmount(difference)}`;
  const parts = [
    isOnlyInstance ? '' : row.instanceId,
    outcome.replaceAll('_', ' '),
    orgsMissing ? `${count(orgsMissing, 'organization')} missing from the sum` : '',
    orgsDiffering ? `${count(orgsDiffering, 'organization')} differ` : '',
    reason ?? '',
  ];
  const facts = parts.filter((part) => part !== '').join(', ');
  return [
    row.day,
    row.metric,
    row.comparedWith,
    showAmount(row.quantity),
    showAmount(row.total),
    outcome === 'equal' ? '0' : styled(tone, shown),
    line`${facts}`,
  ];
}

/** Keeps every digit, because sums exceed a JavaScript number. */
function showAmount(amount: string | null): string {
  return amount === null ? '–' : AMOUNTS.format(amount as Intl.StringNumericLiteral);
}

const AMOUNTS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 100 });
