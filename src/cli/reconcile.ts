import { EXIT } from '../errors.ts';
import {
  type Comparison,
  countComparisons,
  readOpenRange,
  readReconciliation,
} from '../queries/reconciliation.ts';
import { renderTable } from '../terminal/text.ts';
import { count, showDays, showQuantity } from '../terminal/words.ts';
import type { DayRange } from '../usage/day.ts';
import { defineCommand } from './command.ts';
import { chooseJudged, openSchema } from './database.ts';
import { day, optional, requirePastDays } from './options.ts';

export const reconcile = defineCommand({
  needs: ['database'],
  options: {
    from: optional('YYYY-MM-DD', 'first day', day, 'that of the oldest open month, or 30 days before --to'),
    to: optional('YYYY-MM-DD', 'last day, included', day, 'yesterday'),
  },
  async run(context, { from, to }) {
    const nowMs = context.hostNow();
    await using handle = await openSchema(context);
    const instanceIds = await chooseJudged(context, handle);
    const open = await readOpenRange(handle.db, { instanceIds, nowMs });
    const range = { from: from ?? open.from, to: to ?? open.to };
    requirePastDays(range, ['--from', '--to'], nowMs);
    const counts = await countComparisons(handle.db, { instanceIds, range });
    const rows = await readReconciliation(handle.db, { instanceIds, range });
    const differences = rows.filter(({ outcome }) => outcome === 'differs').length;
    return {
      document: { ...range, ...counts, differences, rows },
      lines: renderReconciliation({ range, counts, rows }),
      exitCode: differences > 0 ? EXIT.incomplete : EXIT.ok,
    };
  },
});

const LINES_MAX = 200;

interface Found {
  readonly range: DayRange;
  readonly counts: Awaited<ReturnType<typeof countComparisons>>;
  /** The comparisons that are not equal. */
  readonly rows: readonly Comparison[];
}

function renderReconciliation({ range, counts, rows }: Found): string[] {
  if (counts.comparisons === 0) {
    const why = "no total of Losant's own has been read, and no counterparts are stored";
    return [`Nothing to compare for ${showDays(range)}: ${why}.`];
  }
  const countOf = (wanted: Comparison['outcome']) => rows.filter(({ outcome }) => outcome === wanted).length;
  const others = `${counts.equal} are equal, ${countOf('pending')} pending, ${countOf('not_compared')} not compared`;
  const head = ['day', 'metric', 'compared with', 'ours', 'theirs', 'difference', 'instance', ''];
  return [
    `Our sums beside Losant's totals, and counterparts beside each other, ${showDays(range)}:`,
    `of ${count(counts.comparisons, 'number')} ${countOf('differs')} differ, ${others}.`,
    ...renderTable({ head, rows: rows.map(renderComparison), right: [3, 4, 5], most: LINES_MAX }),
  ];
}

function renderComparison(row: Comparison): string[] {
  const { outcome, orgsMissing, orgsDiffering, reason } = row;
  const parts = [outcome.replaceAll('_', ' ')];
  if (orgsMissing) parts.push(`${count(orgsMissing, 'organization')} missing from the sum`);
  if (orgsDiffering) parts.push(`${count(orgsDiffering, 'organization')} differ`);
  if (reason !== null) parts.push(reason);
  const amounts = [row.quantity, row.total, row.difference].map(showQuantity);
  return [row.day, row.metric, row.comparedWith, ...amounts, row.instanceId, parts.join(', ')];
}
