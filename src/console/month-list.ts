import { html } from 'hono/html';
import { describeBlocker, type InvoicedMonth, type OrganizationPeriod } from '../billing/month.ts';
import { capitalize, count, showNumber } from '../terminal/words.ts';
import { earliestDay, type UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { STANDINGS, type Standing, standings } from '../usage/standing.ts';
import { addressOf, renderPages } from './lists.ts';
import { type Html, renderInstant, renderTable } from './page.ts';
import { renderStanding, worstFirst } from './standings.ts';

/** The filters of organizations: those that can be invoiced, those that cannot, or those of one standing. */
export const MONTH_FILTERS = ['ready', 'blocked', ...standings] as const;
type MonthFilter = (typeof MONTH_FILTERS)[number];

export interface MonthQuery {
  readonly month: Month;
  /** Part of a name or referral id, or the beginning of an id; empty for all. */
  readonly search: string;
  /** The filter; null for all. */
  readonly filter: MonthFilter | null;
  /**
   * The order: `standing` puts periods that cannot be invoiced first, the worst of them at the top;
   * `payloads` the largest.
   */
  readonly order: 'standing' | 'payloads';
  readonly page: number;
  /** Whether all organizations are on one page, to be printed. */
  readonly isWhole: boolean;
}

const PERIODS_PER_PAGE = 50;

/** `renderInstances` counts organizations by standing and shows what was closed, by instance. */
export function renderInstances({
  periods,
  statements,
  names,
  nowMs,
}: Pick<InvoicedMonth, 'statements'> & {
  readonly periods: readonly OrganizationPeriod[];
  readonly names: ReadonlyMap<string, string>;
  readonly nowMs: number;
}): Html {
  const byInstance = [...Map.groupBy(periods, ({ instanceId }) => instanceId)];
  const shown = worstFirst.filter((standing) => countOf(periods, standing) > 0);
  const closing = (instanceId: string) => {
    const [first, ...adjustments] = statements.filter((statement) => statement.instanceId === instanceId);
    if (first === undefined) return 'no';
    const adjusted = adjustments.length === 0 ? '' : `, adjusted ${count(adjustments.length, 'time')} since`;
    return html`${renderInstant(first.closedAt, nowMs)} by ${first.closedBy}${adjusted}${first.reason === null ? '' : html`. Something was missing: ${first.reason}`}`;
  };
  return renderTable({
    columns: [
      { name: 'Instance', isText: true },
      { name: 'Organizations', isNumber: true },
      { name: 'Can be invoiced', isNumber: true },
      ...shown.map((standing) => ({ name: capitalize(STANDINGS[standing].label), isNumber: true })),
      { name: 'Billable payloads', isNumber: true },
      { name: 'Closed', isText: true },
    ],
    rows: byInstance.map(([instanceId, each]) => [
      names.get(instanceId) ?? instanceId,
      showNumber(each.length),
      showNumber(countOf(each, 'ready')),
      ...shown.map((standing) => showNumber(countOf(each, standing))),
      showNumber(each.reduce((sum, { payloads }) => sum + (payloads === null ? 0 : payloads), 0)),
      closing(instanceId),
    ]),
  });
}

function countOf(periods: readonly OrganizationPeriod[], filter: MonthFilter): number {
  return periods.filter((period) => isChosen(period, filter)).length;
}

function isChosen({ isBillable, standing }: OrganizationPeriod, filter: MonthFilter | null): boolean {
  if (filter === null) return true;
  if (filter === 'ready' || filter === 'blocked') return isBillable === (filter === 'ready');
  return standing === filter;
}

interface PeriodListOptions {
  readonly query: MonthQuery;
  readonly names: ReadonlyMap<string, string>;
  readonly yesterday: UsageDay;
  /** Whether the first run is over; before that nothing is an alarm. */
  readonly hasRun: boolean;
}

/** `renderPeriods` renders a page of the organizations asked for. */
export function renderPeriods(periods: readonly OrganizationPeriod[], options: PeriodListOptions): Html {
  const { query, names } = options;
  const found = select(periods, query);
  const from = (query.page - 1) * PERIODS_PER_PAGE;
  const shown = query.isWhole ? found : found.slice(from, from + PERIODS_PER_PAGE);
  return html`<h2>Organizations</h2>
${renderChoice(periods, query)}
<p class="quiet">${count(found.length, 'organization')}${query.search === '' ? '' : ` with “${query.search}”`}${shown.length === 0 && found.length > 0 ? ', none on this page' : ''}.
Payloads are the billable ones of the days stored; devices those of the last day stored. <a href="${pathOf(query)}/usage.csv" download>Every number of the month as CSV</a>${found.length > shown.length ? html` · <a href="${addressOf(pathOf(query), { ...choiceOf(query), all: '1' })}">All on one page, to print</a>` : ''}</p>
${
  shown.length === 0
    ? ''
    : renderTable({
        columns: [
          { name: 'Organization', isText: true },
          ...(names.size > 1 ? [{ name: 'Instance', isText: true }] : []),
          { name: 'Standing' },
          { name: 'Invoice', isText: true },
          { name: 'Payloads', isNumber: true },
          { name: 'Devices', isNumber: true },
        ],
        rows: shown.map((period) => renderPeriod(period, options)),
      })
}
${query.isWhole ? '' : renderPages({ path: pathOf(query), query: choiceOf(query), page: query.page, found: found.length, perPage: PERIODS_PER_PAGE })}`;
}

function renderPeriod(
  period: OrganizationPeriod,
  { query, names, yesterday, hasRun }: PeriodListOptions,
): (Html | string)[] {
  const { orgId, name, instanceId, from, to, payloads, devices, standing } = period;
  const days = daysOfMonth(query.month);
  const isOwn = from !== days.from || to !== days.to;
  return [
    html`<a href="/organizations/${orgId}" title="${orgId}">${name}</a>${isOwn ? html` <span class="quiet whole">${from} to ${to}</span>` : ''}`,
    ...(names.size > 1 ? [names.get(instanceId) ?? instanceId] : []),
    renderStanding(standing, !(period.isOver && hasRun)),
    html`${describePeriod(period)}${period.isBillable ? '' : html` <a class="whole" href="${coverageOf(period, yesterday)}">day by day</a>`}`,
    payloads === null ? '–' : showNumber(payloads),
    devices === null ? '–' : showNumber(devices),
  ];
}

/**
 * `describePeriod` describes whether the period can be invoiced, what blocks it, and other remarks about
 * its numbers.
 */
export function describePeriod(period: OrganizationPeriod): string {
  const { isBillable, blockers, daysExpected, daysAccepted, daysUnreported, daysUntracked } = period;
  const blocking = new Set(blockers.flatMap(({ streams }) => streams ?? []));
  const fewer = Object.entries(period.streamDays).filter(
    ([stream, days]) => blocking.has(stream) && days < daysExpected,
  );
  const facts = [
    isBillable ? 'ready' : '',
    ...blockers.map(describeBlocker),
    !isBillable && blockers.length === 0 ? 'waits for its instance' : '',
    ...fewer.map(([stream, days]) => `${stream} stored on ${days} of ${count(daysExpected, 'day')}`),
    daysAccepted > 0 ? `${count(daysAccepted, 'day')} accepted` : '',
    daysUntracked > 0 ? `${count(daysUntracked, 'day')} stored but not tracked, so not in the sums` : '',
    daysUnreported > 0 ? `${count(daysUnreported, 'day')} with zeros, as Losant left numbers out` : '',
  ].filter((fact) => fact !== '');
  return facts.join('; ');
}

/** `renderChoice` renders the form and the links that filter and order the list. */
function renderChoice(periods: readonly OrganizationPeriod[], query: MonthQuery): Html {
  const link = (text: string, change: Partial<MonthQuery>, isCurrent: boolean) =>
    html`<a href="${addressOf(pathOf(query), choiceOf({ ...query, ...change }))}"${isCurrent ? html` aria-current="true"` : ''}>${text}</a> `;
  const filterLink = (filter: MonthFilter, text: string) => {
    const found = countOf(periods, filter);
    return found === 0 ? '' : link(`${text} ${showNumber(found)}`, { filter }, query.filter === filter);
  };
  const labelOf = (standing: Standing) => STANDINGS[standing].label;
  return html`<form method="get" action="${pathOf(query)}" role="search">
<label class="hidden" for="q">Name, referral id or id</label>
<input id="q" name="q" type="search" value="${query.search}" placeholder="Name, referral id or id">
${query.filter === null ? '' : html`<input type="hidden" name="show" value="${query.filter}">`}
${query.order === 'standing' ? '' : html`<input type="hidden" name="order" value="${query.order}">`}
<button type="submit">Search</button></form>
<nav aria-label="Organizations shown"><p>${link(`all ${showNumber(periods.length)}`, { filter: null }, query.filter === null)}
${filterLink('ready', 'can be invoiced')} ${filterLink('blocked', 'cannot')} ${worstFirst.map((standing) => filterLink(standing, labelOf(standing)))}</p></nav>
<nav aria-label="Order"><p>Order: ${link('not ready first', { order: 'standing' }, query.order === 'standing')} ${link('most payloads first', { order: 'payloads' }, query.order === 'payloads')}</p></nav>`;
}

/** `coverageOf` returns the address of the map of its days, up to the end of the period. */
function coverageOf({ orgId, to }: OrganizationPeriod, yesterday: UsageDay): string {
  return addressOf('/coverage', { q: orgId, to: earliestDay(to, yesterday) });
}

function select(periods: readonly OrganizationPeriod[], query: MonthQuery): OrganizationPeriod[] {
  const search = query.search.toLowerCase();
  const found = periods.filter(
    (period) =>
      isChosen(period, query.filter) &&
      (search === '' ||
        period.orgId.startsWith(search) ||
        period.name.toLowerCase().includes(search) ||
        (period.referralId ?? '').toLowerCase().includes(search)),
  );
  // The periods come by name, and the sort keeps that order among equals.
  if (query.order === 'payloads') return found.sort((a, b) => (b.payloads ?? -1) - (a.payloads ?? -1));
  return found.sort((a, b) => rankOf(b) - rankOf(a));
}

function rankOf({ isBillable, standing }: OrganizationPeriod): number {
  if (isBillable) return -1;
  return standing === null ? standings.length : standings.indexOf(standing);
}

function pathOf({ month }: MonthQuery): string {
  return `/months/${month}`;
}

function choiceOf({ search, filter, order }: MonthQuery): Record<string, string> {
  return { q: search, show: filter ?? '', order: order === 'standing' ? '' : order };
}
