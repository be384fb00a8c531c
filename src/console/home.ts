import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { Health, RunRecord } from '../queries/health.ts';
import { countComparisons } from '../queries/reconciliation.ts';
import { addUpDays, CHART_METRICS, type ChartMetric, type DayTotal, monthToDate } from '../queries/usage-totals.ts';
import { count, formatDays, joinParts, showCode, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';
import { findWorstStanding, standings, sumStandings } from '../usage/standing.ts';
import { recallMonths, renderMonthState } from './billing.ts';
import { type CachedRead, describeReadFailure } from './cached-reads.ts';
import { renderChart } from './chart.ts';
import { addressOf, type Html, linkTo, renderInstant, renderPill, showMonth } from './elements.ts';
import { renderAttention } from './inbox.ts';
import { type ConsolePage, type PageRequest, RELOAD_SECONDS, renderCount } from './page.ts';
import { type DatabaseView, type RunProgress, toVisibleHealth } from './sources.ts';
import { renderHtmlTable } from './table.ts';
import { recallDays } from './usage.ts';

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
    const { nowMs, recall } = request;
    const range = monthToDate(nowMs);
    const comparedDays = { from: addDays(range.to, 1 - COMPARED_DAYS), to: range.to };
    const sumUp = (metric: ChartMetric) => recallDays(request, { metric, range });
    const [view, payloads, devices, minutes, months, differences] = await Promise.all([
      request.database(SNAPSHOT_WAIT_MS),
      sumUp('payload_billable_count'),
      sumUp('devices_total'),
      sumUp('notebook_minutes'),
      recallMonths(request),
      recall(['differences', range.to], (db) => countComparisons(db, comparedDays)),
    ]);
    const health = toVisibleHealth(view);
    const status = request.status();
    const { day, tone, label, sentence } = describeYesterday(view, status.progress !== null, nowMs);
    const lacking = tone === 'bad' && health !== null ? await recallLackingCells(request, day) : null;
    const body = html`<h1>${showDay(day, nowMs)} ${renderPill(tone, label)}</h1>
<p class="quiet">${[sentence, ...describeScope(request, view)].join(' · ')}</p>
${status.progress !== null && renderProgress(status.progress)}
${lacking !== null && renderCount(lacking, 'What is missing', (rows) => renderLackingCells(day, rows))}
${renderAttention(health, status.problem)}
<h2>${showMonth(range.to)} so far</h2>
<div class="cards">
<section class="card">${renderTotal(payloads, 'payload_billable_count', renderDays)}
<p>${linkTo('/usage', {}, 'Other metrics and days')} · ${linkTo(
      '/organizations',
      { sort: '-payload_billable_count' },
      'Organizations by payloads',
    )}</p></section>
<section class="card">${renderTotal(devices, 'devices_total')}</section>
<section class="card">${renderTotal(minutes, 'notebook_minutes')}</section>
<section class="card"><h3><a href="/billing">Months to bill</a></h3>${renderCount(months, 'The months', (rows) => {
      const endedMonths = rows.filter(({ hasEnded, state }) => hasEnded && state !== 'closed');
      return endedMonths.length === 0
        ? html`<p class="quiet">None.</p>`
        : html`${endedMonths.slice(0, MAX_MONTHS).map(renderMonthState)}`;
    })}</section>
<section class="card"><h3><a href="/reconciliation">Agreement with Losant</a></h3>${renderCount(
      differences,
      'The comparison',
      renderDifferences,
    )}</section>
<section class="card"><h3>Last run</h3>${renderLastRun(health)}</section>
</div>
<footer class="quiet">Version ${status.version} on ${status.host}, started ${renderInstant(status.startedAt)} · <a
  href="/status.json">status.json</a> · <a href="/metrics">metrics</a></footer>`;
    const reloadSeconds = health === null ? RELOAD_SECONDS : HOME_RELOAD_SECONDS;
    return { title: 'Home', body, reloadSeconds };
  },
};

const MAX_MONTHS = 3;
/** How many days Home compares with Losant's totals. */
const COMPARED_DAYS = 30;

const showFullDay = formatDays({ weekday: 'long', day: 'numeric', month: 'long' });

