import { readNowMs } from '../database/session.ts';
import { EXIT } from '../errors.ts';
import { type Comparison, countComparisons, selectComparisons } from '../queries/reconciliation.ts';
import { streamRows } from '../queries/view-rows.ts';
import { JsonList } from '../terminal/output.ts';
import { formatTable, MAX_TABLE_ROWS } from '../terminal/text.ts';
import { count, showCode, showDays, showNumber, showQuantity } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { openSchema } from './database.ts';
import { day, optionalOption, requireEndedDays } from './options.ts';

/** How many days before the last one are compared by default. */
const DEFAULT_DAYS = 30;

export const reconcile = defineCommand({
  needs: ['database'],
  options: {
    from: optionalOption('YYYY-MM-DD', 'first day', day, `${DEFAULT_DAYS} days before --to`),
    to: optionalOption('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
  },
  async run(context, { from, to }) {
    const { output, signal } = context;
    await using handle = await openSchema(context);
    const nowMs = await readNowMs(handle);
    const lastDay = to ?? addDays(dayAt(nowMs), -1);
    const range = { from: from ?? addDays(lastDay, -DEFAULT_DAYS), to: lastDay };
    requireEndedDays(range, ['--from', '--to'], nowMs);
    const counts = await countComparisons(handle.db, range);
    const head = JSON.stringify({ ...range, ...counts }).slice(0, -1);
    const list = new JsonList(output, `${head},"rows":`);
    const rows: Comparison[] = [];
    for await (const comparisons of streamRows(handle, selectComparisons(handle.db, range), signal)) {
      rows.push(...comparisons.slice(0, MAX_TABLE_ROWS - rows.length));
      await list.add(comparisons);
      if (!output.json && rows.length === MAX_TABLE_ROWS) break;
    }
    await list.end('}');
    return {
      lines: renderReconciliation(range, counts, rows),
      exitCode: counts.differences > 0 ? EXIT.incomplete : EXIT.ok,
    };
  },
});

export function renderReconciliation(
  range: DayRange,
  counts: Awaited<ReturnType<typeof countComparisons>>,
  rows: readonly Comparison[],
): string[] {
  if (counts.comparisons === 0) {
    const cause = 'no number is stored, and no total of Losant';
    return [`Nothing to compare for ${showDays(range)}: ${cause}.`];
  }
  const differences = count(counts.differences, 'difference');
  const others = `${showNumber(counts.pending)} pending, ${showNumber(counts.notCompared)} not compared`;
  const total = counts.comparisons - counts.equal;
  const head = ['day', 'metric', 'compared with', 'quantity', 'other', 'difference', 'outcome'];
  return [
    `Our sums compared with Losant's totals, and streams with each other, ${showDays(range)}:`,
    `${count(counts.comparisons, 'comparison')}: ${differences}, ${showNumber(counts.equal)} equal, ${others}.`,
    ...formatTable({ head, rows: rows.map(renderComparison), right: [3, 4, 5], total }),
  ];
}

function renderComparison(row: Comparison): string[] {
  const { outcome, isSettled, orgsMissing, orgsDiffering, reason } = row;
  const parts = [showCode(outcome)];
  if (outcome === 'difference' && !isSettled) parts.push('not settled yet');
  if (orgsMissing) parts.push(`${count(orgsMissing, 'organization')} missing from the sum`);
  if (orgsDiffering) parts.push(`${count(orgsDiffering, 'organization differs', 'organizations differ')}`);
  if (reason !== null && reason !== 'orgs_missing') parts.push(showCode(reason));
  const quantities = [row.quantity, row.losantTotal ?? row.comparedQuantity, row.difference].map(showQuantity);
  return [row.day, row.metric, row.comparedWith, ...quantities, parts.join(', ')];
}
