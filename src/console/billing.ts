/** The months with their states, and one month: what blocks it, and what was billed. */
import { html } from 'hono/html';
import {
  type Adjustment,
  type Blocker,
  type MonthSummary,
  readAdjustments,
  readMonthBlockers,
  readMonths,
} from '../billing/months.ts';
import {
  type Customer,
  type MetricTotal,
  readCustomers,
  readDraftTotals,
  readStatements,
  readStatementTotals,
  type Statement,
} from '../billing/statements.ts';
import type { MonthState } from '../database/schema.ts';
import { count, joinParts, showCode, showName } from '../terminal/words.ts';
import type { Month } from '../usage/day.ts';
import { addressOf, type Html, linkTo, linkToOrganization, renderPill, renderRemedy, showMonth } from './elements.ts';
import { readValues, renderForm } from './filters.ts';
import { type ConsolePage, type PageRequest, readMonth, renderCount } from './page.ts';
import { readPage, renderHtmlTable, renderPages } from './table.ts';

const PATH = '/billing';

/** How each state looks, and what somebody does about a month in it. */
const STATES: Readonly<Record<MonthState, readonly [tone: string, act: string]>> = {
  in_progress: ['quiet', 'View'],
  settling: ['quiet', 'View'],
  blocked: ['bad', 'Review'],
  ready: ['good', 'Close'],
  closed: ['good', 'View'],
  needs_adjustment: ['bad', 'Adjust'],
};

export async function recallMonths({ recall }: PageRequest) {
  return await recall(['months'], readMonths);
}

function linkToMonth(month: Month, text: string = showMonth(month)): Html {
  return linkTo(`${PATH}/${month}`, {}, text);
}

function renderState({ state }: MonthSummary): Html {
  return renderPill(STATES[state][0], showCode(state));
}

/** Says why a month is in its state. */
function describeMonth({ causes, orgsBlocked, orgsToAdjust, linesToAdjust }: MonthSummary): string {
  return joinParts(
    ' · ',
    causes !== null && causes.map(showCode).join(', '),
    orgsBlocked !== null && orgsBlocked > 0 && `${count(orgsBlocked, 'organization')} blocked`,
    orgsToAdjust !== null &&
      orgsToAdjust > 0 &&
      `${count(linesToAdjust ?? 0, 'number')} of ${count(orgsToAdjust, 'organization')} changed since`,
  );
}

export function renderMonthState(month: MonthSummary): Html {
  const text = describeMonth(month);
  return html`<p>${linkToMonth(month.month)} ${renderState(month)}</p>${
    text !== '' && html`<p class="quiet">${text}</p>`
  }\n`;
}

export const monthsPage: ConsolePage = {
  path: PATH,
  subject: 'The months',
  show: async (request) => {
    const months = await recallMonths(request);
    const body = html`<h1>Billing</h1><p class="quiet">Calendar months in UTC. The next runs resolve a settling month; a
      blocked one needs somebody.</p>
${renderCount(months, 'The months', renderMonths)}`;
    return { title: 'Billing', body };
  },
};

function renderMonths(months: readonly MonthSummary[]): Html {
  if (months.length === 0) return html`<p>Nothing has been loaded yet.</p>`;
  const rows = months.map((month) => ({ ...month, why: describeMonth(month) }));
  return renderHtmlTable(rows, [
    ['month', 'Month', ({ month }) => linkToMonth(month)],
    ['state', 'State', renderState],
    ['why', 'Cause'],
    'statements',
    ['closedAt', 'Closed'],
    'closedBy',
    ['state', 'Next step', ({ month, state }) => linkToMonth(month, STATES[state][1])],
  ]);
}

/** The commands have the other rows. */
const MAX_ROWS = 50;
const CUSTOMERS_PER_PAGE = 50;

const FILTERS = { q: { label: 'Customer, organization or ID', options: 'text' } } as const;

export const monthPage: ConsolePage = {
  path: `${PATH}/:month`,
  subject: 'The month',
  show: async (request) => {
    const month = readMonth(request);
    if (month === null) return null;
    const months = await recallMonths(request);
    const summary = months.snapshot?.value.find((each) => each.month === month);
    const isClosed = summary !== undefined && summary.closedAt !== null;
    const parts = isClosed ? await showClosedMonth(request, month) : await showUnclosedMonth(request, month);
    const body = html`<h1>${showMonth(month)}</h1>
${renderCount(months, 'The state of the month', () => renderSummary(month, summary))}
${summary !== undefined && parts}`;
    return { title: showMonth(month), body };
  },
};

/** Shows what a closed month billed. Each part is read by itself: a slow one holds up no other. */
async function showClosedMonth({ recall, query, path }: PageRequest, month: Month): Promise<readonly Html[]> {
  const { q: search } = readValues(FILTERS, query);
  const page = readPage(query);
  const [statements, adjustments, customers] = await Promise.all([
    recall(['statements', month], async (db) => {
      const rows = await readStatements(db, month);
      return await Promise.all(
        rows.map(async (row) => ({ ...row, totals: await readStatementTotals(db, row.statementId) })),
      );
    }),
    recall(['adjustments', month], (db) => readAdjustments(db, month, MAX_ROWS + 1)),
    recall(['customers', month, search, page], (db) => {
      const offset = (page - 1) * CUSTOMERS_PER_PAGE;
      return readCustomers(db, month, { search, offset, limit: CUSTOMERS_PER_PAGE + 1 });
    }),
  ]);
  return [
    renderCount(adjustments, 'What has to be adjusted', (rows) => renderAdjustments(month, rows)),
    renderCount(statements, 'The statements', (rows) => html`${rows.map(renderStatement)}`),
    html`<h2>Customers</h2>${renderForm(path, FILTERS, { q: search })}`,
    renderCount(customers, 'The customers', (rows) => renderCustomers(path, { month, search, page }, rows)),
  ];
}

