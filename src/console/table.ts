/** Tables on pages and as files. */
import type { Context } from 'hono';
import { html } from 'hono/html';
import { type CsvValue, renderCsvRows } from '../files/csv.ts';
import { showNumber } from '../terminal/words.ts';
import type { Html } from './page.ts';
import type { Names } from './sources.ts';

/** The content of a cell: a number is shown with separators, null as a dash. */
type Cell = Html | string | number | bigint | null;

export interface Column<Row> {
  readonly name: string;
  readonly cell: (row: Row) => Cell;
  /**
   * Numbers are aligned; names and messages of any length may break anywhere, other values are not broken; a chart
   * gives way on a narrow screen.
   */
  readonly kind: 'number' | 'text' | 'value' | 'chart';
  /** The address that sorts by the column. */
  readonly sortAddress?: string;
  /** The order of the rows, if they are sorted by the column. */
  readonly sorted?: 'ascending' | 'descending' | undefined;
}

export function column<Row>(name: string, cell: (row: Row) => Cell): Column<Row> {
  return { name, cell, kind: 'value' };
}

export function textColumn<Row>(name: string, cell: (row: Row) => Cell): Column<Row> {
  return { name, cell, kind: 'text' };
}

export function numberColumn<Row>(name: string, cell: (row: Row) => Cell): Column<Row> {
  return { name, cell, kind: 'number' };
}

export function chartColumn<Row>(name: string, cell: (row: Row) => Cell): Column<Row> {
  return { name, cell, kind: 'chart' };
}

const CLASSES = { number: 'n', text: 't', value: '', chart: 'g' } as const;

/**
 * `renderTable` renders a table with a heading for each column, which also stands beside each value on
 * narrow screens.
 */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  caption?: string,
): Html {
  const head = columns.map(
    (each) =>
      html`<th scope="col" class="${CLASSES[each.kind]}"${each.sorted === undefined ? '' : html` aria-sort="${each.sorted}"`}>${renderHeading(each)}</th>`,
  );
  const renderRow = (row: Row) =>
    columns.map(
      ({ name, kind, cell }) =>
        html`<td data-label="${name}" class="${CLASSES[kind]}"><span>${showCell(cell(row))}</span></td>`,
    );
  return html`<div class="scroll" role="group" tabindex="0" aria-label="Table"><table>${caption === undefined ? '' : html`<caption class="quiet">${caption}</caption>`}
<thead><tr>${head}</tr></thead>
<tbody>${rows.map((row) => html`<tr>${renderRow(row)}</tr>\n`)}</tbody></table></div>`;
}

function showCell(cell: Cell): Html | string {
  if (cell === null) return '–';
  return typeof cell === 'number' || typeof cell === 'bigint' ? showNumber(cell) : cell;
}

function renderHeading<Row>({ name, sortAddress, sorted }: Column<Row>): Html | string {
  if (sortAddress === undefined) return name;
  const sign = sorted === undefined ? '' : sorted === 'ascending' ? ' ▲' : ' ▼';
  return html`<a href="${sortAddress}">${name}<span aria-hidden="true">${sign}</span></a>`;
}

/** `instanceColumn` returns the column of the instance's name; none where there is only one. */
export function instanceColumn<Row extends { readonly instanceId: string }>(names: Names): Column<Row>[] {
  return names.size > 1
    ? [textColumn('Instance', ({ instanceId }) => names.get(instanceId) ?? instanceId)]
    : [];
}

/** A column of a file: its name, its value, and whether that is text from outside, which must form no formula. */
export type FileColumn<Row> = readonly [name: string, of: (row: Row) => CsvValue, isText?: boolean];

/** `sendCsv` answers with the rows as a file. */
export function sendCsv<Row>(
  c: Context,
  file: string,
  rows: readonly Row[],
  columns: readonly FileColumn<Row>[],
): Response {
  const names = columns.map(([name]) => name);
  // Names may come from outside too.
  const head = renderCsvRows(
    names.map((name) => ({ name, isText: true })),
    [names],
  );
  const cells = rows.map((row) => columns.map(([, of]) => of(row)));
  const body = renderCsvRows(
    columns.map(([name, , isText = false]) => ({ name, isText })),
    cells,
  );
  c.header('content-disposition', `attachment; filename="${file}"`);
  return c.body(head + body, 200, { 'content-type': 'text/csv; charset=utf-8' });
}
