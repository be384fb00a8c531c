import { html } from 'hono/html';
import type { Health, RunLine, StreamHealth } from '../queries/health.ts';
import type { HeatCell } from '../queries/heat-map.ts';
import { capitalize, count, showDistance, showDuration, showNumber, showWhen } from '../terminal/words.ts';
import { type ConsolePage, READING_WAIT_MS } from './console-page.ts';
import { type DatabaseView, shownHealth } from './database-view.ts';
import { renderHeatMap } from './heat-map.ts';
import { renderCard, sumOf } from './instance-card.ts';
import { renderDay, renderDistance, renderInstant } from './instants.ts';
import { type Html, renderPage, renderTable } from './page.ts';
import { currentTroubles, describeKind, type InstanceTrouble, isInFirstRun, judgeState } from './verdict.ts';
import type { WorkerStatus } from './worker-status.ts';

/** An answer this old is told with its age: it may have been overtaken. */
const OLD_READING_MS = 120_000;

/** How often a browser loads the page anew. */
const REFRESH_S = 60;

interface HomeFacts {
  readonly status: WorkerStatus;
  readonly view: DatabaseView;
  /** Null: it was not read yet. */
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

/** The home page: how everything stands, what is fresh, what is missing, what ran, what is wrong. */
function renderHome(facts: HomeFacts): Html {
  const { status, view, heatMap, horizonDays, nowMs } = facts;
  const health = shownHealth(view);
  const isFirst = health !== null && status.instances.some((instance) => isInFirstRun(instance, health));
  const cardFacts = { health, horizonDays, host: status.host, nowMs };
  const verdict = judgeState(view, { statuses: status.instances, nowMs });
  const body = html`<h1 class="${verdict.tone}">${verdict.sentence}</h1>
<p class="quiet">${renderScope(facts)}</p>
${verdict.hint === undefined ? '' : html`<p><a href="/coverage?only=gap&amp;days=90">See what it is by organization and day</a>, or in a terminal: ${verdict.hint}</p>`}
${renderAge(view, nowMs)}
${currentTroubles(status.instances, health).map(renderTrouble)}
${health === null ? '' : renderContradictions(health)}
<div class="cards">${status.instances.map((instance) => renderCard(instance, cardFacts))}</div>
${health === null || heatMap === null || isFirst ? '' : renderHeatMap(heatMap)}
${health === null ? '' : renderReach(health, status)}
${health === null ? '' : renderRuns(health, nowMs)}
<p class="quiet">Version ${status.version} on ${status.host}, running since ${renderInstant(status.startedAt, nowMs)} ·
<a href="/status.json">status.json</a> · <a href="/metrics">metrics</a></p>`;
  return renderPage({ title: 'Home', path: '/', body });
}

function renderScope({ status, view, nowMs }: HomeFacts): string {
  const organizations = shownHealth(view)?.instances.map((instance) => instance.organizations) ?? [];
  const known = organizations.reduce((sum, each) => sum + each, 0);
  const next =
    status.nextWakeAt === null ? 'no run is scheduled' : `next run ${showWhen(status.nextWakeAt, nowMs)}`;
  return [
    count(status.instances.length, 'instance'),
    ...(organizations.length === 0 ? [] : [count(known, 'organization')]),
    next,
  ].join(' · ');
}

function renderAge({ isUp, reading }: DatabaseView, nowMs: number): Html | string {
  if (!isUp || reading === null || nowMs - reading.atMs < OLD_READING_MS) return '';
  const age = showDistance(reading.atMs - nowMs);
  return html`<p>The numbers below were read ${age}: reading them anew takes long or fails, see the log.</p>`;
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
  return html`<p>${count(total, 'final number')} ${verb} from Losant's own totals: <code>losant-usage reconcile</code> lists each with both figures.</p>`;
}

const namesOf = ({ instances }: Health) =>
  new Map(instances.map(({ instanceId, name }) => [instanceId, name ?? instanceId]));

function renderReach(health: Health, { instances: statuses }: WorkerStatus): Html {
  const names = namesOf(health);
  const first = statuses.filter((status) => isInFirstRun(status, health)).map(({ instanceId }) => instanceId);
  const gaps = describeKind(health.instances.flatMap(({ streams }) => streams));
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
    { name: 'Known to be missing', isNumber: true },
    { name: 'Final', isNumber: true },
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
    { name: 'Error', isText: true },
  ],
  rows: health.runs.map((run) =>
    renderRun(run, names.size > 1 ? [names.get(run.instanceId) ?? run.instanceId] : [], nowMs),
  ),
})}
<p><a href="/runs">Every run</a></p>`;
}

/** In its first run nothing of an instance is late. */
function renderStream(health: StreamHealth, isFirst: boolean): (Html | string)[] {
  const { stream, cells, gaps, oldestGap, orgsTracked, orgsComplete, knownMissing } = health;
  return [
    stream,
    renderDay(health.completeTo),
    `${showNumber(orgsComplete)} of ${showNumber(orgsTracked)}${showShare(orgsComplete, orgsTracked)}`,
    gaps > 0 && !isFirst ? html`<span class="bad">${showNumber(gaps)}</span>` : showNumber(gaps),
    renderDay(oldestGap),
    showNumber(knownMissing),
    showNumber(cells.final),
  ];
}

/** Rounded down, so that 100 % means all. */
function showShare(part: number, whole: number): string {
  return whole === 0 ? '' : ` (${Math.floor((part / whole) * 100)} %)`;
}

function renderRun(run: RunLine, instance: readonly string[], nowMs: number): (Html | string)[] {
  const { startedAt, finishedAt, kind, status, from, to, cells, error } = run;
  const isGood = status === 'complete' || status === 'running';
  return [
    html`<a href="/runs/${run.runId}">${renderDistance(startedAt, nowMs)}</a>`,
    ...instance,
    kind,
    isGood ? status : html`<span class="bad">${status}</span>`,
    finishedAt === null ? '–' : showDuration(Date.parse(finishedAt) - Date.parse(startedAt)),
    from === null || to === null || from === to
      ? renderDay(from)
      : html`${renderDay(from)} to ${renderDay(to)}`,
    showNumber(cells),
    error ?? (isGood ? '–' : html`<a href="/runs/${run.runId}">see what failed</a>`),
  ];
}
