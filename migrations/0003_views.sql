-- Views for reading and BI. A stable contract: names and meanings stay, columns are only added.
-- A number that is not held is null, never 0. Days are UTC days, whatever the session's time zone.

create view losant_usage.metrics as
select * from (values
  ('device_counts', 'created', 'devices_created', 'devices', 'flow'),
  ('device_counts', 'deleted', 'devices_deleted', 'devices', 'flow'),
  ('device_counts', 'total', 'devices_total', 'devices', 'level'),
  ('notebook_minutes', 'minutes', 'notebook_minutes', 'minutes', 'flow'),
  ('notebook_minutes', 'completed', 'notebook_completed', 'executions', 'flow'),
  ('notebook_minutes', 'canceled', 'notebook_canceled', 'executions', 'flow'),
  ('notebook_minutes', 'errored', 'notebook_errored', 'executions', 'flow'),
  ('notebook_minutes', 'timeout', 'notebook_timeout', 'executions', 'flow'),
  ('payload_totals', 'billable_count', 'payload_billable_count', 'payloads', 'flow'),
  ('payload_totals', 'all_count', 'payload_all_count', 'payloads', 'flow'),
  ('payload_totals', 'all_bytes', 'payload_all_bytes', 'bytes', 'flow'),
  ('payload_sources', 'count', 'payload_source_count', 'payloads', 'flow')
) as m (stream, column_name, metric, unit, kind)
-- ;;
comment on view losant_usage.metrics is 'What is counted, one row per metric: its name in the views, the table and column it comes from, its unit, and whether it may be summed over days.'
-- ;;
comment on column losant_usage.metrics.stream is 'Stream: the name of the table the metric comes from.'
-- ;;
comment on column losant_usage.metrics.column_name is 'Column of that table.'
-- ;;
comment on column losant_usage.metrics.metric is 'Name of the metric: the column of daily_usage, and the value of metric in daily_usage_long.'
-- ;;
comment on column losant_usage.metrics.unit is 'Unit: devices, minutes, executions, payloads or bytes.'
-- ;;
comment on column losant_usage.metrics.kind is 'flow: what happened that day, may be summed over days. level: what there is at the end of the day, never sum it.'
-- ;;

-- By date alone: the primary key has three columns, for which the planner assumes rows scattered over the
-- table, and reads all of it where a month is wanted. Rows of a day lie together, and this index says so.
create index coverage_usage_date on losant_usage.coverage (usage_date)
-- ;;

-- The building block of the daily and monthly views. Streams are bits: device_counts 1,
-- notebook_minutes 2, payload_totals 4, payload_sources 8. A union that is grouped, and no join: so a
-- condition on date or organization reaches each table's index.
create view losant_usage.org_days as
select usage_date, org_id,
  coalesce(bit_or(expected), 0) as expected,
  coalesce(bit_or(covered), 0) as covered,
  coalesce(bit_or(final), 0) as final,
  coalesce(bit_or(unreported), 0) as unreported,
  max(devices_created) as devices_created,
  max(devices_deleted) as devices_deleted,
  max(devices_total) as devices_total,
  max(notebook_minutes) as notebook_minutes,
  max(notebook_completed) as notebook_completed,
  max(notebook_canceled) as notebook_canceled,
  max(notebook_errored) as notebook_errored,
  max(notebook_timeout) as notebook_timeout,
  max(payload_billable_count) as payload_billable_count,
  max(payload_all_count) as payload_all_count,
  max(payload_all_bytes) as payload_all_bytes
