-- The schema, the record of migrations, and the reference tables that say what is counted. Every time is UTC; a
-- usage date is a UTC day. Each file is plain SQL that psql can run as it stands.

do $$
begin
  -- `create schema if not exists` needs the right to create schemas even where it exists.
  if to_regnamespace('losant_usage') is null then
    create schema losant_usage;
  end if;
end
$$;
comment on schema losant_usage is 'Losant usage per organization and UTC day. Written by losant-usage; read its views.';

create table losant_usage.migrations (
  name text primary key,
  sha256 text not null,
  applied_at timestamptz not null default clock_timestamp()
);
comment on table losant_usage.migrations is 'Migrations applied to this schema, one row each. Written by losant-usage migrate.';
comment on column losant_usage.migrations.name is 'Name of the migration file, without .sql.';
comment on column losant_usage.migrations.sha256 is 'SHA-256 of the file as applied (hex); the file must never change afterwards.';
comment on column losant_usage.migrations.applied_at is 'When it was applied (UTC, database clock).';
-- Every reader of the schema may see its version; the right to the schema itself is the gate.
grant select on losant_usage.migrations to public;

-- Best first, so that max() is the standing of the worst cell.
create type losant_usage.standing as enum ('final', 'accepted', 'stored', 'waiting', 'unavailable', 'in_doubt', 'missing');
comment on type losant_usage.standing is 'Whether a cell is all right, from best to worst. final: stored, read late enough that no change is expected. accepted: a person waived it, missing or as it stands. stored: stored, still to be read again. waiting: not stored, and not late yet. unavailable: can no longer be read, and not accepted. in_doubt: stored, but something speaks against it. missing: not stored and late, or its read failed or was quarantined. in_doubt and missing are gaps.';

create table losant_usage.streams (
  stream text collate "C" primary key,
  missing_means text not null check (missing_means in ('zero', 'missing')),
  key_columns text[] not null,
  position integer not null unique,
  description text not null
);
comment on table losant_usage.streams is 'The kinds of usage, one row each. Reference data: changed by migrations only.';
comment on column losant_usage.streams.stream is 'Name of the stream; also of its table, where it has key_columns.';
comment on column losant_usage.streams.missing_means is 'What a day means that Losant leaves out while nothing is stored: zero for counts of what happened, missing for a level.';
comment on column losant_usage.streams.key_columns is 'Keys of its numbers beyond date and organization, which are in a table of its own; empty where usage_days has the numbers.';
comment on column losant_usage.streams.position is 'Order in which streams are listed.';
comment on column losant_usage.streams.description is 'What it counts.';

create table losant_usage.metrics (
  metric text collate "C" primary key,
  stream text collate "C" not null references losant_usage.streams (stream),
  source_column text not null,
  unit text not null,
  kind text not null check (kind in ('flow', 'level')),
  position integer not null unique,
  description text not null,
  limit_name text collate "C" unique,
  same_as text collate "C" references losant_usage.metrics (metric),
  summary_figures text[],
  summary_scale bigint not null default 1,
  unique (stream, source_column)
);
comment on table losant_usage.metrics is 'What is counted, one row per metric: a column of usage_days and of the views. Reference data: changed by migrations only.';
comment on column losant_usage.metrics.metric is 'Name of the metric: the column of usage_days and daily_usage, the value of metric in daily_usage_long.';
comment on column losant_usage.metrics.stream is 'Stream it belongs to.';
comment on column losant_usage.metrics.source_column is 'Its name within the stream: the column of the stream''s own view or table.';
comment on column losant_usage.metrics.unit is 'Unit: devices, minutes, executions, payloads or bytes.';
comment on column losant_usage.metrics.kind is 'flow: what happened that day, may be summed over days. level: what there is at about the end of the day, never sum it over days.';
comment on column losant_usage.metrics.position is 'Order in which metrics are listed; new metrics come last.';
comment on column losant_usage.metrics.description is 'What it counts.';
comment on column losant_usage.metrics.limit_name is 'The resource limit of an organization that bounds it: a key of organizations.limits; null if none does.';
comment on column losant_usage.metrics.same_as is 'Another metric that counts the same things and should have the same number; null if there is none.';
comment on column losant_usage.metrics.summary_figures is 'The figures of a monthly summary that add up to the metric''s month, by their names in Losant; null if there are none.';
comment on column losant_usage.metrics.summary_scale is 'How many units of the metric one unit of these figures is; above 1 they are compared to a whole one. A Mb is taken for 1,000,000 bytes.';

insert into losant_usage.streams (stream, missing_means, key_columns, position, description) values
  ('device_counts', 'missing', '{}', 1, 'Devices. Source: Losant deviceCounts.'),
  ('notebook_minutes', 'zero', '{}', 2, 'Notebook executions. Source: Losant notebookMinuteCounts.'),
  ('payload_totals', 'zero', '{}', 3, 'Payloads. Source: Losant payloadCountsBreakdown by day.'),
  ('payload_sources', 'zero', '{payload_type,source}', 4, 'Payloads by type and source. Source: Losant payloadCounts, one request per day.'),
  ('payload_hours', 'zero', '{hour}', 5, 'Payloads by hour. Source: Losant payloadCountsBreakdown by hour.');

