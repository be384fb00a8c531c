import { html } from 'hono/html';
import type { Health } from '../queries/health.ts';
import { type MonthSum, SUM_LABELS } from '../queries/month-sums.ts';
import { count, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { findWorstCounted, STANDINGS, sumStandings } from '../usage/standing.ts';
import { renderAttention } from './attention.ts';
import type { Counts } from './counts.ts';
import { renderMonths } from './months.ts';
import { COUNTING, type ConsolePage, type Html, RELOAD_SECONDS, renderInstant, showMonth } from './page.ts';
import { type DatabaseView, type InstanceStatus, toVisibleHealth, type WorkerStatus } from './sources.ts';
import { showChange } from './table.ts';

const HOME_RELOAD_SECONDS = 60;
/** An older snapshot is shown with its age, because it may be outdated. */
const OLD_SNAPSHOT_MS = 120_000;
/** How long the page waits for a newer snapshot of the status. */
const SNAPSHOT_WAIT_MS = 100;

/** Yesterday in one line, what needs attention, billing, and the month so far. Works without a database. */
export const homePage: ConsolePage = {
  path: '/',
  navPath: '/',
  show: async ({ database, getCounts, status: readStatus, nowMs }) => {
    const [view, counts] = await Promise.all([database(SNAPSHOT_WAIT_MS), getCounts()]);
    const [status, health] = [readStatus(), toVisibleHealth(view)];
    const { instances: statuses } = status;
    const { tone, label, sentence } = describeYesterday(health, statuses, nowMs);
    const body = html`<h1>Yesterday: <span class="${tone}">${label}</span></h1>
<p>${sentence}</p>
<p class="quiet">${describeScope(health, { status, view, nowMs })}</p>
${statuses.map(renderProgress)}
${health !== null && renderAttention(health, statuses, nowMs)}
${counts === null ? COUNTING : html`${renderBilling(counts)}${renderMonth(counts.sums)}`}
<p class="quiet">Version ${status.version} on ${status.host}, started ${renderInstant(status.startedAt)} · <a
  href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>`;
    return {
      title: 'Home',
      body,
      reloadSeconds: health === null || counts === null ? RELOAD_SECONDS : HOME_RELOAD_SECONDS,
    };
  },
};

function renderProgress({ progress }: InstanceStatus): Html | string {
  if (progress === null) return '';
  const { plannedCells, readCells, startedAt } = progress;
  return html`<p><progress max="${Math.max(plannedCells, 1)}" value="${readCells}"
  aria-label="Cells read, out of those due"></progress> ${showNumber(readCells)} of ${count(plannedCells, 'cell')}
  read since ${renderInstant(startedAt)}</p>`;
}

interface YesterdayStatus {
  readonly tone: 'good' | 'bad' | 'quiet';
  readonly label: string;
  readonly sentence: string;
}

/** Says in one line whether yesterday is complete. Instances are ignored until their first run has finished. */
function describeYesterday(
  health: Health | null,
  statuses: readonly InstanceStatus[],
  nowMs: number,
): YesterdayStatus {
  if (health === null)
    return {
      tone: 'bad',
      label: 'unknown',
      sentence: 'The database is not responding, or is still being read.',
    };
  const instances = health.instances.filter(
    (each) => each.lastRunAt !== null && each.neverReadSince === null,
  );
  if (instances.length === 0) {
    const isRunning = statuses.some(({ progress }) => progress !== null);
    const sentence = isRunning ? 'The first run is in progress.' : 'Nothing has been loaded yet.';
    return { tone: 'quiet', label: 'not read yet', sentence };
  }
  const day = addDays(dayAt(nowMs), -1);
  const streams = instances.flatMap((instance) => instance.streams);
  const expected = streams.reduce((sum, { orgs }) => sum + orgs, 0);
  const counts = sumStandings(streams.map(({ yesterday }) => yesterday));
  const worst = findWorstCounted(counts);
  const stored = Math.max(0, expected - counts.waiting - counts.unavailable - counts.missing);
  const exceptions = (['missing', 'in_doubt', 'unavailable', 'waiting'] as const)
    .filter((standing) => counts[standing] > 0)
    .map((standing) => `; ${showNumber(counts[standing])} ${STANDINGS[standing].label}`)
    .join('');
  const sentence = `${showNumber(stored)} of ${count(expected, 'expected cell')} for ${day} are stored${exceptions}.`;
  if (expected === 0)
    return { tone: 'quiet', label: 'nothing expected', sentence: `No cells are expected for ${day}.` };
  if (worst === null || worst === 'unavailable') return { tone: 'good', label: 'complete', sentence };
  if (worst !== 'waiting') return { tone: 'bad', label: 'incomplete', sentence };
  return { tone: 'quiet', label: stored === 0 ? 'not read yet' : 'in progress', sentence };
}

interface Scope {
  readonly status: WorkerStatus;
  readonly view: DatabaseView;
  readonly nowMs: number;
}

function describeScope(health: Health | null, { status, view, nowMs }: Scope): string {
  const instances = health?.instances ?? [];
  const organizations = instances.reduce((sum, each) => sum + each.organizations, 0);
  const age = view.snapshot === null ? 0 : nowMs - view.snapshot.atMs;
  const parts = [
    `${count(organizations, 'organization')} of ${count(status.instances.length, 'instance')}`,
    status.nextWakeAt === null ? 'no run is scheduled' : `next run ${showWhen(status.nextWakeAt, nowMs)}`,
    age < OLD_SNAPSHOT_MS
      ? ''
      : `data as of ${showDistance(-age)}; refreshing it is slow or failing, see the log`,
  ];
  return parts.filter((part) => part !== '').join(' · ');
}

const MAX_UNFINISHED_MONTHS = 3;

function renderBilling({ months }: Counts): Html {
  const unfinished = months
    .filter(({ state }) => ['blocked', 'ready', 'needs_adjustment'].includes(state))
    .slice(0, MAX_UNFINISHED_MONTHS);
  if (unfinished.length > 0) return html`<h2>Billing</h2>${renderMonths(unfinished)}`;
  return html`<h2>Billing</h2>
<ul class="attention"><li class="on-good">No past month needs attention.</li></ul>`;
}

function renderMonth(sums: readonly MonthSum[]): Html {
  const [first] = sums;
  if (first === undefined) return html``;
  const figures = sums.map(({ metric, total, values_not_stored: valuesNotStored, change_ratio: change }) => {
    const isPartial = valuesNotStored > 0;
    const remark =
      isPartial &&
      html`; <span class="bad">${count(valuesNotStored, 'value is', 'values are')} not stored</span>`;
    return html`<div><dt>${SUM_LABELS[metric]}</dt><dd><strong>${total === null ? '–' : showNumber(total)}${
      isPartial && html` <span class="bad">?</span>`
    }</strong> <span class="quiet">${change === null ? 'no comparison' : showChange(change)}${remark}</span>
</dd></div>\n`;
  });
  return html`<h2>${showMonth(first.to)} so far</h2>
<p class="quiet">${first.from} to ${first.to} compared with the same weekdays before, where both are stored;
  devices are as of the last day.</p>
<dl class="stats">${figures}</dl>
<p><a href="/organizations?sort=-payload_billable_count">All organizations by payloads</a></p>`;
}