from (
  select usage_date, org_id, null::integer as expected,
    case when state in ('loaded', 'final') then stream_bit end as covered,
    case when state = 'final' then stream_bit end as final,
    case when state in ('loaded', 'final') and not reported then stream_bit end as unreported,
    null::bigint as devices_created, null::bigint as devices_deleted, null::bigint as devices_total,
    null::bigint as notebook_minutes, null::bigint as notebook_completed, null::bigint as notebook_canceled,
    null::bigint as notebook_errored, null::bigint as notebook_timeout,
    null::bigint as payload_billable_count, null::bigint as payload_all_count, null::bigint as payload_all_bytes
  from (
    select usage_date, org_id, state, reported,
      case stream when 'device_counts' then 1 when 'notebook_minutes' then 2
        when 'payload_totals' then 4 when 'payload_sources' then 8 end as stream_bit
    from losant_usage.coverage
  ) cell
  union all
  select usage_date, org_id, null, null, null, null,
    created, deleted, total, null, null, null, null, null, null, null, null
  from losant_usage.device_counts
  union all
  select usage_date, org_id, null, null, null, null,
    null, null, null, minutes, completed, canceled, errored, timeout, null, null, null
  from losant_usage.notebook_minutes
  union all
  select usage_date, org_id, null, null, null, null,
    null, null, null, null, null, null, null, null, billable_count, all_count, all_bytes
  from losant_usage.payload_totals
  union all
  select day.usage_date, promise.org_id,
    case when day.usage_date between device_from and device_to then 1 else 0 end
      + case when day.usage_date between notebook_from and notebook_to then 2 else 0 end
      + case when day.usage_date between totals_from and totals_to then 4 else 0 end
      + case when day.usage_date between sources_from and sources_to then 8 else 0 end,
    null, null, null, null, null, null, null, null, null, null, null, null, null, null
  from (
    select first_day + offset_days as usage_date
    from (select min(tracked_from) as first_day, (now() at time zone 'UTC')::date - 1 as last_day
          from losant_usage.tracking) as span,
      generate_series(0, last_day - first_day) as offset_days
  ) as day
  join (
    select t.org_id,
      min(tracked_from) filter (where stream = 'device_counts') as device_from,
      min(last_day) filter (where stream = 'device_counts') as device_to,
      min(tracked_from) filter (where stream = 'notebook_minutes') as notebook_from,
      min(last_day) filter (where stream = 'notebook_minutes') as notebook_to,
      min(tracked_from) filter (where stream = 'payload_totals') as totals_from,
      min(last_day) filter (where stream = 'payload_totals') as totals_to,
      min(tracked_from) filter (where stream = 'payload_sources') as sources_from,
      min(last_day) filter (where stream = 'payload_sources') as sources_to,
      min(tracked_from) as first_day, max(last_day) as last_day
    from (
      select t.org_id, t.stream, t.tracked_from,
        coalesce(least(t.tracked_to, (o.removed_at at time zone 'UTC')::date), 'infinity') as last_day
      from losant_usage.tracking t join losant_usage.organizations o using (org_id)
    ) as t
    group by t.org_id
  ) as promise on day.usage_date between promise.first_day and promise.last_day
) as part
group by usage_date, org_id
-- ;;
comment on view losant_usage.org_days is 'Building block of the daily and monthly views, not for use by others: it may change. One row per organization and usage date that is promised or known, its streams as bits (1 device_counts, 2 notebook_minutes, 4 payload_totals, 8 payload_sources).'
-- ;;
comment on column losant_usage.org_days.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.org_days.org_id is 'Losant organization id.'
-- ;;
comment on column losant_usage.org_days.expected is 'Streams promised for the day (bits). Source: tracking.'
-- ;;
comment on column losant_usage.org_days.covered is 'Streams whose numbers are held (bits). Source: coverage.'
-- ;;
comment on column losant_usage.org_days.final is 'Streams that are final (bits). Source: coverage.'
-- ;;
comment on column losant_usage.org_days.unreported is 'Streams held as zeros because Losant left the day out (bits). Source: coverage.'
-- ;;
comment on column losant_usage.org_days.devices_created is 'Devices created (count). Source: device_counts.'
-- ;;
comment on column losant_usage.org_days.devices_deleted is 'Devices deleted (count). Source: device_counts.'
-- ;;
comment on column losant_usage.org_days.devices_total is 'Devices at about the end of the day (count, level). Source: device_counts.'
-- ;;
comment on column losant_usage.org_days.notebook_minutes is 'Notebook execution time (minutes). Source: notebook_minutes.'
-- ;;
comment on column losant_usage.org_days.notebook_completed is 'Notebook executions completed (count). Source: notebook_minutes.'
-- ;;
comment on column losant_usage.org_days.notebook_canceled is 'Notebook executions canceled (count). Source: notebook_minutes.'
-- ;;
comment on column losant_usage.org_days.notebook_errored is 'Notebook executions failed (count). Source: notebook_minutes.'
-- ;;
comment on column losant_usage.org_days.notebook_timeout is 'Notebook executions out of time (count). Source: notebook_minutes.'
-- ;;
comment on column losant_usage.org_days.payload_billable_count is 'Billable payloads (count). Source: payload_totals.'
-- ;;
comment on column losant_usage.org_days.payload_all_count is 'All payloads (count). Source: payload_totals.'
-- ;;
comment on column losant_usage.org_days.payload_all_bytes is 'Size of all payloads (bytes). Source: payload_totals.'
-- ;;

create view losant_usage.daily_usage as
select o.instance_id, d.org_id, o.name as org_name, o.referral_id, o.tags, d.usage_date,
  case when d.covered & 1 <> 0 then d.devices_created end as devices_created,
  case when d.covered & 1 <> 0 then d.devices_deleted end as devices_deleted,
  case when d.covered & 1 <> 0 then d.devices_total end as devices_total,
  case when d.covered & 2 <> 0 then d.notebook_minutes end as notebook_minutes,
  case when d.covered & 2 <> 0 then d.notebook_completed end as notebook_completed,
  case when d.covered & 2 <> 0 then d.notebook_canceled end as notebook_canceled,
  case when d.covered & 2 <> 0 then d.notebook_errored end as notebook_errored,
  case when d.covered & 2 <> 0 then d.notebook_timeout end as notebook_timeout,
  case when d.covered & 4 <> 0 then d.payload_billable_count end as payload_billable_count,
  case when d.covered & 4 <> 0 then d.payload_all_count end as payload_all_count,
  case when d.covered & 4 <> 0 then d.payload_all_bytes end as payload_all_bytes,
  case when d.covered & 8 <> 0 then (
    select coalesce(sum(s.count), 0)::bigint from losant_usage.payload_sources s
    where s.usage_date = d.usage_date and s.org_id = d.org_id
  ) end as payload_source_count,
  bit_count(d.expected::bit(4))::integer as streams_expected,
  bit_count((d.expected & d.covered)::bit(4))::integer as streams_covered,
  case when d.covered <> 0 then d.unreported = 0 end as reported,
  d.expected | d.covered = d.final and d.final <> 0 as is_final