/** Shows what blocks a month that is not closed, and what would be billed now. */
async function showUnclosedMonth({ recall }: PageRequest, month: Month): Promise<readonly Html[]> {
  const [blockers, totals] = await Promise.all([
    recall(['blockers', month], (db) => readMonthBlockers(db, month, MAX_ROWS + 1)),
    recall(['draft totals', month], (db) => readDraftTotals(db, { month, isAdjustment: false })),
  ]);
  return [
    renderCount(blockers, 'What blocks the month', renderBlockers),
    html`<h2>Totals now</h2>`,
    renderCount(totals, 'The totals', renderTotals),
  ];
}

function renderSummary(month: Month, summary: MonthSummary | undefined): Html {
  if (summary === undefined) return html`<p>Nothing is expected of this month.</p>`;
  const { state, closedAt } = summary;
  const option = closedAt === null ? '' : ' --adjust';
  const isActionable = state !== 'in_progress' && state !== 'closed';
  const text = describeMonth(summary);
  return html`<p>${renderState(summary)} <span class="quiet">${text}</span></p>${
    isActionable && html`<p>${renderRemedy(`losant-usage close --month ${month}${option} --dry-run`)}</p>`
  }`;
}

function renderBlockers(blockers: readonly Blocker[]): Html {
  if (blockers.length === 0) return html`<h2>Blockers</h2><p>None.</p>`;
  const rows = blockers.slice(0, MAX_ROWS);
  return html`<h2>Blockers</h2>${renderHtmlTable(rows, [
    [
      'cause',
      'Organization',
      ({ orgId, orgName }) => (orgId === null ? 'all' : linkToOrganization(orgId, orgName ?? '')),
    ],
    ['state', 'Cause', ({ cause }) => showCode(cause)],
    ['remedy', 'Remedy', ({ remedy }) => renderRemedy(remedy)],
    'days',
    'firstDay',
    'lastDay',
    'streams',
    'detail',
  ])}${blockers.length > MAX_ROWS && html`<p class="quiet">There are more; the command lists all.</p>`}`;
}

function renderAdjustments(month: Month, adjustments: readonly Adjustment[]): Html {
  if (adjustments.length === 0) return html`<h2>To be adjusted</h2><p>Nothing.</p>`;
  const rows = adjustments.slice(0, MAX_ROWS);
  return html`<h2>To be adjusted</h2>${renderHtmlTable(rows, [
    ['orgName', 'Organization', ({ orgId, orgName }) => linkToOrganization(orgId, orgName)],
    'metric',
    ['billedQuantity', 'Billed'],
    ['quantity', 'Current'],
    'difference',
    'unit',
    ['cause', 'Cause', ({ cause }) => showCode(cause)],
  ])}${adjustments.length > MAX_ROWS && html`<p class="quiet">There are more; the command lists all.</p>`}
<p>${linkTo(
    '/changes',
    { since: `${month}-01`, from: `${month}-01`, to: `${month}-31` },
    'Changes of this month',
  )}</p>`;
}

type StatementWithTotals = Statement & { readonly totals: readonly MetricTotal[] };

function renderStatement({ number, kind, createdAt, createdBy, reason, orgs, blockers, totals }: StatementWithTotals) {
  return html`<h2>Statement ${number}, ${kind}</h2>
<p class="quiet">Created ${createdAt.slice(0, 10)} by ${createdBy} · ${count(orgs, 'organization')}</p>${
    reason !== null && html`<p>Blockers were accepted (${count(blockers?.length ?? 0, 'blocker')}): ${reason}</p>`
  }
${renderTotals(totals)}`;
}

function renderTotals(totals: readonly MetricTotal[]): Html {
  if (totals.length === 0) return html`<p>Nothing is stored.</p>`;
  // Not numbers, because sums may exceed 2^53.
  const rows = totals.map((total) => ({
    ...total,
    quantity: total.quantity === null ? null : BigInt(total.quantity),
  }));
  return renderHtmlTable(rows, ['metric', 'quantity', 'unit', 'orgs']);
}

function renderCustomers(
  path: string,
  { month, search, page }: { month: Month; search: string; page: number },
  customers: readonly Customer[],
): Html {
  if (customers.length === 0) return html`<p>${search === '' ? 'None.' : 'No customer matches.'}</p>`;
  const rows = customers.slice(0, CUSTOMERS_PER_PAGE).map((customer) => ({ ...customer }));
  const hasNext = customers.length > CUSTOMERS_PER_PAGE;
  return html`${renderHtmlTable(rows, [
    [
      'key',
      'Statement of',
      ({ key, customerId, orgNames }) =>
        linkTo(`${PATH}/${month}/customer`, { key }, customerId ?? showName(orgNames, key)),
    ],
    ['orgNames', 'Organizations'],
    ['orgs', 'Count'],
  ])}
${renderPages(page, hasNext, (to) => addressOf(path, { q: search, page: `${to}` }))}`;
}
