import { html } from 'hono/html';
import { readInstanceNames } from '../queries/organizations.ts';
import {
  RUNS_PER_PAGE,
  type RunList,
  type RunQuery,
  type RunRecord,
  readRun,
  readRunList,
  readRunsSince,
} from '../queries/runs.ts';
import { count, showDuration, showNumber } from '../terminal/words.ts';
import { addDays, DAY_MS, HOUR_MS, parseDay } from '../usage/day.ts';
import {
  addressOf,
  type Column,
  column,
  instanceColumn,
  numberColumn,
  type Query,
  readChoice,
  readInstanceId,
  readPageNumber,
  renderInstanceChoice,
  renderPages,
  renderSelect,
  renderTable,
  textColumn,
} from './lists.ts';
import {
  type Html,
  renderAway,
  renderAwayPage,
  renderDay,
  renderDistance,
  renderInstant,
  renderMissing,
  renderPage,
} from './page.ts';
import { type ConsolePage, type Names, readOrNull, type WakeEnd } from './sources.ts';

const PATH = '/runs';
const KINDS = ['scheduled', 'manual', 'backfill'] as const;
const STATUSES = ['running', 'complete', 'partial', 'failed', 'interrupted'] as const;

export const runsPage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const filters = readFilters(c.req.query());
    const page = readPageNumber(c.req.query('page'));
    const nowMs = sources.now();
    const found = await readOrNull(sources, async (db) => ({
      list: await readRunList(db, queryOf(filters, page)),
      lastDay: await readRunsSince(db, new Date(nowMs - DAY_MS).toISOString()),
      names: await readInstanceNames(db),
    }));
    const names: Names = found?.names ?? new Map();
    const { instance, kind, status, started } = filters;
    const body = html`<h1>Runs</h1>
<p class="quiet">Every export that had something to do, the newest first. A wake-up with nothing due leaves none; it is in the strip only.</p>
${found === null ? '' : renderStrip(found.lastDay, sources.wakes(), nowMs)}
<form method="get" action="${PATH}" role="search" aria-label="Runs">
${renderInstanceChoice(names, instance)}
${renderSelect('kind', 'Kind', [['', 'all'], ...KINDS], kind)}
${renderSelect('status', 'Ended', [['', 'all'], ...STATUSES], status)}
<label>Day and night before <input name="started" type="date" value="${started}"></label>
<button type="submit">Show</button></form>
${found === null ? renderAway() : renderList(found.list, { filters, page, names, nowMs })}`;
    return await c.html(renderPage({ title: 'Runs', path: PATH, body }), found === null ? 503 : 200);
  },
};

export function readRunId(given: string | undefined): string | null {
  return given !== undefined && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(given) ? given : null;
}

/** The filters as addresses have them; '' for one that is not set or not valid. */
type Filters = ReturnType<typeof readFilters>;

function readFilters(given: Query) {
  return {
    instance: readInstanceId(given['instance']),
    kind: readChoice(given['kind'], KINDS),
    status: readChoice(given['status'], STATUSES),
    started: parseDay(given['started'] ?? '') ?? '',
  };
}

function queryOf({ instance, kind, status, started }: Filters, page: number): RunQuery {
  return {
    ...{ instanceId: instance || null, kind: kind || null, status: status || null, page },
    // A day's runs include those of the night before.
    started: started === '' ? null : { from: addDays(started, -1), to: started },
  };
}

const HOURS = 24;
/** The time within which a wake-up ends after its run. */
const WAKE_END_MS = 60_000;

/**
 * `renderStrip` renders the last 24 hours, each with its runs and the wake-ups of this process that found
 * nothing due.
 */