from losant_usage.org_days d join losant_usage.organizations o using (org_id)
-- ;;
comment on view losant_usage.daily_usage is 'Usage per organization and UTC day, one row each, all metrics side by side. Every promised day has a row. A number that is not held is null, never 0. Always restrict usage_date. Source: the fact tables, coverage, tracking.'
-- ;;
comment on column losant_usage.daily_usage.instance_id is 'Losant instance id.'
-- ;;
comment on column losant_usage.daily_usage.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.daily_usage.org_name is 'Name of the organization as last seen.'
-- ;;
comment on column losant_usage.daily_usage.referral_id is 'Referral id of the organization as last seen, e.g. your customer number.'
-- ;;
comment on column losant_usage.daily_usage.tags is 'Tags of the organization as last seen: array of {key, value}; keys may repeat.'
-- ;;
comment on column losant_usage.daily_usage.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.daily_usage.devices_created is 'Devices created that day (count, flow); null if not held. Source: device_counts.created.'
-- ;;
comment on column losant_usage.daily_usage.devices_deleted is 'Devices deleted that day (count, flow); null if not held. Source: device_counts.deleted.'
-- ;;
comment on column losant_usage.daily_usage.devices_total is 'Devices at about the end of the day (count, a level: never sum it over days); null if not held. Source: device_counts.total.'
-- ;;
comment on column losant_usage.daily_usage.notebook_minutes is 'Notebook execution time (minutes, flow); null if not held. Source: notebook_minutes.minutes.'
-- ;;
comment on column losant_usage.daily_usage.notebook_completed is 'Notebook executions that completed (count, flow); null if not held. Source: notebook_minutes.completed.'
-- ;;
comment on column losant_usage.daily_usage.notebook_canceled is 'Notebook executions that were canceled (count, flow); null if not held. Source: notebook_minutes.canceled.'
-- ;;
comment on column losant_usage.daily_usage.notebook_errored is 'Notebook executions that failed (count, flow); null if not held. Source: notebook_minutes.errored.'
-- ;;
comment on column losant_usage.daily_usage.notebook_timeout is 'Notebook executions that ran out of time (count, flow); null if not held. Source: notebook_minutes.timeout.'
-- ;;
comment on column losant_usage.daily_usage.payload_billable_count is 'Billable payloads (count, flow); null if not held. Source: payload_totals.billable_count.'
-- ;;
comment on column losant_usage.daily_usage.payload_all_count is 'All payloads, billable or not (count, flow); null if not held. Source: payload_totals.all_count.'
-- ;;
comment on column losant_usage.daily_usage.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow); null if not held. Source: payload_totals.all_bytes.'
-- ;;
comment on column losant_usage.daily_usage.payload_source_count is 'Payloads of all types and sources (count, flow); 0 if the day is held and has none, null if it is not held. Source: payload_sources.count; read only if this column is selected.'
-- ;;
comment on column losant_usage.daily_usage.streams_expected is 'How many streams are promised for the day (count). Source: tracking.'
-- ;;
comment on column losant_usage.daily_usage.streams_covered is 'How many of the promised streams are held (count). Source: coverage.'
-- ;;
comment on column losant_usage.daily_usage.reported is 'Whether Losant named every number that is held; false if zeros stand for a day it left out, null if nothing is held.'
-- ;;
comment on column losant_usage.daily_usage.is_final is 'Whether every promised stream of the day is final: read so late that no change is expected.'
-- ;;

create view losant_usage.daily_usage_long as
select o.instance_id, d.org_id, o.name as org_name, o.referral_id, d.usage_date,
  m.stream, m.metric, m.unit, m.kind,
  case when d.covered & m.bit = 0 then null
    else case m.metric
      when 'devices_created' then d.devices_created
      when 'devices_deleted' then d.devices_deleted
      when 'devices_total' then d.devices_total
      when 'notebook_minutes' then d.notebook_minutes
      when 'notebook_completed' then d.notebook_completed
      when 'notebook_canceled' then d.notebook_canceled
      when 'notebook_errored' then d.notebook_errored
      when 'notebook_timeout' then d.notebook_timeout
      when 'payload_billable_count' then d.payload_billable_count
      when 'payload_all_count' then d.payload_all_count
      when 'payload_all_bytes' then d.payload_all_bytes
      when 'payload_source_count' then (
        select coalesce(sum(s.count), 0)::bigint from losant_usage.payload_sources s
        where s.usage_date = d.usage_date and s.org_id = d.org_id)
    end
  end as quantity,
  case when d.covered & m.bit <> 0 then d.unreported & m.bit = 0 end as reported,
  d.final & m.bit <> 0 as is_final
