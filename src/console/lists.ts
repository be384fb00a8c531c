/** Lists: tables on pages and as files, with their forms, filters and pagination. */
import type { Context } from 'hono';
import { html } from 'hono/html';
import { type CsvValue, renderCsvRows } from '../files/csv.ts';
import { count, showNumber } from '../terminal/words.ts';
import { isLosantId } from '../usage/organization.ts';
import type { Html } from './page.ts';
import type { Names } from './sources.ts';

/** The query of an address. */
export type Query = Readonly<Record<string, string | undefined>>;

/** An option of a select field: its value, and its text where that is another. */
type Option = string | readonly [value: string, text: string];

/** `renderSelect` renders a select field with its label. The first option is the default. */
export function renderSelect(name: string, label: string, options: readonly Option[], chosen: string): Html {
  const each = options.map((option) => {
    const [value, shown] = typeof option === 'string' ? [option, option] : option;
    return html`<option value="${value}"${value === chosen ? ' selected' : ''}>${shown}</option>`;
  });
  return html`<label>${label} <select name="${name}">${each}</select></label>\n`;
}

/** `renderInstanceChoice` renders the choice of an instance; nothing where there is only one. */
export function renderInstanceChoice(names: Names, chosen: string): Html | string {
  return names.size > 1 ? renderSelect('instance', 'Instance', [['', 'every one'], ...names], chosen) : '';
}

export function renderSearch(search: string): Html {
  return html`<label class="wide"><span class="hidden">Name, referral id or id of organizations</span>
<input name="q" type="search" value="${search}" placeholder="Name, referral id or id"></label>\n`;
}

/** `renderHidden` renders a field that keeps a part of the address; nothing for an empty one. */
export function renderHidden(name: string, value: string): Html | string {
  return value === '' ? '' : html`<input type="hidden" name="${name}" value="${value}">`;
}

/** `readChoice` returns the option that the address names; '' if it names none of them. */
export function readChoice<T extends string>(given: string | undefined, options: readonly T[]): T | '' {
  return options.find((option) => option === given) ?? '';
}

const SEARCH_LENGTH_MAX = 100;

/**
 * `readSearch` returns the search text of the address, limited to text that Postgres can store and a
 * sensible length.
 */
export function readSearch(given: string | undefined): string {
  // Postgres stores neither NUL nor lone surrogates.
  const search = (given ?? '').replaceAll('\0', '').toWellFormed().trim().slice(0, SEARCH_LENGTH_MAX);
  return search.toWellFormed();
}

/** Whether an organization in memory matches a search, as `matching` decides in the database. */
export function matchesSearch(
  {
    name,
    referralId,
    orgId,
  }: { readonly name: string; readonly referralId: string | null; readonly orgId: string },
  search: string,
): boolean {
  const text = search.toLowerCase();
  return (
    orgId.startsWith(text) ||
    name.toLowerCase().includes(text) ||
    (referralId !== null && referralId.toLowerCase().includes(text))
  );
}

export function readInstanceId(given = ''): string {
  return isLosantId(given) ? given : '';
}

/**
 * `describeOrganizations` counts organizations in the same words on every page: `301 organizations and
 * 1 deleted`.
 */
export function describeOrganizations(existing: number, deleted: number): string {
  const also = deleted === 0 ? '' : ` and ${showNumber(deleted)} deleted`;
  return `${count(existing, 'organization')}${also}`;
}

/** `showDifference` shows a number with its sign: `+1,234`, `-5`, `0`. */
export function showDifference(difference: number): string {
  return `${difference > 0 ? '+' : ''}${showNumber(difference)}`;
}

const PAGE_MAX = 100_000;

/** `readPageNumber` returns a page's number from the address; an invalid one is page 1. */
export function readPageNumber(given = ''): number {
  return Math.min(/^[1-9]\d{0,5}$/.test(given) ? Number(given) : 1, PAGE_MAX);
}

export interface Pagination {
  /** The address without its query. */
  readonly path: string;
  /** The rest of the query; empty values are left out. */
  readonly query: Readonly<Record<string, string>>;
  readonly page: number;
  /** The number of lines on all pages. */
  readonly found: number;
  readonly perPage: number;
}

/** `renderPages` links to the pages before and after; renders nothing if there is only one. */
export function renderPages({ path, query, page, found, perPage }: Pagination): Html | string {
  const last = Math.ceil(found / perPage);
  if (last <= 1) return '';
  const link = (to: number, shown: string) =>
    html`<a href="${addressOf(path, { ...query, page: `${to}` })}">${shown}</a> `;
  return html`<nav aria-label="Pages of the list"><p>${page > 1 ? link(page - 1, 'Previous') : ''}
Page ${showNumber(page)} of ${showNumber(last)} ${page < last ? link(page + 1, 'Next') : ''}</p></nav>`;
}

/** `addressOf` returns an address of this server with a query; empty values are left out. */
export function addressOf(path: string, query: Readonly<Record<string, string>>): string {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ''));
  return given.size === 0 ? path : `${path}?${given.toString()}`;
}

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
  readonly sorted?: 'asc' | 'desc';
}

function columnOf(kind: Column<never>['kind']) {
  return <Row>(name: string, cell: (row: Row) => Cell): Column<Row> => ({ name, cell, kind });
}
export const column = columnOf('value');
export const textColumn = columnOf('text');
export const numberColumn = columnOf('number');
export const chartColumn = columnOf('chart');

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
      html`<th scope="col" class="${CLASSES[each.kind]}"${each.sorted === undefined ? '' : html` aria-sort="${each.sorted}ending"`}>${renderHeading(each)}</th>`,
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
  const sign = sorted === undefined ? '' : sorted === 'asc' ? ' ▲' : ' ▼';
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
  const asText = names.map((name) => ({ name, isText: true }));
  const kinds = columns.map(([name, , isText = false]) => ({ name, isText }));
  const cells = rows.map((row) => columns.map(([, of]) => of(row)));
  // Names may come from outside too.
  const text = renderCsvRows(asText, [names]) + renderCsvRows(kinds, cells);
  c.header('content-disposition', `attachment; filename="${file}"`);
  return c.body(text, 200, {
    'content-type': 'text/csv; charset=utf-8',
  });
}