function renderStrip(lastDay: readonly RunRecord[], wakes: readonly WakeEnd[], nowMs: number): Html {
  const first = Math.floor(nowMs / HOUR_MS) - HOURS + 1;
  const cells = Array.from({ length: HOURS }, (_, place) => {
    const from = new Date((first + place) * HOUR_MS).toISOString();
    const to = new Date((first + place + 1) * HOUR_MS).toISOString();
    const runs = lastDay.filter(
      ({ startedAt, finishedAt }) => startedAt < to && (finishedAt === null || finishedAt >= from),
    );
    const idle = wakes.filter(
      ({ at, instanceId, result }) =>
        from <= at &&
        at < to &&
        result === 'complete' &&
        !lastDay.some((run) => run.instanceId === instanceId && isDuring(at, run)),
    ).length;
    const bad = runs.filter((run) => !isGoodRun(run)).length;
    const parts = [
      ...(runs.length === 0 ? [] : [count(runs.length, 'run')]),
      ...(bad === 0 ? [] : [`${showNumber(bad)} with trouble`]),
      ...(idle === 0 ? [] : [`${count(idle, 'wake-up')} with nothing due`]),
    ];
    const [day, label] = [from.slice(0, 10), `${from.slice(11, 13)}:00`];
    const said = parts.length === 0 ? 'nothing' : parts.join(', ');
    const [tone, sign] =
      bad > 0 ? ['bad', '✕'] : runs.length > 0 ? ['good', '●'] : idle > 0 ? ['quiet', '○'] : ['quiet', ' '];
    const text = html`<span class="${tone}" aria-hidden="true">${sign}</span><br>${label}<span class="hidden">: ${said}</span>`;
    return html`<li title="${day} ${label} UTC: ${said}">${runs.length === 0 ? html`<span>${text}</span>` : html`<a href="${addressOf(PATH, { started: day })}">${text}</a>`}</li>\n`;
  });
  return html`<h2>The last 24 hours</h2>
<p class="quiet">By UTC hour: <span class="good">●</span> runs that did all they had to, <span class="bad">✕</span> with trouble, ○ wake-ups of this process that found nothing due, blank for nothing.</p>
<ol class="strip">${cells}</ol>`;
}

/** Whether an instant lies in the run, or in the minute after it within which its wake-up ends. */
function isDuring(at: string, { startedAt, finishedAt }: RunRecord): boolean {
  return startedAt <= at && (finishedAt === null || Date.parse(at) <= Date.parse(finishedAt) + WAKE_END_MS);
}

function isGoodRun(run: RunRecord): boolean {
  return run.status === 'complete' || run.status === 'running';
}

function renderList(
  { count: found, runs }: RunList,
  { filters, page, names, nowMs }: { filters: Filters; page: number; names: Names; nowMs: number },
): Html {
  if (runs.length === 0)
    return html`<p>${count(found, 'run')}${found === 0 ? '' : ', none on this page'}.</p>`;
  const counted = (name: string, cells: (run: RunRecord) => number) =>
    numberColumn<RunRecord>(name, (run) => (run.status === 'running' ? null : cells(run)));
  return html`<p>${count(found, 'run')}.</p>
${renderTable(runs, [
  ...runColumns(names, nowMs),
  numberColumn('Took', (run) => renderLength(run, nowMs)),
  column('Days', renderRange),
  counted('Numbers', ({ planned }) => planned),
  counted('New or changed', ({ loaded }) => loaded),
  counted('Not read', ({ failed, quarantined }) => failed + quarantined),
  numberColumn('Requests', ({ requests }) => requests),
  textColumn('What went wrong', describeTrouble),
])}
${renderPages({ path: PATH, query: filters, page, found, perPage: RUNS_PER_PAGE })}`;
}

export function runColumns(names: Names, nowMs: number): Column<RunRecord>[] {
  return [
    column(
      'Started',
      ({ runId, startedAt }) => html`<a href="${PATH}/${runId}">${renderDistance(startedAt, nowMs)}</a>`,
    ),
    ...instanceColumn<RunRecord>(names),
    column('Kind', ({ kind }) => kind),
    column('Ended', renderStatus),
  ];
}

function renderStatus(run: RunRecord): Html | string {
  return isGoodRun(run) ? run.status : html`<span class="bad">${run.status}</span>`;
}

export function renderLength({ startedAt, finishedAt }: RunRecord, nowMs: number): string {
  const end = finishedAt === null ? nowMs : Date.parse(finishedAt);
  const length = showDuration(Math.max(0, end - Date.parse(startedAt)));
  return finishedAt === null ? `${length} so far` : length;
}

export function renderRange({ from, to }: RunRecord): Html {
  return from === null || to === null || from === to
    ? renderDay(from)
    : html`${renderDay(from)} to ${renderDay(to)}`;
}

