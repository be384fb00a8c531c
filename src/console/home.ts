import { html } from 'hono/html';
import type { Health } from '../queries/health.ts';
import { count, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { findWorstCounted, STANDINGS, sumStandings } from '../usage/standing.ts';
import { renderAttention } from './attention.ts';
import { type Counts, type MonthSum, SUM_LABELS } from './counts.ts';
import { renderMonths } from './months.ts';
import { COUNTING, type ConsolePage, type Html, RELOAD_SECONDS, renderInstant, showMonth } from './page.ts';
import { type DatabaseView, type InstanceStatus, shownHealth, type WorkerStatus } from './sources.ts';
import { showChange } from './table.ts';

/** The number of seconds after which a browser loads the page again. */
const REFRESH_S = 60;
/** The age from which a reading is shown with its age, because it may be outdated. */
const OLD_READING_MS = 120_000;
/** The time that the page waits for a newer reading of the state of everything. */
const READING_WAIT_MS = 100;

/** Yesterday in one line, what needs a person, invoices, and the month so far. It needs no database to answer. */
export const homePage: ConsolePage = {
  path: '/',
  navPath: '/',
  show: async ({ database, counts: readCounts, status: readStatus, nowMs }) => {
    const [view, counts] = await Promise.all([database(READING_WAIT_MS), readCounts()]);
    const [status, health] = [readStatus(), shownHealth(view)];
    const { instances: statuses } = status;
    const { tone, word, sentence } = judgeYesterday(health, statuses, nowMs);
    const body = html`<h1>Yesterday: <span class="${tone}">${word}</span></h1>
<p>${sentence}</p>
<p class="quiet">${describeScope(health, { status, view, nowMs })}</p>
${statuses.map(renderProgress)}
${health !== null && renderAttention({ health, statuses, counts })}
${counts === null ? COUNTING : html`${renderInvoices(counts)}${renderMonth(counts.sums)}`}
<p class="quiet">Version ${status.version} on ${status.host}, since ${renderInstant(status.startedAt)} · <a
  href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>`;
    return {
      title: 'Home',
      body,
      reloadSeconds: health === null || counts === null ? RELOAD_SECONDS : REFRESH_S,
    };
  },
};

function renderProgress({ progress }: InstanceStatus): Html | string {
  if (progress === null) return '';
  const { planned, done, startedAt } = progress;
  return html`<p><progress max="${Math.max(planned, 1)}" value="${done}"
  aria-label="Cells read, out of those due"></progress> ${showNumber(done)} of ${count(planned, 'cell')} read since
  ${renderInstant(startedAt)}</p>`;
}

interface Verdict {
  readonly tone: 'good' | 'bad' | 'quiet';
  readonly word: string;
  readonly sentence: string;
}

/** Says in one line whether yesterday is complete. During its first run nothing of an instance is late. */
function judgeYesterday(health: Health | null, statuses: readonly InstanceStatus[], nowMs: number): Verdict {
  if (health === null)
    return {
      tone: 'bad',
      word: 'unknown',
      sentence: 'The database is not responding, or is still being read.',
    };
  const read = health.instances.filter(({ lastRunAt }) => lastRunAt !== null);
  if (read.length === 0) {
    const isUnderWay = statuses.some(({ progress }) => progress !== null);
    const sentence = isUnderWay ? 'The first run is in progress.' : 'Nothing has been exported yet.';
    return { tone: 'quiet', word: 'not read yet', sentence };
  }
  const day = addDays(dayAt(nowMs), -1);
  const streams = read.flatMap((instance) => instance.streams);
  const expected = streams.reduce((sum, { orgs }) => sum + orgs, 0);
  const counts = sumStandings(streams.map(({ yesterday }) => yesterday));
  const worst = findWorstCounted(counts);
  const stored = Math.max(0, expected - counts.waiting - counts.unavailable - counts.missing);
  const words = (['missing', 'in_doubt', 'unavailable', 'waiting'] as const)
    .filter((standing) => counts[standing] > 0)
    .map((standing) => `; ${showNumber(counts[standing])} ${STANDINGS[standing].label}`)
    .join('');
  const sentence = `${showNumber(stored)} of ${count(expected, 'expected cell')} for ${day} are stored${words}.`;
  if (expected === 0)
    return { tone: 'quiet', word: 'nothing expected', sentence: `No cells are expected for ${day}.` };
  if (worst === null || worst === 'unavailable') return { tone: 'good', word: 'complete', sentence };
  if (worst !== 'waiting') return { tone: 'bad', word: 'incomplete', sentence };
  return { tone: 'quiet', word: stored === 0 ? 'not read yet' : 'in progress', sentence };
}

interface Scope {
  readonly status: WorkerStatus;
  readonly view: DatabaseView;
  readonly nowMs: number;
}

function describeScope(health: Health | null, { status, view, nowMs }: Scope): string {
  const instances = health?.instances ?? [];
  const organizations = instances.reduce((sum, each) => sum + each.organizations, 0);
  const age = view.reading === null ? 0 : nowMs - view.reading.atMs;
  const parts = [
    `${count(organizations, 'organization')} of ${count(status.instances.length, 'instance')}`,
    status.nextWakeAt === null ? 'no run is scheduled' : `next run ${showWhen(status.nextWakeAt, nowMs)}`,
    age < OLD_READING_MS
      ? ''
      : `data as of ${showDistance(-age)}; refreshing it is slow or failing, see the log`,
  ];
  return parts.filter((part) => part !== '').join(' · ');
}

/** The months that are shown here. */
const MONTHS_MAX = 3;

function renderInvoices({ months }: Counts): Html {
  const unfinished = months
    .filter(({ state }) => state !== 'closed' && state !== 'in_progress')
    .slice(0, MONTHS_MAX);
  if (unfinished.length > 0) return html`<h2>Billing</h2>${renderMonths(unfinished)}`;
  return html`<h2>Invoices</h2><ul class="attention"><li class="on-good">Every past month is closed and unchanged.</li></ul>`;
}

function renderMonth(sums: readonly MonthSum[]): Html {
  const [first] = sums;
  if (first === undefined) return html``;
  const figures = sums.map(({ metric, total, missing, change_ratio: change }) => {
    const absent =
      missing > 0 && html`; <span class="bad">${count(missing, 'value is', 'values are')} not stored</span>`;
    return html`<div><dt>${SUM_LABELS[metric]}</dt><dd><strong>${total === null ? '–' : showNumber(total)}${
      missing > 0 && html` <span class="bad">?</span>`
    }</strong> <span class="quiet">${change === null ? 'no comparison' : showChange(change)}${absent}</span>
</dd></div>\n`;
  });
  return html`<h2>${showMonth(first.to)} so far</h2>
<p class="quiet">${first.from} to ${first.to} compared with the same weekdays before, where both are stored;
  devices are as of the last day.</p>
<dl class="stats">${figures}</dl>
<p><a href="/organizations?sort=-payload_billable_count">All organizations by payloads</a></p>`;
}
