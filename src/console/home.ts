import { html } from 'hono/html';
import type { OpenMonth } from '../billing/open-month.ts';
import type { HeatCell } from '../queries/coverage.ts';
import type { Health, StreamHealth } from '../queries/health.ts';
import { type DaySums, type Overview, sameDaysOfLastMonth } from '../queries/home.ts';
import type { RunRecord } from '../queries/runs.ts';
import { capitalize, count, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { addDays, dayAt, dayEndMs, HOUR_MS, type UsageDay } from '../usage/day.ts';
import type { Policy } from '../usage/policy.ts';
import { STANDINGS } from '../usage/standing.ts';
import { listAttention, renderAttention } from './attention.ts';
import { renderHeatMap } from './coverage-maps.ts';
import { renderCard } from './instance-card.ts';
import { addressOf, describeOrganizations } from './lists.ts';
import { showMonth } from './month-judge.ts';
import { AGAIN_S } from './organizations.ts';
import { type Html, renderDay, renderDistance, renderInstant, renderPage, renderTable } from './page.ts';
import { describeTrouble, renderLength, renderRange, renderStatus } from './runs.ts';
import { showBytes } from './shapes.ts';
import { type ConsolePage, type DatabaseView, READING_WAIT_MS, shownHealth } from './sources.ts';
import { renderSparkline } from './sparkline.ts';
import { currentTroubles, describeKind, isInFirstRun, judgeState, judgeYesterday } from './verdict.ts';
import type { WorkerStatus } from './worker-status.ts';

/** The age from which a reading is shown with its age, because it may be outdated. */
const OLD_READING_MS = 120_000;

/** The number of seconds after which a browser reloads the page. */
const REFRESH_S = 60;
const RUNS_SHOWN = 10;

interface HomeFacts {
  readonly status: WorkerStatus;
  readonly view: DatabaseView;
  /** The heat map, the organizations and the open month; null before the first reading. */
  readonly heatMap: readonly HeatCell[] | null;
  readonly overview: Overview | null;
  readonly openMonth: OpenMonth | null;
  readonly policy: Policy;
  readonly nowMs: number;
}

export const homePage: ConsolePage = {
  path: '/',
  open:
    ({ status, database, heatMap, overview, openMonth, policy, now }) =>
    async (c) => {
      const [view, heat, all, open] = await Promise.all([
        database(READING_WAIT_MS),
        heatMap(),
        overview(),
        openMonth(),
      ]);
      c.header('refresh', String(all === null || heat === null ? AGAIN_S : REFRESH_S));
      const readings = {
        heatMap: heat?.value ?? null,
        overview: all?.value ?? null,
        openMonth: open?.value ?? null,
      };
      return c.html(renderHome({ status: status(), view, ...readings, policy, nowMs: now() }));
    },
};

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
${health === null ? '' : renderReach(health, status)}
${health === null ? '' : renderRuns(health, nowMs)}
<p class="quiet">Version ${status.version} on ${status.host}, running since ${renderInstant(status.startedAt, nowMs)} ·
<a href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>`;
  return renderPage({ title: 'Home', path: '/', body });
}

function attentionFacts({ status, overview, openMonth, policy, nowMs }: HomeFacts, health: Health) {
  const troubles = currentTroubles(status.instances, health);
  const first = status.instances
    .filter((each) => isInFirstRun(each, health))
    .map(({ instanceId }) => instanceId);
  // During its first run nothing of an instance is late.
  const instances = health.instances.filter(({ instanceId }) => !first.includes(instanceId));
  return {
    health: { ...health, instances },
    troubles,
    overview,
    openMonth,
    horizonDays: policy.horizonDays,
    nowMs,
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
  const reads = health.instances.flatMap(({ streams }) =>
    streams.flatMap(({ yesterdayReadAt }) => yesterdayReadAt ?? []),
  );
  const readAt = reads.sort().at(-1);
  const finalAt = new Date(dayEndMs(addDays(dayAt(nowMs), -1)) + policy.finalAtHours * HOUR_MS).toISOString();
  return html`<h1>Yesterday: <span class="${yesterday.tone}">${yesterday.word}</span></h1>
<p class="yesterday">${yesterday.sentence} ${readAt === undefined ? '' : html`Read ${renderInstant(readAt, nowMs)}; final`}${readAt === undefined ? 'Final' : ''} once read after ${renderInstant(finalAt, nowMs)}.</p>
<p>All days: <span class="${verdict.tone}">${verdict.sentence}</span>${verdict.hint === undefined ? '' : html` <a href="/coverage?only=gap&amp;days=90">By organization and day</a>; in a terminal: <code>losant-usage gaps</code>.`}</p>`;
}

/** The sums that are shown; a level is that of the newest day. */
const SUMS: readonly {
  readonly name: string;
  readonly key: Exclude<keyof DaySums, 'day'>;
  readonly isLevel?: true;
}[] = [
  { name: 'Billable payloads', key: 'billablePayloads' },
  { name: 'All payloads', key: 'allPayloads' },
  { name: 'Size of all payloads', key: 'bytes' },
  { name: 'Notebook minutes', key: 'notebookMinutes' },
  { name: 'Devices', key: 'devices', isLevel: true },
  { name: 'Devices created', key: 'devicesCreated' },
  { name: 'Devices deleted', key: 'devicesDeleted' },
];
const TOP_ORGANIZATIONS = 10;

/**
 * `renderMonthToDate` renders the totals of the month to date beside the same days of the month before,
 * and who used most.
 */
function renderMonthToDate({ days, organizations, to }: Overview): Html {
  const last = sameDaysOfLastMonth(to);
  const month = showMonth(to.slice(0, 7)).split(' ')[0] ?? '';
  const rows = SUMS.map(({ name, key, isLevel }) => {
    const show = key === 'bytes' ? showBytes : showNumber;
    const over = (from: UsageDay, end: UsageDay) => {
      const values = days.filter(({ day }) => from <= day && day <= end).flatMap((sums) => sums[key] ?? []);
      if (values.length === 0) return null;
      return isLevel ? (values.at(-1) ?? null) : values.reduce((sum, value) => sum + value, 0);
    };
    const [now, before] = [over(`${to.slice(0, 7)}-01`, to), over(last.from, last.to)];
    const change = now === null || before === null || before === 0 ? '–' : showPercent(now / before - 1);
    return [
      name,
      now === null ? '–' : html`<strong>${show(now)}</strong>`,
      before === null ? '–' : show(before),
      change,
      renderSparkline(
        days.slice(-31).map((sums) => sums[key]),
        name,
      ),
    ];
  });
  const top = organizations
    .flatMap((each) => (each.payloads === null ? [] : [{ ...each, payloads: each.payloads }]))
    .sort((a, b) => b.payloads - a.payloads)
    .slice(0, TOP_ORGANIZATIONS);
  return html`<h2>${month} so far</h2>
<p class="quiet">All organizations up to ${renderDay(to)}, beside ${renderDay(last.from)} to ${renderDay(last.to)}. Devices are those of the newest day.</p>
<div class="halves"><div>${renderTable({
    columns: [
      { name: 'Metric' },
      { name: `${month} to date`, isNumber: true },
      { name: 'Same days before', isNumber: true },
      { name: 'Change', isNumber: true },
      { name: 'By day' },
    ],
    rows,
  })}</div>
<div>${renderTable({
    columns: [
      { name: 'Most billable payloads', isText: true },
      { name: 'Payloads', isNumber: true },
      { name: 'Change', isNumber: true },
    ],
    rows: top.map(({ orgId, name, payloads, compared }) => [
      html`<span class="line"><a href="/organizations/${orgId}" title="${name}, ${orgId}">${name}</a></span>`,
      showNumber(payloads),
      compared === null || compared.before === 0 ? '–' : showPercent(compared.now / compared.before - 1),
    ]),
  })}<p><a href="/organizations?sort=payloads">All organizations by payloads</a></p></div></div>`;
}

function showPercent(change: number): string {
  // The sum turns -0 into 0.
  const percent = Math.round(change * 100) + 0;
  return `${percent > 0 ? '+' : ''}${showNumber(percent)} %`;
}

function renderScope({ status, view, nowMs }: HomeFacts): string {
  const instances = shownHealth(view)?.instances ?? [];
  const sum = (pick: (instance: Health['instances'][number]) => number) =>
    instances.reduce((total, instance) => total + pick(instance), 0);
  const organizations = sum((instance) => instance.organizations);
  const deleted = sum((instance) => instance.deletedOrganizations);
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

const namesOf = ({ instances }: Health) =>
  new Map(instances.map(({ instanceId, name }) => [instanceId, name ?? instanceId]));

function renderReach(health: Health, { instances: statuses }: WorkerStatus): Html {
  const names = namesOf(health);
  const first = statuses.filter((status) => isInFirstRun(status, health)).map(({ instanceId }) => instanceId);
  const gaps = describeKind(health.instances.flatMap(({ streams }) => streams.map(({ cells }) => cells)));
  return html`<h2>How far the numbers reach</h2>
${renderTable({
  caption: names.size > 1 ? 'By instance and stream; days are UTC.' : 'By stream; days are UTC.',
  columns: [
    ...(names.size > 1 ? [{ name: 'Instance', isText: true }] : []),
    { name: 'Stream' },
    { name: 'Complete to' },
    { name: 'Organizations complete', isNumber: true },
    { name: capitalize(gaps), isNumber: true },
    { name: `Oldest ${gaps}` },
    ...SHOWN.map((standing) => ({ name: capitalize(STANDINGS[standing].label), isNumber: true })),
  ],
  rows: health.instances.flatMap(({ instanceId, streams }) =>
    streams.map((stream) => [
      ...(names.size > 1 ? [names.get(instanceId) ?? instanceId] : []),
      ...renderStream(stream, first.includes(instanceId)),
    ]),
  ),
})}`;
}

function renderRuns(health: Health, nowMs: number): Html {
  const names = namesOf(health);
  if (health.runs.length === 0) return html`<h2>Newest runs</h2><p>There was none yet.</p>`;
  return html`<h2>Newest runs</h2>
${renderTable({
  columns: [
    { name: 'Started' },
    ...(names.size > 1 ? [{ name: 'Instance', isText: true }] : []),
    { name: 'Kind' },
    { name: 'Ended' },
    { name: 'Took' },
    { name: 'Days' },
    { name: 'Numbers', isNumber: true },
    { name: 'What went wrong', isText: true },
  ],
  rows: health.runs
    .slice(0, RUNS_SHOWN)
    .map((run) => renderRun(run, names.size > 1 ? [names.get(run.instanceId) ?? run.instanceId] : [], nowMs)),
})}
<p><a href="/runs">Every run</a></p>`;
}

/** The standings with a column of their own beside gaps. */
const SHOWN = ['unavailable', 'accepted', 'final'] as const;

/** `renderStream` renders a stream. During an instance's first run nothing is late. */
function renderStream(health: StreamHealth, isFirst: boolean): (Html | string)[] {
  const { stream, cells, gaps, oldestGap, orgsTracked, orgsComplete } = health;
  const found = addressOf('/coverage', { stream, only: 'gap', to: oldestGap ?? '', days: '90' });
  return [
    stream,
    renderDay(health.completeTo),
    `${showNumber(orgsComplete)} of ${showNumber(orgsTracked)}${showShare(orgsComplete, orgsTracked)}`,
    gaps > 0 && !isFirst ? html`<a class="bad" href="${found}">${showNumber(gaps)}</a>` : showNumber(gaps),
    renderDay(oldestGap),
    ...SHOWN.map((standing) => showNumber(cells[standing])),
  ];
}

/** `showShare` returns a share, rounded down so that 100 % means all. */
function showShare(part: number, all: number): string {
  return all === 0 ? '' : ` (${Math.floor((part / all) * 100)} %)`;
}

function renderRun(run: RunRecord, instance: readonly string[], nowMs: number): (Html | string)[] {
  return [
    html`<a href="/runs/${run.runId}">${renderDistance(run.startedAt, nowMs)}</a>`,
    ...instance,
    run.kind,
    renderStatus(run),
    renderLength(run, nowMs),
    renderRange(run),
    showNumber(run.planned),
    describeTrouble(run),
  ];
}
