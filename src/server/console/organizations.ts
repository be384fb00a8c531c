import { html } from 'hono/html';
import {
  DAYS_SHOWN,
  ORGANIZATIONS_PER_PAGE,
  type OrganizationLine,
  type OrganizationList,
  type OrganizationQuery,
} from '../../database/read/organization-list.ts';
import { count, showNumber } from '../../terminal/words.ts';
import { addDays } from '../../usage/day.ts';
import { renderDay } from './instants.ts';
import { type Html, renderPage, renderTable } from './page.ts';
import { renderSparkline } from './sparkline.ts';

const SEARCH_LENGTH_MAX = 100;
const PAGE_MAX = 100_000;

/** What a reader asks for, from the address; whatever makes no sense is left out. */
export function readQuery(
  given: (name: string) => string | undefined,
  to: OrganizationQuery['to'],
): OrganizationQuery {
  // Postgres stores no NUL and no half of a character.
  const search = (given('q') ?? '').replaceAll('\0', '').toWellFormed().trim().slice(0, SEARCH_LENGTH_MAX);
  const page = /^[1-9]\d{0,5}$/.test(given('page') ?? '') ? Number(given('page')) : 1;
  return { search: search.toWellFormed(), page: Math.min(page, PAGE_MAX), to };
}

/** The searchable list of organizations; `list` null: the database does not answer. */
export function renderOrganizations(
  query: OrganizationQuery,
  list: OrganizationList | null,
  names: ReadonlyMap<string, string>,
): Html {
  const body = html`<h1>Organizations</h1>
<form method="get" action="/organizations" role="search">
<label class="hidden" for="q">Name, referral id or id</label>
<input id="q" name="q" type="search" value="${query.search}" placeholder="Name, referral id or id">
<button type="submit">Search</button></form>
${list === null ? html`<p class="bad">The database does not answer in time. Try again in a moment.</p>` : renderList(query, list, names)}`;
  return renderPage({ title: 'Organizations', path: '/organizations', body });
}

function renderList(
  query: OrganizationQuery,
  { count: found, organizations }: OrganizationList,
  names: ReadonlyMap<string, string>,
): Html {
  const { search, to } = query;
  const what =
    search === '' ? count(found, 'organization') : `${count(found, 'organization')} with “${search}”`;
  if (organizations.length === 0) return html`<p>${what}${found === 0 ? '' : ', none on this page'}.</p>`;
  const from = addDays(to, 1 - DAYS_SHOWN);
  return html`<p class="quiet">${what}. Payloads are the billable ones of ${renderDay(from)} to ${renderDay(to)};
a day without a line is not held. Devices are those of the newest day held.</p>
${renderTable({
  columns: [
    { name: 'Organization', isText: true },
    { name: 'Instance', isText: true },
    { name: 'Devices', isNumber: true },
    { name: 'Payloads in 30 days', isNumber: true },
    { name: 'By day' },
    { name: 'Missing', isNumber: true },
  ],
  rows: organizations.map((line) => renderLine(line, names.get(line.instanceId) ?? line.instanceId)),
})}
${renderPages(query, found)}`;
}

function renderLine(line: OrganizationLine, instance: string): (Html | string)[] {
  const { orgId, name, removedAt, devices, payloads, gaps } = line;
  const held = payloads.filter((value) => value !== null);
  const total = held.reduce((sum, value) => sum + value, 0);
  return [
    html`${name}<br><span class="quiet whole">${orgId}</span><span class="quiet">${removedAt === null ? '' : html`, deleted ${renderDay(removedAt.slice(0, 10))}`}</span>`,
    instance,
    devices === null ? '–' : showNumber(devices),
    held.length === 0 ? '–' : showNumber(total),
    renderSparkline(payloads, 'Billable payloads'),
    gaps > 0 ? html`<span class="bad">${showNumber(gaps)}</span>` : '0',
  ];
}

function renderPages({ search, page }: OrganizationQuery, found: number): Html | string {
  const last = Math.ceil(found / ORGANIZATIONS_PER_PAGE);
  if (last <= 1) return '';
  const link = (to: number, text: string) => {
    const address = new URLSearchParams({ ...(search === '' ? {} : { q: search }), page: `${to}` });
    return html`<a href="/organizations?${address.toString()}">${text}</a> `;
  };
  return html`<nav aria-label="Pages of the list"><p>${page > 1 ? link(page - 1, 'Previous') : ''}
Page ${showNumber(page)} of ${showNumber(last)} ${page < last ? link(page + 1, 'Next') : ''}</p></nav>`;
}
