import { html } from 'hono/html';
import type { Health } from '../queries/health.ts';
import { count, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { STANDINGS, sumStandings, worstOf } from '../usage/standing.ts';
import { describeOrganizations, listAttention, renderAttention, renderExamples } from './attention.ts';
import { renderSparkline } from './chart.ts';
import {
  type GapExamples,
  type MonthSum,
  type Noted,
  type OpenMonth,
  readGapExamples,
  readMonthSums,
  readNoted,
  readOpenMonths,
  readTop,
  SUMMED,
  type TopOrganization,
} from './home-facts.ts';
import { markMissing } from './organizations.ts';
import {
  AGAIN_S,
  type Html,
  linkToOrganization,
  renderInstant,
  renderPage,
  renderStats,
  showMonth,
} from './page.ts';
import { keepReading } from './readings.ts';
import { type ConsolePage, type DatabaseView, shownHealth, type WorkerStatus } from './sources.ts';
import { type Column, renderTable, showChange, showDifference } from './table.ts';

/** The number of seconds after which a browser loads the page again. */
const REFRESH_S = 60;
/** The age from which a reading is shown with its age, because it may be outdated. */
const OLD_READING_MS = 120_000;
/** The time that the page waits for a newer reading of the state of everything. */
const READING_WAIT_MS = 100;
const FIGURES = { keepMs: 60_000, timeoutMs: 50, firstTimeoutMs: 250 };

interface Figures {
  readonly sums: readonly MonthSum[];
  readonly noted: readonly Noted[];
  readonly top: readonly TopOrganization[];
}

interface HomeFacts {
  readonly status: WorkerStatus;
  readonly view: DatabaseView;
  /** Null before they were counted. */
  readonly figures: Figures | null;
  readonly gaps: readonly GapExamples[] | null;
  readonly months: readonly OpenMonth[] | null;
  readonly nowMs: number;
}

export const homePage: ConsolePage = {
  path: '/',
  open: (sources) => {
    const { instanceIds, now, read, logger, status, database } = sources;
    const kept = {
      ...FIGURES,
      now,
      onFailure: (error: unknown) => logger.warn({ err: error }, 'database not read for a page'),
    };
    const figures = keepReading(
      // One after the other, each with the time that a page has.
      async () => ({
        sums: await read((db) => readMonthSums(db, instanceIds)),
        noted: await read((db) => readNoted(db, instanceIds)),
        top: await read((db) => readTop(db, instanceIds)),
      }),
      kept,
    );
    const gaps = keepReading(() => read((db) => readGapExamples(db, instanceIds)), kept);
    const months = keepReading(() => read((db) => readOpenMonths(db, instanceIds)), kept);
    return async (c) => {
      const [view, ofOrgs, ofGaps, ofMonths] = await Promise.all([
        database(READING_WAIT_MS),
        figures(),
        gaps(),
        months(),
      ]);
      const facts = {
        status: status(),
        view,
        figures: ofOrgs?.value ?? null,
        gaps: ofGaps?.value ?? null,
        months: ofMonths?.value ?? null,
        nowMs: now(),
      };
      return c.html(renderHome(facts));
    };
  },
};

function renderHome(facts: HomeFacts): Html {
  const { status, view, figures, gaps, months, nowMs } = facts;
  const health = shownHealth(view);
  const isCounted = figures !== null && gaps !== null && months !== null;
  const verdict = judgeYesterday(health, status, nowMs);
  const statuses = status.instances;
  const body = html`<h1>Yesterday: <span class="${verdict.tone}">${verdict.word}</span></h1>
<p>${verdict.sentence}</p>
<p class="quiet">${describeScope(facts, health)}</p>
${statuses.map(({ progress }) =>
  progress === null
    ? ''
    : html`<p><progress max="${Math.max(progress.planned, 1)}"
  value="${progress.done}" aria-label="Numbers read of those due"></progress> ${showNumber(progress.done)} of
    ${count(progress.planned, 'number')} read since ${renderInstant(progress.startedAt, nowMs)}</p>`,
)}
${
  health === null
    ? ''
    : renderAttention(listAttention({ health, statuses, gaps, noted: figures?.noted ?? null }), isCounted)
}
${health === null ? '' : renderInvoices(months, statuses.length > 1)}
${figures === null ? '' : renderMonth(figures, nowMs)}
<p class="quiet">Version ${status.version} on ${status.host}, since ${renderInstant(status.startedAt, nowMs)} · <a
  href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>`;
  return renderPage({ title: 'Home', path: '/', body }, health === null || !isCounted ? AGAIN_S : REFRESH_S);
}

interface Verdict {
  readonly tone: 'good' | 'bad' | 'quiet';
  readonly word: string;
  readonly sentence: string;
}

/** Says in one line whether yesterday is complete. During its first run nothing of an instance is late. */
function judgeYesterday(
  health: Health | null,
  { instances: statuses }: Pick<WorkerStatus, 'instances'>,
  nowMs: number,
): Verdict {
  if (health === null)
    return { tone: 'bad', word: 'not known', sentence: 'The database does not answer, or is being read.' };
  const read = health.instances.filter(({ lastRunAt }) => lastRunAt !== null);
  if (read.length === 0) {
    const isUnderWay = statuses.some(({ progress }) => progress !== null);
    return {
      tone: 'quiet',
      word: 'not read yet',
      sentence: isUnderWay ? 'The first run is under way.' : 'Nothing has been exported yet.',
    };
  }
  const day = addDays(dayAt(nowMs), -1);
  const streams = read.flatMap((instance) => instance.streams);
  const wanted = streams.reduce((sum, { orgs }) => sum + orgs, 0);
  const open = sumStandings(streams.map(({ yesterday }) => yesterday));
  const worst = worstOf(open);
  const stored = Math.max(0, wanted - open.waiting - open.unavailable - open.missing);
  const of = `${showNumber(stored)} of ${count(wanted, 'number')} of ${day} ${wanted === 1 ? 'is' : 'are'} stored`;
  if (wanted === 0)
    return { tone: 'quiet', word: 'nothing wanted', sentence: `Nothing of ${day} is wanted.` };
  if (worst === null) return { tone: 'good', word: 'complete', sentence: `${of}.` };
  const words = (['missing', 'in_doubt', 'unavailable', 'waiting'] as const)
    .filter((standing) => open[standing] > 0)
    .map((standing) => `${showNumber(open[standing])} ${STANDINGS[standing].label}`)
    .join(', ');
  const sentence = `${of}; ${words}.`;
  if (worst === 'waiting')
    return { tone: 'quiet', word: stored === 0 ? 'not read yet' : 'partly read', sentence };
  return worst === 'unavailable'
    ? { tone: 'good', word: 'complete', sentence }
    : { tone: 'bad', word: 'incomplete', sentence };
}

function describeScope({ status, view, nowMs }: HomeFacts, health: Health | null): string {
  const instances = health?.instances ?? [];
  const readAt = instances
    .flatMap(({ streams }) => streams.flatMap(({ yesterdayReadAt }) => yesterdayReadAt ?? []))
    .sort()
    .at(-1);
  const age = view.reading === null ? 0 : nowMs - view.reading.atMs;
  return [
    ...(status.instances.length > 1 ? [count(status.instances.length, 'instance')] : []),
    describeOrganizations(
      instances.reduce((sum, { organizations }) => sum + organizations, 0),
      instances.reduce((sum, { deletedOrganizations }) => sum + deletedOrganizations, 0),
    ),
    ...(readAt === undefined ? [] : [`yesterday last read ${showDistance(Date.parse(readAt) - nowMs)}`]),
    status.nextWakeAt === null ? 'no run is scheduled' : `next run ${showWhen(status.nextWakeAt, nowMs)}`,
    ...(age < OLD_READING_MS
      ? []
      : [`numbers as of ${showDistance(-age)}: reading them takes long or fails, see the log`]),
  ].join(' · ');
}

function renderInvoices(months: readonly OpenMonth[] | null, hasOthers: boolean): Html {
  const head = html`<h2>Invoices</h2>`;
  if (months === null) return html`${head}<p class="quiet">Months are still being counted.</p>`;
  if (months.length === 0)
    return html`${head}<ul class="attention"><li class="on-good">Every month that is over is closed, and as it was
      invoiced.</li></ul>`;
  return html`${head}<ul class="attention">${months.map((month) => renderOpenMonth(month, hasOthers))}</ul><p><a
    href="/months">All months</a></p>`;
}

function renderOpenMonth(open: OpenMonth, hasOthers: boolean): Html {
  const { month, instance, state, causes, orgs, amount, examples } = open;
  const name = html`<a href="/months/${month.slice(0, 7)}">${showMonth(month)}</a>${
    hasOthers ? ` of ${instance}` : ''
  }`;
  if (state === 'open') return html`<li class="on-warn">${name} may be invoiced: nothing blocks it.</li>`;
  if (state === 'different') {
    return html`<li class="on-warn">${name} differs from what was invoiced for ${count(orgs, 'organization')}${
      amount === null ? '' : `, by ${showDifference(amount)} billable payloads`
    }${renderExamples(examples)}</li>`;
  }
  const who = orgs === 0 ? 'as a whole' : `by ${count(orgs, 'organization')}`;
  return html`<li class="on-bad">${name} is blocked ${who} (${causes?.join(', ').replaceAll('_', ' ')}),
    ${showNumber(amount ?? 0)} billable payloads at stake${orgs === 0 ? '' : renderExamples(examples)}</li>`;
}

const TOP: readonly Column<TopOrganization>[] = [
  {
    name: 'name',
    label: 'Most billable payloads',
    kind: 'text',
    cell: ({ orgId, name }) => linkToOrganization(orgId, name),
  },
  {
    name: 'payloads',
    label: 'Payloads',
    kind: 'number',
    cell: ({ payloads, daysMissing }) => html`${showNumber(payloads)}${markMissing(daysMissing)}`,
  },
  { name: 'change', label: 'Last 7 days', kind: 'number', cell: ({ change }) => showChange(change) },
];

function renderMonth({ sums, noted, top }: Figures, nowMs: number): Html {
  const [first] = sums;
  if (first === undefined) return html``;
  const stats = sums.map(({ metric, total, missing, compared, before, days }) => {
    const label = Object.entries(SUMMED).find(([name]) => name === metric)?.[1].label ?? metric;
    const change =
      compared === null || before === null || before === 0 ? null : showChange(compared / before - 1);
    const mark =
      missing === 0
        ? ''
        : html` <span class="bad" title="${showNumber(missing)} numbers are missing of it">?</span>`;
    return {
      label,
      value: total === null ? '–' : html`${showNumber(total)}${mark}`,
      note: html`${change ?? 'nothing to compare with'}${
        missing === 0
          ? ''
          : html`; <span
        class="bad">${count(missing, 'number is', 'numbers are')} missing</span>`
      }${renderSparkline(days, label)}`,
    };
  });
  const came = (kind: Noted['kind']) => noted.find((each) => each.kind === kind);
  const lines = [
    ['new', 'came', came('new')],
    ['left', 'left', came('left')],
  ] as const;
  return html`<h2>${showMonth(first.to)} so far</h2>
<p class="quiet">${first.from} to ${first.to} beside the same weekdays before, over the numbers that have both;
  devices are those of the last day.</p>
${renderStats(stats)}
${lines.map(([kind, verb, found]) =>
  found === undefined
    ? ''
    : html`<p><a
  href="/organizations?only=${kind}">${count(found.orgs, 'organization')} ${verb}</a> in the last 7
    days${renderExamples(found.examples)}</p>`,
)}
${top.length === 0 ? '' : renderTable(top, TOP, { nowMs })}
<p><a href="/organizations?sort=-payload_billable_count">All organizations by payloads</a></p>`;
}
