-- Views of usage for reading and BI. A stable contract: names and meanings stay, columns are only added, at the
-- end. A number that is not stored is null, never 0. Days are UTC days, whatever the session's time zone.

-- Which days of each stream are tracked, one row per organization, and the rows of numbers with it. Nearly every track
-- is one range of days and nothing else was read, so that comparing dates tells what is tracked, and no number has to
-- be left out; <stream>_days is there for the other tracks only. streams_set has a bit for each stream, to tell
-- whether two days have the same: of the streams with numbers in usage_days, because hours are of no number of a month.
create view losant_usage.org_tracks as
select t.org_id, min(t.instance_id) as instance_id,
  bool_or(t.has_untracked) or count(*) filter (where t.stream <> 'payload_hours') < 4 as has_untracked,
  case when count(*) filter (where t.stream <> 'payload_hours') = 4
      and not bool_or(t.has_holes) filter (where t.stream <> 'payload_hours')
    then max(t.from_day) filter (where t.stream <> 'payload_hours') end as all_from,
  min(t.to_day) filter (where t.stream <> 'payload_hours') as all_to,
  min(t.from_day) filter (where t.stream = 'device_counts') as device_counts_from,
  min(t.to_day) filter (where t.stream = 'device_counts') as device_counts_to,
  case when count(*) filter (where t.stream = 'device_counts') = 0 then '{}'::datemultirange
    else range_agg(t.days) filter (where t.stream = 'device_counts' and (t.has_holes or t.has_untracked)) end as device_counts_days,
  min(t.from_day) filter (where t.stream = 'notebook_minutes') as notebook_minutes_from,
  min(t.to_day) filter (where t.stream = 'notebook_minutes') as notebook_minutes_to,
  case when count(*) filter (where t.stream = 'notebook_minutes') = 0 then '{}'::datemultirange
    else range_agg(t.days) filter (where t.stream = 'notebook_minutes' and (t.has_holes or t.has_untracked)) end as notebook_minutes_days,
  min(t.from_day) filter (where t.stream = 'payload_totals') as payload_totals_from,
  min(t.to_day) filter (where t.stream = 'payload_totals') as payload_totals_to,
  case when count(*) filter (where t.stream = 'payload_totals') = 0 then '{}'::datemultirange
    else range_agg(t.days) filter (where t.stream = 'payload_totals' and (t.has_holes or t.has_untracked)) end as payload_totals_days,
  min(t.from_day) filter (where t.stream = 'payload_sources') as payload_sources_from,
  min(t.to_day) filter (where t.stream = 'payload_sources') as payload_sources_to,
  case when count(*) filter (where t.stream = 'payload_sources') = 0 then '{}'::datemultirange
    else range_agg(t.days) filter (where t.stream = 'payload_sources' and (t.has_holes or t.has_untracked)) end as payload_sources_days,
  min(t.from_day) filter (where t.stream = 'payload_hours') as payload_hours_from,
  min(t.to_day) filter (where t.stream = 'payload_hours') as payload_hours_to,
  range_agg(t.days) filter (where t.stream = 'payload_hours' and t.has_holes) as payload_hours_days
from losant_usage.tracked t group by t.org_id;
comment on view losant_usage.org_tracks is 'Building block of the views of usage, not for use by others: it may change.';

