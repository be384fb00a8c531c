/** The page of a month: whether it can be invoiced, what was closed, and its organizations. */
import { html } from 'hono/html';
import {
  describeBlocker,
  type InvoicedMonth,
  type MonthEntry,
  type OrganizationPeriod,
  PERIODS_MAX,
  readMonths,
  type Statement,
} from '../billing/month.ts';
import { capitalize, count, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, earliestDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import { STANDINGS, standings } from '../usage/standing.ts';
import {
  addressOf,
  type Column,
  column,
  instanceColumn,
  matchesSearch,
  numberColumn,
  type Query,
  readChoice,
  readPageNumber,
  readSearch,
  renderHidden,
  renderPages,
  renderTable,
  textColumn,
} from './lists.ts';
import { checkMonth, judgeMonth, type MonthFacts, type MonthStep, renderChecklist } from './month-judge.ts';
import {
  AGAIN_S,
  type Html,
  nameOfMonth,
  renderAwayPage,
  renderCopy,
  renderDistance,
  renderInstant,
  renderLink,
  renderMissing,
  renderPage,
  renderStanding,
  showMonth,
  worstFirst,
} from './page.ts';
import type { Reading } from './readings.ts';
import { sumOf } from './shapes.ts';
import { type ConsolePage, instanceNames, type Names, READING_WAIT_MS, readOrNull } from './sources.ts';

/** The filters of organizations: those that can be invoiced, those that cannot, or those of one standing. */
const FILTERS = ['ready', 'blocked', ...standings] as const;
type Filter = (typeof FILTERS)[number];

/** The choices in the address; '' for a filter that is not set or not valid. */
type MonthQuery = ReturnType<typeof readQuery>;
type Filters = MonthQuery['filters'];

function readQuery(given: Query) {
  return {
    filters: {
      q: readSearch(given['q']),
      show: readChoice(given['show'], FILTERS),
      /** The order: the largest first, or by default what cannot be invoiced, the worst of it at the top. */
      order: readChoice(given['order'], ['payloads']),
    },
    page: readPageNumber(given['page']),
    /** Whether all organizations are on one page, to be printed. */
    isWhole: given['all'] !== undefined,
  };
}

const PATH = '/months';

/** The page of a month; by default the newest that is over, or the first while none is. */
export const monthsPage: ConsolePage = { path: PATH, open: openMonth };
export const monthPage: ConsolePage = { path: `${PATH}/:month`, open: openMonth };

function openMonth(sources: Parameters<ConsolePage['open']>[0]): ReturnType<ConsolePage['open']> {
  return async (c) => {
    const [view, months] = await Promise.all([
      sources.database(READING_WAIT_MS),
      readOrNull(sources, readMonths),
    ]);
    if (months === null || !view.isUp) return c.html(renderAwayPage({ title: 'Months', path: PATH }), 503);
    const asked = c.req.param('month');
    const entry = asked === undefined ? newest(months) : months.find(({ month }) => month === asked);
    if (entry === undefined && asked !== undefined) return c.html(renderUnknown(asked), 404);
    if (entry === undefined) {
      const body = html`<h1>Nothing has been exported yet.</h1><p>The first run begins the first month.</p>`;
      return c.html(renderPage({ title: 'Months', path: PATH, body }));
    }
    const reading = await sources.month(entry.month);
    if (reading === null) {
      c.header('refresh', String(AGAIN_S));
      const title = showMonth(entry.month);
      const body = html`<h1>${title} is being counted.</h1>
<p>It takes a moment with many organizations. This page reloads by itself.</p>
${renderMonthChoice(months, entry.month)}`;
      return c.html(renderPage({ title, path: PATH, body }));
    }
    const instances = view.reading?.value.instances ?? [];
    const context = {
      ...{ query: readQuery(c.req.query()), names: instanceNames(view), nowMs: sources.now() },
      hasRun: instances.length > 0 && instances.every(({ hasRun }) => hasRun),
    };
    return c.html(renderMonth(reading, months, context));
  };
}

function newest(months: readonly MonthEntry[]): MonthEntry | undefined {
  return months.find(({ isOver }) => isOver) ?? months[0];
}

interface MonthContext {
  readonly query: MonthQuery;
  readonly names: Names;
  /** Whether the first run is over; before that nothing is an alarm. */
  readonly hasRun: boolean;
  readonly nowMs: number;
}

function renderMonth(
  { value, atMs }: Reading<InvoicedMonth>,
  months: readonly MonthEntry[],
  context: MonthContext,
): Html {
  const { nowMs, names, hasRun } = context;
  const { month, periods, statements, differing } = value;
  const name = showMonth(month);
  const choice = renderMonthChoice(months, month);
  if (periods === null) {
    const body = html`<h1>${name} has more organizations than this page shows.</h1>
<p>It shows ${showNumber(PERIODS_MAX)} at most. Ask the view <code>period_usage</code>, or <code>losant-usage close --period ${month} --dry-run</code>.</p>${choice}`;
    return renderPage({ title: name, path: PATH, body });
  }
  const facts = { ...value, periods, yesterday: addDays(dayAt(nowMs), -1), hasRun };
  const verdict = judgeMonth(facts);
  const body = html`<h1 class="${verdict.tone}">${verdict.sentence}</h1>
<p class="quiet">Counted ${renderDistance(new Date(atMs).toISOString(), nowMs)}.</p>
${choice}
${renderChecklist(checkMonth(facts))}
${verdict.steps.length === 0 ? '' : html`<ul class="steps">${verdict.steps.map(renderStep)}</ul>`}
${differing === 0 ? '' : html`<p><a href="/changes?month=${month}&amp;which=closed">Numbers of ${name} that changed after it was closed</a></p>`}
${renderInstances(periods, statements, names, nowMs)}
${renderPeriods(facts, context)}`;
  return renderPage({ title: name, path: PATH, body });
}

/** `renderStep` lists the actions for each organization as lines to copy. */
function renderStep({ text, actions }: MonthStep): Html {
  const [first, ...others] = actions;
  if (first === undefined) return html`<li>${text}</li>`;
  if (others.length === 0) return html`<li>${text} ${renderAction(first)}</li>`;
  return html`<li>${text} <details><summary>What to do, ${showNumber(actions.length)} lines</summary>${renderCopy(actions.join('\n'), 'Copy all lines', 'Copy all')}<pre>${actions.join('\n')}</pre></details></li>`;
}

function renderAction(action: string): Html | string {
  return action.startsWith('losant-usage ')
    ? html`<code>${action}</code> ${renderCopy(action, 'Copy the command', 'Copy')}`
    : capitalize(action);
}

function renderUnknown(asked: string): Html {
  return renderMissing({
    path: PATH,
    title: 'Unknown month',
    sentence: `There is no month ${asked} here.`,
    hint: html`Nothing is tracked in it, or it is not written like 2026-10. <a href="${PATH}">The newest month that is over</a> leads to the others.`,
  });
}

function renderMonthChoice(months: readonly MonthEntry[], shown: Month): Html {
  const years = [...Map.groupBy(months, ({ month }) => month.slice(0, 4))];
  const link = ({ month, isOver, isClosed }: MonthEntry) => {
    const mark = isClosed ? ' closed' : isOver ? '' : ' not over';
    return html`<span class="whole"><a href="${PATH}/${month}"${month === shown ? html` aria-current="true"` : ''}>${nameOfMonth(month)}</a><span class="quiet">${mark}</span></span> `;
  };
  return html`<nav class="months" aria-label="Months">${years.map(([year, each]) => html`<p>${year}: ${each.map(link)}</p>`)}</nav>`;
}

const PERIODS_PER_PAGE = 50;

/** `renderInstances` counts organizations by standing and shows what was closed, by instance. */
function renderInstances(
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
    numberColumn('Billable payloads', ([, each]) => sumOf(each.map(({ payloads }) => payloads))),
    textColumn('Closed', ([instanceId]) => closing(instanceId)),
  ]);
}

