import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import type { Html } from './page.ts';

const PAGE_MAX = 100_000;

/** A page's number from the address; whatever makes no sense is page 1. */
export function readPageNumber(given: string | undefined): number {
  const page = /^[1-9]\d{0,5}$/.test(given ?? '') ? Number(given) : 1;
  return Math.min(page, PAGE_MAX);
}

export interface Pagination {
  /** The address without its query. */
  readonly path: string;
  /** The rest of the query; what is empty is left out. */
  readonly query: Readonly<Record<string, string>>;
  readonly page: number;
  /** How many lines there are on all pages. */
  readonly found: number;
  readonly perPage: number;
}

/** Links to the page before and after; nothing where one page holds everything. */
export function renderPages({ path, query, page, found, perPage }: Pagination): Html | string {
  const last = Math.ceil(found / perPage);
  if (last <= 1) return '';
  const link = (to: number, text: string) =>
    html`<a href="${addressOf(path, { ...query, page: `${to}` })}">${text}</a> `;
  return html`<nav aria-label="Pages of the list"><p>${page > 1 ? link(page - 1, 'Previous') : ''}
Page ${showNumber(page)} of ${showNumber(last)} ${page < last ? link(page + 1, 'Next') : ''}</p></nav>`;
}

/** An address of this server with a query; what is empty is left out. */
export function addressOf(path: string, query: Readonly<Record<string, string>>): string {
  const given = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ''));
  return given.size === 0 ? path : `${path}?${given.toString()}`;
}
