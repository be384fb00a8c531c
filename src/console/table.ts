/** Tables of rows, and pages with the table of a query, which Postgres filters, sorts and pages. */
import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type CsvValue, renderCsvHeader, renderCsvRows } from '../files/csv.ts';
import type { InstanceHealth } from '../queries/health.ts';
import { capitalize, count, showDifference, showNumber } from '../terminal/words.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import { addressOf, type Html, linkToOrganization, renderInstant, renderStanding } from './elements.ts';
import { type Filters, readValues, renderForm, toConditions, type Values } from './filters.ts';
import type { ConsolePage, PageRequest } from './page.ts';
import { describeUnknown, nameInstance, toVisibleHealth } from './sources.ts';

type Value = string | number | bigint | boolean | null | readonly (string | number)[];
export type TableRow = Readonly<Record<string, Value>>;

/** A column by its name in the row. By default its label is the name in words, and a cell is rendered by its type. */
export type TableColumn<R> = string | readonly [name: string, label: string, cell?: (row: R) => Html | string];
export type Columns<R> = readonly TableColumn<R>[];

/** The labels of columns that are not their names in words. */
const LABELS: Readonly<Record<string, string>> = {
  org_id: 'Organization ID',
  org_name: 'Organization',
  orgs: 'Organizations',
  instance_name: 'Instance',
  customer_id: 'Customer ID',
  referral_id: 'Referral ID',
  plan_id: 'Plan',
  run_id: 'Run',
  usage_date: 'Day',
  first_day: 'Oldest day',
  last_day: 'Newest day',
  next_read_at: 'Next read',
  limit_name: 'Limit',
  exceeds_on: 'Exceeded on',
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
  /**
   * The sums of columns over all rows, also those of other pages; without any, there is no line for them. That of the
   * first column is the label of the line.
   */
  readonly totals?: TableRow;
  /** Whether it may be wider than the page, and scrolls then. */
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
  if (typeof orgId === 'string' && /^(?:usage_date|first_day|last_day)$/.test(name))
    return html`<a href="/coverage/${orgId}/${text}">${text}</a>`;
  return INSTANT.test(text) ? renderInstant(text) : text;
}

/** Renders a share, by default in whole percents that it has reached: what is below a limit is below 100%. */
export function renderBar(share: number, percents = Math.floor(share * 100)): Html {
  const width = Math.round(Math.min(share, 1) * 60);
  return html`${percents}%<svg class="bar" aria-hidden="true" width="60" height="10"><rect
    class="bar-room" width="60" height="10"/><rect class="${share > 1 ? 'bar-over' : 'bar-used'}" width="${width}"
      height="10"/></svg>`;
}

export interface TableRows<R> {
  readonly rows: RawBuilder<unknown>;
  /** The default order of rows `r`, which also completes any other. */
  readonly order: RawBuilder<unknown>;
  /** The first six that have a value are shown; the others, on request. */
  readonly columns: Columns<R>;
}

interface Table<R> extends TableRows<R> {
  readonly title: string;
  readonly sentence: string;
  readonly filters: Filters;
  /** Renders what comes above the form. */
  readonly intro?: (db: Kysely<Schema>) => Promise<Html>;
  /** Columns whose sums over all matching rows are shown below them. */
  readonly summed?: readonly string[];
  /** Sums over all rows that are known already; they are shown unless the rows are filtered. */
  readonly totals?: TableRow;
  /** Why the rows that match are not known; empty if they are. */
  readonly unknown?: string;
  /** Whether the rows of an instance are known; those of an instance without a status are not. By default all are. */
  readonly isKnown?: (instance: InstanceHealth) => boolean;
  /** What is said above the rows. */
  readonly note?: Html;
}

/** Creates a page with a table, which can also be downloaded as a file; null if the address names nothing. */
export function createTablePage<R extends TableRow>(
  page: Omit<ConsolePage, 'show'>,
  defineTable: (request: PageRequest) => Table<R> | null | Promise<Table<R> | null>,
): ConsolePage {
  return {
    ...page,
    show: async (request) => {
      const table = await defineTable(request);
      if (table === null) return null;
      const view = readView(request, table);
      return request.query['format'] === 'csv'
        ? await streamFile<R>(request, view)
        : await showTable(request, table, view);
    },
  };
}

const ROWS_PER_PAGE = 50;
const COLUMNS_BY_DEFAULT = 6;

type View<R> = ReturnType<typeof readView<R>>;

/** Reads from the address which rows of a table are shown, and how. Ignores what is invalid. */
function readView<R>({ path, query }: PageRequest, table: Table<R>) {
  const { filters, columns, rows, order } = table;
  const values = readValues(filters, query);
  const sortParam = query['sort'] ?? '';
  const sortedBy = columns.find((column) => nameOf(column) === sortParam.replace(/^-/, ''));
  const sort = sortedBy === undefined ? '' : sortParam;
  const params = { ...values, sort, columns: query['columns'] === 'all' ? 'all' : '' };
  return {
    isFiltered: Object.values(values).some((value) => value !== ''),
    params,
    sort,
    sortedBy,
    page: readPage(query),
    matching: sql`(${rows}) as r where ${toConditions(filters, values)}`,
    order: sort === '' ? order : sql`${orderBy(sort)}, ${order}`,
    addressWith: (change: Values) => addressOf(path, { ...params, ...change }),
  };
}

