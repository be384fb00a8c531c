import { html } from 'hono/html';
import type { HeatCell } from '../queries/coverage.ts';
import type { Health, StreamHealth } from '../queries/health.ts';
import type { RunRecord } from '../queries/runs.ts';
import { capitalize, count, showDistance, showNumber, showWhen } from '../terminal/words.ts';
import { STANDINGS } from '../usage/standing.ts';
import { renderHeatMap } from './coverage-maps.ts';
import { renderCard, sumOf, totalsAddress } from './instance-card.ts';
import { addressOf, describeOrganizations } from './lists.ts';
import { type Html, renderDay, renderDistance, renderInstant, renderPage, renderTable } from './page.ts';
import { describeTrouble, renderLength, renderRange, renderStatus } from './runs.ts';
import { type ConsolePage, type DatabaseView, READING_WAIT_MS, shownHealth } from './sources.ts';
import {
  currentTroubles,
  describeKind,
  type InstanceTrouble,
  isInFirstRun,
  judgeState,
  judgeYesterday,
  type YesterdayVerdict,
} from './verdict.ts';
import type { WorkerStatus } from './worker-status.ts';

/** The age from which a reading is shown with its age, because it may be outdated. */
const OLD_READING_MS = 120_000;

/** The number of seconds after which a browser reloads the page. */
const REFRESH_S = 60;
const RUNS_SHOWN = 10;

interface HomeFacts {
  readonly status: WorkerStatus;
  readonly view: DatabaseView;
  /** The heat map; null before the first reading. */
  readonly heatMap: readonly HeatCell[] | null;
  readonly horizonDays: number;
  readonly nowMs: number;
}

export const homePage: ConsolePage = {
  path: '/',
  open:
    ({ status, database, heatMap, policy, now }) =>
    async (c) => {
      const [view, reading] = await Promise.all([database(READING_WAIT_MS), heatMap()]);
      c.header('refresh', String(REFRESH_S));
      const facts = { status: status(), view, heatMap: reading?.value ?? null, ...policy, nowMs: now() };
      return c.html(renderHome(facts));
    },
};

/** Renders the home page: the overall state, freshness, gaps, runs and problems. */
function renderHome(facts: HomeFacts): Html {
  const { status, view, heatMap, horizonDays, nowMs } = facts;
  const health = shownHealth(view);
  const isFirst = health !== null && status.instances.some((instance) => isInFirstRun(instance, health));
  const cardFacts = { health, horizonDays, host: status.host, nowMs };
  const verdict = judgeState(view, { statuses: status.instances, nowMs });
  const yesterday = health && judgeYesterday(health, { statuses: status.instances, nowMs });
  const body = html`<h1 class="${verdict.tone}">${verdict.sentence}</h1>
${yesterday === null ? '' : renderYesterday(yesterday)}
<p class="quiet">${renderScope(facts)}</p>
${verdict.hint === undefined ? '' : html`<p><a href="/coverage?only=gap&amp;days=90">See what it is by organization and day</a>, or in a terminal: ${verdict.hint}</p>`}
${renderAge(view, nowMs)}
${currentTroubles(status.instances, health).map(renderTrouble)}
${health === null ? '' : renderContradictions(health)}
${health === null ? '' : renderByHand(health)}
<div class="cards">${status.instances.map((instance) => renderCard(instance, cardFacts))}</div>
${health === null || heatMap === null || isFirst ? '' : renderHeatMap(heatMap)}
${health === null ? '' : renderReach(health, status)}
${health === null ? '' : renderRuns(health, nowMs)}
<p class="quiet">Version ${status.version} on ${status.host}, running since ${renderInstant(status.startedAt, nowMs)} ·
<a href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>`;
  return renderPage({ title: 'Home', path: '/', body });
}

function renderYesterday({ tone, word, sentence }: YesterdayVerdict): Html {
  return html`<p class="yesterday">Yesterday: <strong class="${tone}">${word}</strong>. <span class="quiet">${sentence}</span></p>`;
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

function renderTrouble({ instanceId, name, trouble }: InstanceTrouble): Html {
  return html`<p><span class="bad">Instance ${name ?? instanceId}: ${trouble.message}</span><br>${trouble.hint}</p>\n`;
}

function renderContradictions({ instances }: Health): Html | string {
  const total = instances.reduce(
    (sum, { differences }) => sum + (differences === undefined ? 0 : sumOf(differences)),
    0,
  );
  if (total === 0) return '';
  const verb = total === 1 ? 'differs' : 'differ';
  const address = totalsAddress(instances.flatMap(({ differingMonths }) => differingMonths ?? []));
  return html`<p>${count(total, 'final number')} ${verb} from Losant's own totals: <a href="${address}">each with both figures</a>.</p>`;
}

/** Renders changes by hand, after which a number may differ from the one invoiced. */
function renderByHand({ instances }: Health): Html | string {
  const changed = instances.reduce((sum, instance) => sum + instance.finalChangesByHand30Days, 0);
  if (changed === 0) return '';
  const verb = changed === 1 ? 'was' : 'were';
  return html`<p><span class="bad">${count(changed, 'final number')} ${verb} changed by hand</span> in the last 30 days: <a href="${addressOf('/changes', { by: 'hand', days: '30' })}">see which</a>.</p>`;
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

/** Renders a stream. During an instance's first run nothing is late. */
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

/** Returns a share, rounded down so that 100 % means all. */
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
