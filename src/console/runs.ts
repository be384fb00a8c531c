import { html } from 'hono/html';
import { sql } from 'kysely';
import type { RunStatus } from '../ledger/runs.ts';
import { showDuration, showNumber } from '../terminal/words.ts';
import { addressOf, type Html, renderPill } from './elements.ts';
import { optionsOf } from './filters.ts';
import { selectInstanceName } from './sources.ts';
import { createTablePage } from './table.ts';

type RunRow = {
  readonly run_id: string;
  readonly status: RunStatus;
  readonly duration_ms: number | null;
  readonly restated: number;
  readonly causes: string;
  readonly problems: readonly string[] | null;
};

const TONES: Readonly<Record<RunStatus, string>> = {
  running: 'quiet',
  complete: 'good',
  partial: 'bad',
  failed: 'bad',
  interrupted: 'warn',
};

export const runsPage = createTablePage<RunRow>({ path: '/runs', navPath: '/runs' }, ({ instanceIds }) => ({
  title: 'Runs',
  sentence: 'Runs, newest first. A run is partial if something that was due is missing.',
  rows: sql`
    select n.run_id, n.started_at, (extract(epoch from n.finished_at - n.started_at) * 1000)::bigint as duration_ms,
      ${selectInstanceName(instanceIds)},
      n.kind, n.status, n.first_day, n.last_day,
      (n.counts -> 'cells' ->> 'planned')::bigint as planned, (n.counts -> 'cells' ->> 'loaded')::bigint as loaded,
      (coalesce(n.counts -> 'cells' ->> 'failed', '0')::bigint
        + coalesce(n.counts -> 'cells' ->> 'quarantined', '0')::bigint) as failed,
      (n.counts -> 'rows' ->> 'updated')::bigint as restated, (n.counts ->> 'requests')::bigint as requests,
      f.causes, nullif(array_remove(n.error || f.problems, null), '{}') as problems
    from losant_usage.runs n join losant_usage.instances i on i.instance_id = n.instance_id
    cross join lateral (
      select concat_ws(', ', case when n.error is not null then 'error' end,
          string_agg(concat_ws(' ', f.code, nullif(f.cells, 0)), ', ')) as causes,
        array_agg(concat(f.code, ' of ' || f.stream, ', such as ' || coalesce(o.name, f.example), ': ', f.message))
          as problems
      from jsonb_to_recordset(n.failures) as f (code text, stream text, cells bigint, example text, message text)
      left join losant_usage.organizations o on o.org_id = f.example
    ) as f
    where n.instance_id = any (${instanceIds}::text[])`,
  order: sql`r.started_at desc, r.run_id`,
  filters: {
    kind: { label: 'Kind', options: optionsOf(['scheduled', 'manual', 'backfill']) },
    status: { label: 'Status', options: optionsOf(Object.keys(TONES)) },
    day: {
      label: 'Started on',
      options: 'day',
      where: (day) => sql`(r.started_at at time zone 'UTC')::date = ${day}::date`,
    },
  },
  columns: {
    started_at: 'Started',
    instance_name: 'Instance',
    status: ['Status', ({ status }) => renderPill(TONES[status], status)],
    loaded: 'Loaded',
    restated: [
      'Restated',
      ({ run_id: run, restated }) => html`<a href="${addressOf('/changes', { run })}">${showNumber(restated)}</a>`,
    ],
    problems: ['Problems', renderProblems],
    duration_ms: ['Duration', ({ duration_ms: ms }) => showDuration(ms ?? 0)],
    kind: 'Kind',
    planned: 'Due',
    failed: 'Failed',
    requests: 'Requests',
  },
}));

function renderProblems({ causes, problems }: RunRow): Html {
  const items = (problems ?? []).map((problem) => html`<li>${problem}</li>`);
  return html`<details><summary>${causes}</summary><ul>${items}</ul></details>`;
}