from losant_usage.org_days d
join losant_usage.organizations o using (org_id)
join (
  select stream, metric, unit, kind,
    case stream when 'device_counts' then 1 when 'notebook_minutes' then 2
      when 'payload_totals' then 4 when 'payload_sources' then 8 end as bit
  from losant_usage.metrics
) as m on (d.expected | d.covered) & m.bit <> 0
-- ;;
comment on view losant_usage.daily_usage_long is 'Usage per organization, UTC day and metric, one row each. Every promised number has a row; its quantity is null while it is not held. Payloads by source are one metric here; their parts are in payload_sources. Always restrict usage_date.'
-- ;;
comment on column losant_usage.daily_usage_long.instance_id is 'Losant instance id.'
-- ;;
comment on column losant_usage.daily_usage_long.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.daily_usage_long.org_name is 'Name of the organization as last seen.'
-- ;;
comment on column losant_usage.daily_usage_long.referral_id is 'Referral id of the organization as last seen, e.g. your customer number.'
-- ;;
comment on column losant_usage.daily_usage_long.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.daily_usage_long.stream is 'Stream: the name of the table the number comes from.'
-- ;;
comment on column losant_usage.daily_usage_long.metric is 'Metric, see the view metrics.'
-- ;;
comment on column losant_usage.daily_usage_long.unit is 'Unit of the quantity: devices, minutes, executions, payloads or bytes.'
-- ;;
comment on column losant_usage.daily_usage_long.kind is 'flow: may be summed over days. level: what there is at the end of the day, never sum it.'
-- ;;
comment on column losant_usage.daily_usage_long.quantity is 'The number, in the unit beside it; null if it is not held.'
-- ;;
comment on column losant_usage.daily_usage_long.reported is 'Whether Losant named the number; false if a zero stands for a day it left out, null if it is not held.'
-- ;;
comment on column losant_usage.daily_usage_long.is_final is 'Whether the number is final: read so late that no change is expected.'
-- ;;

create view losant_usage.monthly_usage as
select o.instance_id, u.org_id, o.name as org_name, o.referral_id, o.tags, m.month,
  u.devices_created, u.devices_deleted,
  (select d.total from losant_usage.device_counts d
   where d.usage_date = u.devices_total_on and d.org_id = u.org_id) as devices_total,
  u.devices_total_on, u.devices_total_max,
  u.notebook_minutes, u.notebook_completed, u.notebook_canceled, u.notebook_errored, u.notebook_timeout,
  u.payload_billable_count, u.payload_all_count, u.payload_all_bytes,
  case when u.payload_sources_days > 0 then coalesce(s.payload_source_count, 0) end as payload_source_count,
  u.device_counts_days, u.notebook_minutes_days, u.payload_totals_days, u.payload_sources_days,
  m.next_month - m.month as days_in_month,
  u.days_expected, u.days_covered, u.days_final,
  m.next_month <= (now() at time zone 'UTC')::date as is_over,
  m.next_month <= (now() at time zone 'UTC')::date
    and u.days_expected > 0 and u.days_final = u.days_expected as is_final
