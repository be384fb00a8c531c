import { html } from 'hono/html';
import type { PayloadShare } from '../queries/limits.ts';
import {
  DAYS_SHOWN,
  ORGANIZATIONS_PER_PAGE,
  type OrganizationLine,
  type OrganizationList,
  type OrganizationQuery,
  readOrganizationList,
} from '../queries/organization-list.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import {
  type ConsolePage,
  instanceNames,
  READING_WAIT_MS,
  readOrNull,
  readSearch,
  renderAway,
} from './console-page.ts';
import { readChoice } from './filters.ts';
import { renderDay } from './instants.ts';
import { renderPayloadShare } from './limits.ts';
import { showMonth } from './month-judge.ts';
import { type Html, renderPage, renderTable } from './page.ts';
import { addressOf, readPageNumber, renderPages } from './pagination.ts';
import { renderSparkline } from './sparkline.ts';

export const organizationsPage: ConsolePage = {
  path: '/organizations',
  open: (sources) => async (c) => {
    const query = readQuery((name) => c.req.query(name), addDays(dayAt(sources.now()), -1));
    const [view, shares, list] = await Promise.all([
      sources.database(READING_WAIT_MS),
      sources.payloadShares(),
      readOrNull(sources, (db) => readOrganizationList(db, query)),
    ]);
    return c.html(
      renderOrganizations(query, list, { names: instanceNames(view), shares: shares?.value ?? null }),
      list === null ? 503 : 200,
    );
  },
};

/** What a reader asks for, from the address; whatever makes no sense is left out. */
export function readQuery(
  given: (name: string) => string | undefined,
  to: OrganizationQuery['to'],
): OrganizationQuery {
  return {
    search: readSearch(given('q')),
    page: readPageNumber(given('page')),
    to,
    order: readChoice(given('order'), ['payloads']) ?? 'name',
  };
}

/** What is known from elsewhere. */
interface Beside {
  readonly names: ReadonlyMap<string, string>;
  /** Null: they are being counted. */
  readonly shares: ReadonlyMap<string, PayloadShare> | null;
}

/** The searchable list of organizations; `list` null: the database does not answer. */
function renderOrganizations(query: OrganizationQuery, list: OrganizationList | null, beside: Beside): Html {
  const body = html`<h1>Organizations</h1>
<form method="get" action="/organizations" role="search">
<label class="hidden" for="q">Name, referral id or id</label>
<input id="q" name="q" type="search" value="${query.search}" placeholder="Name, referral id or id">
${query.order === 'name' ? '' : html`<input type="hidden" name="order" value="${query.order}">`}
<button type="submit">Search</button></form>
${list === null ? renderAway() : renderList(query, list, beside)}`;
  return renderPage({ title: 'Organizations', path: '/organizations', body });
}

function renderList(
  query: OrganizationQuery,
  { count: found, organizations }: OrganizationList,
  beside: Beside,
): Html {
  const { search, page, to } = query;
  const what =
    search === '' ? count(found, 'organization') : `${count(found, 'organization')} with “${search}”`;
  if (organizations.length === 0) return html`<p>${what}${found === 0 ? '' : ', none on this page'}.</p>`;
  const month = showMonth(to.slice(0, 7)).split(' ')[0] ?? '';
  return html`${renderOrders(query, month)}
<p class="quiet">${what}. Payloads are the billable ones, in ${month} up to ${renderDay(to)}, and by day since ${renderDay(addDays(to, 1 - DAYS_SHOWN))};
a day without a line is not held. Devices are those of the newest day held. The share of the limit is that of the running period to date${beside.shares === null ? ', which is being counted: load the page again for it' : ''}.</p>
${renderTable({
  columns: [
    { name: 'Organization', isText: true },
    ...(beside.names.size > 1 ? [{ name: 'Instance', isText: true }] : []),
    { name: 'Devices', isNumber: true },
    { name: `Payloads in ${month}`, isNumber: true },
    { name: 'By day' },
    { name: 'Of payload limit', isNumber: true },
    { name: 'Missing', isNumber: true },
  ],
  rows: organizations.map((line) => renderLine(line, { ...beside, to })),
})}
${renderPages({ path: '/organizations', query: { q: search, order: orderOf(query) }, page, found, perPage: ORGANIZATIONS_PER_PAGE })}`;
}

function renderOrders(query: OrganizationQuery, month: string): Html {
  const link = (order: OrganizationQuery['order'], text: string) =>
    html`<a href="${addressOf('/organizations', { q: query.search, order: orderOf({ order }) })}"${order === query.order ? html` aria-current="true"` : ''}>${text}</a> `;
  return html`<nav aria-label="Order"><p>Order: ${link('name', 'by name')} ${link('payloads', `most payloads in ${month} first`)}</p></nav>`;
}

/** As it stands in addresses: the usual one is left out. */
function orderOf({ order }: Pick<OrganizationQuery, 'order'>): string {
  return order === 'name' ? '' : order;
}

function renderLine(
  line: OrganizationLine,
  { names, shares, to }: Beside & Pick<OrganizationQuery, 'to'>,
): (Html | string)[] {
  const { orgId, name, removedAt, devices, payloads, gaps } = line;
  const held = payloads.slice(-Number(to.slice(8))).filter((value) => value !== null);
  const total = held.reduce((sum, value) => sum + value, 0);
  return [
    html`<a href="/organizations/${orgId}">${name}</a><br><span class="quiet whole">${orgId}</span>${removedAt === null ? '' : html`<br><span class="quiet">deleted ${renderDay(removedAt.slice(0, 10))}</span>`}`,
    ...(names.size > 1 ? [names.get(line.instanceId) ?? line.instanceId] : []),
    devices === null ? '–' : showNumber(devices),
    held.length === 0 ? '–' : showNumber(total),
    renderSparkline(payloads, 'Billable payloads'),
    shares === null ? '…' : renderPayloadShare(shares.get(orgId)),
    gaps > 0 ? html`<span class="bad">${showNumber(gaps)}</span>` : '0',
  ];
}