create view losant_usage.org_rows as
select u.usage_date, u.org_id, t.instance_id,
  not t.has_untracked
    or (u.usage_date between t.device_counts_from and t.device_counts_to and (t.device_counts_days is null or u.usage_date <@ t.device_counts_days))
    or (u.usage_date between t.notebook_minutes_from and t.notebook_minutes_to and (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days))
    or (u.usage_date between t.payload_totals_from and t.payload_totals_to and (t.payload_totals_days is null or u.usage_date <@ t.payload_totals_days))
    or (u.usage_date between t.payload_sources_from and t.payload_sources_to and (t.payload_sources_days is null or u.usage_date <@ t.payload_sources_days))
    or (u.usage_date between t.payload_hours_from and t.payload_hours_to and (t.payload_hours_days is null or u.usage_date <@ t.payload_hours_days)) as is_tracked,
  t.has_untracked and (
    u.devices_created is not null and not (t.device_counts_days is null or u.usage_date <@ t.device_counts_days)
    or u.notebook_minutes is not null and not (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days)
    or u.payload_billable_count is not null and not (t.payload_totals_days is null or u.usage_date <@ t.payload_totals_days)
    or u.payload_source_count is not null and not (t.payload_sources_days is null or u.usage_date <@ t.payload_sources_days)) as has_untracked,
  coalesce((u.usage_date between t.payload_hours_from and t.payload_hours_to and (t.payload_hours_days is null or u.usage_date <@ t.payload_hours_days))::integer, 0)
    + case when u.usage_date between t.all_from and t.all_to then 4 else
    coalesce((u.usage_date between t.device_counts_from and t.device_counts_to and (t.device_counts_days is null or u.usage_date <@ t.device_counts_days))::integer, 0)
    + coalesce((u.usage_date between t.notebook_minutes_from and t.notebook_minutes_to and (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days))::integer, 0)
    + coalesce((u.usage_date between t.payload_totals_from and t.payload_totals_to and (t.payload_totals_days is null or u.usage_date <@ t.payload_totals_days))::integer, 0)
    + coalesce((u.usage_date between t.payload_sources_from and t.payload_sources_to and (t.payload_sources_days is null or u.usage_date <@ t.payload_sources_days))::integer, 0) end as streams_expected,
  (u.devices_created is not null and (t.device_counts_days is null or u.usage_date <@ t.device_counts_days))::integer
    + (u.notebook_minutes is not null and (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days))::integer
    + (u.payload_billable_count is not null and (t.payload_totals_days is null or u.usage_date <@ t.payload_totals_days))::integer
    + (u.payload_source_count is not null and (t.payload_sources_days is null or u.usage_date <@ t.payload_sources_days))::integer
    + case when (u.usage_date between t.payload_hours_from and t.payload_hours_to and (t.payload_hours_days is null or u.usage_date <@ t.payload_hours_days)) then exists (
        select from losant_usage.payload_hours h where h.usage_date = u.usage_date and h.org_id = u.org_id)::integer else 0 end as streams_stored,
  case when u.usage_date between t.all_from and t.all_to then 15 else
    case when (u.usage_date between t.device_counts_from and t.device_counts_to and (t.device_counts_days is null or u.usage_date <@ t.device_counts_days)) then 1 else 0 end
    + case when (u.usage_date between t.notebook_minutes_from and t.notebook_minutes_to and (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days)) then 2 else 0 end
    + case when (u.usage_date between t.payload_totals_from and t.payload_totals_to and (t.payload_totals_days is null or u.usage_date <@ t.payload_totals_days)) then 4 else 0 end
    + case when (u.usage_date between t.payload_sources_from and t.payload_sources_to and (t.payload_sources_days is null or u.usage_date <@ t.payload_sources_days)) then 8 else 0 end end as streams_set,
  case when (t.device_counts_days is null or u.usage_date <@ t.device_counts_days) then u.devices_created end as devices_created,
  case when (t.device_counts_days is null or u.usage_date <@ t.device_counts_days) then u.devices_deleted end as devices_deleted,
  case when (t.device_counts_days is null or u.usage_date <@ t.device_counts_days) then u.devices_total end as devices_total,
  case when (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days) then u.notebook_minutes end as notebook_minutes,
  case when (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days) then u.notebook_completed end as notebook_completed,
  case when (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days) then u.notebook_canceled end as notebook_canceled,
  case when (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days) then u.notebook_errored end as notebook_errored,
  case when (t.notebook_minutes_days is null or u.usage_date <@ t.notebook_minutes_days) then u.notebook_timeout end as notebook_timeout,
  case when (t.payload_totals_days is null or u.usage_date <@ t.payload_totals_days) then u.payload_billable_count end as payload_billable_count,
  case when (t.payload_totals_days is null or u.usage_date <@ t.payload_totals_days) then u.payload_all_count end as payload_all_count,
  case when (t.payload_totals_days is null or u.usage_date <@ t.payload_totals_days) then u.payload_all_bytes end as payload_all_bytes,
  case when (t.payload_sources_days is null or u.usage_date <@ t.payload_sources_days) then u.payload_source_count end as payload_source_count
from losant_usage.usage_days u join losant_usage.org_tracks t on t.org_id = u.org_id;
comment on view losant_usage.org_rows is 'Building block of the views of usage, not for use by others: it may change.';