from (
  select first_day::date as month, (first_day + interval '1 month')::date as next_month
  from generate_series(
    date_trunc('month', least(
      (select min(tracked_from) from losant_usage.tracking),
      (select min(usage_date) from losant_usage.coverage))::timestamp),
    (now() at time zone 'UTC') - interval '1 day', interval '1 month') as first_day
) as m
cross join lateral (
  select d.org_id,
    sum(d.devices_created) filter (where d.covered & 1 <> 0)::bigint as devices_created,
    sum(d.devices_deleted) filter (where d.covered & 1 <> 0)::bigint as devices_deleted,
    max(d.usage_date) filter (where d.covered & 1 <> 0) as devices_total_on,
    max(d.devices_total) filter (where d.covered & 1 <> 0) as devices_total_max,
    sum(d.notebook_minutes) filter (where d.covered & 2 <> 0)::bigint as notebook_minutes,
    sum(d.notebook_completed) filter (where d.covered & 2 <> 0)::bigint as notebook_completed,
    sum(d.notebook_canceled) filter (where d.covered & 2 <> 0)::bigint as notebook_canceled,
    sum(d.notebook_errored) filter (where d.covered & 2 <> 0)::bigint as notebook_errored,
    sum(d.notebook_timeout) filter (where d.covered & 2 <> 0)::bigint as notebook_timeout,
    sum(d.payload_billable_count) filter (where d.covered & 4 <> 0)::bigint as payload_billable_count,
    sum(d.payload_all_count) filter (where d.covered & 4 <> 0)::bigint as payload_all_count,
    sum(d.payload_all_bytes) filter (where d.covered & 4 <> 0)::bigint as payload_all_bytes,
    count(*) filter (where d.covered & 1 <> 0)::integer as device_counts_days,
    count(*) filter (where d.covered & 2 <> 0)::integer as notebook_minutes_days,
    count(*) filter (where d.covered & 4 <> 0)::integer as payload_totals_days,
    count(*) filter (where d.covered & 8 <> 0)::integer as payload_sources_days,
    count(*) filter (where d.expected <> 0)::integer as days_expected,
    count(*) filter (where d.expected <> 0 and d.expected & d.covered = d.expected)::integer as days_covered,
    count(*) filter (where d.expected <> 0 and d.expected & d.final = d.expected)::integer as days_final
  from losant_usage.org_days d
  where d.usage_date >= m.month and d.usage_date < m.next_month
  group by d.org_id
) as u
join losant_usage.organizations o on o.org_id = u.org_id
left join lateral (
  select p.org_id, sum(p.count)::bigint as payload_source_count
  from losant_usage.payload_sources p
  where p.usage_date >= m.month and p.usage_date < m.next_month
  group by p.org_id
) as s on s.org_id = u.org_id
-- ;;
comment on view losant_usage.monthly_usage is 'Usage per organization and calendar month (UTC), one row each. Flows are summed over the days that are held: compare days_covered with days_expected before you bill. Levels are never summed. Always restrict month. Source: the fact tables, coverage, tracking.'
-- ;;
comment on column losant_usage.monthly_usage.instance_id is 'Losant instance id.'
-- ;;
comment on column losant_usage.monthly_usage.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.monthly_usage.org_name is 'Name of the organization as last seen.'
-- ;;
comment on column losant_usage.monthly_usage.referral_id is 'Referral id of the organization as last seen, e.g. your customer number.'
-- ;;
comment on column losant_usage.monthly_usage.tags is 'Tags of the organization as last seen: array of {key, value}; keys may repeat.'
-- ;;
comment on column losant_usage.monthly_usage.month is 'First day of the month (UTC).'
-- ;;
comment on column losant_usage.monthly_usage.devices_created is 'Devices created in the month (count), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.devices_deleted is 'Devices deleted in the month (count), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.devices_total is 'Devices at about the end of devices_total_on (count, level); null if no day is held.'
-- ;;
comment on column losant_usage.monthly_usage.devices_total_on is 'Newest day of the month whose device counts are held (UTC); null if none is.'
-- ;;
comment on column losant_usage.monthly_usage.devices_total_max is 'Most devices at the end of any held day of the month (count, level).'
-- ;;
comment on column losant_usage.monthly_usage.notebook_minutes is 'Notebook execution time in the month (minutes), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.notebook_completed is 'Notebook executions that completed (count), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.notebook_canceled is 'Notebook executions that were canceled (count), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.notebook_errored is 'Notebook executions that failed (count), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.notebook_timeout is 'Notebook executions that ran out of time (count), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.payload_billable_count is 'Billable payloads in the month (count), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.payload_all_count is 'All payloads, billable or not (count), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.payload_all_bytes is 'Size of all payloads (bytes), over the days held; null if none is held.'
-- ;;
comment on column losant_usage.monthly_usage.payload_source_count is 'Payloads of all types and sources (count), over the days held; null if none is held. Read only if this column is selected.'
-- ;;
comment on column losant_usage.monthly_usage.device_counts_days is 'Days of the month whose device counts are held (count).'
-- ;;
comment on column losant_usage.monthly_usage.notebook_minutes_days is 'Days of the month whose notebook minutes are held (count).'
-- ;;
comment on column losant_usage.monthly_usage.payload_totals_days is 'Days of the month whose payload totals are held (count).'
-- ;;
comment on column losant_usage.monthly_usage.payload_sources_days is 'Days of the month whose payload sources are held (count).'
-- ;;
comment on column losant_usage.monthly_usage.days_in_month is 'Days the month has in the calendar (count).'
-- ;;
comment on column losant_usage.monthly_usage.days_expected is 'Days of the month that are over and for which a number of any stream is promised (count): fewer than days_in_month where tracking began or ended in between. Source: tracking.'
-- ;;
comment on column losant_usage.monthly_usage.days_covered is 'Expected days on which every promised stream is held (count). Source: coverage.'
-- ;;
comment on column losant_usage.monthly_usage.days_final is 'Expected days on which every promised stream is final (count). Source: coverage.'
-- ;;
comment on column losant_usage.monthly_usage.is_over is 'Whether the month is over (UTC).'
-- ;;
comment on column losant_usage.monthly_usage.is_final is 'Whether the month is over and every promised number of every expected day is final.'
-- ;;

-- By a time, so that what was missing at any moment can be asked, and tested. What was never
-- read is the promised range without the days the ledger has: one pass over the ledger, many gaps or none.
create function losant_usage.coverage_gaps_at(moment timestamptz) returns table (
  instance_id text, org_id text, org_name text, stream text, usage_date date, state text, reason text,
  attempts integer, next_attempt_at timestamptz, attempted_at timestamptz, error_code text, error_message text
) language sql stable parallel safe as $$
  with promise as not materialized (
    select o.instance_id, t.org_id, o.name as org_name, t.stream, t.tracked_from,
      least(t.tracked_to, (o.removed_at at time zone 'UTC')::date, (moment at time zone 'UTC')::date - 1) as last_day,
      greatest(t.tracked_from, t.expired_to) as open_from,
      least(t.tracked_to, (o.removed_at at time zone 'UTC')::date,
        (moment at time zone 'UTC' - interval '6 hours')::date - 1) as open_to
    from losant_usage.tracking t join losant_usage.organizations o on o.org_id = t.org_id
  ), known as (
    select c.org_id, c.stream, range_agg(daterange(c.usage_date, c.usage_date + 1)) as days
    from promise p
    join losant_usage.coverage c on c.org_id = p.org_id and c.stream = p.stream
      and c.usage_date between p.open_from and p.open_to
    where c.usage_date >= (select min(open_from) from promise)
    group by c.org_id, c.stream
  )
  select p.instance_id, p.org_id, p.org_name, p.stream, c.usage_date, c.state,
    coalesce(c.error_message, c.error_code, c.state),
    c.attempts, c.next_attempt_at, c.attempted_at, c.error_code, c.error_message
  from promise p
  join losant_usage.coverage c on c.org_id = p.org_id and c.stream = p.stream
  where c.state not in ('loaded', 'final')
    and c.usage_date between p.tracked_from and p.last_day
    and (c.state in ('failed', 'quarantined') or c.state = 'absent'
      and (c.usage_date + 1)::timestamp at time zone 'UTC' + interval '6 hours' <= moment)
  union all
  select p.instance_id, p.org_id, p.org_name, p.stream, day.usage_date, 'never_read',
    'it was never asked for', 0, null, null, null, null
  from promise p
  left join known k on k.org_id = p.org_id and k.stream = p.stream
  cross join lateral unnest(
    datemultirange(daterange(p.open_from, greatest(p.open_from, p.open_to + 1)))
      - coalesce(k.days, datemultirange())) as hole
  cross join lateral (
    select lower(hole) + offset_days as usage_date
    from generate_series(0, upper(hole) - lower(hole) - 1) as offset_days
  ) as day
