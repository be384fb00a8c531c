/** Known numbers for the queries that people are given. */
import { addCells, changeCells } from '../support/cells.ts';

export const NORTH = '5c0000000000000000000001';
export const SOUTH = '5c0000000000000000000002';
export const ACME = '5d0000000000000000000001';
export const HOSTILE = '5d0000000000000000000002';
const LATER_INSTANCE = '5c0000000000000000000003';
export const LATER = '5d0000000000000000000004';
export const GLOBEX = '5d0000000000000000000003';

export const HOSTILE_NAME = `'; drop schema losant_usage cascade; -- <script>`;
export const HOSTILE_KEY = `it's "so" \${org} $1`;

/** Numbers of a day that are stored: payloads billable and in all, bytes, minutes, devices, payloads by source. */
const DAY = (org: string, [first, last]: readonly [string, string], payloads: number) => `
  insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total,
    notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout,
    payload_billable_count, payload_all_count, payload_all_bytes, payload_source_count)
  select day, '${org}', 1, 0, 5, 2, 1, 0, 0, 0, ${payloads}, ${payloads + 2}, ${payloads * 100}, ${payloads + 2}
  from generate_series(date '${first}', date '${last}', interval '1 day') as day;
  insert into losant_usage.payload_sources (usage_date, org_id, payload_type, source, count)
  select day, '${org}', t.payload_type, t.source, t.count
  from generate_series(date '${first}', date '${last}', interval '1 day') as day,
    (values ('deviceState', 'device.mqtt', ${payloads}), ('timer', 'timer.flow', 2)) as t (payload_type, source, count);
  ${addCells(
    `select day, stream, '${org}' from losant_usage.days_between('${first}', '${last}') as day,
       losant_usage.streams where stream <> 'payload_hours'`,
    'final',
  )}`;

/** Takes one cell's numbers away. */
const MISS = (org: string, day: string, stream: string, [standing, reason]: readonly [string, string]) => `
  ${changeCells(`usage_date = '${day}' and stream = '${stream}' and org_id = '${org}'`, standing, {
    reason,
    message: `because of ${reason}`,
    isStored: false,
  })}
  update losant_usage.usage_days set ${
    stream === 'notebook_minutes'
      ? 'notebook_minutes = null, notebook_completed = null, notebook_canceled = null, notebook_errored = null, notebook_timeout = null'
      : 'payload_billable_count = null, payload_all_count = null, payload_all_bytes = null'
  } where usage_date = '${day}' and org_id = '${org}';`;

/**
 * Acme: October, 10 billable payloads a day, none on the 5th; payloads are missing on the 10th and unavailable on the
 * 11th, notebooks are accepted on the 12th; its hours are there on the 20th and 21st, all payloads from 12:00. The hostile one: 100 a day from 30 October; payloads are missing on the 31st,
 * 2 November was never read. Globex, of the other instance: devices and notebooks only, from 1 October to 2 November. Two numbers
 * of 2 and 3 October changed after they were final: on 20 October, and after October's invoice. Another organization
 * of an instance of its own has 25 November, the day before the one on which it is asked, and nothing else.
 */
