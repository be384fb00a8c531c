import { html } from 'hono/html';
import type { InvoicedMonth, OrganizationPeriod } from '../billing/month.ts';
import { capitalize, count, showNumber } from '../terminal/words.ts';
import { earliestDay, type UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { renderInstant } from './instants.ts';
import { countStates } from './month-judge.ts';
import { describePeriod, PERIOD_STATES, type PeriodState, stateOfPeriod } from './month-state.ts';
import { type Html, renderTable } from './page.ts';
import { addressOf, renderPages } from './pagination.ts';

export interface MonthQuery {
  readonly month: Month;
  /** Part of a name or referral id, or the beginning of an id; empty: all. */
  readonly search: string;
  /** Null: all. */
  readonly state: PeriodState | null;
  /** By state, the worst first, or by payloads, the most first. */
  readonly order: 'state' | 'payloads';
  readonly page: number;
}

const PERIODS_PER_PAGE = 50;

/** States differ in sign and words as well as in colour. */
const STATES: Readonly<Record<PeriodState, readonly [sign: string, text: string, tone: string]>> = {
  missing: ['✕', 'days missing', 'bad'],
  partial: ['◐', 'partial', 'bad'],
  open: ['…', 'not final yet', 'quiet'],
  running: ['○', 'not over', 'quiet'],
  ready: ['✓', 'ready', 'good'],
};

/** How many organizations are in which state, and what was closed, by instance. */
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
  const counts = countStates(periods);
  const states = PERIOD_STATES.filter((state) => counts[state] > 0);
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
      ...states.map((state) => ({ name: capitalize(STATES[state][1]), isNumber: true })),
      { name: 'Closed', isText: true },
    ],
    rows: byInstance.map(([instanceId, each]) => [
      names.get(instanceId) ?? instanceId,
      showNumber(each.length),
      ...states.map((state) => showNumber(countStates(each)[state])),
      closing(instanceId),
    ]),
  });
}

interface PeriodListOptions {
  readonly query: MonthQuery;
  readonly names: ReadonlyMap<string, string>;
  readonly yesterday: UsageDay;
  /** Whether the first run is over. */
  readonly hasRun: boolean;
}

/** The organizations that are asked for, a page of them. */
export function renderPeriods(periods: readonly OrganizationPeriod[], options: PeriodListOptions): Html {
  const { query, names } = options;
  const found = select(periods, query);
  const from = (query.page - 1) * PERIODS_PER_PAGE;
  const shown = found.slice(from, from + PERIODS_PER_PAGE);
  return html`<h2>Organizations</h2>
${renderChoice(periods, query)}
<p class="quiet">${count(found.length, 'organization')}${query.search === '' ? '' : ` with “${query.search}”`}${shown.length === 0 && found.length > 0 ? ', none on this page' : ''}.
Payloads are the billable ones of the days held; devices those of the last day held. <a href="${pathOf(query)}/usage.csv" download>Every number of the month as CSV</a></p>
${
  shown.length === 0
    ? ''
    : renderTable({
        columns: [
          { name: 'Organization', isText: true },
          ...(names.size > 1 ? [{ name: 'Instance', isText: true }] : []),
          { name: 'State' },
          { name: 'Why', isText: true },
          { name: 'Payloads', isNumber: true },
          { name: 'Devices', isNumber: true },
        ],
        rows: shown.map((period) => renderPeriod(period, options)),
      })
}
${renderPages({ path: pathOf(query), query: choiceOf(query), page: query.page, found: found.length, perPage: PERIODS_PER_PAGE })}`;
}

function renderPeriod(
  period: OrganizationPeriod,
  { query, names, yesterday, hasRun }: PeriodListOptions,
): (Html | string)[] {
  const { orgId, name, instanceId, from, to, payloads, devices } = period;
  const [sign, text, usual] = STATES[stateOfPeriod(period)];
  // What is missing before anything is late is no alarm.
  const tone = usual === 'bad' && !(period.isOver && hasRun) ? 'quiet' : usual;
  const days = daysOfMonth(query.month);
  const isOwn = from !== days.from || to !== days.to;
  return [
    html`<a href="/organizations/${orgId}">${name}</a><br><span class="quiet whole">${orgId}</span>${isOwn ? html`<br><span class="quiet">${from} to ${to}</span>` : ''}`,
    ...(names.size > 1 ? [names.get(instanceId) ?? instanceId] : []),
    html`<span class="${tone}"><span aria-hidden="true">${sign}</span> ${text}</span>${period.isBillable ? '' : html`<br><a href="${coverageOf(period, yesterday)}">day by day</a>`}`,
    describePeriod(period, yesterday),
    payloads === null ? '–' : showNumber(payloads),
    devices === null ? '–' : showNumber(devices),
  ];
}

/** The form and the links by which the list is narrowed and ordered. */
function renderChoice(periods: readonly OrganizationPeriod[], query: MonthQuery): Html {
  const counts = countStates(periods);
  const link = (text: string, change: Partial<MonthQuery>, isChosen: boolean) =>
    html`<a href="${addressOf(pathOf(query), choiceOf({ ...query, ...change }))}"${isChosen ? html` aria-current="true"` : ''}>${text}</a> `;
  return html`<form method="get" action="${pathOf(query)}" role="search">
<label class="hidden" for="q">Name, referral id or id</label>
<input id="q" name="q" type="search" value="${query.search}" placeholder="Name, referral id or id">
${query.state === null ? '' : html`<input type="hidden" name="state" value="${query.state}">`}
${query.order === 'state' ? '' : html`<input type="hidden" name="order" value="${query.order}">`}
<button type="submit">Search</button></form>
<nav aria-label="States"><p>${link(`all ${showNumber(periods.length)}`, { state: null }, query.state === null)}
${PERIOD_STATES.filter((state) => counts[state] > 0).map((state) => link(`${STATES[state][1]} ${showNumber(counts[state])}`, { state }, query.state === state))}</p></nav>
<nav aria-label="Order"><p>Order: ${link('not ready first', { order: 'state' }, query.order === 'state')} ${link('most payloads first', { order: 'payloads' }, query.order === 'payloads')}</p></nav>`;
}

/** The map of its days, up to the end of the period. */
function coverageOf({ orgId, to }: OrganizationPeriod, yesterday: UsageDay): string {
  return addressOf('/coverage', { q: orgId, to: earliestDay(to, yesterday) });
}

function select(periods: readonly OrganizationPeriod[], query: MonthQuery): OrganizationPeriod[] {
  const { state, order } = query;
  const search = query.search.toLowerCase();
  const found = periods.filter(
    (period) =>
      (state === null || stateOfPeriod(period) === state) &&
      (search === '' ||
        period.orgId.startsWith(search) ||
        period.name.toLowerCase().includes(search) ||
        (period.referralId ?? '').toLowerCase().includes(search)),
  );
  // They come by name, which is kept among equals.
  if (order === 'payloads') return found.sort((a, b) => (b.payloads ?? -1) - (a.payloads ?? -1));
  const rank = (period: OrganizationPeriod) => PERIOD_STATES.indexOf(stateOfPeriod(period));
  return found.sort((a, b) => rank(a) - rank(b));
}

function pathOf({ month }: MonthQuery): string {
  return `/months/${month}`;
}

function choiceOf({ search, state, order }: MonthQuery): Record<string, string> {
  return { q: search, state: state ?? '', order: order === 'state' ? '' : order };
}
