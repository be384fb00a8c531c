import { readNowMs } from '../database/session.ts';
import { EXIT } from '../errors.ts';
import { type Comparison, countComparisons, readReconcileStart, selectDifferences } from '../queries/reconciliation.ts';
import { streamRows } from '../queries/view-rows.ts';
import { JsonList } from '../terminal/output.ts';
import { formatTable, MAX_TABLE_ROWS } from '../terminal/text.ts';
import { count, showCode, showDays, showNumber, showQuantity } from '../terminal/words.ts';
import { addDays, type DayRange, dayAt } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { openSchema, selectInstanceIds } from './database.ts';
import { day, optionalOption, requireEndedDays } from './options.ts';

export const reconcile = defineCommand({
  needs: ['database'],
  options: {
    from: optionalOption(
      'YYYY-MM-DD',
      'first day',
      day,
      '30 days before --to, or earlier if an older month is not closed',
    ),
    to: optionalOption('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
  },
  async run(context, { from, to }) {
    const { output, signal } = context;
    await using handle = await openSchema(context);
    const nowMs = await readNowMs(handle);
    const lastDay = to ?? addDays(dayAt(nowMs), -1);
    requireEndedDays({ from: from ?? lastDay, to: lastDay }, ['--from', '--to'], nowMs);
    const instanceIds = await selectInstanceIds(context, handle);
    const firstDay = from ?? (await readReconcileStart(handle.db, { instanceIds, to: lastDay }));
    const range = { from: firstDay, to: lastDay };
    const scope = { instanceIds, range };
    const counts = await countComparisons(handle.db, scope);
    const head = JSON.stringify({ ...range, ...counts }).slice(0, -1);
    const list = new JsonList(output, `${head},"rows":`);
    const rows: Comparison[] = [];
    for await (const comparisons of streamRows(handle, selectDifferences(handle.db, scope), signal)) {
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
    const cause = 'no control total has been read, and no counterpart is stored';
    return [`Nothing to compare for ${showDays(range)}: ${cause}.`];
  }
  const settled = `${showNumber(counts.differences)} differing, ${showNumber(counts.equal)} equal`;
  const others = `${showNumber(counts.pending)} pending, ${showNumber(counts.notCompared)} not compared`;
  const total = counts.comparisons - counts.equal;
  const head = ['day', 'metric', 'compared with', 'our sum', 'other', 'difference', 'instance', 'outcome'];
  return [
    `Our sums compared with Losant's totals and with counterparts, ${showDays(range)}:`,
    `${count(counts.comparisons, 'comparison')}: ${settled}, ${others}.`,
    ...formatTable({ head, rows: rows.map(renderComparison), right: [3, 4, 5], total }),
  ];
}

function renderComparison(row: Comparison): string[] {
  const { outcome, orgsMissing, orgsDiffering, reason } = row;
  const parts = [showCode(outcome)];
  if (orgsMissing) parts.push(`${count(orgsMissing, 'organization')} missing from the sum`);
  if (orgsDiffering) parts.push(`${count(orgsDiffering, 'organization differs', 'organizations differ')}`);
  if (reason !== null && reason !== 'orgs_missing') parts.push(showCode(reason));
  const amounts = [row.quantity, row.total, row.difference].map(showQuantity);
  return [row.day, row.metric, row.comparedWith, ...amounts, row.instanceId, parts.join(', ')];
}
