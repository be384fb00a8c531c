/** Tables: over rows at hand, and over a view, which Postgres filters, sorts and pages. */
import type { Context } from 'hono';
import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { renderCsvRows } from '../files/csv.ts';
import { showNumber } from '../terminal/words.ts';
import { DAY_MS, parseDay } from '../usage/day.ts';
import { FIRST_DAY, LAST_DAY } from '../usage/policy.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import {
  AGAIN_S,
  type Html,
  linkToOrganization,
  plain,
  renderAwayPage,
  renderCounting,
  renderInstant,
  renderMissing,
  renderPage,
  renderStanding,
} from './page.ts';
import { SlowReadingError, shareReadings } from './readings.ts';
import type { ConsolePage, PageSources } from './sources.ts';

/** A value of a view as it is read. */
type Value = string | number | boolean | null | readonly (string | number)[];
type Cell = Html | Value;

export interface Column<Row> {
  /** The name in the view, in files and in `sort` of an address. */
  readonly name: string;
  readonly label: string;
  /** Numbers are aligned; text of any length may break; other values do not. */
  readonly kind: 'number' | 'text' | 'value' | 'instant' | 'standing';
  /** What is shown in place of the value. */
  readonly cell?: (row: Row) => Cell;
  /** Whether the rows can be sorted by it; by default not. */
  readonly isSortable?: boolean;
  /** Whether it is only in files, and at hand for other cells. */
  readonly isHidden?: boolean;
  /** Whether it comes from the details of a listing, where there are any. */
  readonly isDetail?: boolean;
}

const CLASSES = { number: 'n', text: 't', value: '', instant: '', standing: '' } as const;

interface Look {
  readonly nowMs: number;
  /** Returns the address that sorts by a column, and the order if it is sorted by it now. */
  readonly sortOf?: (name: string) => { readonly address: string; readonly order: 'asc' | 'desc' | null };
}

/** Renders a table with a heading for each column. */
export function renderTable<Row extends object>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  { nowMs, sortOf }: Look,
): Html {
  const shown = columns.filter(({ isHidden }) => isHidden !== true);
  const head = shown.map(({ name, label, kind, isSortable }) => {
    const sort = isSortable === true ? sortOf?.(name) : undefined;
    if (sort === undefined) return html`<th scope="col" class="${CLASSES[kind]}">${label}</th>`;
    const order = sort.order === null ? '' : html` aria-sort="${sort.order}ending"`;
    const sign = sort.order === null ? '' : sort.order === 'asc' ? ' ▲' : ' ▼';
    return html`<th scope="col" class="${CLASSES[kind]}"${order}><a href="${sort.address}">${label}<span
      aria-hidden="true">${sign}</span></a></th>`;
  });
  const renderRow = (row: Row) =>
    shown.map(({ name, kind, cell }) => {
      const value = cell === undefined ? valueOf(row, name) : cell(row);
      return html`<td class="${CLASSES[kind]}">${showCell(value, kind, nowMs)}</td>`;
    });
  return html`<div class="scroll" role="group" tabindex="0" aria-label="Table"><table>
<thead><tr>${head}</tr></thead>
<tbody>${rows.map((row) => html`<tr>${renderRow(row)}</tr>\n`)}</tbody></table></div>`;
}

function valueOf(row: object, name: string): Value {
  const value: unknown = Object.entries(row).find(([key]) => key === name)?.[1] ?? null;
  if (Array.isArray(value)) return value.map(String);
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return value === null ? null : JSON.stringify(value);
}

function showCell(value: Cell, kind: Column<never>['kind'], nowMs: number): Html | string {
  if (value === null || value === '') return '–';
  if (typeof value === 'number') return showNumber(value);
  if (typeof value === 'boolean') return value ? 'yes' : '';
  if (Array.isArray(value)) return plain(value.join(', '));
  // What is rendered already is no primitive.
  if (typeof value !== 'string') return value as Html;
  if (kind === 'instant') return renderInstant(value, nowMs);
  if (kind === 'standing' && value in STANDINGS) return renderStanding(value as Standing);
  if (kind === 'number' && /^-?\d+$/.test(value)) return showNumber(BigInt(value));
  return plain(value);
}

/** Shows a difference with its sign: `+1,234`, `-5`, `0`. */
export function showDifference(difference: number): string {
  return `${difference > 0 ? '+' : ''}${showNumber(difference)}`;
}

/** Shows a share as a change in percent: `+50 %`; null without one. */
export function showChange(change: number | null): string | null {
  // The sum turns -0 into 0.
  return change === null ? null : `${showDifference(Math.round(change * 100) + 0)} %`;
}

/** An option of a field: its value, and its words. */
type Option = readonly [value: string, text: string];