/** Returns `Yesterday, Friday 27 November`, or only the day if it is no longer yesterday. */
function showDay(day: UsageDay, nowMs: number): string {
  const text = showFullDay(day).replace(',', '');
  return day === addDays(dayAt(nowMs), -1) ? `Yesterday, ${text}` : text;
}

function renderProgress({ plannedCells, readCells, startedAt }: RunProgress): Html {
  return html`<p><progress max="${Math.max(plannedCells, 1)}" value="${readCells}"
  aria-label="Cells read, out of those due"></progress> ${showNumber(readCells)} of ${count(plannedCells, 'cell')}
  read since ${renderInstant(startedAt)}</p>`;
}

/**
 * Says in one line whether the day is complete that was yesterday when reading the status began. Only a day of which
 * every expected cell is stored is green.
 */
function describeYesterday({ isUp, snapshot, error }: DatabaseView, isWorking: boolean, nowMs: number) {
  const day = addDays(snapshot?.value.at.slice(0, 10) ?? dayAt(nowMs), -1);
  if (!isUp || snapshot === null) {
    const problem = isUp ? describeReadFailure(error) : 'the database is not responding';
    const isReading = isUp && error === undefined;
    const sentence = isReading ? 'The status is being read' : `The status could not be read: ${problem}`;
    return { day, tone: isReading ? 'quiet' : 'bad', label: 'unknown', sentence };
  }
  const { instance, streams } = snapshot.value;
  if (instance === null || instance.lastRunAt === null || instance.neverReadSince !== null) {
    // Another process may run.
    const isRunning = isWorking || (instance !== null && instance.leaseAcquiredAt !== null);
    const sentence = isRunning ? 'The first run is in progress' : 'Nothing has been loaded yet';
    return { day, tone: 'quiet', label: 'not read yet', sentence };
  }
  return { day, ...describeDay(streams) };
}

function describeDay(streams: Health['streams']) {
  const expected = streams.reduce((sum, { yesterdayExpected }) => sum + yesterdayExpected, 0);
  if (expected === 0) return { tone: 'quiet', label: 'nothing expected', sentence: 'No cells are expected' };
  const counts = sumStandings(streams.map(({ yesterday }) => yesterday));
  const worst = findWorstStanding(standings.filter((standing) => counts[standing] > 0));
  const stored = Math.max(0, expected - counts.waiting - counts.unavailable - counts.missing);
  const exceptions = (['missing', 'in_doubt', 'unavailable', 'waiting'] as const)
    .filter((standing) => counts[standing] > 0)
    .map((standing) => `, ${showNumber(counts[standing])} ${showCode(standing)}`)
    .join('');
  const sentence = `${showNumber(stored)} of ${count(expected, 'expected cell')} stored${exceptions}`;
  if (worst === null) return { tone: 'good', label: 'complete', sentence };
  if (worst === 'waiting') return { tone: 'quiet', label: stored === 0 ? 'not read yet' : 'in progress', sentence };
  if (worst !== 'unavailable') return { tone: 'bad', label: 'incomplete', sentence };
  if (counts.waiting > 0) return { tone: 'warn', label: 'in progress', sentence };
  return { tone: 'warn', label: `complete, ${showNumber(counts.unavailable)} unavailable`, sentence };
}

function describeScope({ status, nowMs }: PageRequest, view: DatabaseView): readonly string[] {
  const { nextWakeAt } = status();
  const { snapshot, error } = view;
  const instance = toVisibleHealth(view)?.instance ?? null;
  const ageMs = snapshot === null ? 0 : nowMs - snapshot.atMs;
  const slowness =
    error === undefined ? 'refreshing it is slow' : `refreshing it failed: ${describeReadFailure(error)}`;
  return [
    instance === null || instance.neverReadSince !== null ? '' : count(instance.organizations, 'organization'),
    nextWakeAt === null ? 'no run is scheduled' : `next run ${showWhen(nextWakeAt, nowMs)}`,
    ageMs < OLD_SNAPSHOT_MS ? '' : `as of ${showDistance(-ageMs)}; ${slowness}`,
  ].filter((part) => part !== '');
}

type LackingRow = { readonly org_id: string; readonly org_name: string; readonly streams: string };

const MAX_LACKING_ORGS = 10;

