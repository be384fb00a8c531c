-- Views of usage by day for reading and BI. They are a stable contract: names and meanings stay, columns are only added
-- at the end. A value that is not stored is null, never 0. Days are UTC days in every session: dates are compared with
-- dates, and become text by to_char.
--
-- The functions with arguments are queries that the planner merges into the caller's, so that a condition on an
-- organization or a day reaches the tables. Therefore they execute with the caller's rights, and have no settings. Each
-- returns a type of its own: `returns table` would give organizations the database's collation, in which no index finds
-- them, and the row type of a view would break the function when the view gets a column.

create view losant_usage.daily_usage as
select d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags, d.usage_date,
  losant_usage_internal.current_day_standing(d.standing, d.is_waiting, d.usage_date) as standing,
  d.standing = 'final' as is_final, d.unreported_streams is null as is_reported,
  d.devices_created, d.devices_deleted, d.devices_total, d.notebook_minutes, d.notebook_completed, d.notebook_canceled,
  d.notebook_errored, d.notebook_timeout, d.payload_billable_count, d.payload_all_count, d.payload_all_bytes,
  d.payload_source_count, d.changed_at
from losant_usage_internal.org_days d
left join losant_usage.organizations o on o.org_id = d.org_id;

create function losant_usage_internal.number_of(d losant_usage_internal.org_days, metric text) returns bigint
language sql immutable parallel safe
return case metric when 'devices_created' then d.devices_created when 'devices_deleted' then d.devices_deleted
  when 'devices_total' then d.devices_total when 'notebook_minutes' then d.notebook_minutes
  when 'notebook_completed' then d.notebook_completed when 'notebook_canceled' then d.notebook_canceled
  when 'notebook_errored' then d.notebook_errored when 'notebook_timeout' then d.notebook_timeout
  when 'payload_billable_count' then d.payload_billable_count when 'payload_all_count' then d.payload_all_count
  when 'payload_all_bytes' then d.payload_all_bytes when 'payload_source_count' then d.payload_source_count end;

create function losant_usage_internal.has_numbers_of(d losant_usage_internal.org_days, stream text) returns boolean
language sql immutable parallel safe
return case stream when 'device_counts' then d.devices_total when 'notebook_minutes' then d.notebook_minutes
  when 'payload_sources' then d.payload_source_count when 'payload_totals' then d.payload_all_count end is not null;

-- The cells of a final day are those that have numbers, and final as well. Only those of other days are looked up:
-- between two large tables, a range of days would reach only one of them.
create view losant_usage.daily_usage_long as
select d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, d.usage_date,
  m.stream, m.metric, m.unit, m.kind, losant_usage_internal.number_of(d, m.metric) as quantity, d.standing,
  true as is_final, (m.stream = any (d.unreported_streams)) is not true as is_reported
from losant_usage_internal.org_days d
join losant_usage.organizations o on o.org_id = d.org_id
join losant_usage.metrics m on losant_usage_internal.has_numbers_of(d, m.stream)
where d.standing = 'final'
union all
select d.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, d.usage_date, m.stream, m.metric,
  m.unit, m.kind, losant_usage_internal.number_of(d, m.metric), c.standing, c.standing = 'final', c.is_reported
from losant_usage_internal.org_days d
join losant_usage.organizations o on o.org_id = d.org_id
-- Without the offset the planner would read all cells ever, if it expects many days that are not final.
cross join lateral (
  select c.stream, c.standing, c.is_reported from losant_usage_internal.expected_cells c
  where c.usage_date = d.usage_date and c.org_id = d.org_id offset 0
) as c
join losant_usage.metrics m on m.stream = c.stream
where d.standing <> 'final';