export function describeTrouble(run: RunRecord): Html | string {
  const { error, failures, failed, quarantined } = run;
  const [first] = failures;
  if (error !== null) return error;
  if (first === undefined)
    return failed + quarantined === 0
      ? '–'
      : count(failed + quarantined, 'number not read', 'numbers not read');
  const more = failures.length === 1 ? '' : `; ${count(failures.length - 1, 'more cause')}`;
  return `${first.code}: ${first.message} (${count(first.orgs, 'organization')})${more}`;
}

/** The page of one run: its task, its result and its failures. */
export const runPage: ConsolePage = {
  path: `${PATH}/:id`,
  open: (sources) => async (c) => {
    const runId = readRunId(c.req.param('id'));
    if (runId === null) return await c.html(renderUnknown(), 404);
    const found = await readOrNull(sources, async (db) => ({
      run: await readRun(db, runId),
      names: await readInstanceNames(db),
    }));
    if (found === null) return await c.html(renderAwayPage({ title: 'Run', path: PATH }), 503);
    if (found.run === null) return await c.html(renderUnknown(), 404);
    const instance = found.names.get(found.run.instanceId) ?? found.run.instanceId;
    return await c.html(renderRun(found.run, { instance, nowMs: sources.now() }));
  },
};

function renderUnknown(): Html {
  return renderMissing({
    path: PATH,
    title: 'Not found',
    sentence: 'There is no such run on record.',
    hint: html`<a href="${PATH}">The list of runs</a> has all that are.`,
  });
}

function renderRun(run: RunRecord, { instance, nowMs }: { instance: string; nowMs: number }): Html {
  const facts: readonly (readonly [string, Html | string])[] = [
    ['Instance', instance],
    ['Ended', renderStatus(run)],
    ['Started', renderInstant(run.startedAt, nowMs)],
    ['Took', renderLength(run, nowMs)],
    ['Days read', renderRange(run)],
    ['Streams', run.streams.join(', ')],
    ['Organizations', showNumber(run.orgs)],
    ['Requests', showNumber(run.requests)],
    ['Host', `${run.host ?? '–'}, version ${run.version}`],
    ['Id', run.runId],
  ];
  const body = html`<h1>Run: ${run.kind}, ${run.status}</h1>
${run.error === null ? '' : html`<p class="bad">${run.error}</p>`}
<dl class="list">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>\n`)}</dl>
<h2>${count(run.planned, 'number')}</h2>
${renderCells(run)}
${run.restated === 0 ? '' : html`<p><a href="/changes?which=all&amp;run=${run.runId}">${count(run.restated, 'number')} changed that ${run.restated === 1 ? 'was' : 'were'} stored before</a>, ${showNumber(run.restatedFinal)} of them final.</p>`}
${renderFailures(run)}`;
  return renderPage({ title: `Run of ${run.startedAt.slice(0, 16).replace('T', ' ')}`, path: PATH, body });
}

function renderCells(run: RunRecord): Html {
  return renderTable(
    [run],
    [
      numberColumn('new or changed', ({ loaded }) => loaded),
      numberColumn('unchanged', ({ unchanged }) => unchanged),
      numberColumn('left out', ({ leftOut }) => leftOut),
      numberColumn('failed', ({ failed }) => failed),
      numberColumn('quarantined', ({ quarantined }) => quarantined),
      numberColumn('unavailable', ({ unavailable }) => unavailable),
    ],
  );
}

function renderFailures(run: RunRecord): Html {
  const { failures } = run;
  if (failures.length === 0) {
    return html`<h2>Nothing failed</h2>${run.status === 'partial' ? html`<p>Losant left out what it read, or something became due while it worked: <a href="/coverage?only=gap&amp;days=90">the gaps</a>.</p>` : ''}`;
  }
  return html`<h2>What failed, by cause</h2>
${renderTable(failures, [
  textColumn('Cause', ({ code, message }) => html`<strong>${code}</strong>: ${message}`),
  column('Stream', ({ stream }) => stream),
  numberColumn('Numbers', ({ cells }) => cells),
  numberColumn('Organizations', ({ orgs }) => orgs),
  textColumn('For example', ({ example }) =>
    example === null ? null : html`<a href="/coverage?q=${example}">${example}</a>`,
  ),
])}`;
}
