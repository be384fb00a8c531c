import { html } from 'hono/html';
import { readInstanceNames } from '../queries/instances.ts';
import {
  RUNS_PER_PAGE,
  type RunList,
  type RunQuery,
  type RunRecord,
  readRunList,
} from '../queries/run-list.ts';
import { count, showDuration, showNumber } from '../terminal/words.ts';
import { type ConsolePage, readOrNull, renderAway } from './console-page.ts';
import { instanceOptions, readChoice, renderSelect } from './filters.ts';
import { renderDay, renderDistance } from './instants.ts';
import { type Html, renderPage, renderTable } from './page.ts';
import { readPageNumber, renderPages } from './pagination.ts';

const PATH = '/runs';
const KINDS = ['scheduled', 'manual', 'backfill'] as const;
const STATUSES = ['running', 'complete', 'partial', 'failed', 'interrupted'] as const;

export const runsPage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const query = readQuery((name) => c.req.query(name));
    const found = await readOrNull(sources, async (db) => ({
      list: await readRunList(db, query),
      names: await readInstanceNames(db),
    }));
    const facts = { names: found?.names ?? new Map(), nowMs: sources.now() };
    return await c.html(renderRuns(query, found?.list ?? null, facts), found === null ? 503 : 200);
  },
};

/** A run's id from the address; null for what is none. */
export function readRunId(given: string | undefined): string | null {
  return given !== undefined && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(given) ? given : null;
}

/** What a reader asks for, from the address; whatever makes no sense is left out. */
function readQuery(given: (name: string) => string | undefined): RunQuery {
  const instanceId = given('instance') ?? '';
  return {
    instanceId: /^[0-9a-f]{24}$/.test(instanceId) ? instanceId : null,
    kind: readChoice(given('kind'), KINDS),
    status: readChoice(given('status'), STATUSES),
    page: readPageNumber(given('page')),
  };
}

interface RunsFacts {
  readonly names: ReadonlyMap<string, string>;
  readonly nowMs: number;
}

function renderRuns(query: RunQuery, list: RunList | null, facts: RunsFacts): Html {
  const { instanceId, kind, status } = query;
  const { names } = facts;
  const body = html`<h1>Runs</h1>
<p class="quiet">Every export that had something to do, the newest first. A wake-up with nothing due leaves none.</p>
<form method="get" action="${PATH}" role="search">
${names.size > 1 ? renderSelect({ name: 'instance', label: 'Instance', options: instanceOptions(names), chosen: instanceId ?? '' }) : ''}
${renderSelect({ name: 'kind', label: 'Kind', options: [['', 'all'], ...KINDS.map((each) => [each, each] as const)], chosen: kind ?? '' })}
${renderSelect({ name: 'status', label: 'Ended', options: [['', 'all'], ...STATUSES.map((each) => [each, each] as const)], chosen: status ?? '' })}
<button type="submit">Show</button></form>
${list === null ? renderAway() : renderList(query, list, facts)}`;
  return renderPage({ title: 'Runs', path: PATH, body });
}

function renderList(query: RunQuery, { count: found, runs }: RunList, { names, nowMs }: RunsFacts): Html {
  if (runs.length === 0)
    return html`<p>${count(found, 'run')}${found === 0 ? '' : ', none on this page'}.</p>`;
  const { instanceId, kind, status, page } = query;
  const address = { instance: instanceId ?? '', kind: kind ?? '', status: status ?? '' };
  return html`<p>${count(found, 'run')}.</p>
${renderTable({
  columns: [
    { name: 'Started' },
    ...(names.size > 1 ? [{ name: 'Instance', isText: true }] : []),
    { name: 'Kind' },
    { name: 'Ended' },
    { name: 'Took', isNumber: true },
    { name: 'Days' },
    { name: 'Numbers', isNumber: true },
    { name: 'New or changed', isNumber: true },
    { name: 'Not read', isNumber: true },
    { name: 'Requests', isNumber: true },
    { name: 'What went wrong', isText: true },
  ],
  rows: runs.map((run) => [
    html`<a href="${PATH}/${run.runId}">${renderDistance(run.startedAt, nowMs)}</a>`,
    ...(names.size > 1 ? [names.get(run.instanceId) ?? run.instanceId] : []),
    run.kind,
    renderStatus(run),
    renderLength(run, nowMs),
    renderRange(run),
    ...[run.planned, run.loaded, run.failed + run.quarantined].map((cells) =>
      run.status === 'running' ? '–' : showNumber(cells),
    ),
    showNumber(run.requests),
    describeTrouble(run),
  ]),
})}
${renderPages({ path: PATH, query: address, page, found, perPage: RUNS_PER_PAGE })}`;
}

export function renderStatus({ status }: RunRecord): Html | string {
  const isGood = status === 'complete' || status === 'running';
  return isGood ? status : html`<span class="bad">${status}</span>`;
}

/** How long it took, or for how long it has been running. */
export function renderLength({ startedAt, finishedAt }: RunRecord, nowMs: number): string {
  const end = finishedAt === null ? nowMs : Date.parse(finishedAt);
  const length = showDuration(Math.max(0, end - Date.parse(startedAt)));
  return finishedAt === null ? `${length} so far` : length;
}

/** The usage days that it read. */
export function renderRange({ from, to }: RunRecord): Html {
  return from === null || to === null || from === to
    ? renderDay(from)
    : html`${renderDay(from)} to ${renderDay(to)}`;
}

/** The first cause, and how many more there are. */
function describeTrouble({ error, failures }: RunRecord): string {
  const [first] = failures;
  if (error !== null) return error;
  if (first === undefined) return '–';
  const more = failures.length === 1 ? '' : `; ${count(failures.length - 1, 'more cause')}`;
  return `${first.code}: ${first.message} (${count(first.orgs, 'organization')})${more}`;
}
