import { html } from 'hono/html';
import { sql } from 'kysely';
import type { RunStatus } from '../ledger/runs.ts';
import { showDuration, showNumber } from '../terminal/words.ts';
import { addressOf, createTablePage, optionsOf } from './table.ts';

type RunRow = {
  readonly run_id: string;
  readonly status: RunStatus;
  readonly duration_ms: number | null;
  readonly restated: number;
};

const TONES: Readonly<Record<RunStatus, string>> = {
  running: 'quiet',
  complete: 'good',
  partial: 'bad',
  failed: 'bad',
  interrupted: 'warn',
};

export const runsPage = createTablePage<RunRow>('/runs', '/runs', ({ instanceIds }) => ({
  title: 'Runs',
  sentence: 'Runs, newest first. A run is partial if something that was due is missing.',
  rows: sql`
    select n.run_id, n.started_at, (extract(epoch from n.finished_at - n.started_at) * 1000)::bigint as duration_ms,
      coalesce(i.name, n.instance_id) as instance_name, n.kind, n.status, n.first_day, n.last_day,
      (n.counts -> 'cells' ->> 'planned')::bigint as planned, (n.counts -> 'cells' ->> 'loaded')::bigint as loaded,
      (coalesce(n.counts -> 'cells' ->> 'failed', '0')::bigint
        + coalesce(n.counts -> 'cells' ->> 'quarantined', '0')::bigint) as failed,
      (n.counts -> 'rows' ->> 'updated')::bigint as restated, (n.counts ->> 'requests')::bigint as requests,
      concat_ws('; ', n.error, (
        select string_agg(format('%s (%s%s): %s', f.item ->> 'code', coalesce(f.item ->> 'cells', '1'),
          ', e.g. ' || nullif(f.item ->> 'example', ''), f.item ->> 'message'), '; ')
        from jsonb_array_elements(n.failures) as f (item))) as problems
    from losant_usage.runs n join losant_usage.instances i on i.instance_id = n.instance_id
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
    duration_ms: ['Duration', ({ duration_ms: ms }) => (ms === null ? '' : showDuration(ms))],
    instance_name: 'Instance',
    kind: 'Kind',
    status: ['Status', ({ status }) => html`<span class="${TONES[status]}">${status}</span>`],
    planned: 'Due',
    loaded: 'Loaded',
    failed: 'Failed',
    restated: [
      'Restated',
      ({ run_id: run, restated }) =>
        html`<a href="${addressOf('/changes', { run })}">${showNumber(restated)}</a>`,
    ],
    requests: 'Requests',
    problems: 'Problems',
  },
}));