async function showTable<R extends TableRow>(request: PageRequest, table: Table<R>, view: View<R>) {
  const { read, path } = request;
  const { title, sentence, filters, intro, summed = [], unknown = '', note = '' } = table;
  const { params, page, matching, order } = view;
  const sums = summed.flatMap((name) => [sql`${name}::text`, sql`sum(r.${sql.ref(name)}) over ()`]);
  const select = sql<CountedRow<R>>`
    select r.*, count(*) over () as total_rows, json_build_object(${sql.join(sums)}) as sums from ${matching}
    order by ${order} limit ${ROWS_PER_PAGE} offset ${(page - 1) * ROWS_PER_PAGE}`;
  const { head, rows } = await read(async (db) => ({
    head: (await intro?.(db)) ?? '',
    rows: unknown === '' ? (await select.execute(db)).rows : [],
  }));
  const list =
    unknown === ''
      ? renderRows(table, rows, view, rows.length === 0 ? await describeNoRows(request, table, view) : null)
      : html`<p>${unknown}</p>`;
  const body = html`<h1>${title}</h1><p class="quiet">${sentence}</p>
${head}${renderForm(path, filters, params)}${note}${list}`;
  return { title, body };
}

/** Says that there are no rows, but not of an instance of which they are not known. */
async function describeNoRows<R>(
  { database, instanceIds, query }: PageRequest,
  { isKnown }: Table<R>,
  { page }: View<R>,
): Promise<string> {
  // A page after the last one does not know how many rows there are.
  if (page > 1) return 'No more rows';
  const health = toVisibleHealth(await database(0));
  if (isKnown === undefined || health === null) return count(0, 'row');
  const knownIds = health.instances.filter(isKnown).map(({ instanceId }) => instanceId);
  const selectedIds = instanceIds.filter((id) => id === query['instance']);
  const ids = selectedIds.length === 0 ? instanceIds : selectedIds;
  const unknownIds = ids.filter((id) => !knownIds.includes(id));
  if (unknownIds.length === 0) return count(0, 'row');
  if (unknownIds.length === ids.length) {
    return describeUnknown(health.instances.filter(({ instanceId }) => ids.includes(instanceId)));
  }
  return `No rows; not known yet: ${unknownIds.map((id) => nameInstance(instanceIds, health, id)).join(', ')}`;
}

type CountedRow<R> = R & { readonly total_rows: number; readonly sums: TableRow };

function renderRows<R extends TableRow>(
  { columns, totals = {} }: Table<R>,
  rows: readonly CountedRow<R>[],
  { isFiltered, params, sort, sortedBy, addressWith, page }: View<R>,
  whyEmpty: string | null,
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
  const sums = { ...(isFiltered ? {} : totals), ...rows[0]?.sums };
  return html`<p>${whyEmpty ?? count(totalRows, 'row')} · <a
  href="${addressWith({ format: 'csv' })}" download>Download as CSV</a>${
    rows.length > 0 &&
    (hasAllColumns || shownColumns.length < filled.length) &&
    html` · <a href="${addressWith({ columns: hasAllColumns ? '' : 'all' })}">${
      hasAllColumns ? 'Fewer columns' : `All ${filled.length} columns`
    }</a>`
  }</p>
${
  rows.length > 0 &&
  renderHtmlTable<R>(rows, shownColumns, { renderHead, isWide: hasAllColumns, totals: totalRows > 1 ? sums : {} })
}
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

/**
 * Streams all columns of all rows as a CSV file, in the order of the page. Throws what prevents the first rows from
 * being read; a later error breaks the download off.
 */
async function streamFile<R extends TableRow>(
  { read, readRows, path, logger, signal }: PageRequest,
  { matching, order }: View<R>,
): Promise<Response> {
  const select = sql<R>`select r.* from ${matching} order by ${order}`;
  // A row without values has the names of the columns, also if nothing matches.
  const emptyRow = sql<R>`select n.* from (select) as one left join (select r.* from ${matching} limit 0) as n on true`;
  const { rows: emptyRows } = await read((db) => emptyRow.execute(db));
  const columns = Object.keys(emptyRows[0] ?? {}).map((name) => ({ name, isText: true }));
  const { readable, writable } = new TextEncoderStream();
  const file = writable.getWriter();
  const stop = new AbortController();
  file.closed.catch(() => stop.abort(new Error('the download has ended')));
  const anyEnd = AbortSignal.any([signal, stop.signal]);
  const { promise: hasBegun, resolve: begin } = Promise.withResolvers<void>();
  let header = renderCsvHeader(columns);
  // A write waits for whoever downloads, and is rejected once they have broken off, which ends the query.
  const take = async (rows: readonly R[]) => {
    begin();
    const text = `${header}${renderCsvRows(columns, rows.map(toCsvRow))}`;
    header = '';
    await file.write(text);
  };
  const work = readRows(select, take, anyEnd).then(async () => {
    if (header !== '') await take([]);
    await file.close();
  });
  await Promise.race([hasBegun, work]);
  work.catch(async (error: unknown) => {
    if (!anyEnd.aborted) logger.warn({ err: error, path }, 'download interrupted');
    await file.abort(new Error('the download was interrupted', { cause: error }));
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
