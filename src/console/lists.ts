/** Forms, filters and pagination of lists. */
import { html } from 'hono/html';
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