/** Reads which organizations lack something of a day, and why. */
async function recallLackingCells({ recall }: PageRequest, day: UsageDay) {
  return await recall(['lacking cells', day], async (db: Kysely<Schema>) => {
    const { rows } = await sql<LackingRow>`
      select g.org_id, g.org_name, g.standing, concat_ws(': ', g.reason, g.detail) as cause,
        string_agg(g.stream, ', ' order by g.stream) as streams, min(g.next_read_at) as next_read_at,
        ${day}::date as usage_date
      from losant_usage.coverage_gaps g where g.usage_date = ${day}::date
      group by g.org_id, g.org_name, g.standing, g.reason, g.detail
      order by g.standing desc, g.org_name, g.org_id limit ${MAX_LACKING_ORGS + 1}`.execute(db);
    return rows;
  });
}

function renderLackingCells(day: UsageDay, rows: readonly LackingRow[]): Html {
  if (rows.length === 0) return html``;
  const hasMore = rows.length > MAX_LACKING_ORGS;
  return html`<h2>Missing on this day</h2>${renderHtmlTable(rows.slice(0, MAX_LACKING_ORGS), [
    'org_name',
    'streams',
    'standing',
    'cause',
    'next_read_at',
    'usage_date',
  ])}${hasMore && html`<p>${linkTo('/gaps', { usage_date: day }, 'View all gaps of this day')}</p>`}`;
}

function renderTotal(
  read: CachedRead<readonly DayTotal[]>,
  metric: ChartMetric,
  render: (days: readonly DayTotal[]) => Html | string = () => '',
): Html {
  const { label } = CHART_METRICS[metric];
  return html`<h3>${label}</h3>${renderCount(read, `The ${label.toLowerCase()}`, (days) => {
    const { total, notStored } = addUpDays(metric, days);
    if (total === null && notStored === 0) return html`<p class="quiet">Nothing is stored.</p>`;
    const mark = notStored > 0 && html` <span class="bad">?</span>`;
    return html`<strong>${total === null ? '–' : showNumber(total)}${mark}</strong>${
      notStored > 0 && html`<p class="bad">${count(notStored, 'number is', 'numbers are')} not stored</p>`
    }${render(days)}`;
  })}`;
}

function renderDays(days: readonly DayTotal[]): Html {
  return renderChart({
    unit: 'payloads',
    days,
    addressOf: (day) => addressOf('/usage', { from: day, to: day }),
  });
}

type ComparisonCounts = Awaited<ReturnType<typeof countComparisons>>;

function renderDifferences({ differences, equal, pending, notCompared, days }: ComparisonCounts): Html {
  const otherCounts = joinParts(
    ' · ',
    `${showNumber(equal)} equal`,
    pending > 0 && `${showNumber(pending)} pending`,
    notCompared > 0 && `${showNumber(notCompared)} not compared`,
  );
  const scope = html`<p class="quiet">${count(days, 'day')} of the last ${COMPARED_DAYS}: ${otherCounts}</p>`;
  if (differences > 0) {
    const link = linkTo('/reconciliation', { outcome: 'difference' }, 'View');
    return html`<p>${renderPill('bad', count(differences, 'difference'))} ${link}</p>${scope}`;
  }
  return equal === 0
    ? html`<p>${renderPill('quiet', 'not compared')}</p>${scope}`
    : html`<p>${renderPill('good', 'no difference')}</p>${scope}`;
}

const RUN_TONES: Readonly<Record<RunRecord['status'], string>> = {
  running: 'quiet',
  complete: 'good',
  partial: 'bad',
  failed: 'bad',
  interrupted: 'warn',
};

/** Renders the newest run of any process. */
function renderLastRun(health: Health | null): Html {
  if (health === null) return html`<p class="quiet">Not known.</p>`;
  const [run] = health.runs;
  if (run === undefined) return html`<p class="quiet">There was none.</p>`;
  const { status, startedAt, counts, failures, error } = run;
  const { loaded } = counts.cells ?? {};
  const causes = failures.map(({ code, cells }) => joinParts(' ', code, cells > 0 && showNumber(cells))).join(', ');
  return html`<p>${renderPill(RUN_TONES[status], status)} ${renderInstant(startedAt)}</p>
<p class="quiet">${joinParts(' · ', loaded !== undefined && `${count(loaded, 'cell')} loaded`, causes, error)}</p>`;
}
