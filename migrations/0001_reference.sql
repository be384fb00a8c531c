-- The two schemas, the streams and metrics, and the functions that everything else uses. Every time is UTC; a usage
-- date is a UTC day. Each file is plain SQL that psql can run.

do $$
begin
  -- `create schema if not exists` needs the right to create schemas even where it exists.
  if to_regnamespace('losant_usage') is null then create schema losant_usage; end if;
  if to_regnamespace('losant_usage_internal') is null then create schema losant_usage_internal; end if;
end
$$;

-- Best first, so that max() is the standing of the worst cell.
create type losant_usage.standing as enum (
  'final', 'waived', 'stored', 'waiting', 'unavailable', 'in_doubt', 'missing'
);

create table losant_usage.streams (
  stream text collate "C" primary key,
  position integer not null unique,
  description text not null
);

create table losant_usage.metrics (
  metric text collate "C" primary key,
  stream text collate "C" not null references losant_usage.streams,
  unit text not null,
  kind text not null check (kind in ('flow', 'level')),
  position integer not null unique,
  description text not null,
  limit_name text collate "C" unique
);

insert into losant_usage.streams (stream, position, description) values
  ('device_counts', 1, 'Devices. Source: Losant deviceCounts.'),
  ('notebook_minutes', 2, 'Notebook executions. Source: Losant notebookMinuteCounts.'),
  ('payload_sources', 3, 'Payloads by type and source. Source: Losant payloadCounts, one request per day.'),
  ('payload_totals', 4, 'Payloads. Source: Losant payloadCountsBreakdown by day.'),
  ('payload_hours', 5, 'Payloads by hour. Source: Losant payloadCountsBreakdown by hour.');

insert into losant_usage.metrics (metric, stream, unit, kind, position, description, limit_name) values
  ('devices_created', 'device_counts', 'devices', 'flow', 1, 'Devices created', null),
  ('devices_deleted', 'device_counts', 'devices', 'flow', 2, 'Devices deleted', null),
  ('devices_total', 'device_counts', 'devices', 'level', 3, 'Devices near the end of the day', 'device'),
  ('notebook_minutes', 'notebook_minutes', 'minutes', 'flow', 4, 'Notebook execution time', 'notebookMinutesPerMonth'),
  ('notebook_completed', 'notebook_minutes', 'executions', 'flow', 5, 'Notebook executions that completed', null),
  ('notebook_canceled', 'notebook_minutes', 'executions', 'flow', 6, 'Notebook executions that were canceled', null),
  ('notebook_errored', 'notebook_minutes', 'executions', 'flow', 7, 'Notebook executions that failed', null),
  ('notebook_timeout', 'notebook_minutes', 'executions', 'flow', 8, 'Notebook executions that timed out', null),
  ('payload_billable_count', 'payload_totals', 'payloads', 'flow', 9, 'Billable payloads', 'payload'),
  ('payload_all_count', 'payload_totals', 'payloads', 'flow', 10, 'All payloads, billable or not', null),
  ('payload_all_bytes', 'payload_totals', 'bytes', 'flow', 11, 'Size of all payloads, billable or not', null),
  ('payload_source_count', 'payload_sources', 'payloads', 'flow', 12, 'Payloads of all types and sources', null);

create function losant_usage_internal.today() returns date language sql stable parallel safe
return (now() at time zone 'UTC')::date;

create function losant_usage_internal.month_of(day date) returns date language sql immutable parallel safe
return date_trunc('month', day::timestamp)::date;

create function losant_usage_internal.month_end(month date) returns date language sql immutable parallel safe
return (month + interval '1 month')::date - 1;

create function losant_usage_internal.has_ended(month date) returns boolean language sql stable parallel safe
return losant_usage_internal.month_end(month) < losant_usage_internal.today();

-- A day as text. A cast would write it as the session's DateStyle says.
create function losant_usage_internal.day_text(day date) returns text language sql stable parallel safe
return to_char(day::timestamp, 'YYYY-MM-DD');

create function losant_usage_internal.minute_text(at timestamptz) returns text language sql stable parallel safe
return to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"');

-- A cell that is not stored six hours after the end of its day is late.
create function losant_usage_internal.late_before() returns date language sql stable parallel safe
return (now() at time zone 'UTC' - interval '6 hours')::date;

-- A run reads whatever is due. What has been due for a day was not read, or could not be.
create function losant_usage_internal.is_overdue(next_read_at timestamptz) returns boolean
language sql stable parallel safe
return next_read_at < now() - interval '1 day';

-- A cell that is waiting and late is missing, without any response: the only change of standing that time alone
-- makes. A day has the worst standing of its cells, and a flag for a waiting one.
create function losant_usage_internal.current_day_standing(
  standing losant_usage.standing, is_waiting boolean, usage_date date
) returns losant_usage.standing language sql stable parallel safe
return case when is_waiting and usage_date < losant_usage_internal.late_before()
  then 'missing'::losant_usage.standing else standing end;

create function losant_usage_internal.current_standing(standing losant_usage.standing, usage_date date)
returns losant_usage.standing language sql stable parallel safe
return losant_usage_internal.current_day_standing(standing, standing = 'waiting', usage_date);

create function losant_usage_internal.is_settled(standing losant_usage.standing) returns boolean
language sql immutable parallel safe
return standing in ('final', 'waived');

create function losant_usage_internal.is_gap(standing losant_usage.standing) returns boolean
language sql immutable parallel safe
return standing in ('in_doubt', 'missing');

-- Sums of bigint as bigint: sum() returns a numeric and takes three times as long over many groups. A month of
-- values below 2^53 is far from the limit.
create aggregate losant_usage_internal.total(bigint) (
  sfunc = int8pl, stype = bigint, combinefunc = int8pl, parallel = safe
);

-- The level of the last day that has one: last_level(dated_level(usage_date, level)). Arrays are compared by their
-- first element; rows have no maximum before Postgres 18.
create function losant_usage_internal.dated_level(day date, level bigint) returns bigint[]
language sql immutable parallel safe
return case when level is not null then array[day - date '2000-01-01', level] end;

create function losant_usage_internal.level_of(dated_level bigint[]) returns bigint language sql immutable parallel safe
return dated_level[2];

create aggregate losant_usage_internal.last_level(bigint[]) (
  sfunc = array_larger, stype = bigint[], finalfunc = losant_usage_internal.level_of, combinefunc = array_larger,
  parallel = safe
);

comment on schema losant_usage is 'Usage of a Losant instance by organization and UTC day, for billing and BI.';
comment on schema losant_usage_internal is 'Building blocks of schema losant_usage. They may change in any version.';
comment on table losant_usage.streams is 'The streams: kinds of usage that are requested, stored and tracked as a unit.';
comment on table losant_usage.metrics is 'The metrics: every number that is stored per organization and day.';
comment on column losant_usage.metrics.limit_name is 'Name of the limit in organizations.limits; null if there is none.';
comment on type losant_usage.standing is 'What can be said of a cell, from best to worst. final: stored and read late enough that no further change is expected. waived: accepted as it is. stored: will be read again. waiting: not stored, and not late yet. unavailable: no longer readable. in_doubt: stored, but contradicted since. missing: not stored, and late or its last read failed.';