/** A field of a form, and what it selects. */
export interface Filter {
  readonly name: string;
  readonly label: string;
  /** The options as values with their texts, of which the empty one is every row; a day; or any text. */
  readonly options: readonly Option[] | 'day' | 'text';
  /** The condition on a row of the listing; the value is one of the options, a real day, or some text. */
  readonly where: (value: string) => RawBuilder<unknown>;
}

/** A page of rows that Postgres selects: a declaration. */
export interface Listing<Row extends object> {
  readonly path: string;
  readonly title: string | ((params: ListRequest['params']) => string);
  /** The path in the navigation, if it is another one. */
  readonly place?: string;
  /** What the parameters of the path match; another address has no page. */
  readonly params?: Readonly<Record<string, RegExp>>;
  /** One sentence about the rows. */
  readonly sentence: string;
  /** What stands before and after the rows, of the same filters. */
  readonly intro?: (db: Kysely<Schema>, request: ListRequest) => Promise<Html | string>;
  /** The tables of the query, with the row as `r`, for the instances in the settings. */
  readonly from: (request: ListRequest) => RawBuilder<unknown>;
  /** Joins what is computed of each row as `d`, so that only the rows of a page are; null if `from` has all of it. */
  readonly details?: (request: ListRequest) => RawBuilder<unknown> | null;
  readonly columns: readonly Column<Row>[];
  readonly filters: readonly Filter[];
  /** The columns by which rows are sorted, of a name with `-` descending; the last ones make the order one. */
  readonly sort: readonly string[];
}

/** What an address asks of a listing. */
export interface ListRequest {
  readonly instanceIds: readonly string[];
  readonly nowMs: number;
  /** The parameters of the path. */
  readonly params: Readonly<Record<string, string>>;
  /** The values of filters that are set and valid. */
  readonly values: Readonly<Record<string, string>>;
  readonly sort: string;
  /** The page, from 1. */
  readonly page: number;
  /** Whether every row is wanted. */
  readonly isFile: boolean;
}

const ROWS_PER_PAGE = 50;
/** The most rows of a file; `losant-usage export` has any number. */
const FILE_ROWS_MAX = 100_000;
/** The most rows that are counted. */
const COUNTED_MAX = 10_000;
const SEARCH_LENGTH_MAX = 100;

/** Returns the rows of a page, and how many there are: counted up to {@link COUNTED_MAX} and one. */
async function readListing<Row extends object>(
  db: Kysely<Schema>,
  listing: Listing<Row>,
  request: ListRequest,
): Promise<{ readonly rows: readonly Row[]; readonly count: number }> {
  const { rows } = await selectRows(listing, request, {
    limit: ROWS_PER_PAGE,
    offset: (request.page - 1) * ROWS_PER_PAGE,
  }).execute(db);
  const counted = await sql<{ count: number }>`
    select count(*) from (
      select from ${listing.from(request)} where ${conditionsOf(listing, request)} limit ${COUNTED_MAX + 1}
    ) as counted`.execute(db);
  return { rows, count: counted.rows[0]?.count ?? 0 };
}

function selectRows<Row extends object>(
  listing: Listing<Row>,
  request: ListRequest,
  { limit, offset }: { readonly limit: number; readonly offset: number },
): RawBuilder<Row> {
  const details = listing.details?.(request) ?? null;
  const columns = listing.columns.map(({ name, isDetail }) =>
    details !== null && isDetail === true ? sql`d.${sql.ref(name)}` : sql`r.${sql.ref(name)}`,
  );
  const order = [request.sort, ...listing.sort].map((sort) => {
    const name = sql.ref(sort.replace(/^-/, ''));
    return sort.startsWith('-') ? sql`r.${name} desc nulls last` : sql`r.${name} asc nulls last`;
  });
  return sql<Row>`
    select ${sql.join(columns)} from (
      select r.* from ${listing.from(request)} where ${conditionsOf(listing, request)}
      order by ${sql.join(order)} limit ${limit} offset ${offset}
    ) as r ${details ?? sql``} order by ${sql.join(order)}`;
}

function conditionsOf<Row extends object>(
  { filters }: Listing<Row>,
  { values }: ListRequest,
): RawBuilder<unknown> {
  const conditions = filters.flatMap(({ name, where }) => {
    const value = values[name];
    return value === undefined ? [] : [where(value)];
  });
  return sql.join([sql`true`, ...conditions], sql` and `);
}

