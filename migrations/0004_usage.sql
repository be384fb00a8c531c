-- Views of usage by day for reading and BI. A stable contract: names and meanings stay, columns are only added, at the
-- end. A number that is not stored is null, never 0. Days are UTC days, whatever the session's time zone.

create view losant_usage.daily_usage as
select o.instance_id, d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags, d.usage_date,
  losant_usage_internal.day_as_of_now(d.standing, d.is_waiting, d.usage_date) as standing, d.standing = 'final' as is_final,
  d.is_reported,
  d.devices_created, d.devices_deleted, d.devices_total, d.notebook_minutes, d.notebook_completed, d.notebook_canceled,
  d.notebook_errored, d.notebook_timeout, d.payload_billable_count, d.payload_all_count, d.payload_all_bytes, d.payload_source_count
from losant_usage_internal.org_days d
left join losant_usage.organizations o on o.org_id = d.org_id;

create function losant_usage_internal.number_of(d losant_usage.daily_usage, metric text) returns bigint language sql immutable parallel safe
return case metric when 'devices_created' then d.devices_created when 'devices_deleted' then d.devices_deleted
  when 'devices_total' then d.devices_total when 'notebook_minutes' then d.notebook_minutes
  when 'notebook_completed' then d.notebook_completed when 'notebook_canceled' then d.notebook_canceled
  when 'notebook_errored' then d.notebook_errored when 'notebook_timeout' then d.notebook_timeout
  when 'payload_billable_count' then d.payload_billable_count when 'payload_all_count' then d.payload_all_count
  when 'payload_all_bytes' then d.payload_all_bytes when 'payload_source_count' then d.payload_source_count end;

create view losant_usage.daily_usage_long as
select d.instance_id, d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.usage_date,
  m.stream, m.metric, m.unit, m.kind, losant_usage_internal.number_of(d, m.metric) as quantity, c.standing,
  c.standing = 'final' as is_final, c.is_reported
from losant_usage.daily_usage d
join losant_usage_internal.wanted_cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
join losant_usage.metrics m on m.stream = c.stream;

create view losant_usage.device_counts as
select usage_date, org_id, devices_created as created, devices_deleted as deleted, devices_total as total
from losant_usage.usage_days where devices_created is not null;

create view losant_usage.notebook_minutes as
select usage_date, org_id, notebook_minutes as minutes, notebook_completed as completed, notebook_canceled as canceled,
  notebook_errored as errored, notebook_timeout as timeout
from losant_usage.usage_days where notebook_minutes is not null;

create view losant_usage.payload_totals as
select usage_date, org_id, payload_billable_count as billable_count, payload_all_count as all_count, payload_all_bytes as all_bytes
from losant_usage.usage_days where payload_billable_count is not null;

create view losant_usage.payload_sources as
select d.usage_date, d.org_id, t.key as payload_type, s.key as source, s.value::bigint as count
from losant_usage.usage_days d
cross join lateral jsonb_each(d.payload_sources) as t
cross join lateral jsonb_each_text(t.value) as s;

create view losant_usage.hourly_usage as
select o.instance_id, d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, d.usage_date,
  (d.usage_date + h.hour * interval '1 hour') at time zone 'UTC' as hour, c.standing, c.standing = 'final' as is_final, c.is_reported,
  d.hours_billable_count[h.hour + 1] as payload_billable_count, d.hours_all_count[h.hour + 1] as payload_all_count,
  d.hours_all_bytes[h.hour + 1] as payload_all_bytes
from losant_usage.cells c
join losant_usage_internal.org_days d on d.usage_date = c.usage_date and d.org_id = c.org_id
join losant_usage.organizations o on o.org_id = d.org_id
cross join generate_series(0, 23) as h (hour)
where c.stream = 'payload_hours';

-- Which hours of which UTC days make a day of a time zone. Each UTC hour is looked at, because a zone may change its
-- clocks at midnight, so that the local time of a boundary says nothing.
create function losant_usage_internal.local_hours(time_zone text) returns table (
  local_date date, hours integer, usage_date date, first_hour integer, last_hour integer
) language plpgsql stable parallel safe as $$
declare
  first_day constant date := (select min(first_day) from losant_usage.tracks where stream = 'payload_hours');
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