export const SEED = `
  begin;
  select set_config('losant_usage.program', 'seed', true);
  set local time zone 'UTC';
  insert into losant_usage.instances (instance_id, name, api_url, tracked_from) values
    ('${NORTH}', 'Northern plants', 'https://api.example.com', '2026-10-01'),
    ('${SOUTH}', null, 'https://api.example.com', '2026-10-01');
  insert into losant_usage.organizations
    (org_id, instance_id, name, referral_id, plan_id, tags, limits, created_at, first_seen_at, last_seen_at)
  values
    ('${ACME}', '${NORTH}', 'Acme', 'C-17', 'gold',
      '[{"key":"tier","value":"gold"},{"key":"tier","value":"silver"}]',
      '{"payload":1000,"device":20,"notebookMinutesPerMonth":0}', '2026-10-01 00:00Z', '2026-10-01 09:00Z', '2026-11-03 00:00Z'),
    ('${HOSTILE}', '${NORTH}', ${literal(HOSTILE_NAME)}, null, null,
      ${literal(JSON.stringify([{ key: HOSTILE_KEY, value: HOSTILE_NAME }]))}, '{}',
      '2026-10-30 00:00Z', '2026-10-30 09:00Z', '2026-11-03 00:00Z'),
    ('${GLOBEX}', '${SOUTH}', 'Globex', null, 'gold', '[]', '{}', '2026-10-01 00:00Z', '2026-10-01 09:00Z', '2026-11-03 00:00Z');
  update losant_usage.organizations set created_on = (created_at at time zone 'UTC')::date;
  insert into losant_usage.tracking (org_id, stream, tracked_days)
  select t.org_id, s.stream, t.days from losant_usage.streams s, (values
    ('${ACME}', '{[2026-10-01,2026-11-01)}'::datemultirange),
    ('${HOSTILE}', '{[2026-10-30,2026-11-03)}')) as t (org_id, days) where s.stream <> 'payload_hours'
  union all select '${ACME}', 'payload_hours', '{[2026-10-20,2026-10-22)}'
  union all select '${GLOBEX}', stream, '{[2026-10-01,2026-11-03)}'
  from losant_usage.streams where stream in ('device_counts', 'notebook_minutes');
  ${DAY(ACME, ['2026-10-01', '2026-10-31'], 10)}
  ${DAY(HOSTILE, ['2026-10-30', '2026-11-01'], 100)}
  insert into losant_usage.payload_hours (usage_date, org_id, billable_counts, all_counts, all_bytes)
  select day, '${ACME}', array_fill(0::bigint, '{12}') || 10::bigint || array_fill(0::bigint, '{11}'),
    array_fill(0::bigint, '{12}') || 12::bigint || array_fill(0::bigint, '{11}'), array_fill(0::bigint, '{23}') || 1000::bigint
  from losant_usage.days_between('2026-10-20', '2026-10-21') as day;
  ${addCells(`select day, 'payload_hours', '${ACME}' from losant_usage.days_between('2026-10-20', '2026-10-21') as day`, 'final')}
  -- Not as changes, which would be on record.
  set local session_replication_role = replica;
  update losant_usage.usage_days set payload_billable_count = 0, payload_all_count = 0, payload_all_bytes = 0,
    payload_source_count = 0 where usage_date = '2026-10-05' and org_id = '${ACME}';
  delete from losant_usage.payload_sources where usage_date = '2026-10-05' and org_id = '${ACME}';
  ${MISS(ACME, '2026-10-10', 'payload_totals', ['missing', 'server_error'])}
  ${MISS(ACME, '2026-10-11', 'payload_totals', ['unavailable', 'past_horizon'])}
  ${MISS(ACME, '2026-10-12', 'notebook_minutes', ['accepted', 'waived'])}
  ${MISS(HOSTILE, '2026-10-31', 'payload_totals', ['missing', 'server_error'])}
  set local session_replication_role = origin;
  insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total,
    notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout)
  select day, '${GLOBEX}', 0, 0, case when day = '2026-10-20' then 9 else 7 end, 3, 0, 0, 0, 0
  from generate_series(date '2026-10-01', date '2026-11-02', interval '1 day') as day;
  ${addCells(
    `select day, stream, '${GLOBEX}' from losant_usage.days_between('2026-10-01', '2026-11-02') as day,
       losant_usage.streams where stream in ('device_counts', 'notebook_minutes')`,
    'final',
  )}
  insert into losant_usage.revisions
    (stream, org_id, usage_date, revision, key, old, new, changed_by, changed_at, was_final)
  values
    ('payload_totals', '${ACME}', '2026-10-02', 2, '{}', '{"billable_count":8,"all_count":12,"all_bytes":1000}',
      '{"billable_count":10,"all_count":12,"all_bytes":1000}', 'someone', '2026-10-20 23:30Z', true),
    ('payload_totals', '${ACME}', '2026-10-03', 2, '{}', '{"billable_count":7,"all_count":12,"all_bytes":1000}',
      '{"billable_count":10,"all_count":12,"all_bytes":1000}', 'someone', '2026-11-10 08:00Z', true);
  insert into losant_usage.quarantine (org_id, stream, from_date, to_date, code, problem, first_seen_at, last_seen_at)
  values ('${HOSTILE}', 'payload_totals', '2026-10-31', '2026-10-31', 'invalid_value', ${literal(HOSTILE_NAME)},
    '2026-11-01 00:20Z', '2026-11-01 01:20Z');
  insert into losant_usage.runs (run_id, instance_id, kind, status, streams, started_at, heartbeat_at, finished_at, host,
    version, cells_planned, cells_loaded, cells_failed, error)
  values ('00000000-0000-4000-8000-000000000001', '${NORTH}', 'scheduled', 'partial', '{device_counts}',
    '2026-11-01 00:15Z', '2026-11-01 00:16Z', '2026-11-01 00:16:30Z', 'host', '1.2.3', 8, 6, 2, null);
  insert into losant_usage.instances (instance_id, name, api_url, tracked_from)
  values ('${LATER_INSTANCE}', 'Later', 'https://api.example.com', '2026-11-25');
  insert into losant_usage.organizations (org_id, instance_id, name, limits, first_seen_at, last_seen_at)
  values ('${LATER}', '${LATER_INSTANCE}', 'Later', '{"payload":1000,"device":20,"unknown":5}', now(), now());
  insert into losant_usage.tracking (org_id, stream, tracked_days)
  select '${LATER}', stream, datemultirange(daterange('2026-11-25', '2026-11-26')) from losant_usage.streams
  where stream <> 'payload_hours';
  insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total,
    notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout,
    payload_billable_count, payload_all_count, payload_all_bytes, payload_source_count)
  values ('2026-11-25', '${LATER}', 1, 0, 6, 2, 1, 0, 0, 0, 50, 50, 500, 0);
  ${addCells(`select date '2026-11-25', stream, '${LATER}' from losant_usage.streams where stream <> 'payload_hours'`, 'stored')}
  commit;
`;