/** Returns what the address asks, without what is invalid in it. */
function readRequest<Row extends object>(
  c: Context,
  { filters, columns, sort }: Listing<Row>,
  sources: Pick<PageSources, 'instanceIds' | 'now'>,
): ListRequest {
  const given = c.req.query();
  const values = filters.flatMap(({ name, options }) => {
    const value = validValue(given[name] ?? '', options);
    return value === '' ? [] : [[name, value] as const];
  });
  const isColumn = columns.some(
    ({ name, isSortable }) => isSortable === true && name === given.sort?.replace(/^-/, ''),
  );
  return {
    instanceIds: sources.instanceIds,
    nowMs: sources.now(),
    params: c.req.param() as Record<string, string>,
    values: Object.fromEntries(values),
    sort: isColumn ? (given.sort ?? '') : (sort[0] ?? ''),
    page: /^[1-9]\d{0,4}$/.test(given.page ?? '') ? Number(given.page) : 1,
    isFile: given.format === 'csv',
  };
}

function validValue(given: string, options: Filter['options']): string {
  if (options === 'day') return given >= FIRST_DAY && given <= LAST_DAY ? (parseDay(given) ?? '') : '';
  // Postgres stores neither NUL nor lone surrogates.
  if (options === 'text')
    return given.replaceAll('\0', '').toWellFormed().trim().slice(0, SEARCH_LENGTH_MAX).toWellFormed();
  return options.find(([value]) => value === given)?.[0] ?? '';
}

/** The columns of an organization's name and id, of rows with these columns. */
export const ORGANIZATION: Column<{ readonly org_id: string; readonly org_name: string }> = {
  name: 'org_name',
  label: 'Organization',
  kind: 'text',
  isSortable: true,
  cell: ({ org_id, org_name }) => linkToOrganization(org_id, org_name),
};
export const ORG_ID = { name: 'org_id', label: 'Id', kind: 'value', isHidden: true } as const;

/** Returns the options of a filter: all, and each of the values in its own words, or in others. */
export function optionsOf(
  values: readonly string[],
  words: Readonly<Record<string, string>> = {},
): readonly Option[] {
  return [['', 'all'], ...values.map((value): Option => [value, words[value] ?? value])];
}

/** The filter of organizations by name, referral id or the beginning of the id, of rows with these columns. */
export const SEARCH: Filter = {
  name: 'q',
  label: 'Name, referral id or id',
  options: 'text',
  where: (search) => {
    const text = search.replaceAll(/[\\%_]/g, String.raw`\$&`);
    return sql`(r.org_name ilike ${`%${text}%`} or r.referral_id ilike ${`%${text}%`} or r.org_id like
      ${`${text.toLowerCase()}%`})`;
  },
};

/** The time for which a page of rows is kept, so that no number of readers can overload the database. */
const KEPT = { keepMs: 20_000, timeoutMs: 4_000, max: 30 };

/** Makes the page of a listing, and its file with `format=csv`. */
export function listingPage<Row extends object>(listing: Listing<Row>): ConsolePage {
  return {
    path: listing.path,
    open: (sources) => {
      const { now, read, logger } = sources;
      const shared = shareReadings(
        async (key: string) => {
          const request = JSON.parse(key) as ListRequest;
          return await read(async (db) => ({
            ...(await readListing(db, listing, request)),
            intro: (await listing.intro?.(db, request)) ?? '',
          }));
        },
        { ...KEPT, now },
      );
      return async (c) => {
        const request = readRequest(c, listing, sources);
        const { place = listing.path, params = {} } = listing;
        if (!Object.entries(params).every(([name, form]) => form.test(request.params[name] ?? ''))) {
          const page = { path: place, title: 'No such page', sentence: 'There is no such page' };
          return c.html(renderMissing({ ...page, hint: html`<a href="${place}">Back to the list</a>` }), 404);
        }
        const title = titleOf(listing, request);
        try {
          if (request.isFile) return await sendRows(c, listing, request, sources);
          // Readings of one day are the same until it is over.
          const { nowMs, ...asked } = request;
          const found = await shared(JSON.stringify({ ...asked, nowMs: nowMs - (nowMs % DAY_MS) }));
          return await c.html(renderListing(listing, request, found));
        } catch (error) {
          if (error instanceof SlowReadingError && !request.isFile) {
            c.header('refresh', `${AGAIN_S}`);
            return c.html(renderCounting({ title, path: place }));
          }
          logger.warn({ err: error }, 'database not read for a page');
          return c.html(renderAwayPage({ title, path: place }), 503);
        }
      };
    },
  };
}

function titleOf<Row extends object>(
  { title }: Pick<Listing<Row>, 'title'>,
  { params }: ListRequest,
): string {
  return typeof title === 'string' ? title : title(params);
}

interface Found<Row> {
  readonly rows: readonly Row[];
  readonly count: number;
  readonly intro: Html | string;
}

function renderListing<Row extends object>(
  listing: Listing<Row>,
  request: ListRequest,
  found: Found<Row>,
): Html {
  const { place = listing.path, sentence } = listing;
  const title = titleOf(listing, request);
  const body = html`<h1>${title}</h1><p class="quiet">${sentence}</p>
${found.intro}${renderRows(listing, request, found)}`;
  return renderPage({ title, path: place, body });
}

