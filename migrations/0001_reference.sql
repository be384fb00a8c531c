-- The schema, the record of migrations, and the two reference tables that say what is counted.
-- Everything built from streams and metrics (views, triggers, functions) is built by functions in the files
-- that follow, never from a list written out again. Every time is UTC; a usage date is a UTC day.

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

create table losant_usage.streams (
  stream text collate "C" primary key,
  missing_means text not null check (missing_means in ('zero', 'absent')),
  detail_table text,
  position integer not null unique,
  description text not null
);
comment on table losant_usage.streams is 'The kinds of usage, one row each. Reference data: changed by migrations only.';
comment on column losant_usage.streams.stream is 'Name of the stream.';
comment on column losant_usage.streams.missing_means is 'What a day means that Losant leaves out while nothing is held: zero for counts of what happened, absent for a level.';
comment on column losant_usage.streams.detail_table is 'Table with the numbers by further keys, whose sum stands in usage_days; null where usage_days has the numbers themselves.';
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
  unique (stream, source_column)
);
comment on table losant_usage.metrics is 'What is counted, one row per metric: a column of usage_days and of the views. Reference data: changed by migrations only.';
comment on column losant_usage.metrics.metric is 'Name of the metric: the column of usage_days and daily_usage, the value of metric in daily_usage_long.';
comment on column losant_usage.metrics.stream is 'Stream it belongs to.';
comment on column losant_usage.metrics.source_column is 'Its name within the stream: the column of the stream''s own view.';
comment on column losant_usage.metrics.unit is 'Unit: devices, minutes, executions, payloads or bytes.';
comment on column losant_usage.metrics.kind is 'flow: what happened that day, may be summed over days. level: what there is at about the end of the day, never sum it over days.';
comment on column losant_usage.metrics.position is 'Order in which metrics are listed; new metrics come last.';
comment on column losant_usage.metrics.description is 'What it counts.';
comment on column losant_usage.metrics.limit_name is 'The resource limit of an organization that bounds it: a key of organizations.limits; null if none does.';

insert into losant_usage.streams (stream, missing_means, detail_table, position, description) values
  ('device_counts', 'absent', null, 1, 'Devices. Source: Losant deviceCounts.'),
  ('notebook_minutes', 'zero', null, 2, 'Notebook executions. Source: Losant notebookMinuteCounts.'),
  ('payload_totals', 'zero', null, 3, 'Payloads. Source: Losant payloadCountsBreakdown by day.'),
  ('payload_sources', 'zero', 'payload_sources', 4, 'Payloads by type and source. Source: Losant payloadCounts, one request per day.');

insert into losant_usage.metrics (metric, stream, source_column, unit, kind, position, description) values
  ('devices_created', 'device_counts', 'created', 'devices', 'flow', 1, 'Devices created'),
  ('devices_deleted', 'device_counts', 'deleted', 'devices', 'flow', 2, 'Devices deleted'),
  ('devices_total', 'device_counts', 'total', 'devices', 'level', 3, 'Devices at about the end of the day'),
  ('notebook_minutes', 'notebook_minutes', 'minutes', 'minutes', 'flow', 4, 'Notebook execution time'),
  ('notebook_completed', 'notebook_minutes', 'completed', 'executions', 'flow', 5, 'Notebook executions that completed'),
  ('notebook_canceled', 'notebook_minutes', 'canceled', 'executions', 'flow', 6, 'Notebook executions that were canceled'),
  ('notebook_errored', 'notebook_minutes', 'errored', 'executions', 'flow', 7, 'Notebook executions that failed'),
  ('notebook_timeout', 'notebook_minutes', 'timeout', 'executions', 'flow', 8, 'Notebook executions that ran out of time'),
  ('payload_billable_count', 'payload_totals', 'billable_count', 'payloads', 'flow', 9, 'Billable payloads'),
  ('payload_all_count', 'payload_totals', 'all_count', 'payloads', 'flow', 10, 'All payloads, billable or not'),
  ('payload_all_bytes', 'payload_totals', 'all_bytes', 'bytes', 'flow', 11, 'Size of all payloads, billable or not'),
  ('payload_source_count', 'payload_sources', 'count', 'payloads', 'flow', 12, 'Payloads of all types and sources');

update losant_usage.metrics set limit_name = l.limit_name
from (values ('devices_total', 'device'), ('notebook_minutes', 'notebookMinutesPerMonth'), ('payload_billable_count', 'payload')) as l (metric, limit_name)
where metrics.metric = l.metric;

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
