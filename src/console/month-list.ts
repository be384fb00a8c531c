import { html } from 'hono/html';
import { describeBlocker, type OrganizationPeriod } from '../billing/month.ts';
import type { Statement } from '../billing/statements.ts';
import { capitalize, count, showNumber } from '../terminal/words.ts';
import { earliestDay, type UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { STANDINGS, standings } from '../usage/standing.ts';
import {
  addressOf,
  type Query,
  readChoice,
  readPageNumber,
  readSearch,
  renderHidden,
  renderPages,
} from './lists.ts';
import { type Html, renderInstant, renderLink } from './page.ts';
import type { Names } from './sources.ts';
import { renderStanding, worstFirst } from './standings.ts';
import { type Column, column, instanceColumn, numberColumn, renderTable, textColumn } from './table.ts';

/** The filters of organizations: those that can be invoiced, those that cannot, or those of one standing. */
const MONTH_FILTERS = ['ready', 'blocked', ...standings] as const;
type MonthFilter = (typeof MONTH_FILTERS)[number];
type Filters = MonthQuery['filters'];

/** The choices in the address of a month's page; '' for a filter that is not set or not valid. */
export type MonthQuery = ReturnType<typeof readMonthQuery>;

export function readMonthQuery(month: Month, given: Query) {
  return {
    month,
    filters: {
      q: readSearch(given['q']),
      show: readChoice(given['show'], MONTH_FILTERS),
      /** The order: the largest first, or by default what cannot be invoiced, the worst of it at the top. */
      order: readChoice(given['order'], ['payloads']),
    },
    page: readPageNumber(given['page']),
    /** Whether all organizations are on one page, to be printed. */
    isWhole: given['all'] !== undefined,
  };
}

const PERIODS_PER_PAGE = 50;

/** `renderInstances` counts organizations by standing and shows what was closed, by instance. */
export function renderInstances(
  periods: readonly OrganizationPeriod[],
  statements: readonly Statement[],
  names: Names,
  nowMs: number,
): Html {
  const byInstance = [...Map.groupBy(periods, ({ instanceId }) => instanceId)];
  const shown = worstFirst.filter((standing) => countOf(periods, standing) > 0);
  const closing = (instanceId: string) => {
    const [first, ...adjustments] = statements.filter((statement) => statement.instanceId === instanceId);
    if (first === undefined) return 'no';
    const adjusted = adjustments.length === 0 ? '' : `, adjusted ${count(adjustments.length, 'time')} since`;
    return html`${renderInstant(first.closedAt, nowMs)} by ${first.closedBy}${adjusted}${first.reason === null ? '' : html`. Something was missing: ${first.reason}`}`;
  };
  return renderTable(byInstance, [
    textColumn('Instance', ([instanceId]) => names.get(instanceId) ?? instanceId),
    numberColumn('Organizations', ([, each]) => each.length),
    numberColumn('Can be invoiced', ([, each]) => countOf(each, 'ready')),
    ...shown.map((standing) =>
      numberColumn<(typeof byInstance)[number]>(capitalize(STANDINGS[standing].label), ([, each]) =>
        countOf(each, standing),
      ),
    ),
    numberColumn('Billable payloads', ([, each]) =>
      each.reduce((sum, { payloads }) => sum + (payloads ?? 0), 0),
    ),
    textColumn('Closed', ([instanceId]) => closing(instanceId)),
  ]);
}

function countOf(periods: readonly OrganizationPeriod[], filter: MonthFilter): number {
  return periods.filter((period) => isChosen(period, filter)).length;
}

function isChosen({ isBillable, standing }: OrganizationPeriod, filter: MonthFilter | ''): boolean {
  if (filter === '') return true;
  if (filter === 'ready' || filter === 'blocked') return isBillable === (filter === 'ready');
  return standing === filter;
}

interface PeriodListOptions {
  readonly query: MonthQuery;
  readonly names: Names;
  readonly yesterday: UsageDay;
  /** Whether the first run is over; before that nothing is an alarm. */
  readonly hasRun: boolean;
}

export function renderPeriods(periods: readonly OrganizationPeriod[], options: PeriodListOptions): Html {
  const { filters, page, isWhole, month } = options.query;
  const path = `/months/${month}`;
  const found = select(periods, filters);
  const from = (page - 1) * PERIODS_PER_PAGE;
  const shown = isWhole ? found : found.slice(from, from + PERIODS_PER_PAGE);
  return html`<h2>Organizations</h2>
${renderChoice(periods, path, filters)}
<p class="quiet">${count(found.length, 'organization')}${filters.q === '' ? '' : ` with “${filters.q}”`}${shown.length === 0 && found.length > 0 ? ', none on this page' : ''}.
Payloads are the billable ones of the days stored; devices those of the last day stored. <a href="${path}/usage.csv" download>Every number of the month as CSV</a>${found.length > shown.length ? html` · <a href="${addressOf(path, { ...filters, all: '1' })}">All on one page, to print</a>` : ''}</p>
${shown.length === 0 ? '' : renderTable(shown, columnsOf(options))}
${isWhole ? '' : renderPages({ path, query: filters, page, found: found.length, perPage: PERIODS_PER_PAGE })}`;
}

function columnsOf({ query, names, yesterday, hasRun }: PeriodListOptions): Column<OrganizationPeriod>[] {
  const days = daysOfMonth(query.month);
  const isOwn = ({ from, to }: OrganizationPeriod) => from !== days.from || to !== days.to;
  /** The map of its days, up to the end of the period. */
  const coverageOf = ({ orgId, to }: OrganizationPeriod) =>
    addressOf('/coverage', { q: orgId, to: earliestDay(to, yesterday) });
  return [
    textColumn(
      'Organization',
      (period) =>
        html`<a href="/organizations/${period.orgId}" title="${period.orgId}">${period.name}</a>${isOwn(period) ? html` <span class="quiet whole">${period.from} to ${period.to}</span>` : ''}`,
    ),
    ...instanceColumn<OrganizationPeriod>(names),
    column('Standing', ({ standing, isOver }) => renderStanding(standing, !(isOver && hasRun))),
    textColumn(
      'Invoice',
      (period) =>
        html`${describePeriod(period)}${period.isBillable ? '' : html` <a class="whole" href="${coverageOf(period)}">day by day</a>`}`,
    ),
    numberColumn('Payloads', ({ payloads }) => payloads),
    numberColumn('Devices', ({ devices }) => devices),
  ];
}

/**
 * `describePeriod` describes whether the period can be invoiced, what blocks it, and other remarks about
 * its numbers.
 */
export function describePeriod(period: OrganizationPeriod): string {
  const { isBillable, blockers, daysAccepted, daysUnreported, daysUntracked } = period;
  const facts = [
    isBillable ? 'ready' : '',
    ...blockers.map(describeBlocker),
    !isBillable && blockers.length === 0 ? 'waits for its instance' : '',
    daysAccepted > 0 ? `${count(daysAccepted, 'day')} accepted` : '',
    daysUntracked > 0 ? `${count(daysUntracked, 'day')} stored but not tracked, so not in the sums` : '',
    daysUnreported > 0 ? `${count(daysUnreported, 'day')} with zeros, as Losant left numbers out` : '',
  ].filter((fact) => fact !== '');
  return facts.join('; ');
}

function renderChoice(periods: readonly OrganizationPeriod[], path: string, filters: Filters): Html {
  const { q, show, order } = filters;
  const link = (text: string, change: Partial<Filters>) => {
    const isCurrent = (change.show ?? show) === show && (change.order ?? order) === order;
    return renderLink(addressOf(path, { ...filters, ...change }), text, isCurrent);
  };
  const filterLink = (filter: MonthFilter, text: string) => {
    const found = countOf(periods, filter);
    return found === 0 ? '' : link(`${text} ${showNumber(found)}`, { show: filter });
  };
  return html`<form method="get" action="${path}" role="search">
<label class="hidden" for="q">Name, referral id or id</label>
<input id="q" name="q" type="search" value="${q}" placeholder="Name, referral id or id">
${renderHidden('show', show)}
${renderHidden('order', order)}
<button type="submit">Search</button></form>
<nav aria-label="Organizations shown"><p>${link(`all ${showNumber(periods.length)}`, { show: '' })}
${filterLink('ready', 'can be invoiced')} ${filterLink('blocked', 'cannot')} ${worstFirst.map((standing) => filterLink(standing, STANDINGS[standing].label))}</p></nav>
<nav aria-label="Order"><p>Order: ${link('not ready first', { order: '' })} ${link('most payloads first', { order: 'payloads' })}</p></nav>`;
}

function select(periods: readonly OrganizationPeriod[], { q, show, order }: Filters): OrganizationPeriod[] {
  const search = q.toLowerCase();
  const found = periods.filter(
    (period) =>
      isChosen(period, show) &&
      (search === '' ||
        period.orgId.startsWith(search) ||
        period.name.toLowerCase().includes(search) ||
        (period.referralId ?? '').toLowerCase().includes(search)),
  );
  // The periods come by name, and the sort keeps that order among equals.
  if (order === 'payloads') return found.sort((a, b) => (b.payloads ?? -1) - (a.payloads ?? -1));
  return found.sort((a, b) => rankOf(b) - rankOf(a));
}

function rankOf({ isBillable, standing }: OrganizationPeriod): number {
  if (isBillable) return -1;
  return standing === null ? standings.length : standings.indexOf(standing);
}
