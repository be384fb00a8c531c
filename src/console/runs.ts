import { html } from 'hono/html';
import { sql } from 'kysely';
import { type RunRecord, readRun } from '../queries/runs.ts';
import { capitalize, showDays, showDuration, showNumber } from '../terminal/words.ts';
import { detailPage } from './detail.ts';
import { type Html, linkToOrganization, plain, renderInstant, renderPage, renderStats } from './page.ts';
import { addressOf, type Column, type Listing, listingPage, optionsOf, renderTable } from './table.ts';

interface RunRow {
  readonly run_id: string;
  readonly started_at: string;
  readonly finished_at: string | null;
  readonly status: RunRecord['status'];
}

const TONES: Readonly<Record<RunRecord['status'], string>> = {
  running: 'quiet',
  complete: 'good',
  partial: 'bad',
  failed: 'bad',
  interrupted: 'warn',
};

const runs: Listing<RunRow> = {
  path: '/runs',
  title: 'Runs',
  sentence: 'What was done when, newest first. A run is partial if something that was due is missing.',
  from: ({ instanceIds }) => sql`(
    select n.run_id, coalesce(i.name, n.instance_id) as instance_name, n.kind, n.status, n.started_at, n.finished_at,
      n.from_date, n.to_date,
      (n.counts -> 'cells' ->> 'planned')::bigint as planned, (n.counts -> 'cells' ->> 'loaded')::bigint as loaded,
      coalesce((n.counts -> 'cells' ->> 'failed')::bigint, 0) + coalesce((n.counts -> 'cells' ->>
        'quarantined')::bigint, 0) as failed,
      (n.counts ->> 'restated')::bigint as restated, (n.counts ->> 'requests')::bigint as requests,
      coalesce(n.error, (select string_agg((f.item ->> 'code') || ' (' || coalesce(f.item ->> 'cells', '1') || ')',
        ', ')
        from jsonb_array_elements(n.failures) as f (item))) as trouble
    from losant_usage.runs n join losant_usage.instances i on i.instance_id = n.instance_id
    where n.instance_id = any (${instanceIds}::text[])
  ) as r`,
  filters: [
    {
      name: 'kind',
      label: 'Kind',
      options: optionsOf(['scheduled', 'manual', 'backfill']),
      where: (kind) => sql`r.kind = ${kind}`,
    },
    {
      name: 'status',
      label: 'Ended',
      options: optionsOf(Object.keys(TONES)),
      where: (status) => sql`r.status = ${status}`,
    },
    {
      name: 'day',
      label: 'Begun on',
      options: 'day',
      where: (day) =>
        sql`r.started_at >= ${`${day}T00:00:00Z`}::timestamptz and r.started_at <=
          ${`${day}T23:59:59.999Z`}::timestamptz`,
    },
  ],
  sort: ['-started_at', 'run_id'],
  columns: [
    {
      name: 'started_at',
      label: 'Begun',
      kind: 'instant',
      isSortable: true,
      cell: ({ run_id, started_at }) =>
        html`<a href="/runs/${run_id}">${started_at.slice(0, 16).replace('T', ' ')}</a>`,
    },
    { name: 'run_id', label: 'Run', kind: 'value', isHidden: true },
    { name: 'finished_at', label: 'Took', kind: 'value', cell: showLength },
    { name: 'instance_name', label: 'Instance', kind: 'text' },
    { name: 'kind', label: 'Kind', kind: 'value' },
    {
      name: 'status',
      label: 'Ended',
      kind: 'value',
      cell: ({ status }) => html`<span class="${TONES[status]}">${status}</span>`,
    },
    { name: 'planned', label: 'Due', kind: 'number', isSortable: true },
    { name: 'loaded', label: 'Loaded', kind: 'number', isSortable: true },
    { name: 'failed', label: 'Failed', kind: 'number', isSortable: true },
    { name: 'restated', label: 'Changed', kind: 'number', isSortable: true },
    { name: 'requests', label: 'Requests', kind: 'number', isSortable: true },
    { name: 'trouble', label: 'What went wrong', kind: 'text' },
  ],
};

export const runsPage = listingPage(runs);

function showLength({
  started_at: from,
  finished_at: to,
}: Pick<RunRow, 'started_at' | 'finished_at'>): string {
  return to === null ? 'runs' : showDuration(Date.parse(to) - Date.parse(from));
}

const PLACE = '/runs';

const RUN_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export const runPage = detailPage({
  path: '/runs/:id',
  place: PLACE,
  noun: 'run',
  read: async (c, { read, instanceIds }) => {
    const id = c.req.param('id') ?? '';
    const run = RUN_ID.test(id) ? await read((db) => readRun(db, id)) : null;
    return run !== null && instanceIds.includes(run.instanceId) ? run : null;
  },
  render: renderRun,
});

type Failure = RunRecord['failures'][number];

const FAILURES: readonly Column<Failure>[] = [
  { name: 'code', label: 'Code', kind: 'value' },
  { name: 'message', label: 'What went wrong', kind: 'text' },
  { name: 'stream', label: 'Stream', kind: 'value' },
  { name: 'cells', label: 'Numbers', kind: 'number' },
  { name: 'orgs', label: 'Organizations', kind: 'number' },
  {
    name: 'example',
    label: 'For example',
    kind: 'value',
    cell: ({ example }) => (example === null ? null : linkToOrganization(example, example)),
  },
];

function renderRun(run: RunRecord, nowMs: number): Html {
  const { runId, counts, failures, from, to, startedAt, finishedAt, status, kind, error, version } = run;
  const took =
    finishedAt === null ? 'still running' : showDuration(Date.parse(finishedAt) - Date.parse(startedAt));
  const cells = Object.entries(counts.cells ?? {});
  const restated = counts.restated ?? 0;
  const body = html`<h1>${capitalize(kind)} run: <span class="${TONES[status]}">${status}</span></h1>
<p>Begun ${renderInstant(startedAt, nowMs)}, ${took}${
    from === null || to === null
      ? ''
      : `; usage days ${showDays({
          from,
          to,
        })}`
  }.</p>
${error === null ? '' : html`<p class="bad">${plain(error)}</p>`}
${renderStats([
  ...cells.map(([name, count]) => ({ label: capitalize(name.replace('_', ' ')), value: showNumber(count) })),
  { label: 'Requests', value: showNumber(counts.requests ?? 0) },
  {
    label: 'Changed',
    value:
      restated === 0
        ? '0'
        : html`<a href="${addressOf('/changes', { run: runId })}">${showNumber(restated)}</a>`,
  },
])}
${failures.length === 0 ? '' : html`<h2>What went wrong</h2>${renderTable(failures, FAILURES, { nowMs })}`}
<p class="quiet">Run ${runId}, version ${version}</p>`;
  return renderPage({ title: 'Run', path: PLACE, body });
}
