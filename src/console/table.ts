/** Tables of rows, and pages with the table of a query, which Postgres filters, sorts and pages. */
import { html } from 'hono/html';
import { type RawBuilder, sql } from 'kysely';
import { capitalize, count, showDifference, showNumber } from '../terminal/words.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import { addressOf, type Html, linkToOrganization, renderInstant, renderStanding } from './elements.ts';
import { type Filters, readValues, renderForm, toConditions, type Values } from './filters.ts';
import type { ConsolePage, PageRequest } from './page.ts';

type Value = string | number | bigint | boolean | null | readonly (string | number)[];
export type TableRow = Readonly<Record<string, Value>>;

/** A column by its name in the row. By default its label is the name in words, and a cell is rendered by its type. */
type TableColumn<R> = string | readonly [name: string, label: string, cell?: (row: R) => Html | string];
export type Columns<R> = readonly TableColumn<R>[];

/** The labels of columns that are not their names in words. */
const LABELS: Readonly<Record<string, string>> = {
  org_name: 'Organization',
  orgs: 'Organizations',
  customer_id: 'Customer ID',
  referral_id: 'Referral ID',
  plan_id: 'Plan',
  usage_date: 'Day',
  next_read_at: 'Next read',
  limit_name: 'Limit',
  exceeds_on: 'Expected to exceed on',
  payload_type: 'Type',
  devices_total: 'Devices',
  payloads: 'Billable payloads',
  minutes: 'Notebook minutes',
};

