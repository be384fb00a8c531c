import { html } from 'hono/html';
import type { PayloadShare } from '../../database/read/limits.ts';
import {
  DAYS_SHOWN,
  ORGANIZATIONS_PER_PAGE,
  type OrganizationLine,
  type OrganizationList,
  type OrganizationQuery,
  readOrganizationList,
} from '../../database/read/organization-list.ts';
import { count, showNumber } from '../../terminal/words.ts';
import { addDays, dayAt } from '../../usage/day.ts';
import {
  type ConsolePage,
  instanceNames,
  READING_WAIT_MS,
  readOrNull,
  readSearch,
  renderAway,
} from './console-page.ts';
import { renderDay } from './instants.ts';
import { renderPayloadShare } from './limits.ts';
import { type Html, renderPage, renderTable } from './page.ts';
import { readPageNumber, renderPages } from './pagination.ts';
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
  return { search: readSearch(given('q')), page: readPageNumber(given('page')), to };
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
  const from = addDays(to, 1 - DAYS_SHOWN);
  return html`<p class="quiet">${what}. Payloads are the billable ones of ${renderDay(from)} to ${renderDay(to)};
a day without a line is not held. Devices are those of the newest day held. The share of the limit is that of the running period to date${beside.shares === null ? ', which is being counted: load the page again for it' : ''}.</p>
${renderTable({
  columns: [
    { name: 'Organization', isText: true },
    { name: 'Instance', isText: true },
    { name: 'Devices', isNumber: true },
    { name: 'Payloads in 30 days', isNumber: true },
    { name: 'By day' },
    { name: 'Of payload limit', isNumber: true },
    { name: 'Missing', isNumber: true },
  ],
  rows: organizations.map((line) => renderLine(line, beside)),
})}
${renderPages({ path: '/organizations', query: { q: search }, page, found, perPage: ORGANIZATIONS_PER_PAGE })}`;
}

function renderLine(line: OrganizationLine, { names, shares }: Beside): (Html | string)[] {
  const { orgId, name, removedAt, devices, payloads, gaps } = line;
  const held = payloads.filter((value) => value !== null);
  const total = held.reduce((sum, value) => sum + value, 0);
  return [
    html`<a href="/organizations/${orgId}">${name}</a><br><span class="quiet whole">${orgId}</span>${removedAt === null ? '' : html`<br><span class="quiet">deleted ${renderDay(removedAt.slice(0, 10))}</span>`}`,
    names.get(line.instanceId) ?? line.instanceId,
    devices === null ? '–' : showNumber(devices),
    held.length === 0 ? '–' : showNumber(total),
    renderSparkline(payloads, 'Billable payloads'),
    shares === null ? '…' : renderPayloadShare(shares.get(orgId)),
    gaps > 0 ? html`<span class="bad">${showNumber(gaps)}</span>` : '0',
  ];
}
