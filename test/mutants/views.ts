/** Defects in views and functions that only some sessions, or only large tables, would notice. */
import { plant } from './mutant.ts';

const SESSIONS = 'test/views/sessions.test.ts';

export const viewMutants = [
  plant(
    { file: 'migrations/0001_reference.sql', test: SESSIONS },
    {
      'Days in commands and messages have one format in every session': [
        `return to_char(day::timestamp, 'YYYY-MM-DD');`,
        'return day::text;',
      ],
    },
  ),
  plant(
    { file: 'migrations/0004_usage.sql', test: 'test/views/functions.test.ts' },
    {
      'The long form looks up no cells of final days': [
        "where d.standing <> 'final';",
        "where d.standing <> 'final' or c.standing <> 'final';",
      ],
    },
  ),
  plant(
    { file: 'migrations/0004_usage.sql', test: SESSIONS },
    {
      'A function that raises finds the functions of Postgres in every session': [
        'language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as',
        'language plpgsql stable parallel safe as',
      ],
    },
  ),
  plant(
    { file: 'migrations/0011_customers.sql', test: 'test/views/functions.test.ts' },
    {
      'The days that explain an adjustment are looked up by the key': [
        'o.usage_date = c.usage_date limit 1',
        'o.usage_date = c.usage_date',
      ],
    },
  ),
  plant(
    { file: 'migrations/0007_changes.sql', test: 'test/views/history.test.ts' },
    {
      'Hours have no part in the standing of a day as of an instant': [
        'from losant_usage_internal.cell_times c join losant_usage.metrics m',
        'from losant_usage_internal.cell_times c left join losant_usage.metrics m',
      ],
    },
  ),
  plant(
    { file: 'migrations/0003_ledger.sql', test: 'test/views/star.test.ts' },
    {
      'Whatever changes a day sets changed_at': [
        `  new.changed_at := clock_timestamp();
`,
        '',
      ],
    },
  ),
  plant(
    { file: 'src/database/session.ts', test: 'test/commands/check.test.ts' },
    {
      'A pooler in transaction mode is found by the session that another connection gets': [
        'if (sessions.own.size === 1 && !sessions.own.has(sessions.other)) return;',
        'if (sessions.own.size < 3) return;',
      ],
    },
  ),
  plant(
    { file: 'src/loading/preview.ts', test: 'test/deploy/roles.test.ts' },
    {
      'A dry run reads only what the reader may read': [
        'where not exists (select from losant_usage.cells c',
        'where not exists (select from losant_usage.coverage c',
      ],
    },
  ),
  plant(
    { file: 'docs/sql/star/load.sql', test: 'test/views/star.test.ts' },
    {
      'An incremental load takes what was committed after a later change': [" - interval '1 hour'", ''],
      'An incremental load takes days that have become missing': [
        `
  or u.usage_date >= (
    select (coalesce(max(f.changed_at), '2000-01-01 00:00Z') at time zone 'UTC')::date - 2 from usage_star.fact_usage f)`,
        '',
      ],
      'An incremental load drops days that are no longer expected': [
        'delete from usage_star.fact_usage where changed_at is null;',
        '',
      ],
    },
  ),
  plant(
    { file: 'migrations/0005_totals.sql', test: SESSIONS },
    {
      'The day of a deletion is compared with a day': [
        `(t.last_read_at at time zone 'UTC')::date) then 'org`,
        `t.last_read_at) then 'org`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0009_statements.sql', test: SESSIONS },
    {
      'The hash of blockers is the same in every session': [
        'jsonb_build_array(b.org_id, b.cause, b.first_day, b.last_day, b.usage_dates, b.streams)::text',
        `concat_ws(' ', b.org_id, b.cause, b.first_day, b.last_day, b.usage_dates, b.streams)`,
      ],
    },
  ),
  plant(
    { file: 'migrations/0003_ledger.sql', test: 'test/views/functions.test.ts' },
    {
      'Cells that were loaded lately are found without reading all': [
        'using brin (first_loaded_at)',
        'using brin (finalized_at)',
      ],
      'A condition on an organization or a day reaches the tracks of days without rows': [
        'on r.usage_date = u.usage_date and r.org_id = u.org_id',
        'on true',
      ],
    },
  ),
  plant(
    { file: 'migrations/0007_changes.sql', test: 'test/views/functions.test.ts' },
    {
      'Changes of one organization are found by its index': [
        `create type losant_usage_internal.value_change as (
  instance_id text collate "C", org_id text collate "C",`,
        `create type losant_usage_internal.value_change as (
  instance_id text collate "C", org_id text,`,
      ],
      'Past values of one organization are found without reading those of the others': [
        `returns setof losant_usage_internal.past_day
language sql stable parallel safe`,
        `returns setof losant_usage_internal.past_day
language sql stable parallel safe security definer`,
      ],
      'The day of a loaded cell is looked up in the table': [
        'recorded_days as select * from losant_usage.usage_days',
        'recorded_days as select * from losant_usage_internal.org_days',
      ],
    },
  ),
  plant(
    { file: 'migrations/0011_customers.sql', test: 'test/views/functions.test.ts' },
    {
      'The days that explain an adjustment are looked up by the key': [
        'o.usage_date = c.usage_date limit 1',
        'o.usage_date = c.usage_date',
      ],
    },
  ),
  plant(
    { file: 'migrations/0007_changes.sql', test: 'test/views/history.test.ts' },
    {
      'Past values have no standing that they did not have then': [
        'case when not c.has_changed and d.standing not in',
        'case when d.standing not in',
      ],
    },
  ),
].flat();
