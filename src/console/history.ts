/** The lists of what was done: changes of stored numbers, and runs. */
import { sql } from 'kysely';
import type { RunStatus } from '../ledger/runs.ts';
import { showDuration, showNumber } from '../terminal/words.ts';
import { streams } from '../usage/streams/catalog.ts';
import { payloadHours } from '../usage/streams/payload-hours.ts';
import { linkTo, renderFoldedList, renderPill } from './elements.ts';
import { DAYS, optionsOf, SEARCH, selectInstanceName } from './filters.ts';
import { wasRead } from './sources.ts';
import { createTablePage } from './table.ts';

const METRICS = streams
  .flatMap((stream) => (stream === payloadHours ? [] : stream.columns))
  // The map of the counts whose sum is a metric.
  .filter((column) => column !== 'payload_sources');

export const changesPage = createTablePage({ path: '/changes' }, ({ instanceIds }) => ({
  title: 'Changes',
  sentence:
    'Numbers that Losant changed after they were stored, newest first. Hourly numbers are not listed; their day is.',
  rows: sql`
    select c.org_id, c.org_name, c.referral_id, c.usage_date, c.metric, c.payload_type, c.source, c.old_quantity,
      c.new_quantity, c.difference, c.was_final, exists (
        select from losant_usage.statements s
        where s.kind = 'closing' and s.closed_at < c.changed_at
          and s.month = date_trunc('month', c.usage_date::timestamp)::date
          -- An organization that was transferred since may have been billed by its former instance.
          and (s.instance_id = c.instance_id or exists (
            select from losant_usage.statement_lines l
            where l.statement_id = s.statement_id and l.org_id = c.org_id))
      ) as is_after_closing, c.changed_at, c.run_id, c.revision_id
    from losant_usage.restatements c
    where c.hour is null and c.instance_id = any (${instanceIds}::text[])`,
  order: sql`r.changed_at desc, r.revision_id, r.metric, r.payload_type, r.source`,
  filters: {
    q: SEARCH,
    metric: { label: 'Metric', options: optionsOf(METRICS) },
    which: {
      label: 'Show only',
      options: { final: 'numbers that were final', closed: 'changes after the month was closed' },
      where: (choice) => (choice === 'final' ? sql`r.was_final` : sql`r.is_after_closing`),
    },
    ...DAYS,
    run: { label: 'Run', options: 'text', where: (run) => sql`r.run_id::text = ${run}` },
  },
  columns: [
    'org_name',
    'usage_date',
    'metric',
    ['old_quantity', 'Old'],
    ['new_quantity', 'New'],
    'difference',
    'was_final',
    ['is_after_closing', 'After closing'],
    'changed_at',
    'payload_type',
    'source',
  ],
  isKnown: wasRead,
}));

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

export const runsPage = createTablePage<RunRow>({ path: '/runs' }, ({ instanceIds }) => ({
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
      concat_ws(', ', case when n.error is not null then 'error' end, c.causes) as causes,
      nullif(array_remove(n.error || f.problems, null), '{}') as problems
    from losant_usage.runs n join losant_usage.instances i on i.instance_id = n.instance_id
    cross join lateral (
      select string_agg(concat_ws(' ', s.code, nullif(s.cells, 0)), ', ' order by s.cells desc, s.code) as causes
      from (
        select f.code, coalesce(sum(f.cells), 0) as cells
        from jsonb_to_recordset(n.failures) as f (code text, cells bigint) group by f.code
      ) as s
    ) as c
    cross join lateral (
      select array_agg(concat(f.code, ' of ' || f.stream,
          ', such as ' || losant_usage_internal.name_or_id(o.name, f.example), ': ', f.message)) as problems
      from jsonb_to_recordset(n.failures) as f (code text, stream text, example text, message text)
      left join losant_usage.organizations o on o.org_id = f.example
    ) as f
    where n.instance_id = any (${instanceIds}::text[])`,
  order: sql`r.started_at desc, r.run_id`,
  filters: {
    kind: { label: 'Kind', options: optionsOf(['scheduled', 'manual', 'backfill']) },
    status: { label: 'Status', options: optionsOf(Object.keys(TONES)) },
    day: {
      label: 'Started on (UTC)',
      options: 'day',
      where: (day) => sql`(r.started_at at time zone 'UTC')::date = ${day}::date`,
    },
  },
  columns: [
    ['started_at', 'Started'],
    'instance_name',
    ['status', 'Status', ({ status }) => renderPill(TONES[status], status)],
    ['loaded', 'Cells loaded'],
    ['restated', 'Cells restated', ({ run_id: run, restated }) => linkTo('/changes', { run }, showNumber(restated))],
    ['problems', 'Problems', ({ causes, problems }) => renderFoldedList(causes, problems ?? [])],
    ['duration_ms', 'Duration', ({ duration_ms: ms }) => showDuration(ms ?? 0)],
    'kind',
    ['planned', 'Cells due'],
    ['failed', 'Cells failed'],
    'requests',
  ],
}));