-- Keys are listed in the select list, because a function in FROM takes several times as long for each object. What a
-- type has is always an object: the planner, which expects a hundred keys in any object, expects few of one JSON type.
-- Of the counts themselves it expects as many as there are.
create view losant_usage_internal.source_counts as
select s.usage_date, s.month, s.org_id, s.changed_at, s.payload_type, s.source, (s.counts -> s.source)::bigint as count
from (
  select t.usage_date, t.month, t.org_id, t.changed_at, t.payload_type, t.counts, jsonb_object_keys(t.counts) as source
  from (
    select d.usage_date, d.month, d.org_id, d.changed_at, d.payload_type, d.payload_sources -> d.payload_type as counts
    from (
      select usage_date, month, org_id, changed_at, payload_sources, jsonb_object_keys(payload_sources) as payload_type
      from losant_usage.usage_days
    ) as d
  ) as t
  where jsonb_typeof(t.counts) = 'object'
) as s;

create view losant_usage.payload_sources as
select c.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, c.usage_date,
  c.payload_type, c.source, c.count, c.changed_at
from losant_usage_internal.source_counts c
left join losant_usage.organizations o on o.org_id = c.org_id;

-- A range of days reaches the cells, and their numbers are looked up by the key: a join would limit one table only.
create view losant_usage.hourly_usage as
select c.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, c.usage_date,
  (c.usage_date + h.hour * interval '1 hour') at time zone 'UTC' as hour, c.standing, c.standing = 'final' as is_final,
  c.is_reported,
  d.hours_billable_count[h.hour + 1] as payload_billable_count, d.hours_all_count[h.hour + 1] as payload_all_count,
  d.hours_all_bytes[h.hour + 1] as payload_all_bytes
from losant_usage_internal.expected_cells c
join losant_usage.organizations o on o.org_id = c.org_id
left join lateral (
  select d.hours_billable_count, d.hours_all_count, d.hours_all_bytes from losant_usage.usage_days d
  where d.org_id = c.org_id and d.usage_date = c.usage_date limit 1
) as d on true
cross join generate_series(0, 23) as h (hour)
where c.stream = 'payload_hours';

-- Days whose hours are expected. A day reaches both tables.
create view losant_usage_internal.hour_cells as
select d.usage_date, d.org_id, c.standing, c.is_stored, c.is_reported, d.hours_billable_count, d.hours_all_count,
  d.hours_all_bytes
from losant_usage_internal.expected_days d
join losant_usage_internal.expected_cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
where c.stream = 'payload_hours';

-- Returns which hours of which UTC days make a day of a time zone. It converts every UTC hour, because a zone may
-- change its clocks at midnight, where the local time of a boundary is ambiguous.
create function losant_usage_internal.local_hours(time_zone text) returns table (
  local_date date, hours integer, usage_date date, first_hour integer, last_hour integer
) language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
  first_day constant date := (select min(first_day) from losant_usage.tracks where stream = 'payload_hours');
  last_day constant date := (now() at time zone 'UTC')::date - 1;
  fractional_day timestamp;
begin
  if time_zone is null then
    raise exception 'time_zone is null'
      using errcode = '22023', hint = 'pass a name such as Europe/Berlin; pg_timezone_names lists them';
  end if;
  -- At least a year, because some zones are off by half an hour in one half of it only.
  select day into fractional_day
  from generate_series(least(first_day, last_day - 366)::timestamp, last_day + interval '1 day', interval '1 day')
    as day
  where extract(minute from day at time zone 'UTC' at time zone time_zone) <> 0 limit 1;
  if fractional_day is not null then
    raise exception 'time zone % differs from UTC by a fraction of an hour (on %), '
        'and usage is counted by UTC hour, so its days cannot be computed', time_zone,
        to_char(fractional_day, 'YYYY-MM-DD')
      using errcode = '22023', hint = 'use a zone with whole-hour offsets, or the UTC days of daily_usage';
  end if;
  return query
  select h.local_day, (sum(count(*)) over (partition by h.local_day))::integer, h.utc_day,
    min(h.hour)::integer, max(h.hour)::integer
  from (
    select ((day + hour * interval '1 hour') at time zone 'UTC' at time zone time_zone)::date as local_day,
      day::date as utc_day, hour
    from generate_series(first_day - interval '1 day', last_day + interval '1 day', interval '1 day') as day,
      generate_series(0, 23) as hour
  ) as h group by h.local_day, h.utc_day;
