import { html } from 'hono/html';
import type { Health, StreamHealth } from '../queries/health.ts';
import { type Overview, type SummedMetric, sameDaysOfLastMonth } from '../queries/organizations.ts';
import { capitalize, count, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { addDays, dayAt, dayEndMs, HOUR_MS, type UsageDay } from '../usage/day.ts';
import { STANDINGS } from '../usage/standing.ts';
import { listAttention, renderAttention } from './attention.ts';
import { renderHeatMap } from './coverage.ts';
import { renderSparkline } from './daily-chart.ts';
import { renderCard } from './instance-card.ts';
import {
  addressOf,
  type Column,
  chartColumn,
  column,
  describeOrganizations,
  instanceColumn,
  numberColumn,
  renderTable,
  showDifference,
  textColumn,
} from './lists.ts';
import { AGAIN_S, type Html, nameOfMonth, renderDay, renderInstant, renderPage } from './page.ts';
import { describeTrouble, renderLength, renderRange, runColumns } from './runs.ts';
import { showBytes, sumOf } from './shapes.ts';
import {
  type ConsolePage,
  type DatabaseView,
  instanceNames,
  type Names,
  type PageSources,
  READING_WAIT_MS,
  shownHealth,
  type WorkerStatus,
} from './sources.ts';
import {
  currentTroubles,
  describeKind,
  instancesRead,
  isInFirstRun,
  judgeState,
  judgeYesterday,
} from './verdict.ts';

/** The age from which a reading is shown with its age, because it may be outdated. */
const OLD_READING_MS = 120_000;

/** The number of seconds after which a browser reloads the page. */
const REFRESH_S = 60;
const RUNS_SHOWN = 10;

type HomeFacts = Awaited<ReturnType<typeof readFacts>>;

export const homePage: ConsolePage = {
  path: '/',
  open: (sources) => async (c) => {
    const facts = await readFacts(sources);
    c.header('refresh', String(facts.overview === null || facts.heatMap === null ? AGAIN_S : REFRESH_S));
    return c.html(renderHome(facts));
  },
};

/** `readFacts` returns what the page shows; the heat map, the organizations and the open month are null before the first reading. */
async function readFacts({ status, database, policy, now, ...sources }: PageSources) {
  const [view, heatMap, overview, openMonth] = await Promise.all([
    database(READING_WAIT_MS),
    sources.heatMap(),
    sources.overview(),
    sources.openMonth(),
  ]);
  return {
    ...{ status: status(), view, policy, nowMs: now() },
    heatMap: heatMap?.value ?? null,
    overview: overview?.value ?? null,
    openMonth: openMonth?.value ?? null,
  };
}

/** `renderHome` renders the home page: yesterday, what needs attention, the month, and the days before. */
function renderHome(facts: HomeFacts): Html {
  const { status, view, heatMap, overview, nowMs } = facts;
  const health = shownHealth(view);
  const isFirst = health !== null && status.instances.some((instance) => isInFirstRun(instance, health));
  const cardFacts = { health, host: status.host, nowMs };
  const cards = html`<div class="cards">${status.instances.map((instance) => renderCard(instance, cardFacts))}</div>`;
  const isShown = health !== null && !isFirst;
  const body = html`${renderHeadline(facts, health)}
<p class="quiet">${renderScope(facts)}</p>
${renderAge(view, nowMs)}
${isFirst ? cards : ''}
${health === null ? '' : renderAttention(listAttention(attentionFacts(facts, health)), overview !== null || isFirst)}
${isShown && overview !== null ? renderMonthToDate(overview) : ''}
${isShown && heatMap !== null ? renderHeatMap(heatMap) : ''}
${isFirst ? '' : html`<h2>${status.instances.length === 1 ? 'The instance' : 'Instances'}</h2>${cards}`}
${health === null ? '' : renderReach(health, status, instanceNames(view))}
${health === null ? '' : renderRuns(health, instanceNames(view), nowMs)}
<p class="quiet">Version ${status.version} on ${status.host}, running since ${renderInstant(status.startedAt, nowMs)} ·
<a href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>`;
  return renderPage({ title: 'Home', path: '/', body });
}

function attentionFacts(facts: HomeFacts, health: Health) {
  const { instances: statuses } = facts.status;
  return {
    ...facts,
    // During its first run nothing of an instance is late.
    health: { ...health, instances: instancesRead(health, statuses) },
    troubles: currentTroubles(statuses, health),
    horizonDays: facts.policy.horizonDays,
  };
}

/**
 * `renderHeadline` renders one word and one sentence about yesterday, then what is older; only the latter
 * while there is no yesterday.
 */
function renderHeadline({ status, view, policy, nowMs }: HomeFacts, health: Health | null): Html {
  const verdict = judgeState(view, { statuses: status.instances, nowMs });
  const yesterday = health && judgeYesterday(health, { statuses: status.instances, nowMs });
  if (health === null || yesterday === null || yesterday.word === 'nothing tracked') {
    return html`<h1 class="${verdict.tone}">${verdict.sentence}</h1>`;
  }
  const streams = health.instances.flatMap((instance) => instance.streams);
  const readAt = streams
    .flatMap(({ yesterdayReadAt }) => yesterdayReadAt ?? [])
    .sort()
    .at(-1);
  const finalAt = new Date(dayEndMs(addDays(dayAt(nowMs), -1)) + policy.finalAtHours * HOUR_MS).toISOString();
  return html`<h1>Yesterday: <span class="${yesterday.tone}">${yesterday.word}</span></h1>
<p class="yesterday">${yesterday.sentence} ${readAt === undefined ? '' : html`Read ${renderInstant(readAt, nowMs)}; final`}${readAt === undefined ? 'Final' : ''} once read after ${renderInstant(finalAt, nowMs)}.</p>
<p>All days: <span class="${verdict.tone}">${verdict.sentence}</span>${verdict.hint === undefined ? '' : html` <a href="/coverage?only=gap&amp;days=90">By organization and day</a>; in a terminal: <code>losant-usage gaps</code>.`}</p>`;
}

/** The sums that are shown; a level is that of the newest day. */
const SUMS: readonly {
  readonly name: string;
  readonly key: SummedMetric;
  readonly isLevel?: true;
}[] = [
  { name: 'Billable payloads', key: 'payload_billable_count' },
  { name: 'All payloads', key: 'payload_all_count' },
  { name: 'Size of all payloads', key: 'payload_all_bytes' },
  { name: 'Notebook minutes', key: 'notebook_minutes' },
  { name: 'Devices', key: 'devices_total', isLevel: true },
  { name: 'Devices created', key: 'devices_created' },
  { name: 'Devices deleted', key: 'devices_deleted' },
];
const TOP_ORGANIZATIONS = 10;

/**
 * `renderMonthToDate` renders the totals of the month to date beside the same days of the month before,
 * and who used most.
 */
function renderMonthToDate({ days, organizations, to }: Overview): Html {
  const last = sameDaysOfLastMonth(to);
  const month = nameOfMonth(to);
  const rows = SUMS.map(({ name, key, isLevel }) => {
    const over = (from: UsageDay, end: UsageDay) => {
      const values = days.filter(({ day }) => from <= day && day <= end).flatMap((sums) => sums[key] ?? []);
      if (values.length === 0) return null;
      return isLevel ? (values.at(-1) ?? null) : sumOf(values);
    };
    const [now, before] = [over(`${to.slice(0, 7)}-01`, to), over(last.from, last.to)];
    return { name, key, now, before, show: key === 'payload_all_bytes' ? showBytes : showNumber };
  });
  const top = organizations
    .flatMap((each) => (each.payloads === null ? [] : [{ ...each, payloads: each.payloads }]))
    .sort((a, b) => b.payloads - a.payloads)
    .slice(0, TOP_ORGANIZATIONS);
  return html`<h2>${month} so far</h2>
<p class="quiet">All organizations up to ${renderDay(to)}, beside ${renderDay(last.from)} to ${renderDay(last.to)}. Devices are those of the newest day.</p>
<div class="halves"><div>${renderTable(rows, [
    column('Metric', ({ name }) => name),
    numberColumn(`${month} to date`, ({ now, show }) =>
      now === null ? null : html`<strong>${show(now)}</strong>`,
    ),
    numberColumn('Same days before', ({ before, show }) => (before === null ? null : show(before))),
    numberColumn('Change', ({ now, before }) => showPercent(now, before)),
    chartColumn('By day', ({ name, key }) =>
      renderSparkline(
        days.slice(-31).map((sums) => sums[key]),
        name,
      ),
    ),
  ])}</div>
<div>${renderTable(top, [
    textColumn(
      'Most billable payloads',
      ({ orgId, name }) =>
        html`<span class="line"><a href="/organizations/${orgId}" title="${name}, ${orgId}">${name}</a></span>`,
    ),
    numberColumn('Payloads', ({ payloads }) => payloads),
    numberColumn('Change', ({ compared }) => showPercent(compared?.now ?? null, compared?.before ?? null)),
  ])}<p><a href="/organizations?sort=payloads">All organizations by payloads</a></p></div></div>`;
}

/** `showPercent` shows the change of a number; null where there is none before or now. */
function showPercent(now: number | null, before: number | null): string | null {
  if (now === null || before === null || before === 0) return null;
  // The sum turns -0 into 0.
  return `${showDifference(Math.round((now / before - 1) * 100) + 0)} %`;
}

function renderScope({ status, view, nowMs }: HomeFacts): string {
  const instances = shownHealth(view)?.instances ?? [];
  const organizations = sumOf(instances.map((instance) => instance.organizations));
  const deleted = sumOf(instances.map(({ deletedOrganizations }) => deletedOrganizations));
  const next =
    status.nextWakeAt === null ? 'no run is scheduled' : `next run ${showWhen(status.nextWakeAt, nowMs)}`;
  return [
    count(status.instances.length, 'instance'),
    ...(instances.length === 0 ? [] : [describeOrganizations(organizations, deleted)]),
    next,
  ].join(' · ');
}

function renderAge({ isUp, reading }: DatabaseView, nowMs: number): Html | string {
  if (!isUp || reading === null || nowMs - reading.atMs < OLD_READING_MS) return '';
  const age = showDistance(reading.atMs - nowMs);
  return html`<p>The numbers below were read ${age}: reading them again takes long or fails; see the log.</p>`;
}

function renderReach(health: Health, { instances: statuses }: WorkerStatus, names: Names): Html {
  const read = instancesRead(health, statuses);
  const gapsWord = describeKind(health.instances.flatMap(({ streams }) => streams.map(({ cells }) => cells)));
  const rows = health.instances.flatMap((instance) => {
    // During an instance's first run nothing is late.
    const isFirst = !read.includes(instance);
    return instance.streams.map((stream) => ({ ...stream, instanceId: instance.instanceId, isFirst }));
  });
  const columns: Column<(typeof rows)[number]>[] = [
    ...instanceColumn(names),
    column('Stream', ({ stream }) => stream),
    column('Complete to', (stream) => renderDay(stream.completeTo)),
    numberColumn(
      'Organizations complete',
      ({ orgsComplete, orgsTracked }) =>
        `${showNumber(orgsComplete)} of ${showNumber(orgsTracked)}${showShare(orgsComplete, orgsTracked)}`,
    ),
    numberColumn(capitalize(gapsWord), ({ stream, gaps, oldestGap, isFirst }) => {
      if (gaps === 0 || isFirst) return gaps;
      const found = addressOf('/coverage', { stream, only: 'gap', to: oldestGap ?? '', days: '90' });
      return html`<a class="bad" href="${found}">${showNumber(gaps)}</a>`;
    }),
    column(`Oldest ${gapsWord}`, ({ oldestGap }) => renderDay(oldestGap)),
    ...SHOWN.map((standing) =>
      numberColumn<StreamHealth>(capitalize(STANDINGS[standing].label), ({ cells }) => cells[standing]),
    ),
  ];
  const caption = names.size > 1 ? 'By instance and stream; days are UTC.' : 'By stream; days are UTC.';
  return html`<h2>How far the numbers reach</h2>
${renderTable(rows, columns, caption)}`;
}

/** The standings with a column of their own beside gaps. */
const SHOWN = ['unavailable', 'accepted', 'final'] as const;

/** `showShare` returns a share, rounded down so that 100 % means all. */
function showShare(part: number, all: number): string {
  return all === 0 ? '' : ` (${Math.floor((part / all) * 100)} %)`;
}

function renderRuns(health: Health, names: Names, nowMs: number): Html {
  if (health.runs.length === 0) return html`<h2>Newest runs</h2><p>There was none yet.</p>`;
  return html`<h2>Newest runs</h2>
${renderTable(health.runs.slice(0, RUNS_SHOWN), [
  ...runColumns(names, nowMs),
  column('Took', (run) => renderLength(run, nowMs)),
  column('Days', renderRange),
  numberColumn('Numbers', ({ planned }) => planned),
  textColumn('What went wrong', describeTrouble),
])}
<p><a href="/runs">Every run</a></p>`;
}