$$
-- ;;
comment on function losant_usage.coverage_gaps_at is 'The gaps there were at a moment, by the promises and the ledger of today: see coverage_gaps.'
-- ;;
create view losant_usage.coverage_gaps as
select * from losant_usage.coverage_gaps_at(now())
-- ;;
comment on view losant_usage.coverage_gaps is 'Promised numbers that are missing, one row per organization, stream and usage date: not held 6 hours after the end of the day, or the read failed or could not be believed. Empty if nothing is missing. Numbers that can no longer be had or were waived are in known_missing. Source: tracking, coverage.'
-- ;;
comment on column losant_usage.coverage_gaps.instance_id is 'Losant instance id.'
-- ;;
comment on column losant_usage.coverage_gaps.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.coverage_gaps.org_name is 'Name of the organization as last seen.'
-- ;;
comment on column losant_usage.coverage_gaps.stream is 'Stream: the name of its table.'
-- ;;
comment on column losant_usage.coverage_gaps.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.coverage_gaps.state is 'never_read: it was never asked for. failed: no answer. quarantined: the answer could not be believed. absent: Losant has no number yet.'
-- ;;
comment on column losant_usage.coverage_gaps.reason is 'Why it is missing, for people.'
-- ;;
comment on column losant_usage.coverage_gaps.attempts is 'Failed reads since the last accepted one (count).'
-- ;;
comment on column losant_usage.coverage_gaps.next_attempt_at is 'Not read again before this time (UTC) after a failure; null otherwise.'
-- ;;
comment on column losant_usage.coverage_gaps.attempted_at is 'When the newest request was sent (UTC); null if none was.'
-- ;;
comment on column losant_usage.coverage_gaps.error_code is 'What was wrong with the newest read, in one word; null if nothing.'
-- ;;
comment on column losant_usage.coverage_gaps.error_message is 'What was wrong with the newest read; null if nothing.'
-- ;;

create view losant_usage.known_missing as
select o.instance_id, c.org_id, o.name as org_name, c.stream, c.usage_date, c.state,
  coalesce(c.error_message, c.error_code, c.state) as reason, c.error_code
from losant_usage.coverage c
join losant_usage.organizations o on o.org_id = c.org_id
join losant_usage.tracking t on t.org_id = c.org_id and t.stream = c.stream
where c.state not in ('loaded', 'final') and c.state in ('unavailable', 'waived')
  and c.usage_date between t.tracked_from and coalesce(t.tracked_to, c.usage_date)
-- ;;
comment on view losant_usage.known_missing is 'Promised numbers that are known to be missing for good, and so are no gaps: they can no longer be had, or were waived. Source: tracking, coverage.'
-- ;;
comment on column losant_usage.known_missing.instance_id is 'Losant instance id.'
-- ;;
comment on column losant_usage.known_missing.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.known_missing.org_name is 'Name of the organization as last seen.'
-- ;;
comment on column losant_usage.known_missing.stream is 'Stream: the name of its table.'
-- ;;
comment on column losant_usage.known_missing.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.known_missing.state is 'unavailable: it can no longer be had. waived: accepted as missing by a person.'
-- ;;
comment on column losant_usage.known_missing.reason is 'Why it is missing; for waived the reason that was given.'
-- ;;
comment on column losant_usage.known_missing.error_code is 'Why, in one word: e.g. past_horizon, org_removed, absent, waived.'
-- ;;

create view losant_usage.freshness as
with promised as (
  select o.instance_id, t.stream,
    count(*) filter (where t.tracked_to is null and o.removed_at is null) as orgs_tracked,
    min(t.tracked_from) as tracked_from
  from losant_usage.tracking t join losant_usage.organizations o on o.org_id = t.org_id
  group by o.instance_id, t.stream
), missing as (
  select instance_id, stream, count(*) as gaps, count(distinct org_id) as orgs_with_gaps,
    min(usage_date) as oldest_gap, max(usage_date) as newest_gap
  from losant_usage.coverage_gaps group by instance_id, stream
)
select p.instance_id, p.stream, p.tracked_from, p.orgs_tracked::integer as orgs_tracked, n.usage_date as newest_day,
  least(n.usage_date, m.oldest_gap - 1) as complete_to,
  coalesce(m.gaps, 0)::integer as gaps, coalesce(m.orgs_with_gaps, 0)::integer as orgs_with_gaps,
  m.oldest_gap, m.newest_gap
