/** Tables of rows, and pages with the table of a query, which Postgres filters, sorts and pages. */
import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type CsvColumn, type CsvValue, renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import { count, showNumber } from '../terminal/words.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import { type Filters, readValues, renderForm, toConditions } from './filters.ts';
import {
  addressOf,
  type ConsolePage,
  type Html,
  linkToOrganization,
  type PageRequest,
  renderInstant,
  renderStanding,
  toPlainText,
} from './page.ts';

type Value = string | number | boolean | null | readonly (string | number)[];
export type TableRow = Readonly<Record<string, Value>>;

/** The visible columns by their names in the row: the label, and a function that renders the cell. */
export type Columns<R> = Readonly<Record<string, string | readonly [label: string, cell: (row: R) => Html | string]>>;

interface TableParts {
  readonly renderHead?: (name: string, label: string, isNumber: boolean) => Html | string;
  /** The sums of columns over all rows, also those of other pages; by default there is no line for them. */
  readonly totals?: TableRow;
  /** Whether it may be wider than the page, and scrolls then. */
  readonly isWide?: boolean;
}

/** Renders a table. A column that has no value in any row is omitted. */
export function renderHtmlTable<R extends TableRow>(
  rows: readonly R[],
  columns: Columns<R>,
  { renderHead = (_, label) => label, totals, isWide = false }: TableParts = {},
): Html {
  const visibleColumns = Object.entries(columns).flatMap(([name, column]) => {
    const values = rows.map((row) => row[name] ?? null).filter((value) => value !== null && value !== '');
    if (values.length === 0) return [];
    const [label, cell] = typeof column === 'string' ? [column] : column;
    const isNumber = values.some((value) => typeof value === 'number');
    const isLong = values.some((value) => String(value).length > MAX_UNBROKEN_LENGTH);
    const style = [isNumber ? 'n' : '', isLong ? 't' : ''].join('');
    const render = (row: R) => (row[name] == null ? '–' : (cell?.(row) ?? renderValue(row, name)));
    return [{ name, head: renderHead(name, label, isNumber), style, render }];
  });
  const renderTotal = (name: string, index: number) => {
    const total = totals?.[name];
    return index === 0 ? 'Total' : typeof total === 'number' ? showNumber(total) : '';
  };
  return html`<div class="scroll${isWide && ' wide'}" role="group" tabindex="0" aria-label="Table"><table>
<thead><tr>${visibleColumns.map(({ head, style }) => html`<th scope="col" class="${style}">${head}</th>`)}</tr></thead>
<tbody>${rows.map(
    (row) =>
      html`<tr>${visibleColumns.map(({ style, render }) => html`<td class="${style}">${render(row)}</td>`)}</tr>\n`,
  )}</tbody>${
    totals !== undefined &&
    html`<tfoot><tr>${visibleColumns.map(
      ({ name, style }, index) => html`<td class="${style}">${renderTotal(name, index)}</td>`,
    )}</tr></tfoot>`
  }</table></div>`;
}

/** Longer text may wrap. Instants and IDs are shorter, and must not. */
const MAX_UNBROKEN_LENGTH = 27;
const INSTANT = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;

