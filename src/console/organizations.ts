import { html } from 'hono/html';
import {
  DAYS_SHOWN,
  ORGANIZATION_ORDERS,
  ORGANIZATIONS_PER_PAGE,
  type OrganizationLine,
  type OrganizationList,
  type OrganizationOrder,
  type OrganizationQuery,
  type PayloadShare,
  readOrganizationList,
} from '../queries/organizations.ts';
import { showNumber } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import {
  addressOf,
  describeOrganizations,
  readChoice,
  readPageNumber,
  readSearch,
  renderPages,
} from './lists.ts';
import { showMonth } from './month-judge.ts';
import { type Html, renderAway, renderDay, renderPage, renderTable } from './page.ts';
import { type ConsolePage, instanceNames, READING_WAIT_MS, readOrNull } from './sources.ts';
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

/** `readQuery` reads the query of the address and ignores invalid values. */
export function readQuery(
  given: (name: string) => string | undefined,
  to: OrganizationQuery['to'],
): OrganizationQuery {
  return {
    search: readSearch(given('q')),
    page: readPageNumber(given('page')),
    to,
    order: readChoice(given('order'), ORGANIZATION_ORDERS) ?? 'name',
  };
}

/** The readings shown beside the list. */
interface Beside {
  readonly names: ReadonlyMap<string, string>;
  /** The shares by organization; null while they are being counted. */
  readonly shares: ReadonlyMap<string, PayloadShare> | null;
}

/** Renders the searchable list of organizations; `list` is null if the database does not answer. */
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
  { count: found, deleted, organizations }: OrganizationList,
  beside: Beside,
): Html {
  const { search, page, to } = query;
  const what = `${describeOrganizations(found - deleted, deleted)}${search === '' ? '' : ` with “${search}”`}`;
  if (organizations.length === 0) return html`<p>${what}${found === 0 ? '' : ', none on this page'}.</p>`;
  const month = showMonth(to.slice(0, 7)).split(' ')[0] ?? '';
  return html`${renderOrders(query, month)}
<p class="quiet">${what}. Payloads are the billable ones, in ${month} up to ${renderDay(to)}, and by day since ${renderDay(addDays(to, 1 - DAYS_SHOWN))};
a day without a line is not stored. Devices are those of the newest day stored. The change is that against the same days of the month before. The share of the limit is that of the running period to date${beside.shares === null ? ', which is being counted: load the page again for it' : ''}.</p>
${renderTable({
  columns: [
    { name: 'Organization', isText: true },
    ...(beside.names.size > 1 ? [{ name: 'Instance', isText: true }] : []),
    { name: 'Devices', isNumber: true },
    { name: `Payloads in ${month}`, isNumber: true },
    { name: 'Change', isNumber: true },
    { name: 'By day' },
    { name: 'Of payload limit', isNumber: true },
    { name: 'Gaps', isNumber: true },
  ],
  rows: organizations.map((line) => renderLine(line, { ...beside, to })),
})}
${renderPages({ path: '/organizations', query: { q: search, order: orderOf(query) }, page, found, perPage: ORGANIZATIONS_PER_PAGE })}`;
}

function renderOrders(query: OrganizationQuery, month: string): Html {
  const link = (order: OrganizationQuery['order'], text: string) =>
    html`<a href="${addressOf('/organizations', { q: query.search, order: orderOf({ order }) })}"${order === query.order ? html` aria-current="true"` : ''}>${text}</a> `;
  const words: Readonly<Record<OrganizationOrder, string>> = {
    name: 'by name',
    payloads: `most payloads in ${month} first`,
    change: 'largest increase first',
    share: 'nearest to the limit first',
    gaps: 'most gaps first',
  };
  return html`<nav aria-label="Order"><p>Order: ${ORGANIZATION_ORDERS.map((order) => link(order, words[order]))}</p></nav>`;
}

/** `orderOf` returns the order as addresses have it, without the default one. */
function orderOf({ order }: Pick<OrganizationQuery, 'order'>): string {
  return order === 'name' ? '' : order;
}

function renderLine(
  line: OrganizationLine,
  { names, shares, to }: Beside & Pick<OrganizationQuery, 'to'>,
): (Html | string)[] {
  const { orgId, name, removedAt, devices, payloads, lastMonth, gaps } = line;
  const stored = payloads.slice(-Number(to.slice(8))).filter((value) => value !== null);
  const total = stored.reduce((sum, value) => sum + value, 0);
  return [
    html`<a href="/organizations/${orgId}" title="${orgId}">${name}</a>${removedAt === null ? '' : html` <span class="quiet">deleted ${renderDay(removedAt.slice(0, 10))}</span>`}`,
    ...(names.size > 1 ? [names.get(line.instanceId) ?? line.instanceId] : []),
    devices === null ? '–' : showNumber(devices),
    stored.length === 0 ? '–' : showNumber(total),
    stored.length === 0 || lastMonth === null ? '–' : showChange(total, lastMonth),
    renderSparkline(payloads, 'Billable payloads'),
    shares === null ? '…' : renderPayloadShare(shares.get(orgId)),
    gaps > 0
      ? html`<a class="bad" href="${addressOf('/coverage', { q: orgId, days: '90' })}">${showNumber(gaps)}</a>`
      : '0',
  ];
}

/** `showChange` shows a change with its sign and as a share of the earlier value. */
function showChange(now: number, before: number): string {
  const change = `${now > before ? '+' : ''}${showNumber(now - before)}`;
  return before === 0 ? change : `${change} (${Math.round(((now - before) / before) * 100)} %)`;
}

/** Renders a share, rounded down so that 100 % means that the limit is reached. */
export function renderShare(share: number | null): Html | string {
  if (share === null) return '–';
  const shown = `${showNumber(Math.floor(share * 100))} %`;
  return share > 1 ? html`<span class="bad">${shown}, over</span>` : shown;
}

/** Renders the used share of the limit of payloads, and the projected one only if it would pass the limit. */
export function renderPayloadShare(use: PayloadShare | undefined): Html | string {
  if (use === undefined || use.share === null) return '–';
  const { share, projectedShare, crossesOn } = use;
  if (share > 1 || projectedShare === null || projectedShare <= 1) return renderShare(share);
  return html`${renderShare(share)} <span class="bad">${showNumber(Math.floor(projectedShare * 100))} % projected${crossesOn === null ? '' : html`, over on ${renderDay(crossesOn)}`}</span>`;
}