insert into losant_usage.metrics
  (metric, stream, source_column, unit, kind, position, description, limit_name, same_as, summary_figures, summary_scale) values
  ('devices_created', 'device_counts', 'created', 'devices', 'flow', 1, 'Devices created', null, null, null, 1),
  ('devices_deleted', 'device_counts', 'deleted', 'devices', 'flow', 2, 'Devices deleted', null, null, null, 1),
  ('devices_total', 'device_counts', 'total', 'devices', 'level', 3, 'Devices at about the end of the day', 'device', null, '{deviceCount}', 1),
  ('notebook_minutes', 'notebook_minutes', 'minutes', 'minutes', 'flow', 4, 'Notebook execution time', 'notebookMinutesPerMonth', null, '{notebookMinutesCount}', 1),
  ('notebook_completed', 'notebook_minutes', 'completed', 'executions', 'flow', 5, 'Notebook executions that completed', null, null, null, 1),
  ('notebook_canceled', 'notebook_minutes', 'canceled', 'executions', 'flow', 6, 'Notebook executions that were canceled', null, null, null, 1),
  ('notebook_errored', 'notebook_minutes', 'errored', 'executions', 'flow', 7, 'Notebook executions that failed', null, null, null, 1),
  ('notebook_timeout', 'notebook_minutes', 'timeout', 'executions', 'flow', 8, 'Notebook executions that ran out of time', null, null, null, 1),
  ('payload_billable_count', 'payload_totals', 'billable_count', 'payloads', 'flow', 9, 'Billable payloads', 'payload', null, '{payloadBillableCount}', 1),
  ('payload_all_count', 'payload_totals', 'all_count', 'payloads', 'flow', 10, 'All payloads, billable or not', null, null, '{payloadBillableCount,payloadNonbillableCount}', 1),
  ('payload_all_bytes', 'payload_totals', 'all_bytes', 'bytes', 'flow', 11, 'Size of all payloads, billable or not', null, null, '{payloadBillableSizeMb,payloadNonbillableSizeMb}', 1000000),
  ('payload_source_count', 'payload_sources', 'count', 'payloads', 'flow', 12, 'Payloads of all types and sources', null, 'payload_all_count', null, 1);

create table losant_usage.months (
  month date primary key,
  next_month date not null
);
insert into losant_usage.months
select month::date, (month + interval '1 month')::date
from generate_series(timestamp '2015-01-01', timestamp '2049-12-01', interval '1 month') as month;
analyze losant_usage.months;
comment on table losant_usage.months is 'Every month of usage that can be stored. A table, so that a query for one month works on that month only. Reference data.';
comment on column losant_usage.months.month is 'First day of the month.';
comment on column losant_usage.months.next_month is 'First day of the month after it.';

create function losant_usage.count_days(days datemultirange) returns integer
language sql immutable parallel safe cost 2 as $$
  select coalesce(sum(upper(part) - lower(part)), 0)::integer from unnest(days) as part
$$;
comment on function losant_usage.count_days is 'How many days a bounded multirange has; 0 for null.';

-- Strict, so that they are not inlined and their estimates of rows count. These are low: what hangs on them is a
-- look-up by index however many days there are, and a plan that looks dear is compiled first (jit), for a second.
create function losant_usage.each_day(days datemultirange) returns setof date
language sql immutable strict parallel safe rows 2 as $$
  select lower(part) + place from unnest(days) as part, generate_series(0, upper(part) - lower(part) - 1) as place
$$;
comment on function losant_usage.each_day is 'The days of a bounded multirange.';
create function losant_usage.days_between(first_day date, last_day date) returns setof date
language sql immutable strict parallel safe rows 10 as $$
  select first_day + place from generate_series(0, last_day - first_day) as place
$$;
comment on function losant_usage.days_between is 'The days from the first to the last.';

-- sum() of bigint gives a numeric and takes three times as long over many groups. A month of numbers below 2^53 is
-- far from the limit of a bigint.
create aggregate losant_usage.total(bigint) (sfunc = int8pl, stype = bigint, combinefunc = int8pl, parallel = safe);
comment on aggregate losant_usage.total(bigint) is 'Sum of whole numbers as a bigint; null if there is none.';

-- The program says so in a setting of its transaction; without it a change is one by hand.
create function losant_usage.is_by_hand() returns boolean language sql stable parallel safe as $$
  select coalesce(current_setting('losant_usage.program', true), '') = ''
$$;
comment on function losant_usage.is_by_hand is 'Whether the current transaction is not one of the program''s.';
create function losant_usage.current_run() returns uuid language sql stable parallel safe as $$
  select nullif(current_setting('losant_usage.run_id', true), '')::uuid
$$;
comment on function losant_usage.current_run is 'The run the current transaction belongs to; null outside a run.';
create function losant_usage.locked_at() returns timestamptz language sql stable parallel safe as $$
  select coalesce(nullif(current_setting('losant_usage.locked_at', true), '')::timestamptz, now())
$$;
comment on function losant_usage.locked_at is 'When the current transaction had locked the cells it changes (UTC, database clock): what was final before, was final then.';

create function losant_usage.refuse() returns trigger language plpgsql as $$
begin
  raise exception 'losant_usage.%: % is refused', tg_table_name, lower(tg_op) using hint = tg_argv[0];
end
$$;
comment on function losant_usage.refuse is 'Statement trigger that refuses a statement, with its argument as the hint.';
create trigger truncated before truncate on losant_usage.migrations for each statement
  execute function losant_usage.refuse('losant-usage migrate keeps it');
create trigger truncated before truncate on losant_usage.streams for each statement
  execute function losant_usage.refuse('reference data is changed by migrations only');
create trigger truncated before truncate on losant_usage.metrics for each statement
  execute function losant_usage.refuse('reference data is changed by migrations only');
create trigger truncated before truncate on losant_usage.months for each statement
  execute function losant_usage.refuse('reference data is changed by migrations only');
