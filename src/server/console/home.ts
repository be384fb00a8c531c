import { html } from 'hono/html';
import type { Health, InstanceHealth, RunLine, StreamHealth } from '../../database/read/health.ts';
import type { HeatCell } from '../../database/read/heat-map.ts';
import { showDistance, showDuration, showWhen } from '../../terminal/time.ts';
import { count, showNumber } from '../../terminal/words.ts';
import { type DatabaseView, shownHealth } from '../database-view.ts';
import type { InstanceStatus, RunProgress, WorkerStatus } from '../status.ts';
import type { ConsolePage } from './console-page.ts';
import { renderHeatMap } from './heat-map.ts';
import { renderDay, renderDistance, renderInstant } from './instants.ts';
import { type Html, renderPage, renderTable } from './page.ts';
import { completeTo, currentTroubles, type InstanceTrouble, judgeState } from './verdict.ts';

/** An answer this old is told with its age: it may have been overtaken. */
const OLD_READING_MS = 60_000;

/** How often a browser loads the page anew. */
const REFRESH_S = 60;

interface HomeFacts {
  readonly status: WorkerStatus;
  readonly view: DatabaseView;
  /** Null: it was not read yet. */
  readonly heatMap: readonly HeatCell[] | null;
  readonly nowMs: number;
}

export const homePage: ConsolePage = {
  path: '/',
  open:
    ({ status, database, heatMap, now }) =>
    async (c) => {
      const [view, reading] = await Promise.all([database(), heatMap()]);
      c.header('refresh', String(REFRESH_S));
      return c.html(renderHome({ status: status(), view, heatMap: reading?.value ?? null, nowMs: now() }));
    },
};