function literal(text: string): string {
  return `'${text.replaceAll(`'`, `''`)}'`;
}

/** October of Globex as it was closed: with 3 notebook minutes less than there are now. */
export const CLOSED = `
  begin;
  insert into losant_usage.statement_lines (statement_id, org_id, period_start, period_end, metric, org_name, unit, kind,
    quantity, total, days_in_period, days_expected, days_stored, days_final, days_accepted, days_unavailable, days_unreported,
    is_billable, revision_watermark)
  values ('00000000-0000-4000-8000-000000000002', '${GLOBEX}', '2026-10-01', '2026-10-31', 'notebook_minutes', 'Globex',
    'minutes', 'flow', 90, 90, 31, 31, 31, 31, 0, 0, 0, true, 0);
  insert into losant_usage.statements
    (statement_id, instance_id, period_month, number, kind, source, orgs, closed_at, manifest_sha256)
  values ('00000000-0000-4000-8000-000000000002', '${SOUTH}', '2026-10-01', 1, 'closing', 'calendar', 1,
    '2026-11-04 00:00Z', sha256('manifest'));
  commit;
`;

/** A total of Losant that says one device more than the organizations of South have together. */
export const CONTRADICTED = `
  update losant_usage.instances set policy = '{"finalAtHours": 72}' where instance_id = '${SOUTH}';
  insert into losant_usage.instance_totals (instance_id, usage_date, metric, quantity, verified_at, response_sha256)
  values ('${SOUTH}', '2026-10-20', 'devices_total', 10, '2026-10-24 00:15Z', sha256('body'));
`;