from promised p
left join missing m using (instance_id, stream)
left join lateral (
  select c.usage_date from losant_usage.coverage c
  where c.stream = p.stream and c.state in ('loaded', 'final') and c.usage_date >= p.tracked_from
    and exists (select from losant_usage.organizations o where o.org_id = c.org_id and o.instance_id = p.instance_id)
  order by c.usage_date desc limit 1
) as n on true
-- ;;
comment on view losant_usage.freshness is 'How far the numbers reach, one row per instance and stream. Source: tracking, coverage.'
-- ;;
comment on column losant_usage.freshness.instance_id is 'Losant instance id.'
-- ;;
comment on column losant_usage.freshness.stream is 'Stream: the name of its table.'
-- ;;
comment on column losant_usage.freshness.tracked_from is 'First usage date promised for any organization (UTC).'
-- ;;
comment on column losant_usage.freshness.orgs_tracked is 'Organizations that exist and are collected (count).'
-- ;;
comment on column losant_usage.freshness.newest_day is 'Newest usage date (UTC) of which any number is held; null if there is none.'
-- ;;
comment on column losant_usage.freshness.complete_to is 'Newest usage date (UTC) up to which there is no gap; null if nothing is held.'
-- ;;
comment on column losant_usage.freshness.gaps is 'Gaps (count), see coverage_gaps.'
-- ;;
comment on column losant_usage.freshness.orgs_with_gaps is 'Organizations with a gap (count).'
-- ;;
comment on column losant_usage.freshness.oldest_gap is 'Oldest usage date with a gap (UTC); null if there is none.'
-- ;;
comment on column losant_usage.freshness.newest_gap is 'Newest usage date with a gap (UTC); null if there is none.'
-- ;;

create view losant_usage.restatements as
select o.instance_id, r.org_id, o.name as org_name, r.stream, r.usage_date,
  m.metric, r.key ->> 'payload_type' as payload_type, r.key ->> 'source' as source,
  (r.old ->> m.column_name)::bigint as old_quantity,
  (r.new ->> m.column_name)::bigint as new_quantity,
  coalesce((r.new ->> m.column_name)::bigint, 0) - coalesce((r.old ->> m.column_name)::bigint, 0) as difference,
  m.unit, r.revision,
  coalesce(c.finalized_at < r.changed_at, false) as was_final,
  r.run_id is null as by_hand, r.run_id, r.changed_by, r.changed_at, r.id as revision_id
from losant_usage.revisions r
join losant_usage.metrics m on m.stream = r.stream
  and r.old ->> m.column_name is distinct from r.new ->> m.column_name
join losant_usage.organizations o on o.org_id = r.org_id
left join losant_usage.coverage c
  on c.usage_date = r.usage_date and c.stream = r.stream and c.org_id = r.org_id
-- ;;
comment on view losant_usage.restatements is 'Every change of a number after its first load, one row per change and metric, old and new. Source: revisions, which is append-only.'
-- ;;
comment on column losant_usage.restatements.instance_id is 'Losant instance id.'
-- ;;
comment on column losant_usage.restatements.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.restatements.org_name is 'Name of the organization as last seen.'
-- ;;
comment on column losant_usage.restatements.stream is 'Stream: the name of its table.'
-- ;;
comment on column losant_usage.restatements.usage_date is 'Usage date whose number changed (UTC).'
-- ;;
comment on column losant_usage.restatements.metric is 'Metric, see the view metrics.'
-- ;;
comment on column losant_usage.restatements.payload_type is 'Payload type, for payloads by source; null otherwise.'
-- ;;
comment on column losant_usage.restatements.source is 'Payload source, for payloads by source; null otherwise.'
-- ;;
comment on column losant_usage.restatements.old_quantity is 'The number before, in the unit beside it; null if there was no row.'
-- ;;
comment on column losant_usage.restatements.new_quantity is 'The number after, in the unit beside it; null if the row was removed.'
-- ;;
comment on column losant_usage.restatements.difference is 'New minus old, in the unit beside it, where no row counts as 0.'
-- ;;
comment on column losant_usage.restatements.unit is 'Unit of the quantities.'
-- ;;
comment on column losant_usage.restatements.revision is 'Version of the cell that the change made.'
-- ;;
comment on column losant_usage.restatements.was_final is 'Whether the number was final before the change.'
-- ;;
comment on column losant_usage.restatements.by_hand is 'Whether the change was made by hand, in SQL; otherwise Losant gave another number.'
-- ;;
comment on column losant_usage.restatements.run_id is 'Run that made the change; null if it was made by hand.'
-- ;;
comment on column losant_usage.restatements.changed_by is 'Database user that made the change.'
-- ;;
comment on column losant_usage.restatements.changed_at is 'When the change was made (UTC).'
-- ;;
comment on column losant_usage.restatements.revision_id is 'Order of the changes: revisions.id.'
-- ;;

create view losant_usage.device_continuity as
select o.instance_id, d.org_id, o.name as org_name, d.usage_date,
  before.total as previous_total, d.created as devices_created, d.deleted as devices_deleted,
  before.total + d.created - d.deleted as expected_total, d.total as devices_total,
  d.total - (before.total + d.created - d.deleted) as difference
