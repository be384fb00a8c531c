import { EXIT } from '../errors.ts';
import {
  type Comparison,
  countComparisons,
  readOpenRange,
  readReconciliation,
} from '../queries/reconciliation.ts';
import { type Line, renderTable, styled } from '../terminal/text.ts';
import { count, showDays } from '../terminal/words.ts';
import type { DayRange } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { chooseJudged } from './instances.ts';
import { withDatabase } from './open-database.ts';
import { day, optional, requirePastDays } from './options.ts';

export const reconcile = defineCommand({
  needs: ['database'],
  options: {
    from: optional('YYYY-MM-DD', 'first day', day, 'that of the oldest open month, or 30 days before --to'),
    to: optional('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
  },
  async run(context, { from, to }) {
    const { output, hostNow } = context;
    const nowMs = hostNow();
    const found = await withDatabase(context, async (handle) => {
      const instanceIds = await chooseJudged(context, handle);
      const open = await readOpenRange(handle.db, { instanceIds, nowMs });
      const range = { from: from ?? open.from, to: to ?? open.to };
      requirePastDays(range, ['--from', '--to'], nowMs);
      const counts = await countComparisons(handle.db, { instanceIds, range });
      return { range, counts, rows: await readReconciliation(handle.db, { instanceIds, range }) };
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
  readonly counts: Awaited<ReturnType<typeof countComparisons>>;
  /** Those that are not equal. */
  readonly rows: readonly Comparison[];
}

function renderReconciliation({ range, counts, rows }: Found): Line[] {
  if (counts.comparisons === 0) {
    const why = "no total of Losant's own has been read, and no counterparts are stored";
    return [`Nothing to compare for ${showDays(range)}: ${why}.`];
  }
  const countOf = (wanted: Comparison['outcome']) => rows.filter(({ outcome }) => outcome === wanted).length;
  const differing = countOf('differs');
  const differ = `${count(differing, 'settled number')} ${differing === 1 ? 'differs' : 'differ'}`;
  const others = `${count(countOf('pending'), 'number')} pending, ${countOf('not_compared')} not compared`;
  const head: Line = [
    `Our sums beside Losant's totals, and counterparts beside each other, ${showDays(range)}: `,
    differing > 0 ? styled('red', differ) : styled('green', 'no settled number differs'),
    `, ${count(counts.equal, 'number')} equal, ${others}.`,
  ];
  if (rows.length === 0) return [head];
  const table = {
    head: ['day', 'metric', 'compared with', 'ours', 'theirs', 'difference', 'instance', ''],
    rows: rows.map(renderComparison),
    right: [3, 4, 5],
    most: LINES_MAX,
  };
  return [head, ...renderTable(table)];
}

function renderComparison(row: Comparison): Line[] {
  const { outcome, orgsMissing, orgsDiffering, reason } = row;
  const parts = [
    outcome.replaceAll('_', ' '),
    orgsMissing ? `${count(orgsMissing, 'organization')} missing from the sum` : '',
    orgsDiffering ? `${count(orgsDiffering, 'organization')} differ` : '',
    reason ?? '',
  ];
  const amounts = [row.quantity, row.total].map(showAmount);
  const difference = styled(outcome === 'differs' ? 'red' : 'yellow', showAmount(row.difference));
  const why = parts.filter((part) => part !== '').join(', ');
  return [row.day, row.metric, row.comparedWith, ...amounts, difference, row.instanceId, why];
}

/** Keeps every digit, because sums exceed a JavaScript number. */
function showAmount(amount: string | null): string {
  return amount === null ? '–' : AMOUNTS.format(amount as Intl.StringNumericLiteral);
}

const AMOUNTS = new Intl.NumberFormat('en-US', { maximumFractionDigits: 100 });