-- Tracked days of which nothing was ever read have no row of numbers.
create view losant_usage.rowless_days as
select c.usage_date, c.org_id, count(*)::integer as streams_expected,
  sum(case c.stream when 'device_counts' then 1 when 'notebook_minutes' then 2 when 'payload_totals' then 4 when 'payload_sources' then 8 else 0 end)::integer as streams_set
from losant_usage.unread_cells c
where not exists (select from losant_usage.usage_days u where u.usage_date = c.usage_date and u.org_id = c.org_id)
group by c.usage_date, c.org_id;
comment on view losant_usage.rowless_days is 'Building block of the views of usage, not for use by others: it may change.';

-- The days come from a function, so that one organization's can be found by key, day by day.
create view losant_usage.daily_usage as
select o.instance_id, d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags, d.usage_date,
  d.streams_expected, d.streams_stored,
  case when d.streams_stored > 0 then not exists (
    select from losant_usage.read_cells c
    where c.usage_date = d.usage_date and c.org_id = d.org_id and not c.is_reported and c.is_stored
      and c.stream <> 'payload_hours') end as is_reported,
  s.standing, s.standing = 'final' as is_final,
  d.devices_created, d.devices_deleted, d.devices_total, d.notebook_minutes, d.notebook_completed,
  d.notebook_canceled, d.notebook_errored, d.notebook_timeout, d.payload_billable_count, d.payload_all_count,
  d.payload_all_bytes, d.payload_source_count