function countOf(periods: readonly OrganizationPeriod[], filter: Filter): number {
  return periods.filter((period) => isChosen(period, filter)).length;
}

function isChosen({ isBillable, standing }: OrganizationPeriod, filter: Filter | ''): boolean {
  if (filter === '') return true;
  if (filter === 'ready' || filter === 'blocked') return isBillable === (filter === 'ready');
  return standing === filter;
}

function renderPeriods({ month, periods, yesterday }: MonthFacts, context: MonthContext): Html {
  const { filters, page, isWhole } = context.query;
  const path = `/months/${month}`;
  const found = select(periods, filters);
  const from = (page - 1) * PERIODS_PER_PAGE;
  const shown = isWhole ? found : found.slice(from, from + PERIODS_PER_PAGE);
  return html`<h2>Organizations</h2>
${renderChoice(periods, path, filters)}
<p class="quiet">${count(found.length, 'organization')}${filters.q === '' ? '' : ` with “${filters.q}”`}${shown.length === 0 && found.length > 0 ? ', none on this page' : ''}.
Payloads are the billable ones of the days stored; devices those of the last day stored. <a href="${path}/usage.csv" download>Every number of the month as CSV</a>${found.length > shown.length ? html` · <a href="${addressOf(path, { ...filters, all: '1' })}">All on one page, to print</a>` : ''}</p>
${shown.length === 0 ? '' : renderTable(shown, columnsOf({ month, yesterday }, context))}
${isWhole ? '' : renderPages({ path, query: filters, page, found: found.length, perPage: PERIODS_PER_PAGE })}`;
}

function columnsOf(
  { month, yesterday }: Pick<MonthFacts, 'month' | 'yesterday'>,
  { names, hasRun }: MonthContext,
): Column<OrganizationPeriod>[] {
  const days = daysOfMonth(month);
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
  const filterLink = (filter: Filter, text: string) => {
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
  const found = periods.filter((period) => isChosen(period, show) && matchesSearch(period, q));
  // The periods come by name, and the sort keeps that order among equals.
  if (order === 'payloads') return found.sort((a, b) => (b.payloads ?? -1) - (a.payloads ?? -1));
  return found.sort((a, b) => rankOf(b) - rankOf(a));
}

function rankOf({ isBillable, standing }: OrganizationPeriod): number {
  if (isBillable) return -1;
  return standing === null ? standings.length : standings.indexOf(standing);
}
