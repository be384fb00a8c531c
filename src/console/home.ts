import { html } from 'hono/html';
import { addUpDays, isLevel, monthToDate, type UsageTotals } from '../queries/usage-totals.ts';
import { count, formatDays, showChange, showCode, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import { findWorstStanding, standings, sumStandings } from '../usage/standing.ts';
import { renderAttention } from './attention.ts';
import { type CachedRead, describeReadFailure } from './cached-reads.ts';
import { renderChart, showLongDay } from './chart.ts';
import { addressOf, type Html, renderInstant, renderPill, showMonth } from './elements.ts';
import { linkToMonth, type MonthRow, recallMonths, renderMonthState } from './months.ts';
import { type ConsolePage, type PageRequest, RELOAD_SECONDS, renderCount } from './page.ts';
import {
  type DatabaseView,
  type InstanceStatus,
  isRunInProgress,
  nameInstance,
  toVisibleHealth,
  wasRead,
} from './sources.ts';
import { CHART_METRICS, type ChartMetric, COMPARISONS, recallTotals } from './usage-query.ts';

const HOME_RELOAD_SECONDS = 60;
/** An older snapshot is shown with its age, because it may be outdated. */
const OLD_SNAPSHOT_MS = 120_000;
/** How long the page waits for a newer snapshot of the status. */
const SNAPSHOT_WAIT_MS = 100;

/** Whether yesterday is complete, what needs attention, and the month so far. Works without a database. */
export const homePage: ConsolePage = {
  path: '/',
  subject: 'Home',
  show: async (request) => {
    const { nowMs } = request;
    const range = monthToDate(nowMs);
    const sumUp = (metric: ChartMetric) => recallTotals(request, { metric, range, comparison: 'same_weekdays' });
    const [view, payloads, devices, minutes, months] = await Promise.all([
      request.database(SNAPSHOT_WAIT_MS),
      sumUp('payload_billable_count'),
      sumUp('devices_total'),
      sumUp('notebook_minutes'),
      recallMonths(request),
    ]);
    const health = toVisibleHealth(view);
    const { instances: statuses, version, host, startedAt } = request.status();
    const { day, tone, label, sentence } = describeYesterday(view, statuses, nowMs);
    const body = html`<h1>${showDay(day, nowMs)} ${renderPill(tone, label)}</h1>
<p class="quiet">${[sentence, ...describeScope(request, view)].join(' · ')}</p>
${statuses.map((status) => renderProgress(status, nameInstance(request.instanceIds, health, status.instanceId)))}
${renderAttention(request, health)}
<h2>${showMonth(range.to)} so far</h2>
<div class="cards">
<section class="card">${renderTotal(payloads, 'payload_billable_count', renderDays)}
<p><a href="/usage">Days, growth and plans</a> · <a
  href="/organizations?sort=-payload_billable_count">Organizations by payloads</a></p></section>
<section class="card">${renderTotal(devices, 'devices_total')}</section>
<section class="card">${renderTotal(minutes, 'notebook_minutes')}</section>
<section class="card"><h3><a href="/billing">Billing</a></h3>${renderCount(
      months,
      'The months',
      renderLastMonths,
    )}</section>
</div>
<footer class="quiet">Version ${version} on ${host}, started ${renderInstant(startedAt)} · <a
  href="/status.json">status.json</a> · <a href="/metrics">metrics</a></footer>`;
    const reloadSeconds = health === null ? RELOAD_SECONDS : HOME_RELOAD_SECONDS;
    return { title: 'Home', body, reloadSeconds };
  },
};

const showFullDay = formatDays({ weekday: 'long', day: 'numeric', month: 'long' });

/** Returns `Yesterday, Friday 27 November`, or only the day if it is no longer yesterday. */
function showDay(day: UsageDay, nowMs: number): string {
  const text = showFullDay(day).replace(',', '');
  return day === addDays(dayAt(nowMs), -1) ? `Yesterday, ${text}` : text;
}

function renderProgress({ progress }: InstanceStatus, label: string): Html | string {
  if (progress === null) return '';
  const { plannedCells, readCells, startedAt } = progress;
  return html`<p><progress max="${Math.max(plannedCells, 1)}" value="${readCells}"
  aria-label="Cells read, out of those due"></progress> ${showNumber(readCells)} of ${count(plannedCells, 'cell')}
  read since ${renderInstant(startedAt)}${label !== '' && ` · ${label}`}</p>`;
}

/**
 * Says in one line whether the day is complete that was yesterday when reading the status began. Instances are ignored
 * until their first run has finished.
 */
function describeYesterday(
  { isUp, snapshot, error }: DatabaseView,
  statuses: readonly InstanceStatus[],
  nowMs: number,
) {
  const day = addDays(snapshot?.value.at.slice(0, 10) ?? dayAt(nowMs), -1);
  if (!isUp || snapshot === null) {
    const problem = isUp ? describeReadFailure(error) : 'the database is not responding';
    const isReading = isUp && error === undefined;
    const sentence = isReading ? 'The status is being read' : `The status could not be read: ${problem}`;
    return { day, tone: isReading ? 'quiet' : 'bad', label: 'unknown', sentence };
  }
  const instances = snapshot.value.instances.filter((each) => each.lastRunAt !== null && wasRead(each));
  if (instances.length === 0) {
    // Another process may run them.
    const isRunning = isRunInProgress(snapshot.value.instances) || statuses.some(({ progress }) => progress !== null);
    const sentence = isRunning ? 'The first run is in progress' : 'Nothing has been loaded yet';
    return { day, tone: 'quiet', label: 'not read yet', sentence };
  }
  const streams = instances.flatMap((instance) => instance.streams);
  const expected = streams.reduce((sum, { yesterdayExpected }) => sum + yesterdayExpected, 0);
  const counts = sumStandings(streams.map(({ yesterday }) => yesterday));
  const worst = findWorstStanding(standings.filter((standing) => counts[standing] > 0));
  const stored = Math.max(0, expected - counts.waiting - counts.unavailable - counts.missing);
  const exceptions = (['missing', 'in_doubt', 'unavailable', 'waiting'] as const)
    .filter((standing) => counts[standing] > 0)
    .map((standing) => `, ${showNumber(counts[standing])} ${showCode(standing)}`)
    .join('');
  const sentence = `${showNumber(stored)} of ${count(expected, 'expected cell')} stored${exceptions}`;
  if (expected === 0) return { day, tone: 'quiet', label: 'nothing expected', sentence: 'No cells are expected' };
  if (worst === null || worst === 'unavailable') return { day, tone: 'good', label: 'complete', sentence };
  if (worst !== 'waiting') return { day, tone: 'bad', label: 'incomplete', sentence };
  return { day, tone: 'quiet', label: stored === 0 ? 'not read yet' : 'in progress', sentence };
}

function describeScope({ status, nowMs }: PageRequest, view: DatabaseView): readonly string[] {
  const { instances: statuses, nextWakeAt } = status();
  const { snapshot, error } = view;
  const instances = toVisibleHealth(view)?.instances.filter(wasRead) ?? [];
  const organizations = instances.reduce((sum, each) => sum + each.organizations, 0);
  const ageMs = snapshot === null ? 0 : nowMs - snapshot.atMs;
  const slowness =
    error === undefined ? 'refreshing it is slow' : `refreshing it failed: ${describeReadFailure(error)}`;
  return [
    instances.length === 0 ? '' : count(organizations, 'organization'),
    statuses.length === 1 ? '' : count(statuses.length, 'instance'),
    nextWakeAt === null ? 'no run is scheduled' : `next run ${showWhen(nextWakeAt, nowMs)}`,
    ageMs < OLD_SNAPSHOT_MS ? '' : `as of ${showDistance(-ageMs)}; ${slowness}`,
  ].filter((part) => part !== '');
}

function renderTotal(
  read: CachedRead<UsageTotals>,
  metric: ChartMetric,
  render: (totals: UsageTotals) => Html | string = () => '',
): Html {
  const { label } = CHART_METRICS[metric];
  return html`<h3>${label}</h3>${renderCount(read, `The ${label.toLowerCase()}`, (totals) => {
    const { total, valuesNotStored, change } = addUpDays(metric, totals.days);
    if (total === null && valuesNotStored === 0) return html`<p class="quiet">Nothing is stored.</p>`;
    const remark = html`<span class="bad">${count(valuesNotStored, 'value is', 'values are')} not stored</span>`;
    return html`<strong>${total === null ? '–' : showNumber(total)}${
      valuesNotStored > 0 && html` <span class="bad">?</span>`
    }</strong>
<p class="quiet">${describeChange(metric, change, totals.days)}${valuesNotStored > 0 && html` · ${remark}`}</p>${render(
      totals,
    )}`;
  })}`;
}

/** A level is that of the last day that can be compared, and is compared with its number some weeks before. */
function describeChange(metric: ChartMetric, change: number | null, days: UsageTotals['days']): string {
  const comparedDay = days.findLast(({ pair }) => pair !== null)?.comparedDay ?? null;
  if (change === null || comparedDay === null) return 'no comparison';
  const comparison = isLevel(metric) ? `since ${showLongDay(comparedDay)}` : 'compared with the same weekdays before';
  return `${showChange(change)} ${comparison}`;
}

function renderDays({ days }: UsageTotals): Html {
  return renderChart({
    unit: 'payloads',
    days,
    comparison: COMPARISONS.same_weekdays,
    addressOf: (day) => addressOf('/usage', { from: day, to: day }),
  });
}

const LAST_MONTHS = 2;

function renderLastMonths(months: readonly MonthRow[]): Html {
  if (months.length === 0) return html`<p class="quiet">Nothing has been loaded yet.</p>`;
  const endedMonths = months.filter(({ state }) => state !== 'in_progress');
  const newest = [...new Set(endedMonths.map(({ month }) => month))].slice(0, LAST_MONTHS);
  if (newest.length === 0) return html`<p class="quiet">No month has ended yet.</p>`;
  const lastMonths = endedMonths.filter(({ month }) => newest.includes(month));
  return html`${lastMonths.map((month) => renderMonthState(month, linkToMonth(month.month)))}`;
}