create function losant_usage.local_daily_usage(time_zone text) returns table (
  instance_id text, org_id text, org_name text, referral_id text, plan_id text, customer_id text, local_date date,
  hours integer, hours_stored integer, standing losant_usage.standing, is_final boolean, is_reported boolean,
  payload_billable_count bigint, payload_all_count bigint, payload_all_bytes bigint
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select o.instance_id, u.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, u.local_date, u.hours, u.hours_stored,
    u.standing, u.hours_stored = u.hours and u.standing = 'final', u.is_reported,
    case when u.hours_stored = u.hours then u.billable_count end, case when u.hours_stored = u.hours then u.all_count end,
    case when u.hours_stored = u.hours then u.all_bytes end
  from (
    select c.org_id, l.local_date, l.hours, max(c.standing) as standing, bool_and(c.is_reported) as is_reported,
      coalesce(sum(l.last_hour - l.first_hour + 1) filter (where c.is_stored), 0)::integer as hours_stored,
      losant_usage_internal.total(s.billable_count) as billable_count, losant_usage_internal.total(s.all_count) as all_count,
      losant_usage_internal.total(s.all_bytes) as all_bytes
    from losant_usage_internal.local_hours(time_zone) as l
    join losant_usage.cells c on c.usage_date = l.usage_date and c.stream = 'payload_hours'
    left join losant_usage.usage_days d on d.usage_date = c.usage_date and d.org_id = c.org_id
    cross join lateral (
      select losant_usage_internal.total(n.billable) as billable_count, losant_usage_internal.total(n.everything) as all_count,
        losant_usage_internal.total(n.bytes) as all_bytes
      from unnest(d.hours_billable_count[l.first_hour + 1:l.last_hour + 1], d.hours_all_count[l.first_hour + 1:l.last_hour + 1],
        d.hours_all_bytes[l.first_hour + 1:l.last_hour + 1]) as n (billable, everything, bytes)
    ) as s
    group by c.org_id, l.local_date, l.hours
  ) as u
  join losant_usage.organizations o on o.org_id = u.org_id
$$;

comment on view losant_usage.daily_usage is 'One row per organization and wanted day up to yesterday; a number that is not stored is null. Source: usage_days, coverage.';
comment on column losant_usage.daily_usage.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.daily_usage.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.daily_usage.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.daily_usage.referral_id is 'Referral id of the organization as last seen, the place for your own customer number; null if it has none.';
comment on column losant_usage.daily_usage.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage.tags is 'Tags as last seen: array of {key, value}; one row per tag in organization_tags.';
comment on column losant_usage.daily_usage.usage_date is 'Usage date (UTC).';
comment on column losant_usage.daily_usage.standing is 'Standing of the worst cell of the day, see cells.';
comment on column losant_usage.daily_usage.is_final is 'Whether every number of the day is final.';
comment on column losant_usage.daily_usage.is_reported is 'Whether Losant has named every number that is stored; false where zeros stand for what it left out.';
comment on column losant_usage.daily_usage.devices_created is 'Devices created (devices, flow); null: not stored.';
comment on column losant_usage.daily_usage.devices_deleted is 'Devices deleted (devices, flow); null: not stored.';
comment on column losant_usage.daily_usage.devices_total is 'Devices at about the end of the day (devices, level); null: not stored.';
comment on column losant_usage.daily_usage.notebook_minutes is 'Notebook execution time (minutes, flow); null: not stored.';
comment on column losant_usage.daily_usage.notebook_completed is 'Notebook executions that completed (executions, flow); null: not stored.';
comment on column losant_usage.daily_usage.notebook_canceled is 'Notebook executions that were canceled (executions, flow); null: not stored.';
comment on column losant_usage.daily_usage.notebook_errored is 'Notebook executions that failed (executions, flow); null: not stored.';
comment on column losant_usage.daily_usage.notebook_timeout is 'Notebook executions that ran out of time (executions, flow); null: not stored.';
comment on column losant_usage.daily_usage.payload_billable_count is 'Billable payloads (payloads, flow); null: not stored.';
comment on column losant_usage.daily_usage.payload_all_count is 'All payloads, billable or not (payloads, flow); null: not stored.';
comment on column losant_usage.daily_usage.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow); null: not stored.';
comment on column losant_usage.daily_usage.payload_source_count is 'Payloads of all types and sources (payloads, flow); null: not stored.';
comment on view losant_usage.daily_usage_long is 'daily_usage with one row per metric. Sum it over few organizations or days; for months read monthly_usage. Source: daily_usage, cells.';
comment on column losant_usage.daily_usage_long.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.daily_usage_long.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.daily_usage_long.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.daily_usage_long.referral_id is 'Referral id of the organization as last seen, the place for your own customer number; null if it has none.';
comment on column losant_usage.daily_usage_long.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage_long.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.daily_usage_long.usage_date is 'Usage date (UTC).';
comment on column losant_usage.daily_usage_long.stream is 'Stream, see streams.';
comment on column losant_usage.daily_usage_long.metric is 'Metric, see metrics.';
comment on column losant_usage.daily_usage_long.unit is 'Unit of the quantity.';
comment on column losant_usage.daily_usage_long.kind is 'flow: may be summed over days. level: never sum it over days.';
comment on column losant_usage.daily_usage_long.quantity is 'The number, in the unit beside it; null if it is not stored.';
comment on column losant_usage.daily_usage_long.standing is 'Standing of the cell, see cells.';
comment on column losant_usage.daily_usage_long.is_final is 'Whether the number is final.';
comment on column losant_usage.daily_usage_long.is_reported is 'Whether Losant has named every number that is stored; false where zeros stand for what it left out.';
comment on view losant_usage.device_counts is 'Devices by organization and day in the words of the source. Source: usage_days.';
comment on column losant_usage.device_counts.usage_date is 'Usage date (UTC).';
comment on column losant_usage.device_counts.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.device_counts.created is 'Devices created (devices).';
comment on column losant_usage.device_counts.deleted is 'Devices deleted (devices).';
comment on column losant_usage.device_counts.total is 'Devices at about the end of the day (devices).';
comment on view losant_usage.notebook_minutes is 'Notebook executions by organization and day in the words of the source. Source: usage_days.';
comment on column losant_usage.notebook_minutes.usage_date is 'Usage date (UTC).';
comment on column losant_usage.notebook_minutes.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.notebook_minutes.minutes is 'Execution time (minutes).';
comment on column losant_usage.notebook_minutes.completed is 'Executions that completed.';
comment on column losant_usage.notebook_minutes.canceled is 'Executions that were canceled.';
comment on column losant_usage.notebook_minutes.errored is 'Executions that failed.';
comment on column losant_usage.notebook_minutes.timeout is 'Executions that ran out of time.';
comment on view losant_usage.payload_totals is 'Payloads by organization and day in the words of the source. Source: usage_days.';
comment on column losant_usage.payload_totals.usage_date is 'Usage date (UTC).';
comment on column losant_usage.payload_totals.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.payload_totals.billable_count is 'Billable payloads.';
comment on column losant_usage.payload_totals.all_count is 'All payloads, billable or not.';
comment on column losant_usage.payload_totals.all_bytes is 'Size of all payloads, billable or not (bytes).';
comment on view losant_usage.payload_sources is 'Payloads by organization, day, type and source. Source: usage_days.payload_sources.';
comment on column losant_usage.payload_sources.usage_date is 'Usage date (UTC).';
comment on column losant_usage.payload_sources.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.payload_sources.payload_type is 'Payload type as Losant names it.';
comment on column losant_usage.payload_sources.source is 'Source as Losant names it.';
comment on column losant_usage.payload_sources.count is 'Payloads.';
comment on view losant_usage.hourly_usage is 'Payloads by hour, one row per organization and hour of the days whose hours are wanted; a number that is not stored is null. Restrict usage_date: hour alone reads everything. Source: usage_days, cells.';
comment on column losant_usage.hourly_usage.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.hourly_usage.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.hourly_usage.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.hourly_usage.referral_id is 'Referral id of the organization as last seen, the place for your own customer number; null if it has none.';
comment on column losant_usage.hourly_usage.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.hourly_usage.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.hourly_usage.usage_date is 'Usage date (UTC).';
comment on column losant_usage.hourly_usage.hour is 'When the hour begins (UTC).';
comment on column losant_usage.hourly_usage.standing is 'Standing as of now: final, accepted, stored, waiting, unavailable, in_doubt or missing, see the type standing.';
comment on column losant_usage.hourly_usage.is_final is 'Whether the numbers of the usage date are final.';
comment on column losant_usage.hourly_usage.is_reported is 'Whether Losant has named every number that is stored; false where zeros stand for what it left out.';
comment on column losant_usage.hourly_usage.payload_billable_count is 'Billable payloads (payloads, flow); null: not stored.';
comment on column losant_usage.hourly_usage.payload_all_count is 'All payloads, billable or not (payloads, flow); null: not stored.';
comment on column losant_usage.hourly_usage.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow); null: not stored.';
comment on function losant_usage.local_daily_usage is 'Payloads by the days of a time zone, e.g. Europe/Berlin: one row per organization and day of which an hour is wanted. A day has 23 or 25 hours where clocks change; numbers are null unless all its hours are stored. Source: usage_days.';
