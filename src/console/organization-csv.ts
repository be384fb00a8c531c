import { type CsvColumn, renderCsvRows } from '../files/csv.ts';
import type { Organization } from '../queries/organization.ts';
import type { DailyChart } from './chart.ts';

/** The table behind a chart as a file; a day that is not held has empty cells. */
export function renderChartCsv({ orgId, name }: Organization, { days, states, series }: DailyChart): string {
  const columns: readonly CsvColumn[] = [
    { name: 'usage_date', isText: false },
    { name: 'org_id', isText: false },
    { name: 'org_name', isText: true },
    ...series.map((each) => ({ name: each.name, isText: false })),
    { name: 'state', isText: false },
  ];
  // The names of types come from outside.
  const head = columns.map((column) => ({ ...column, isText: true }));
  const rows = days.map((day, place) => [
    ...[day, orgId, name],
    ...series.map(({ values }) => values[place] ?? null),
    states[place] ?? null,
  ]);
  return renderCsvRows(head, [columns.map((column) => column.name)]) + renderCsvRows(columns, rows);
}