/** Renders a value by its type. Names and days of an organization are links. */
function renderValue(row: TableRow, name: string): Html | string {
  const value = row[name] ?? null;
  const orgId = row['org_id'];
  if (value === null || value === '') return '–';
  if (typeof value === 'number') return showNumber(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  const text = typeof value === 'string' ? value : value.join(', ');
  if (name === 'standing' && text in STANDINGS) return renderStanding(text as Standing);
  if (typeof orgId === 'string' && name === 'org_name') return linkToOrganization(orgId, text);
  if (typeof orgId === 'string' && /^(?:usage_date|first_day|last_day)$/.test(name))
    return html`<a href="/coverage/${orgId}/${text}">${text}</a>`;
  return INSTANT.test(text) ? renderInstant(text) : toPlainText(text);
}

/** Formats a difference with its sign: `+1,234`, `-5`, `0`. */
export function showDifference(difference: number): string {
  return `${difference > 0 ? '+' : ''}${showNumber(difference)}`;
}

/** Formats a ratio as a change in percent: `+50%` for 0.5. */
export function showChange(change: number): string {
  // The sum turns -0 into 0.
  return `${showDifference(Math.round(change * 100) + 0)}%`;
}

interface Table<R> {
  readonly title: string;
  readonly sentence: string;
  readonly rows: RawBuilder<unknown>;
  readonly columns: Columns<R>;
  readonly filters: Filters;
  /** The default order of rows `r`, which also completes any other. */
  readonly order: RawBuilder<unknown>;
  /** Renders what comes above the form. */
  readonly intro?: (db: Kysely<Schema>) => Promise<Html>;
  /** Columns whose sums over all matching rows are shown below them; or the sums, for a table without filters. */
  readonly totals?: readonly string[] | TableRow;
  /** Why the rows that match are not known; empty if they are. */
  readonly unknown?: string;
  /** What is said above the rows. */
  readonly note?: Html;
}

/** Creates a page with a table, which can also be downloaded as a file. */
export function createTablePage<R extends TableRow>(
  path: string,
  navPath: string,
  defineTable: (request: PageRequest) => Table<R>,
): ConsolePage {
  return { path, navPath, show: (request) => showTable(request, defineTable(request)) };
}

const ROWS_PER_PAGE = 50;
/** More columns are shown on request. */
const COLUMNS_BY_DEFAULT = 6;

/** Returns the page of a table, or its file with `format=csv`. Ignores what is invalid in the address. */
export async function showTable<R extends TableRow>(request: PageRequest, table: Table<R>) {
  const { read, path, query } = request;
  const { title, sentence, filters, columns, intro, totals = [], unknown = '', note = '' } = table;
  const values = readValues(filters, query);
  const sortParam = query['sort'] ?? '';
  const sort = Object.hasOwn(columns, sortParam.replace(/^-/, '')) ? sortParam : '';
  const matching = sql`(${table.rows}) as r where ${toConditions(filters, values)}`;
  const order = sort === '' ? table.order : sql`${orderBy(sort)}, ${table.order}`;
  if (query['format'] === 'csv') {
    const select = sql<R>`select r.* from ${matching} order by ${order}`;
    return await streamFile(request, select, Object.keys(columns));
  }
  const page = readPage(query);
  const summedColumns = isNames(totals) ? totals : [];
  const sums = summedColumns.map(
    (name) => sql`, (sum(r.${sql.ref(name)}) over ())::bigint as ${sql.ref(`${TOTAL_PREFIX}${name}`)}`,
  );
  const select = sql<R & { readonly total_rows: number }>`
    select r.*, count(*) over () as total_rows ${sql.join(sums, sql``)} from ${matching}
    order by ${order} limit ${ROWS_PER_PAGE} offset ${(page - 1) * ROWS_PER_PAGE}`;
  const { head, rows } = await read(async (db) => ({
    head: (await intro?.(db)) ?? '',
    rows: unknown === '' ? (await select.execute(db)).rows : [],
  }));
  const hasAllColumns = query['columns'] === 'all';
  const isFiltered = Object.values(values).some((value) => value !== '');
  const address = (change: Readonly<Record<string, string>>) =>
    addressOf(path, { ...values, sort, columns: hasAllColumns ? 'all' : '', ...change });
  const body = html`<h1>${title}</h1><p class="quiet">${sentence}</p>
${head}${renderForm(path, { filters, values, sort })}${note}${
  unknown === '' ? renderRows(table, rows, { sort, hasAllColumns, address, page, isFiltered }) : html`<p>${unknown}</p>`
}`;
  return { title, body };
}

const TOTAL_PREFIX = 'total_of_';

interface RowsView {
  readonly sort: string;
  readonly hasAllColumns: boolean;
  readonly address: (change: Readonly<Record<string, string>>) => string;
  readonly page: number;
  readonly isFiltered: boolean;
}

function isNames(totals: readonly string[] | TableRow): totals is readonly string[] {
  return Array.isArray(totals);
}

function renderRows<R extends TableRow>(
  { columns: allColumns, totals = [] }: Table<R>,
  rows: readonly (R & { readonly total_rows: number })[],
  { sort, hasAllColumns, address, page, isFiltered }: RowsView,
): Html {
  const totalRows = rows[0]?.total_rows ?? 0;
  const renderHead = (name: string, label: string, isNumber: boolean) => {
    const sortsDescending = sort === name || (isNumber && sort !== `-${name}`);
    const arrow = { [name]: ' ▲', [`-${name}`]: ' ▼' }[sort] ?? '';
    return html`<a href="${address({ sort: sortsDescending ? `-${name}` : name })}">${label}${arrow}</a>`;
  };
  const filled = Object.entries(allColumns).filter(([name]) =>
    rows.some((row) => row[name] != null && row[name] !== ''),
  );
  const isShown = (name: string, index: number) =>
    hasAllColumns || index < COLUMNS_BY_DEFAULT || name === sort.replace(/^-/, '');
  const columns = Object.fromEntries(filled.filter(([name], index) => isShown(name, index)));
  const sums: TableRow = isNames(totals)
    ? Object.fromEntries(totals.map((name) => [name, rows[0]?.[`${TOTAL_PREFIX}${name}`] ?? null]))
    : isFiltered
      ? {}
      : totals;
  const hasTotals = totalRows > 1 && Object.keys(sums).some((name) => Object.hasOwn(columns, name));
  return html`<p>${count(totalRows, 'row')} · <a
  href="${address({ format: 'csv' })}" download>Download as CSV</a>${
    filled.length > COLUMNS_BY_DEFAULT &&
    html` · <a href="${address({ columns: hasAllColumns ? '' : 'all' })}">${
      hasAllColumns ? 'Fewer columns' : `All ${filled.length} columns`
    }</a>`
  }</p>
${
  rows.length > 0 &&
  renderHtmlTable(rows, columns, {
    renderHead,
    isWide: hasAllColumns,
    ...(hasTotals ? { totals: sums } : {}),
  })
}
${renderPages(page, page * ROWS_PER_PAGE < totalRows, (to) => address({ page: `${to}` }))}`;
}

/** Reads the number of the page from the address, from 1. */
export function readPage({ page = '' }: PageRequest['query']): number {
  return /^[1-9]\d{0,4}$/.test(page) ? Number(page) : 1;
}

function orderBy(sort: string): RawBuilder<unknown> {
  const column = sql`r.${sql.ref(sort.replace(/^-/, ''))}`;
  return sort.startsWith('-') ? sql`${column} desc nulls last` : sql`${column} nulls last`;
}

/** Renders links to the previous and next page. */
export function renderPages(page: number, hasNext: boolean, addressOfPage: (page: number) => string): Html {
  return html`<nav aria-label="Pages of the list">${
    page > 1 && html`<a href="${addressOfPage(page - 1)}">Previous</a>`
  }${page > 1 || hasNext ? `Page ${showNumber(page)}` : ''}${
    hasNext && html`<a href="${addressOfPage(page + 1)}">Next</a>`
  }</nav>`;
}

/**
 * Streams all columns of all rows as a CSV file, in the order of the page. Without rows, the file has the names of the
 * visible columns. Throws what prevents the first rows from being read; a later error breaks the download off.
 */
async function streamFile<R extends TableRow>(
  { readRows, path, logger }: PageRequest,
  select: RawBuilder<R>,
  visibleNames: readonly string[],
): Promise<Response> {
  const { readable, writable } = new TextEncoderStream();
  const file = writable.getWriter();
  const stop = new AbortController();
  file.closed.catch(() => stop.abort(new Error('the download has ended')));
  const { promise: hasBegun, resolve: begin } = Promise.withResolvers<void>();
  let columns: CsvColumn[] = [];
  const renderHeader = (names: readonly string[]) => {
    columns = names.map((name) => ({ name, isText: true }));
    return renderCsvHeader(columns);
  };
  // A write waits for whoever downloads, and is rejected once they have broken off, which ends the query.
  const take = async (rows: readonly R[]) => {
    const header = columns.length === 0 ? renderHeader(Object.keys(rows[0] ?? {})) : '';
    begin();
    await file.write(header + renderCsvRows(columns, rows.map(toCsvRow)));
    return true;
  };
  const work = readRows(select, { signal: stop.signal, take }).then(async () => {
    begin();
    if (columns.length === 0) await file.write(renderHeader(visibleNames));
    await file.close();
  });
  await Promise.race([hasBegun, work]);
  work.catch(async (error: unknown) => {
    if (!stop.signal.aborted) logger.warn({ err: error, path }, 'download broken off');
    await file.abort(new Error('the download broke off', { cause: error }));
  });
  const name = path.split('/').filter(Boolean).join('-');
  return new Response(readable, {
    headers: {
      'content-type': 'text/csv; charset=utf-8',
      'content-disposition': `attachment; filename="${name}.csv"`,
    },
  });
}

function toCsvRow(row: TableRow): CsvValue[] {
  return Object.values(row).map((value) => (typeof value === 'object' && value !== null ? value.join(' ') : value));
}