end
$$;

create type losant_usage_internal.local_day as (
  org_id text collate "C", org_name text, referral_id text, plan_id text,
  customer_id text, local_date date, hours integer, hours_stored integer, standing losant_usage.standing,
  is_final boolean, is_reported boolean, payload_billable_count bigint, payload_all_count bigint,
  payload_all_bytes bigint
);

create function losant_usage.local_daily_usage(time_zone text) returns setof losant_usage_internal.local_day
language sql stable parallel safe
begin atomic
  select d.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
    d.local_date, d.hours, d.hours_stored, d.standing, d.hours_stored = d.hours and d.standing = 'final', d.is_reported,
    case when d.hours_stored = d.hours then d.billable_count end,
    case when d.hours_stored = d.hours then d.all_count end,
    case when d.hours_stored = d.hours then d.all_bytes end
  from (
    select c.org_id, l.local_date, l.hours, max(c.standing) as standing, bool_and(c.is_reported) as is_reported,
      coalesce(sum(l.last_hour - l.first_hour + 1) filter (where c.is_stored), 0)::integer as hours_stored,
      losant_usage_internal.total(s.billable_count) as billable_count,
      losant_usage_internal.total(s.all_count) as all_count, losant_usage_internal.total(s.all_bytes) as all_bytes
    from losant_usage_internal.local_hours(time_zone) as l
    join losant_usage_internal.hour_cells c on c.usage_date = l.usage_date
    cross join lateral (
      select losant_usage_internal.total(h.billable_count) as billable_count,
        losant_usage_internal.total(h.all_count) as all_count, losant_usage_internal.total(h.all_bytes) as all_bytes
      from unnest(c.hours_billable_count[l.first_hour + 1:l.last_hour + 1],
        c.hours_all_count[l.first_hour + 1:l.last_hour + 1],
        c.hours_all_bytes[l.first_hour + 1:l.last_hour + 1]) as h (billable_count, all_count, all_bytes)
    ) as s
    group by c.org_id, l.local_date, l.hours
  ) as d
  join losant_usage.organizations o on o.org_id = d.org_id;
end;

comment on view losant_usage.daily_usage is 'Usage by organization and expected day through yesterday, one row each; numbers that are not stored are null. Key: org_id, usage_date. Source: usage_days, coverage.';
comment on view losant_usage.daily_usage_long is 'daily_usage with one row per metric. Use it for few organizations or days, and monthly_usage for months. Key: org_id, usage_date, metric. Source: daily_usage, cells.';
comment on column losant_usage.daily_usage_long.quantity is 'Number in its unit; null if not stored.';
comment on view losant_usage.payload_sources is 'Payloads by organization, stored day, type and source. Key: org_id, usage_date, payload_type, source. Source: usage_days.';
comment on column losant_usage.payload_sources.count is 'Payloads. Types and sources that Losant omits on a day have no row: divide sums by days instead of averaging rows.';
comment on column losant_usage.payload_sources.payload_type is 'Payload type as reported by Losant.';
comment on column losant_usage.payload_sources.source is 'Payload source as reported by Losant.';
comment on view losant_usage.hourly_usage is 'Payloads by organization and UTC hour, one row each, for days whose hours are expected; numbers that are not stored are null. Filter on usage_date; filtering on hour alone reads every day. For days of another time zone use local_daily_usage(): a range of UTC days has only a part of the first and the last. Key: org_id, hour. Source: usage_days, cells.';
comment on column losant_usage.hourly_usage.hour is 'Start of the hour (UTC).';
comment on function losant_usage.local_daily_usage is 'Payloads by organization and day of a time zone such as Europe/Berlin. A day has 23 or 25 hours when clocks change; its numbers are null unless all its hours are stored, and its standing is that of the hours that are expected. Source: usage_days.';
