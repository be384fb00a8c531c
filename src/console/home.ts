import { html } from 'hono/html';
import type { Health } from '../queries/health.ts';
import { count, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { STANDINGS, sumStandings, worstOf } from '../usage/standing.ts';
import { renderAttention } from './attention.ts';
import { type Counts, type MonthSum, SUMMED } from './counts.ts';
import { renderMonths } from './months.ts';
import { AGAIN_S, COUNTING, type ConsolePage, type Html, renderInstant, showMonth } from './page.ts';
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
  place: '/',
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
    return { title: 'Home', body, again: health === null || counts === null ? AGAIN_S : REFRESH_S };
  },
};

function renderProgress({ progress }: InstanceStatus): Html | string {
  if (progress === null) return '';
  const { planned, done, startedAt } = progress;
  return html`<p><progress max="${Math.max(planned, 1)}" value="${done}"
  aria-label="Numbers read of those due"></progress> ${showNumber(done)} of ${count(planned, 'number')} read since
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
    return { tone: 'bad', word: 'not known', sentence: 'The database does not answer, or is being read.' };
  const read = health.instances.filter((each) => each.lastRunAt !== null && each.neverReadSince === null);
  if (read.length === 0) {
    const isUnderWay = statuses.some(({ progress }) => progress !== null);
    const sentence = isUnderWay ? 'The first run is under way.' : 'Nothing has been exported yet.';
    return { tone: 'quiet', word: 'not read yet', sentence };
  }
  const day = addDays(dayAt(nowMs), -1);
  const streams = read.flatMap((instance) => instance.streams);
  const wanted = streams.reduce((sum, { orgs }) => sum + orgs, 0);
  const open = sumStandings(streams.map(({ yesterday }) => yesterday));
  const worst = worstOf(open);
  const stored = Math.max(0, wanted - open.waiting - open.unavailable - open.missing);
  const words = (['missing', 'in_doubt', 'unavailable', 'waiting'] as const)
    .filter((standing) => open[standing] > 0)
    .map((standing) => `; ${showNumber(open[standing])} ${STANDINGS[standing].label}`)
    .join('');
  const sentence = `${showNumber(stored)} of ${count(wanted, 'number')} of ${day} are stored${words}.`;
  if (wanted === 0)
    return { tone: 'quiet', word: 'nothing wanted', sentence: `Nothing of ${day} is wanted.` };
  if (worst === null || worst === 'unavailable') return { tone: 'good', word: 'complete', sentence };
  if (worst !== 'waiting') return { tone: 'bad', word: 'incomplete', sentence };
  return { tone: 'quiet', word: stored === 0 ? 'not read yet' : 'partly read', sentence };
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
      : `numbers as of ${showDistance(-age)}: reading them takes long or fails, see the log`,
  ];
  return parts.filter((part) => part !== '').join(' · ');
}

/** The months that are shown here. */
const MONTHS_MAX = 3;

function renderInvoices({ months }: Counts): Html {
  const open = months.filter(({ state }) => state !== 'closed' && state !== 'not over').slice(0, MONTHS_MAX);
  if (open.length > 0) return html`<h2>Invoices</h2>${renderMonths(open)}`;
  return html`<h2>Invoices</h2><ul class="attention"><li class="on-good">All are as they should be.</li></ul>`;
}

function renderMonth(sums: readonly MonthSum[]): Html {
  const [first] = sums;
  if (first === undefined) return html``;
  const figures = sums.map(({ metric, total, missing, change }) => {
    const absent =
      missing > 0 && html`; <span class="bad">${count(missing, 'number is', 'numbers are')} missing</span>`;
    return html`<div><dt>${SUMMED[metric]}</dt><dd><strong>${total === null ? '–' : showNumber(total)}${
      missing > 0 && html` <span class="bad">?</span>`
    }</strong> <span class="quiet">${change === null ? 'nothing to compare with' : showChange(change)}${absent}</span>
</dd></div>\n`;
  });
  return html`<h2>${showMonth(first.to)} so far</h2>
<p class="quiet">${first.from} to ${first.to} beside the same weekdays before, over the numbers that have both;
  devices are those of the last day.</p>
<dl class="stats">${figures}</dl>
<p><a href="/organizations?sort=-payload_billable_count">All organizations by payloads</a></p>`;
}