from losant_usage.device_counts d
join losant_usage.device_counts before on before.usage_date = d.usage_date - 1 and before.org_id = d.org_id
join losant_usage.organizations o on o.org_id = d.org_id
-- ;;
comment on view losant_usage.device_continuity is 'Whether device totals follow from the day before, one row per organization and usage date whose day before is held too. A difference is a question, not a fault: devices restored or moved with their application change the total without being created. Source: device_counts.'
-- ;;
comment on column losant_usage.device_continuity.instance_id is 'Losant instance id.'
-- ;;
comment on column losant_usage.device_continuity.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.device_continuity.org_name is 'Name of the organization as last seen.'
-- ;;
comment on column losant_usage.device_continuity.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.device_continuity.previous_total is 'Devices at about the end of the day before (count).'
-- ;;
comment on column losant_usage.device_continuity.devices_created is 'Devices created that day (count).'
-- ;;
comment on column losant_usage.device_continuity.devices_deleted is 'Devices deleted that day (count).'
-- ;;
comment on column losant_usage.device_continuity.expected_total is 'previous_total + devices_created - devices_deleted (count).'
-- ;;
comment on column losant_usage.device_continuity.devices_total is 'Devices at about the end of the day (count).'
-- ;;
comment on column losant_usage.device_continuity.difference is 'devices_total - expected_total (count); 0 where the days agree.'
-- ;;

-- A cell's rows at a moment are the rows of now that have not changed since, and of those that have, what
-- the first change since then found. First loads are not in revisions: coverage says when they were.
create function losant_usage.usage_as_of(moment timestamptz) returns table (
  instance_id text, org_id text, org_name text, usage_date date, stream text, metric text, unit text, kind text,
  quantity bigint, is_final boolean
) language sql stable parallel safe as $$
  with later as (
    select distinct on (r.stream, r.org_id, r.usage_date, r.key) r.stream, r.org_id, r.usage_date, r.key, r.old
    from losant_usage.revisions r where r.changed_at > moment
    order by r.stream, r.org_id, r.usage_date, r.key, r.id
  ), known as (
    select f.usage_date, f.org_id, 'device_counts' as stream, m.metric, m.quantity
    from losant_usage.device_counts f
    cross join lateral (values ('devices_created', f.created), ('devices_deleted', f.deleted),
      ('devices_total', f.total)) as m (metric, quantity)
    where not exists (select from later l
      where l.stream = 'device_counts' and l.usage_date = f.usage_date and l.org_id = f.org_id)
    union all
    select f.usage_date, f.org_id, 'notebook_minutes', m.metric, m.quantity
    from losant_usage.notebook_minutes f
    cross join lateral (values ('notebook_minutes', f.minutes), ('notebook_completed', f.completed),
      ('notebook_canceled', f.canceled), ('notebook_errored', f.errored),
      ('notebook_timeout', f.timeout)) as m (metric, quantity)
    where not exists (select from later l
      where l.stream = 'notebook_minutes' and l.usage_date = f.usage_date and l.org_id = f.org_id)
    union all
    select f.usage_date, f.org_id, 'payload_totals', m.metric, m.quantity
    from losant_usage.payload_totals f
    cross join lateral (values ('payload_billable_count', f.billable_count), ('payload_all_count', f.all_count),
      ('payload_all_bytes', f.all_bytes)) as m (metric, quantity)
    where not exists (select from later l
      where l.stream = 'payload_totals' and l.usage_date = f.usage_date and l.org_id = f.org_id)
    union all
    select f.usage_date, f.org_id, 'payload_sources', 'payload_source_count', f.count
    from losant_usage.payload_sources f
    where not exists (select from later l
      where l.stream = 'payload_sources' and l.usage_date = f.usage_date and l.org_id = f.org_id
        and l.key = jsonb_build_object('payload_type', f.payload_type, 'source', f.source))
    union all
    select l.usage_date, l.org_id, l.stream, m.metric, (l.old ->> m.column_name)::bigint
    from later l join losant_usage.metrics m on m.stream = l.stream
    where l.old is not null
    union all
    select c.usage_date, c.org_id, c.stream, 'payload_source_count', 0
    from losant_usage.coverage c
    where c.stream = 'payload_sources' and c.first_loaded_at <= moment and coalesce((
      select not (r.new is null and r.run_id is null) from losant_usage.revisions r
      where r.stream = c.stream and r.org_id = c.org_id and r.usage_date = c.usage_date and r.changed_at <= moment
      order by r.id desc limit 1), true)
  )
  select o.instance_id, k.org_id, o.name, k.usage_date, k.stream, k.metric, m.unit, m.kind,
    sum(k.quantity)::bigint, bool_and(coalesce(c.finalized_at <= moment, false))
  from known k
  join losant_usage.coverage c on c.usage_date = k.usage_date and c.stream = k.stream and c.org_id = k.org_id
  join losant_usage.organizations o on o.org_id = k.org_id
  join losant_usage.metrics m on m.metric = k.metric
  where c.first_loaded_at <= moment
  group by o.instance_id, k.org_id, o.name, k.usage_date, k.stream, k.metric, m.unit, m.kind
$$
-- ;;
comment on function losant_usage.usage_as_of is 'The numbers as they were known at a moment (UTC), one row per organization, usage date and metric that was held then, e.g. when an invoice was written. Columns as in daily_usage_long; names of organizations are of today. Always restrict usage_date. Source: the fact tables, coverage, revisions.'