/** The home page: how everything stands, what is fresh, what is missing, what ran, what is wrong. */
function renderHome(facts: HomeFacts): Html {
  const { status, view, heatMap, nowMs } = facts;
  const health = shownHealth(view);
  const verdict = judgeState(view, { statuses: status.instances, nowMs });
  const body = html`<h1 class="${verdict.tone}">${verdict.sentence}</h1>
<p class="quiet">${renderScope(facts)}</p>
${verdict.hint === undefined ? '' : html`<p>${verdict.hint}</p>`}
${renderAge(view, nowMs)}
${currentTroubles(status.instances, health).map(renderTrouble)}
<div class="cards">${status.instances.map((instance) => renderCard(instance, { health, nowMs }))}</div>
${health === null || heatMap === null ? '' : renderHeatMap(heatMap)}
${health === null ? '' : renderHealth(health, nowMs)}
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

function renderCard(
  status: InstanceStatus,
  { health, nowMs }: { health: Health | null; nowMs: number },
): Html {
  const instance = health?.instances.find(({ instanceId }) => instanceId === status.instanceId);
  return html`<section class="card"><h2>${instance?.name ?? status.instanceId}</h2>
<p class="quiet">${instance?.name == null ? '' : status.instanceId}</p>
<p>${describeActivity(status, instance)}</p>
<dl>${instance === undefined ? '' : renderFacts(instance)}
<dt>Last run here</dt><dd>${renderLastRun(status, nowMs)}</dd>
</dl></section>\n`;
}

function renderLastRun({ lastRun }: InstanceStatus, nowMs: number): Html {
  if (lastRun === null || lastRun.result === 'standby') return html`–`;
  return html`${lastRun.result}, ${renderDistance(lastRun.finishedAt, nowMs)}`;
}

function describeActivity({ state, progress }: InstanceStatus, instance: InstanceHealth | undefined): string {
  if (progress !== null) return describeProgress(progress);
  if (state === 'standby') return `Standing by: exported by ${instance?.leaseHost ?? 'another process'}`;
  return state === 'starting' ? 'Starting' : 'Idle';
}

function describeProgress({ planned, done, requests }: RunProgress): string {
  return `Running: ${showNumber(done)} of ${count(planned, 'number')} found due so far, ${count(requests, 'request')}`;
}

function renderFacts({ streams, restatedFinal30Days, quarantined, lastCompleteRunAt }: InstanceHealth): Html {
  const sum = (pick: (stream: StreamHealth) => number) =>
    streams.reduce((total, each) => total + pick(each), 0);
  const [gaps, expiring] = [sum((stream) => stream.gaps), sum((stream) => stream.expiring)];
  return html`<dt>Complete to</dt><dd>${renderDay(completeTo(streams))}</dd>
<dt>Missing</dt><dd class="${gaps > 0 ? 'bad' : ''}">${showNumber(gaps)}</dd>
<dt>Unavailable within 7 days</dt><dd class="${expiring > 0 ? 'bad' : ''}">${showNumber(expiring)}</dd>
<dt>Final numbers restated in 30 days</dt><dd>${showNumber(restatedFinal30Days)}</dd>
<dt>In quarantine</dt><dd>${showNumber(quarantined)}</dd>
<dt>Last complete run</dt><dd>${lastCompleteRunAt === null ? '–' : renderDay(lastCompleteRunAt.slice(0, 10))}</dd>`;
}

function renderHealth({ instances, runs }: Health, nowMs: number): Html {
  const names = new Map(instances.map(({ instanceId, name }) => [instanceId, name ?? instanceId]));
  return html`<h2>How far the numbers reach</h2>
${renderTable({
  caption: 'By instance and stream; days are UTC.',
  columns: [
    { name: 'Instance', isText: true },
    { name: 'Stream' },
    { name: 'Complete to' },
    { name: 'Organizations complete', isNumber: true },
    { name: 'Missing', isNumber: true },
    { name: 'Oldest missing' },
    { name: 'Known to be missing', isNumber: true },
    { name: 'Final', isNumber: true },
  ],
  rows: instances.flatMap(({ instanceId, streams }) =>
    streams.map((stream) => renderStream(names.get(instanceId) ?? instanceId, stream)),
  ),
})}
<h2>Newest runs</h2>
${renderTable({
  columns: [
    { name: 'Started' },
    { name: 'Instance', isText: true },
    { name: 'Kind' },
    { name: 'Ended' },
    { name: 'Took' },
    { name: 'Days' },
    { name: 'Numbers', isNumber: true },
    { name: 'Error', isText: true },
  ],
  rows: runs.map((run) => renderRun(run, names.get(run.instanceId) ?? run.instanceId, nowMs)),
})}`;
}

function renderStream(instance: string, health: StreamHealth): (Html | string)[] {
  const { stream, cells, gaps, oldestGap, orgsTracked, orgsComplete, knownMissing } = health;
  return [
    instance,
    stream,
    renderDay(health.completeTo),
    `${showNumber(orgsComplete)} of ${showNumber(orgsTracked)}${showShare(orgsComplete, orgsTracked)}`,
    gaps > 0 ? html`<span class="bad">${showNumber(gaps)}</span>` : '0',
    renderDay(oldestGap),
    showNumber(knownMissing),
    showNumber(cells.final),
  ];
}

/** Rounded down, so that 100 % means all. */
function showShare(part: number, whole: number): string {
  return whole === 0 ? '' : ` (${Math.floor((part / whole) * 100)} %)`;
}

function renderRun(run: RunLine, instance: string, nowMs: number): (Html | string)[] {
  const { startedAt, finishedAt, kind, status, from, to, cells, error } = run;
  const isGood = status === 'complete' || status === 'running';
  return [
    renderDistance(startedAt, nowMs),
    instance,
    kind,
    isGood ? status : html`<span class="bad">${status}</span>`,
    finishedAt === null ? '–' : showDuration(Date.parse(finishedAt) - Date.parse(startedAt)),
    from === null || to === null || from === to
      ? renderDay(from)
      : html`${renderDay(from)} to ${renderDay(to)}`,
    showNumber(cells),
    error ?? '–',
  ];
}