function toLabel(name: string): string {
  return LABELS[name] ?? capitalize(name.replaceAll(/_|(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase());
}

interface TableParts {
  readonly renderHead?: (name: string, label: string, isNumber: boolean) => Html | string;
  /** The sums of columns over all rows, also those of other pages; without any, there is no line for them. */
  readonly totals?: TableRow;
  /** Whether it may be wider than the page; it then scrolls. */
  readonly isWide?: boolean;
}

/** Renders a table. A column that has no value in any row is omitted. */
export function renderHtmlTable<R extends TableRow>(
  rows: readonly R[],
  columns: Columns<R>,
  { renderHead = (_, label) => label, totals = {}, isWide = false }: TableParts = {},
): Html {
  const visibleColumns = listFilled(rows, columns).map((column) => {
    const [name, label, cell] = typeof column === 'string' ? [column, toLabel(column)] : column;
    const values = rows.map((row) => row[name] ?? '');
    const isNumber = values.some((value) => typeof value === 'number' || typeof value === 'bigint');
    const isLong = values.some((value) => String(value).length > MAX_UNBROKEN_LENGTH);
    const style = [isNumber ? 'n' : '', isLong ? 't' : ''].join('');
    const render = (row: R) => (row[name] == null ? '–' : (cell?.(row) ?? renderValue(row, name)));
    const sum = totals[name] == null ? '' : renderValue(totals, name);
    return { head: renderHead(name, label, isNumber), style, render, sum };
  });
  return html`<div class="scroll${isWide && ' wide'}" role="group" tabindex="0" aria-label="Table"><table>
<thead><tr>${visibleColumns.map(({ head, style }) => html`<th scope="col" class="${style}">${head}</th>`)}</tr></thead>
<tbody>${rows.map(
    (row) =>
      html`<tr>${visibleColumns.map(({ style, render }) => html`<td class="${style}">${render(row)}</td>`)}</tr>\n`,
  )}</tbody>${
    visibleColumns.some(({ sum }) => sum !== '') &&
    html`<tfoot><tr>${visibleColumns.map(
      ({ style, sum }, index) => html`<td class="${style}">${index === 0 && sum === '' ? 'Total' : sum}</td>`,
    )}</tr></tfoot>`
  }</table></div>`;
}

function nameOf(column: TableColumn<never>): string {
  return typeof column === 'string' ? column : column[0];
}

function listFilled<R extends TableRow>(rows: readonly R[], columns: Columns<R>): Columns<R> {
  // The first column names the rows, even if all names are empty.
  return columns.filter((column, index) =>
    rows.some((row) => row[nameOf(column)] != null && (index === 0 || row[nameOf(column)] !== '')),
  );
}

/** Longer text may wrap. Instants and IDs are shorter, and must not. */
const MAX_UNBROKEN_LENGTH = 27;
const INSTANT = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;

/** Renders a value by its type and name. Names and days of an organization are links. */
function renderValue(row: TableRow, name: string): Html | string {
  const value = row[name] ?? null;
  const orgId = row['org_id'];
  if (name === 'org_name' && typeof orgId === 'string') return linkToOrganization(orgId, String(value));
  if (value === null || value === '') return '–';
  if (typeof value === 'number' && name === 'difference') return showDifference(value);
  if (typeof value === 'number') return name.endsWith('share') ? renderBar(value) : showNumber(value);
  if (typeof value === 'bigint') return showNumber(value);
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  const text = typeof value === 'string' ? value : value.join(', ');
  if (name === 'standing' && text in STANDINGS) return renderStanding(text as Standing);
  if (typeof orgId === 'string' && (name === 'usage_date' || name === 'first_day'))
    return html`<a href="/coverage/${orgId}/${text}">${text}</a>`;
  return INSTANT.test(text) ? renderInstant(text) : text;
}

/** Renders a share in whole percents that it has reached: what is below a limit is below 100%. */
function renderBar(share: number): Html {
  const width = Math.round(Math.min(share, 1) * 60);
  return html`${Math.floor(share * 100)}%<svg class="bar" aria-hidden="true" width="60" height="10"><rect
    class="bar-room" width="60" height="10"/><rect class="${share > 1 ? 'bar-over' : 'bar-used'}" width="${width}"
      height="10"/></svg>`;
}

interface Table<R> {
  readonly title: string;
  readonly sentence: string;
  readonly rows: RawBuilder<unknown>;
  /** The default order of rows `r`, which also completes any other. */
  readonly order: RawBuilder<unknown>;
  /** The first seven that have a value are shown; the others, on request. */
  readonly columns: Columns<R>;
  readonly filters: Filters;
  /** Columns whose sums over all matching rows are shown below them. */
  readonly summed?: readonly string[];
  /** What comes below the form. */
  readonly note?: Html;
}

/** Creates a page with a table. */
export function createTablePage<R extends TableRow>(
  page: Omit<ConsolePage, 'show'>,
  defineTable: (request: PageRequest) => Table<R> | Promise<Table<R>>,
): ConsolePage {
  return { ...page, show: async (request) => await showTable(request, await defineTable(request)) };
}

const ROWS_PER_PAGE = 50;
const COLUMNS_BY_DEFAULT = 7;

type View<R> = ReturnType<typeof readView<R>>;

/** Reads from the address which rows of a table are shown, and how. Ignores what is invalid. */
function readView<R>({ path, query }: PageRequest, { filters, columns, rows, order }: Table<R>) {
  const values = readValues(filters, query);
  const sortParam = query['sort'] ?? '';
  const sortedBy = columns.find((column) => nameOf(column) === sortParam.replace(/^-/, ''));
  const sort = sortedBy === undefined ? '' : sortParam;
  const params = { ...values, sort, columns: query['columns'] === 'all' ? 'all' : '' };
  return {
    params,
    sort,
    sortedBy,
    page: readPage(query),
    matching: sql`(${rows}) as r where ${toConditions(filters, values)}`,
    order: sort === '' ? order : sql`${orderBy(sort)}, ${order}`,
    addressWith: (change: Values) => addressOf(path, { ...params, ...change }),
  };
}

async function showTable<R extends TableRow>(request: PageRequest, table: Table<R>) {
  const { title, sentence, filters, summed = [], note = '' } = table;
  const view = readView(request, table);
  const { params, page, matching, order } = view;
  const sums = summed.flatMap((name) => [sql`${name}::text`, sql`sum(r.${sql.ref(name)}) over ()`]);
  const select = sql<CountedRow<R>>`
    select r.*, count(*) over () as total_rows, json_build_object(${sql.join(sums)}) as sums from ${matching}
    order by ${order} limit ${ROWS_PER_PAGE} offset ${(page - 1) * ROWS_PER_PAGE}`;
  const { rows } = await request.read((db) => select.execute(db));
  const body = html`<h1>${title}</h1><p class="quiet">${sentence}</p>
${renderForm(request.path, filters, params)}${note}${renderRows(table, rows, view)}`;
  return { title, body };
}

type CountedRow<R> = R & { readonly total_rows: number; readonly sums: TableRow };

function renderRows<R extends TableRow>(
  { columns }: Table<R>,
  rows: readonly CountedRow<R>[],
  { params, sort, sortedBy, addressWith, page }: View<R>,
): Html {
  const totalRows = rows[0]?.total_rows ?? 0;
  const renderHead = (name: string, label: string, isNumber: boolean) => {
    const sortsDescending = sort === name || (isNumber && sort !== `-${name}`);
    const arrow = { [name]: ' ▲', [`-${name}`]: ' ▼' }[sort] ?? '';
    return html`<a href="${addressWith({ sort: sortsDescending ? `-${name}` : name })}">${label}${arrow}</a>`;
  };
  const hasAllColumns = params.columns === 'all';
  const filled = listFilled<R>(rows, columns);
  const shownColumns = filled.filter(
    (column, index) => hasAllColumns || index < COLUMNS_BY_DEFAULT || column === sortedBy,
  );
  const totals = totalRows > 1 ? (rows[0]?.sums ?? {}) : {};
  // A page after the last one does not know how many rows there are.
  return html`<p>${rows.length === 0 && page > 1 ? 'No more rows' : count(totalRows, 'row')}${
    rows.length > 0 &&
    (hasAllColumns || shownColumns.length < filled.length) &&
    html` · <a href="${addressWith({ columns: hasAllColumns ? '' : 'all' })}">${
      hasAllColumns ? 'Fewer columns' : `All ${filled.length} columns`
    }</a>`
  }</p>
${rows.length > 0 && renderHtmlTable<R>(rows, shownColumns, { renderHead, isWide: hasAllColumns, totals })}
${renderPages(page, page * ROWS_PER_PAGE < totalRows, (to) => addressWith({ page: `${to}` }))}`;
}

/** Reads the number of the page from the address, from 1. */
export function readPage({ page = '' }: PageRequest['query']): number {
  return /^[1-9]\d{0,4}$/.test(page) ? Number(page) : 1;
}

function orderBy(sort: string): RawBuilder<unknown> {
  const column = sql`r.${sql.ref(sort.replace(/^-/, ''))}`;
  return sort.startsWith('-') ? sql`${column} desc nulls last` : sql`${column} nulls last`;
}

export function renderPages(page: number, hasNext: boolean, addressOfPage: (page: number) => string): Html {
  return html`<nav aria-label="Pages of the list">${
    page > 1 && html`<a href="${addressOfPage(page - 1)}">Previous</a>`
  }${page > 1 || hasNext ? `Page ${showNumber(page)}` : ''}${
    hasNext && html`<a href="${addressOfPage(page + 1)}">Next</a>`
  }</nav>`;
}
