import { html } from 'hono/html';
import { CHANGES_SHOWN_DAYS, type Health, type InstanceHealth } from '../queries/health.ts';
import type { RunRecord } from '../queries/runs.ts';
import { count, showDuration, showNumber } from '../terminal/words.ts';
import { estimateLeftMs } from '../usage/planned-requests.ts';
import { addressOf } from './lists.ts';
import { type Html, renderDay, renderDistance } from './page.ts';
import type { InstanceStatus, RunProgress } from './sources.ts';
import { completeTo, isInFirstRun } from './verdict.ts';

export interface CardFacts {
  /** The health; null if it is not known. */
  readonly health: Health | null;
  /** The host of the process that serves the page. */
  readonly host: string;
  readonly nowMs: number;
}

/** The time after which a run without a sign of life counts as over, though nothing has recorded it yet. */
const ALIVE_MS = 60_000;

export function renderCard(status: InstanceStatus, facts: CardFacts): Html {
  const { health, nowMs } = facts;
  const instance = health?.instances.find(({ instanceId }) => instanceId === status.instanceId);
  const isFirst = health !== null && isInFirstRun(status, health);
  return html`<section class="card"><h2>${instance?.name ?? status.instanceId}</h2>
${instance?.name == null ? '' : html`<p class="quiet">${status.instanceId}</p>`}
${renderActivity(status, instance, nowMs)}
${runsBeside(status, facts).map((run) => html`<p>${describeRunBeside(run, nowMs)}</p>`)}
<dl>${instance === undefined ? '' : renderFacts(instance, { ...facts, isFirst })}
<div><dt>Last wake-up here</dt><dd>${renderLastWake(status, nowMs)}</dd></div>
</dl></section>\n`;
}

/** `renderLastWake` renders the last wake-up; the list of newest runs shows its result if anything was due. */
function renderLastWake({ lastRun }: InstanceStatus, nowMs: number): Html {
  if (lastRun === null || lastRun.result === 'standby') return html`–`;
  return renderDistance(lastRun.finishedAt, nowMs);
}

function renderActivity(
  { state, progress }: InstanceStatus,
  instance: InstanceHealth | undefined,
  nowMs: number,
): Html {
  if (progress !== null) {
    const { total, done } = progress.plan;
    return html`<progress max="${Math.max(total, 1)}" value="${done}" aria-label="Requests done of those planned"></progress>
<p>${describeProgress(progress, nowMs)}</p>`;
  }
  if (state === 'standby') {
    return html`<p>Standing by: exported by ${instance?.lease?.host ?? 'another process'}</p>`;
  }
  return html`<p>${state === 'starting' ? 'Starting' : 'Idle'}</p>`;
}

/** `describeProgress` uses the words of a command's progress bar. */
function describeProgress({ plan }: RunProgress, nowMs: number): string {
  const { total, done, rate } = plan;
  const elapsedMs = Math.max(0, nowMs - Date.parse(plan.startedAt));
  const shown = `Running: ${showNumber(done)} of ${count(total, 'request')} done${describeRate(done, elapsedMs)}`;
  if (done >= total) return shown;
  return `${shown}, about ${showDuration(estimateLeftMs({ done, total, elapsedMs, rate }))} left`;
}

function describeRate(requests: number, elapsedMs: number): string {
  return elapsedMs < 1_000 ? '' : ` (${showNumber(Math.round(requests / (elapsedMs / 1_000)))}/s)`;
}

function runsBeside({ instanceId, progress }: InstanceStatus, { health, host }: CardFacts): RunRecord[] {
  if (health === null) return [];
  return health.runs.filter((run) => {
    const isAlive =
      run.status === 'running' && Date.parse(health.at) - Date.parse(run.heartbeatAt) < ALIVE_MS;
    const isOwn = progress !== null && run.kind === 'scheduled' && run.host === host;
    return run.instanceId === instanceId && isAlive && !isOwn;
  });
}

function describeRunBeside({ kind, host, startedAt, requests }: RunRecord, nowMs: number): string {
  const elapsedMs = Math.max(0, nowMs - Date.parse(startedAt));
  return `A ${kind} run on ${host ?? 'another host'} for ${showDuration(elapsedMs)}: ${count(requests, 'request')}${describeRate(requests, elapsedMs)}`;
}

/** The facts of a second rank; whatever needs attention is in the list of that name. */
function renderFacts(
  { streams, lastCompleteRunAt, finalChanges30Days }: InstanceHealth,
  { nowMs, isFirst }: CardFacts & { isFirst: boolean },
): Html {
  const toRead = streams.reduce((sum, { cells }) => sum + cells.waiting + cells.missing, 0);
  return html`<div><dt>Complete to</dt><dd>${renderDay(completeTo(streams))}</dd></div>
${isFirst ? html`<div><dt>Still to be read</dt><dd>${showNumber(toRead)}</dd></div>` : ''}
<div><dt>Final numbers changed in ${CHANGES_SHOWN_DAYS} days</dt><dd>${finalChanges30Days === 0 ? '0' : html`<a class="" href="${addressOf('/changes', { days: `${CHANGES_SHOWN_DAYS}` })}">${showNumber(finalChanges30Days)}</a>`}</dd></div>
<div><dt>Last complete run</dt><dd>${lastCompleteRunAt === null ? '–' : renderDistance(lastCompleteRunAt, nowMs)}</dd></div>`;
}
