-- The two schemas, what is counted, and the functions that everything else uses. Every time is UTC; a usage date is a UTC
-- day. Each file is plain SQL that psql can run as it stands.

do $$
begin
  -- `create schema if not exists` needs the right to create schemas even where it exists.
  if to_regnamespace('losant_usage') is null then create schema losant_usage; end if;
  if to_regnamespace('losant_usage_internal') is null then create schema losant_usage_internal; end if;
end
$$;
comment on schema losant_usage is 'Usage of an IoT platform by organization and UTC day, for billing and BI.';
comment on schema losant_usage_internal is 'Building blocks of the views and functions of losant_usage: they may change.';

-- Best first, so that max() is the standing of the worst cell.
create type losant_usage.standing as enum ('final', 'accepted', 'stored', 'waiting', 'unavailable', 'in_doubt', 'missing');

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
  ('devices_total', 'device_counts', 'devices', 'level', 3, 'Devices at about the end of the day', 'device'),
  ('notebook_minutes', 'notebook_minutes', 'minutes', 'flow', 4, 'Notebook execution time', 'notebookMinutesPerMonth'),
  ('notebook_completed', 'notebook_minutes', 'executions', 'flow', 5, 'Notebook executions that completed', null),
  ('notebook_canceled', 'notebook_minutes', 'executions', 'flow', 6, 'Notebook executions that were canceled', null),
  ('notebook_errored', 'notebook_minutes', 'executions', 'flow', 7, 'Notebook executions that failed', null),
  ('notebook_timeout', 'notebook_minutes', 'executions', 'flow', 8, 'Notebook executions that ran out of time', null),
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

-- A number that is not stored six hours after the end of its day is late.
create function losant_usage_internal.late_before() returns date language sql stable parallel safe
return (now() at time zone 'UTC' - interval '6 hours')::date;

-- The one thing that time decides without an answer: what is waiting and late is missing. A day has the worst standing
-- of its cells, and says whether one of them is waiting.
create function losant_usage_internal.day_as_of_now(standing losant_usage.standing, is_waiting boolean, usage_date date)
returns losant_usage.standing language sql stable parallel safe
return case when is_waiting and usage_date < losant_usage_internal.late_before()
  then 'missing'::losant_usage.standing else standing end;

create function losant_usage_internal.as_of_now(standing losant_usage.standing, usage_date date) returns losant_usage.standing
language sql stable parallel safe
return losant_usage_internal.day_as_of_now(standing, standing = 'waiting', usage_date);

-- Sums of bigint as bigint: sum() gives a numeric and takes three times as long over many groups. A month of numbers
-- below 2^53 is far from the limit.
create aggregate losant_usage_internal.total(bigint) (sfunc = int8pl, stype = bigint, combinefunc = int8pl, parallel = safe);

-- The program says in a setting of its transaction that it writes. This keeps slips out, not intent: who owns the tables
-- can set it too.
create function losant_usage_internal.is_by_hand() returns boolean language sql stable parallel safe
return coalesce(current_setting('losant_usage.program', true), '') = '';

-- Refuses a statement. The program may pass a trigger that is named by_hand, and one named append_only to insert.
create function losant_usage_internal.refuse() returns trigger language plpgsql as $$
begin
  if not losant_usage_internal.is_by_hand() and (tg_name = 'by_hand' or (tg_name = 'append_only' and tg_op = 'INSERT')) then
    return null;
  end if;
  raise exception 'losant_usage.%: % is refused', tg_table_name, lower(tg_op) using hint = tg_argv[0];
end
$$;

create trigger fixed before insert or update or delete or truncate on losant_usage.streams
  execute function losant_usage_internal.refuse('what is counted is changed by migrations only');
create trigger fixed before insert or update or delete or truncate on losant_usage.metrics
  execute function losant_usage_internal.refuse('what is counted is changed by migrations only');

comment on table losant_usage.streams is 'The streams, each one kind of usage.';
comment on column losant_usage.streams.stream is 'Stream.';
comment on column losant_usage.streams.position is 'Order in which people see them.';
comment on column losant_usage.streams.description is 'What it is, and its source in Losant.';
comment on table losant_usage.metrics is 'The metrics: every number that is stored for an organization and day.';
comment on column losant_usage.metrics.metric is 'Metric: the column of usage_days and of the views.';
comment on column losant_usage.metrics.stream is 'Stream, see streams.';
comment on column losant_usage.metrics.unit is 'Unit of the quantity.';
comment on column losant_usage.metrics.kind is 'flow: may be summed over days. level: never sum it over days.';
comment on column losant_usage.metrics.position is 'Order in which people see them.';
comment on column losant_usage.metrics.description is 'What is counted.';
comment on column losant_usage.metrics.limit_name is 'Name of its limit in organizations.limits; null if it has none.';
comment on type losant_usage.standing is 'Whether a number is all right, best first. final: read late enough that no change is expected. accepted: a person accepted it. stored: still to be read again. waiting: not stored, not late yet. unavailable: can no longer be read. in_doubt: stored, but something speaks against it. missing: not stored and late, or its read failed.';