from (
  select day as usage_date, r.org_id, r.streams_expected, r.streams_stored,
    r.devices_created, r.devices_deleted, r.devices_total, r.notebook_minutes, r.notebook_completed,
    r.notebook_canceled, r.notebook_errored, r.notebook_timeout, r.payload_billable_count, r.payload_all_count,
    r.payload_all_bytes, r.payload_source_count
  from losant_usage.days_between((select min(usage_date) from losant_usage.usage_days), (now() at time zone 'UTC')::date - 1) as day
  join losant_usage.org_rows r on r.usage_date = day
  where r.is_tracked
  union all
  select usage_date, org_id, streams_expected, 0,
    null, null, null, null, null, null, null, null, null, null, null, null
  from losant_usage.rowless_days
) as d
left join losant_usage.organizations o on o.org_id = d.org_id
cross join lateral (
  select greatest('final', (
      select max(c.standing) from losant_usage.read_cells c
      where c.usage_date = d.usage_date and c.org_id = d.org_id and c.standing <> 'final'),
    case when d.streams_stored < d.streams_expected and exists (
      select from losant_usage.tracked t
      where t.org_id = d.org_id and t.unread_from <= d.usage_date and d.usage_date <@ t.unread_days)
      then losant_usage.unread_standing(d.usage_date) end) as standing
) as s;
comment on view losant_usage.daily_usage is 'One row per organization and usage date: every tracked day up to yesterday has its row, and a number that is not stored is null. Source: usage_days, cells.';
comment on column losant_usage.daily_usage.instance_id is 'Losant instance id.';
comment on column losant_usage.daily_usage.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.daily_usage.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.daily_usage.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage.tags is 'Tags of the organization as last seen; one row per tag in organization_tags.';
comment on column losant_usage.daily_usage.usage_date is 'Usage date (UTC).';
comment on column losant_usage.daily_usage.streams_expected is 'Streams tracked for the day (count).';
comment on column losant_usage.daily_usage.streams_stored is 'Streams of these whose numbers are stored (count).';
comment on column losant_usage.daily_usage.is_reported is 'Whether Losant has named every number of the row that is stored; false where zeros stand for a day it left out; null if none is stored.';
comment on column losant_usage.daily_usage.standing is 'Standing of the worst tracked cell of the day, see cells.';
comment on column losant_usage.daily_usage.is_final is 'Whether every tracked number of the day is final.';
comment on column losant_usage.daily_usage.devices_created is 'Devices created (devices, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.devices_deleted is 'Devices deleted (devices, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.devices_total is 'Devices at about the end of the day (devices, level). NULL: not stored.';
comment on column losant_usage.daily_usage.notebook_minutes is 'Notebook execution time (minutes, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.notebook_completed is 'Notebook executions that completed (executions, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.notebook_canceled is 'Notebook executions that were canceled (executions, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.notebook_errored is 'Notebook executions that failed (executions, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.notebook_timeout is 'Notebook executions that ran out of time (executions, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.payload_billable_count is 'Billable payloads (payloads, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.payload_all_count is 'All payloads, billable or not (payloads, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow). NULL: not stored.';
comment on column losant_usage.daily_usage.payload_source_count is 'Payloads of all types and sources (payloads, flow). NULL: not stored.';

create view losant_usage.daily_usage_long as
select d.instance_id, d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.usage_date,
  m.stream, m.metric, m.unit, m.kind, m.quantity, c.is_reported, s.standing, s.standing = 'final' as is_final
from losant_usage.daily_usage d
cross join lateral (values
  ('device_counts', 'devices_created', 'devices', 'flow', d.devices_created),
  ('device_counts', 'devices_deleted', 'devices', 'flow', d.devices_deleted),
  ('device_counts', 'devices_total', 'devices', 'level', d.devices_total),
  ('notebook_minutes', 'notebook_minutes', 'minutes', 'flow', d.notebook_minutes),
  ('notebook_minutes', 'notebook_completed', 'executions', 'flow', d.notebook_completed),
  ('notebook_minutes', 'notebook_canceled', 'executions', 'flow', d.notebook_canceled),
  ('notebook_minutes', 'notebook_errored', 'executions', 'flow', d.notebook_errored),
  ('notebook_minutes', 'notebook_timeout', 'executions', 'flow', d.notebook_timeout),
  ('payload_totals', 'payload_billable_count', 'payloads', 'flow', d.payload_billable_count),
  ('payload_totals', 'payload_all_count', 'payloads', 'flow', d.payload_all_count),
  ('payload_totals', 'payload_all_bytes', 'bytes', 'flow', d.payload_all_bytes),
  ('payload_sources', 'payload_source_count', 'payloads', 'flow', d.payload_source_count)
) as m (stream, metric, unit, kind, quantity)
left join lateral (
  select case when c.is_stored then c.is_reported end as is_reported,
    case when losant_usage.is_waiting(c.standing, c.reason, c.usage_date) then 'waiting' else c.standing end as standing
  from losant_usage.coverage c
  where c.usage_date = d.usage_date and c.stream = m.stream and c.org_id = d.org_id
) as c on true
cross join lateral (select coalesce(c.standing, losant_usage.unread_standing(d.usage_date)) as standing) as s
where m.quantity is not null or exists (
  select from losant_usage.tracked t
  where t.org_id = d.org_id and t.stream = m.stream and d.usage_date <@ t.days);
comment on view losant_usage.daily_usage_long is 'daily_usage with one row per metric: every tracked metric of every tracked day up to yesterday, quantity null where it is not stored. Source: daily_usage, coverage.';
comment on column losant_usage.daily_usage_long.instance_id is 'Losant instance id.';
comment on column losant_usage.daily_usage_long.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.daily_usage_long.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.daily_usage_long.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage_long.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage_long.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage_long.usage_date is 'Usage date (UTC).';
comment on column losant_usage.daily_usage_long.stream is 'Stream the metric belongs to.';
comment on column losant_usage.daily_usage_long.metric is 'Metric, see metrics.';
comment on column losant_usage.daily_usage_long.unit is 'Unit of the quantity.';
comment on column losant_usage.daily_usage_long.kind is 'flow: may be summed over days. level: never sum it over days.';
comment on column losant_usage.daily_usage_long.quantity is 'The number, in the unit beside it; null if it is not stored.';
comment on column losant_usage.daily_usage_long.is_reported is 'Whether Losant has named the number; false where a zero stands for a day it left out; null if it is not stored.';
comment on column losant_usage.daily_usage_long.standing is 'Standing of the cell, see cells.';
comment on column losant_usage.daily_usage_long.is_final is 'Whether the number is final.';

-- Types, for their collations: a query for one organization finds it by key only if they are those of the tables.
create type losant_usage.day_of_hours as (
  org_id text collate "C", standing losant_usage.standing, is_reported boolean,
  billable_counts bigint[], all_counts bigint[], all_bytes bigint[]
);
comment on type losant_usage.day_of_hours is 'What day_hours returns.';

-- The hours of a day of every organization that tracks them. Inlined, so that a query for one organization finds it by
-- key, also where the day is only known by a join.
create function losant_usage.day_hours(day date) returns setof losant_usage.day_of_hours
language sql stable parallel safe as $$
  select t.org_id,
    case when c.standing is null then losant_usage.unread_standing(day)
      when losant_usage.is_waiting(c.standing, c.reason, day) then 'waiting' else c.standing end,
    case when c.is_stored then c.is_reported end, h.billable_counts, h.all_counts, h.all_bytes
  from losant_usage.tracked t
  left join losant_usage.payload_hours h on h.usage_date = day and h.org_id = t.org_id
  left join losant_usage.coverage c on c.usage_date = day and c.stream = 'payload_hours' and c.org_id = t.org_id
  where t.stream = 'payload_hours' and day between t.from_day and t.to_day and (not t.has_holes or day <@ t.days)
$$;
comment on function losant_usage.day_hours is 'Building block of the hours, not for use by others: it may change.';

create view losant_usage.hourly_usage as
select o.instance_id, d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, day as usage_date,
  (day + hour * interval '1 hour') at time zone 'UTC' as hour, d.is_reported, d.standing, d.standing = 'final' as is_final,
  d.billable_counts[hour + 1] as payload_billable_count, d.all_counts[hour + 1] as payload_all_count,
  d.all_bytes[hour + 1] as payload_all_bytes
from losant_usage.days_between(
  (select min(tracked_from) from losant_usage.tracking where stream = 'payload_hours'), (now() at time zone 'UTC')::date - 1) as day
cross join lateral losant_usage.day_hours(day) as d
cross join generate_series(0, 23) as hour
join losant_usage.organizations o on o.org_id = d.org_id;
comment on view losant_usage.hourly_usage is 'Payloads by hour, one row per organization and hour of the days whose hours are tracked; a number that is not stored is null. Restrict usage_date too: hour alone reads every day. Source: payload_hours, coverage.';
comment on column losant_usage.hourly_usage.instance_id is 'Losant instance id.';
comment on column losant_usage.hourly_usage.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.hourly_usage.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.hourly_usage.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.hourly_usage.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.hourly_usage.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.hourly_usage.usage_date is 'Usage date of the hour (UTC).';
comment on column losant_usage.hourly_usage.hour is 'When the hour begins.';
comment on column losant_usage.hourly_usage.is_reported is 'Whether Losant has named all 24 hours of the usage date; false where zeros stand for hours it left out; null if they are not stored.';
comment on column losant_usage.hourly_usage.standing is 'Standing of the cell of the usage date, see cells.';
comment on column losant_usage.hourly_usage.is_final is 'Whether the numbers of the usage date are final.';
comment on column losant_usage.hourly_usage.payload_billable_count is 'Billable payloads (payloads, flow). NULL: not stored.';
comment on column losant_usage.hourly_usage.payload_all_count is 'All payloads, billable or not (payloads, flow). NULL: not stored.';
comment on column losant_usage.hourly_usage.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow). NULL: not stored.';

-- A day of a time zone consists of hours of one or more UTC days. Each UTC hour is looked at, because a zone may change
-- its clocks at midnight, so that the local time of a boundary says nothing.
create function losant_usage.local_hours(time_zone text) returns table (
  local_date date, hours integer, usage_date date, first_hour integer, last_hour integer
) language plpgsql stable parallel safe rows 100 as $$
declare
  first_day constant date := (select min(tracked_from) from losant_usage.tracking where stream = 'payload_hours');
  last_day constant date := (now() at time zone 'UTC')::date - 1;
  odd timestamp;
begin
  if time_zone is null then
    raise exception 'the time zone is null' using errcode = '22023', hint = 'name one, e.g. Europe/Berlin: pg_timezone_names lists them';
  end if;
  -- A year at least, because some zones are off by half an hour in one half of it only.
  select day into odd from generate_series(least(first_day, last_day - 366)::timestamp, last_day + interval '1 day', interval '1 day') as day
  where extract(minute from day at time zone 'UTC' at time zone time_zone) <> 0 limit 1;
  if odd is not null then
    raise exception 'the time zone % is off UTC by a part of an hour (on %), and usage is counted by UTC hours: its days cannot be told', time_zone, odd::date
      using errcode = '22023', hint = 'use a zone that is off by whole hours, or the UTC days of daily_usage';
  end if;
  return query
  select h.local_day, (sum(count(*)) over (partition by h.local_day))::integer, h.utc_day, min(h.hour)::integer, max(h.hour)::integer
  from (
    select ((day + hour * interval '1 hour') at time zone 'UTC' at time zone time_zone)::date as local_day, day::date as utc_day, hour
    from generate_series(first_day - interval '1 day', last_day + interval '1 day', interval '1 day') as day,
      generate_series(0, 23) as hour
  ) as h group by h.local_day, h.utc_day;
end
$$;
comment on function losant_usage.local_hours is 'Building block of local_daily_usage, not for use by others: it may change.';

create type losant_usage.local_usage as (
  instance_id text collate "C", org_id text collate "C", org_name text, referral_id text, plan_id text, customer_id text,
  local_date date, hours integer, hours_stored integer, is_reported boolean, standing losant_usage.standing, is_final boolean,
  payload_billable_count bigint, payload_all_count bigint, payload_all_bytes bigint
);
comment on type losant_usage.local_usage is 'What local_daily_usage returns.';

create function losant_usage.local_daily_usage(time_zone text) returns setof losant_usage.local_usage
language sql stable parallel safe as $$
  select o.instance_id, u.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, u.local_date, u.hours,
    coalesce(u.hours_stored, 0), u.is_reported, u.standing, u.is_whole and u.standing = 'final',
    case when u.is_whole then u.billable_count end, case when u.is_whole then u.all_count end,
    case when u.is_whole then u.all_bytes end
  from (
    select d.org_id, l.local_date, l.hours, sum(s.hours_stored)::integer as hours_stored,
      coalesce(sum(s.hours_stored) = l.hours, false) as is_whole,
      bool_and(d.is_reported) as is_reported, max(d.standing) as standing, losant_usage.total(s.billable_count) as billable_count,
      losant_usage.total(s.all_count) as all_count, losant_usage.total(s.all_bytes) as all_bytes
    from losant_usage.local_hours(time_zone) as l
    cross join lateral losant_usage.day_hours(l.usage_date) as d
    cross join lateral (
      select case when d.all_counts is not null then l.last_hour - l.first_hour + 1 end as hours_stored,
        losant_usage.total(n.billable) as billable_count, losant_usage.total(n.every) as all_count, losant_usage.total(n.bytes) as all_bytes
      from unnest(d.billable_counts[l.first_hour + 1:l.last_hour + 1], d.all_counts[l.first_hour + 1:l.last_hour + 1],
        d.all_bytes[l.first_hour + 1:l.last_hour + 1]) as n (billable, every, bytes)
    ) as s
    group by d.org_id, l.local_date, l.hours
  ) as u
  join losant_usage.organizations o on o.org_id = u.org_id
$$;
comment on function losant_usage.local_daily_usage is 'Payloads by the days of a time zone, e.g. Europe/Berlin: one row per organization and day of which an hour is tracked. A day has 23 or 25 hours where clocks change; it is null, and not less, where an hour is not stored (hours_stored tells how many are). A time zone that is off by a part of an hour is refused. Always restrict local_date or org_id. Source: payload_hours, coverage.';

-- A type, for its collations: a query for one organization finds it by key only if they are those of the tables.
create type losant_usage.period_sum as (
  instance_id text collate "C", org_id text collate "C", org_name text, referral_id text, plan_id text, customer_id text, tags jsonb,
  days_in_period integer, days_expected integer, days_stored integer, days_final integer, days_accepted integer,
  days_unavailable integer, days_unreported integer, days_untracked integer, device_counts_days integer,
  notebook_minutes_days integer, payload_totals_days integer, payload_sources_days integer,
  days_possible integer, is_over boolean, is_fully_tracked boolean, standing losant_usage.standing, is_final boolean, is_clear boolean,
  open_days datemultirange, missing_days datemultirange, in_doubt_days datemultirange, unavailable_days datemultirange,
  by_hand_days datemultirange, open_streams text[], missing_streams text[], in_doubt_streams text[],
  unavailable_streams text[], by_hand_streams text[],
  devices_created bigint, devices_deleted bigint, devices_total bigint, devices_total_on date,
  devices_total_max bigint, devices_total_avg numeric, notebook_minutes bigint, notebook_completed bigint,
  notebook_canceled bigint, notebook_errored bigint, notebook_timeout bigint, payload_billable_count bigint,
  payload_all_count bigint, payload_all_bytes bigint, payload_source_count bigint
);
comment on type losant_usage.period_sum is 'What period_sums returns.';

-- What is summed over a period, one row per organization from first_org to last_org (all: '' to 'g'). Numbers are
-- summed over the rows; what is not final or not reported is looked up in the ledger, where that is little. Both hang
-- on organizations, whose statistics keep the estimates right. Inlined, so that a query for one month reads that month,
-- also where the month is only known by a join.
create function losant_usage.period_sums(first_day date, next_day date, first_org text, last_org text)
returns setof losant_usage.period_sum language sql stable parallel safe as $$
  select o.instance_id, o.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, o.tags,
    next_day - first_day, e.days_expected,
    e.days_expected - losant_usage.count_days(c.not_stored_days),
    e.days_expected - losant_usage.count_days(c.not_final_days),
    losant_usage.count_days(c.accepted_days), losant_usage.count_days(c.unavailable_days),
    losant_usage.count_days(c.unreported_days), coalesce(u.days_untracked, 0),
    coalesce(u.device_counts_days, 0), coalesce(u.notebook_minutes_days, 0), coalesce(u.payload_totals_days, 0), coalesce(u.payload_sources_days, 0),
    e.days_possible, e.is_over, f.is_fully_tracked,
    case when e.days_expected > 0 then coalesce(c.standing, 'final') end,
    e.is_over and f.is_fully_tracked and e.days_expected > 0 and c.not_final_days is null,
    e.is_over and f.is_fully_tracked and not coalesce(c.is_blocked, false),
    c.open_days, c.missing_days, c.in_doubt_days, c.unavailable_days, c.by_hand_days,
    c.open_streams, c.missing_streams, c.in_doubt_streams, c.unavailable_streams, c.by_hand_streams,
    u.devices_created, u.devices_deleted, u.devices_total, u.devices_total_on, u.devices_total_max,
    u.devices_total_avg, u.notebook_minutes, u.notebook_completed, u.notebook_canceled, u.notebook_errored,
    u.notebook_timeout, u.payload_billable_count, u.payload_all_count, u.payload_all_bytes, u.payload_source_count
  from losant_usage.organizations o
  left join (
    select r.org_id,
      count(*) filter (where r.is_tracked)::integer as days_tracked,
      count(*) filter (where r.has_untracked)::integer as days_untracked,
      min(r.streams_set) filter (where r.is_tracked) as first_set,
      max(r.streams_set) filter (where r.is_tracked) as last_set,
      count(r.devices_created)::integer as device_counts_days,
      count(r.notebook_minutes)::integer as notebook_minutes_days,
      count(r.payload_billable_count)::integer as payload_totals_days,
      count(r.payload_source_count)::integer as payload_sources_days,
      losant_usage.total(r.devices_created) as devices_created,
      losant_usage.total(r.devices_deleted) as devices_deleted,
      -- The newest day and its number are the greatest of both in one: numbers are below 2^53, days come above them.
      max((r.usage_date - first_day)::bigint << 53 | r.devices_total) & 9007199254740991 as devices_total,
      first_day + (max((r.usage_date - first_day)::bigint << 53 | r.devices_total) >> 53)::integer as devices_total_on,
      max(r.devices_total) as devices_total_max,
      round(losant_usage.total(r.devices_total)::numeric / nullif(count(r.devices_total), 0), 2) as devices_total_avg,
      losant_usage.total(r.notebook_minutes) as notebook_minutes,
      losant_usage.total(r.notebook_completed) as notebook_completed,
      losant_usage.total(r.notebook_canceled) as notebook_canceled,
      losant_usage.total(r.notebook_errored) as notebook_errored,
      losant_usage.total(r.notebook_timeout) as notebook_timeout,
      losant_usage.total(r.payload_billable_count) as payload_billable_count,
      losant_usage.total(r.payload_all_count) as payload_all_count,
      losant_usage.total(r.payload_all_bytes) as payload_all_bytes,
      losant_usage.total(r.payload_source_count) as payload_source_count
    from losant_usage.days_between(first_day, next_day - 1) as day
    join losant_usage.org_rows r on r.usage_date = day and r.org_id between first_org and last_org
    group by r.org_id
  ) as u on u.org_id = o.org_id
  left join (
    select c.org_id, max(c.standing) as standing,
      count(*) filter (where c.streams_set is not null)::integer as days_rowless,
      min(c.streams_set) as first_set, max(c.streams_set) as last_set,
      range_agg(c.day) filter (where not c.is_stored) as not_stored_days,
      range_agg(c.day) filter (where c.standing <> 'final') as not_final_days,
      range_agg(c.day) filter (where c.standing = 'accepted') as accepted_days,
      range_agg(c.day) filter (where c.is_stored and not c.is_reported and c.stream <> 'payload_hours') as unreported_days,
      bool_or(c.cause is not null) as is_blocked,
      range_agg(c.day) filter (where c.cause = 'not_final') as open_days,
      range_agg(c.day) filter (where c.cause = 'missing') as missing_days,
      range_agg(c.day) filter (where c.cause = 'in_doubt') as in_doubt_days,
      range_agg(c.day) filter (where c.cause = 'unavailable') as unavailable_days,
      range_agg(c.day) filter (where c.cause = 'changed_by_hand') as by_hand_days,
      array_agg(distinct c.stream) filter (where c.cause = 'not_final') as open_streams,
      array_agg(distinct c.stream) filter (where c.cause = 'missing') as missing_streams,
      array_agg(distinct c.stream) filter (where c.cause = 'in_doubt') as in_doubt_streams,
      array_agg(distinct c.stream) filter (where c.cause = 'unavailable') as unavailable_streams,
      array_agg(distinct c.stream) filter (where c.cause = 'changed_by_hand') as by_hand_streams
    from (
      select *, case when standing in ('stored', 'waiting') then 'not_final'
        when standing not in ('final', 'accepted') then
          case when reason = 'changed_by_hand' then reason else standing::text end end as cause
      from (
        select r.org_id, r.stream, daterange(r.usage_date, r.usage_date + 1) as day, r.standing, r.reason, r.is_stored,
          -- What was typed in is no zero that stands for what Losant left out.
          r.is_reported or r.verified_at is null as is_reported, null::integer as streams_set
        -- By a range, not by each day: days of a join are not known inside the arms of read_cells.
        from losant_usage.read_cells r
        where r.usage_date between first_day and next_day - 1 and r.org_id between first_org and last_org
          and (r.standing <> 'final' or not r.is_reported)
        union all
        select r.org_id, r.stream, daterange(usage_date, usage_date + 1), r.standing, 'never_read', false, false, null
        from losant_usage.unread_cells r
        where r.usage_date between first_day and next_day - 1 and r.org_id between first_org and last_org
        union all
        select r.org_id, null, null, null, null, null, null, r.streams_set
        from losant_usage.rowless_days r
        where r.usage_date between first_day and next_day - 1 and r.org_id between first_org and last_org
      ) as c
    ) as c group by c.org_id
  ) as c on c.org_id = o.org_id
  cross join lateral (
    select coalesce(u.days_tracked, 0) + coalesce(c.days_rowless, 0) as days_expected,
      next_day <= (now() at time zone 'UTC')::date as is_over,
      greatest(0, least(next_day, o.removed_on + 1) - greatest(first_day, o.created_on)) as days_possible
  ) as e
  cross join lateral (
    -- Every day on which it existed is tracked, each for the same streams.
    select coalesce(least(u.first_set, c.first_set) = greatest(u.last_set, c.last_set), true)
      and e.days_expected = greatest(0,
        least(next_day, o.removed_on + 1, (now() at time zone 'UTC')::date) - greatest(first_day, o.created_on)) as is_fully_tracked
  ) as f
  cross join lateral (
    -- Something is to be invoiced of it: a day is tracked, or one should be. Who left the configuration before is none.
    select e.days_expected > 0 or (e.days_possible > 0 and exists (
      select from losant_usage.tracking t
      where t.org_id = o.org_id and (upper_inf(t.tracked_days) or t.tracked_to >= first_day))) as is_wanted
  ) as w
  where o.org_id between first_org and last_org and w.is_wanted
$$;
comment on function losant_usage.period_sums is 'Building block of the views of months and periods, not for use by others: it may change.';

create view losant_usage.month_rows as
select m.month as period_start, m.next_month - 1 as period_end, s.*
from losant_usage.months m cross join lateral losant_usage.period_sums(m.month, m.next_month, '', 'g') as s
where m.month between (
    select date_trunc('month', least(min(usage_date), (select min(tracked_from) from losant_usage.tracking))::timestamp)::date
    from losant_usage.usage_days) and (now() at time zone 'UTC')::date - 1;
comment on view losant_usage.month_rows is 'Building block of the views of months, not for use by others: it may change.';
