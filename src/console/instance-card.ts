import { html } from 'hono/html';
import {
  CHANGES_SHOWN_DAYS,
  type Health,
  type InstanceHealth,
  type StreamHealth,
} from '../queries/health.ts';
import type { RunRecord } from '../queries/runs.ts';
import { capitalize, count, showDuration, showNumber } from '../terminal/words.ts';
import { addDays, dayAt, daysFrom, type UsageDay } from '../usage/day.ts';
import { estimateLeftMs } from '../usage/planned-requests.ts';
import { addressOf } from './lists.ts';
import { type Html, renderDay, renderDistance } from './page.ts';
import { completeTo, describeKind, isInFirstRun } from './verdict.ts';
import type { InstanceStatus, RunProgress } from './worker-status.ts';

export interface CardFacts {
  /** The health; null if it is not known. */
  readonly health: Health | null;
  /** The number of days for which Losant keeps the detail. */
  readonly horizonDays: number;
  /** The host of the process that serves the page. */
  readonly host: string;
  readonly nowMs: number;
}

/** The time after which a run without a sign of life counts as over, though nothing has recorded it yet. */
const ALIVE_MS = 60_000;

/** `renderCard` shows an instance's present activity, how far its numbers reach, and their problems. */
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

/** Renders the last wake-up; the list of newest runs shows its result if anything was due. */
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

/** Returns the runs of the instance by other processes, such as backfills. */
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

function renderFacts(
  instance: InstanceHealth,
  { horizonDays, nowMs, isFirst }: CardFacts & { isFirst: boolean },
): Html {
  const { instanceId, streams, finalChanges30Days, quarantined, lastCompleteRunAt, differences } = instance;
  const sum = (pick: (stream: StreamHealth) => number) =>
    streams.reduce((total, each) => total + pick(each), 0);
  const [gaps, expiring] = [sum((stream) => stream.gaps), sum((stream) => stream.expiring)];
  const toRead = sum(({ cells }) => cells.waiting + cells.missing);
  const coverage = addressOf('/coverage', { instance: instanceId, only: 'gap', days: '90' });
  const kind = describeKind(streams.map(({ cells }) => cells));
  const changes = addressOf('/changes', { days: `${CHANGES_SHOWN_DAYS}` });
  const link = (number: number, address: string, tone = '') =>
    number === 0 ? showNumber(number) : html`<a class="${tone}" href="${address}">${showNumber(number)}</a>`;
  return html`<div><dt>Complete to</dt><dd>${renderDay(completeTo(streams))}</dd></div>
<div><dt>${isFirst ? 'Still to be read' : capitalize(kind)}</dt><dd>${isFirst ? showNumber(toRead) : link(gaps, coverage, 'bad')}</dd></div>
${isFirst ? '' : renderExpiry(streams, { expiring, horizonDays, nowMs })}
<div><dt>Final numbers changed in ${CHANGES_SHOWN_DAYS} days</dt><dd>${link(finalChanges30Days, changes)}</dd></div>
<div><dt>Answers in quarantine</dt><dd>${link(quarantined, '/quarantine')}</dd></div>
${differences === undefined ? '' : renderDifferences(differences, instance.differingMonths ?? [])}
<div><dt>Last complete run</dt><dd>${lastCompleteRunAt === null ? '–' : renderDistance(lastCompleteRunAt, nowMs)}</dd></div>`;
}

function renderDifferences(
  differences: NonNullable<InstanceHealth['differences']>,
  months: readonly UsageDay[],
): Html {
  const total = sumOf(differences);
  return html`<div><dt>Final numbers that Losant's totals contradict</dt><dd>${total > 0 ? html`<a class="bad" href="${totalsAddress(months)}">${showNumber(total)}</a>` : '0'}</dd></div>`;
}

/** `totalsAddress` returns the address of the page of totals for the newest of the months. */
export function totalsAddress(months: readonly UsageDay[]): string {
  const newest = months.toSorted().at(-1);
  return newest === undefined ? '/totals' : addressOf('/totals', { month: newest.slice(0, 7) });
}

/** `sumOf` adds up the differences of all scopes. */
export function sumOf(differences: NonNullable<InstanceHealth['differences']>): number {
  return Object.values(differences).reduce((sum, each) => sum + each, 0);
}

/**
 * Renders the time at which the oldest gap that can still be read leaves the days that Losant keeps,
 * after which it is unavailable.
 */
function renderExpiry(
  streams: readonly StreamHealth[],
  { expiring, horizonDays, nowMs }: { expiring: number; horizonDays: number; nowMs: number },
): Html | string {
  const horizon = addDays(dayAt(nowMs), -horizonDays);
  const oldest = streams
    .flatMap(({ oldestGap }) => oldestGap ?? [])
    .filter((day) => day >= horizon)
    .sort()[0];
  if (oldest === undefined) return '';
  const days = daysFrom(horizon, oldest) + 1;
  const shown = html`in ${count(days, 'day')}${expiring > 0 ? html` (${showNumber(expiring)} within 7 days)` : ''}`;
  return html`<div><dt>First gap is unavailable</dt><dd class="${expiring > 0 ? 'bad' : ''}">${shown}</dd></div>`;
}