/** Renders the form, the rows, and the links to other pages and to the file. */
function renderRows<Row extends object>(
  listing: Listing<Row>,
  request: ListRequest,
  { rows, count }: Omit<Found<Row>, 'intro'>,
): Html {
  const address = (change: Readonly<Record<string, string>>) => {
    const sort = request.sort === listing.sort[0] ? '' : request.sort;
    return addressOf(pathOf(listing, request), { ...request.values, sort, ...change });
  };
  const sortOf = (name: string) => {
    const order = request.sort === name ? 'asc' : request.sort === `-${name}` ? 'desc' : null;
    const isNumber = listing.columns.some((column) => column.name === name && column.kind === 'number');
    const isTurned = order === null ? isNumber : order === 'asc';
    return { address: address({ sort: `${isTurned ? '-' : ''}${name}` }), order } as const;
  };
  const found =
    count > COUNTED_MAX
      ? `more than ${showNumber(COUNTED_MAX)} rows`
      : `${showNumber(count)} ${count === 1 ? 'row' : 'rows'}`;
  return html`${listing.filters.length === 0 ? '' : renderForm(listing, request)}
<p>${found} · <a href="${address({ format: 'csv' })}" download>Download as CSV</a></p>
${rows.length === 0 ? '' : renderTable(rows, listing.columns, { nowMs: request.nowMs, sortOf })}
${renderPages(request.page, Math.ceil(count / ROWS_PER_PAGE), (page) => address({ page: `${page}` }))}`;
}

function pathOf<Row extends object>({ path }: Listing<Row>, { params }: ListRequest): string {
  return path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
}

function renderForm<Row extends object>(listing: Listing<Row>, request: ListRequest): Html {
  const fields = listing.filters.map(({ name, label, options }) => {
    const value = request.values[name] ?? '';
    if (options === 'text')
      return html`<label class="wide">${label}<input name="${name}" type="search" value="${value}"></label>\n`;
    if (options === 'day')
      return html`<label>${label}<input name="${name}" type="date" value="${value}"></label>\n`;
    return renderSelect(name, label, options, value);
  });
  const sort =
    request.sort === listing.sort[0] ? '' : html`<input type="hidden" name="sort" value="${request.sort}">`;
  return html`<form method="get" action="${pathOf(listing, request)}">${fields}${sort}<button
    type="submit">Show</button></form>`;
}

/** Renders a select field with its label. */
export function renderSelect(name: string, label: string, options: readonly Option[], chosen: string): Html {
  const each = options.map(
    ([value, text]) =>
      html`<option value="${value}"${value === chosen ? ' selected' : ''}>${plain(text)}</option>`,
  );
  return html`<label>${label}<select name="${name}">${each}</select></label>\n`;
}

/** Links to the pages before and after; renders nothing if there is only one. */
export function renderPages(
  page: number,
  last: number,
  addressOfPage: (page: number) => string,
): Html | string {
  if (last <= 1 && page === 1) return '';
  return html`<nav aria-label="Pages of the list"><p>${
    page > 1 ? html`<a href="${addressOfPage(page - 1)}">Previous</a> ` : ''
  }Page ${showNumber(page)}
${page < last ? html`<a href="${addressOfPage(page + 1)}">Next</a>` : ''}</p></nav>`;
}

/** Returns an address of this server with a query; empty values are left out. */
export function addressOf(path: string, query: Readonly<Record<string, string>>): string {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ''));
  return given.size === 0 ? path : `${path}?${given.toString()}`;
}

/** Answers with every row as a file, in the order of the page. */
async function sendRows<Row extends object>(
  c: Context,
  listing: Listing<Row>,
  request: ListRequest,
  { read }: Pick<PageSources, 'read'>,
): Promise<Response> {
  const { rows } = await read((db) =>
    selectRows(listing, request, { limit: FILE_ROWS_MAX, offset: 0 }).execute(db),
  );
  const names = listing.columns.map(({ name }) => name);
  const asText = names.map((name) => ({ name, isText: true }));
  const columns = listing.columns.map(({ name, kind }) => ({ name, isText: kind !== 'number' }));
  const cells = rows.map((row) => names.map((name) => csvValue(valueOf(row, name))));
  const file = pathOf(listing, request).split('/').filter(Boolean).join('-');
  c.header('content-disposition', `attachment; filename="${file}.csv"`);
  return c.body(renderCsvRows(asText, [names]) + renderCsvRows(columns, cells), 200, {
    'content-type': 'text/csv; charset=utf-8',
  });
}

function csvValue(value: Value): string | number | boolean | null {
  return typeof value === 'object' && value !== null ? value.join(' ') : value;
}
