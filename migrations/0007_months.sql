-- Calendar months and each organization's own billing period: sums, limits and what blocks closing a month.

create view losant_usage_internal.billing_periods as
select org_id, (current_period_start at time zone 'UTC')::date as period_start,
  ((current_period_end - interval '1 millisecond') at time zone 'UTC')::date as period_end
from losant_usage.organizations where current_period_start is not null and current_period_end is not null;

-- Usage by organization and calendar month or billing period, as range_kind says.
create view losant_usage_internal.usage_sums as
select d.range_kind, d.period_start, d.org_id, count(*)::integer as days_expected,
  count(*) filter (where d.is_stored)::integer as days_stored,
  count(*) filter (where d.standing = 'final')::integer as days_final,
  count(*) filter (where d.current_standing = 'waived')::integer as days_waived,
  count(*) filter (where d.current_standing = 'unavailable')::integer as days_unavailable,
  count(d.unreported_streams)::integer as days_unreported,
  max(d.current_standing) as standing,
  losant_usage_internal.total(d.devices_created) as devices_created,
  losant_usage_internal.total(d.devices_deleted) as devices_deleted,
  losant_usage_internal.last_level(losant_usage_internal.dated_level(d.usage_date, d.devices_total)) as devices_total,
  max(d.devices_total) as devices_total_max,
  round(avg(d.devices_total), 2) as devices_total_avg,
  losant_usage_internal.total(d.notebook_minutes) as notebook_minutes,
  losant_usage_internal.total(d.notebook_completed) as notebook_completed,
  losant_usage_internal.total(d.notebook_canceled) as notebook_canceled,
  losant_usage_internal.total(d.notebook_errored) as notebook_errored,
  losant_usage_internal.total(d.notebook_timeout) as notebook_timeout,
  losant_usage_internal.total(d.payload_billable_count) as payload_billable_count,
  losant_usage_internal.total(d.payload_all_count) as payload_all_count,
  losant_usage_internal.total(d.payload_all_bytes) as payload_all_bytes,
  losant_usage_internal.total(d.payload_source_count) as payload_source_count,
  count(d.devices_total)::integer as device_counts_days_stored,
  count(d.notebook_minutes)::integer as notebook_minutes_days_stored,
  count(d.payload_source_count)::integer as payload_sources_days_stored,
  count(d.payload_all_count)::integer as payload_totals_days_stored
from (
  select 'month' as range_kind, d.month as period_start, d.*,
    losant_usage_internal.current_day_standing(d.standing, d.is_waiting, d.usage_date) as current_standing
  from losant_usage_internal.org_days d
  union all
  select 'billing_period', p.period_start, d.*,
    losant_usage_internal.current_day_standing(d.standing, d.is_waiting, d.usage_date)
  from losant_usage_internal.billing_periods p
  join losant_usage_internal.org_days d on d.org_id = p.org_id and d.usage_date between p.period_start and p.period_end
    -- Limits the scan to the days of all billing periods.
    and d.usage_date between (select min(period_start) from losant_usage_internal.billing_periods)
      and (select max(period_end) from losant_usage_internal.billing_periods)
) as d
group by d.range_kind, d.period_start, d.org_id;

-- The sums of a month or period by metric: the object of all sums has them under the names of the metrics.
create function losant_usage_internal.sum_of_metric(sums jsonb, metric text) returns bigint
language sql immutable parallel safe
return (sums ->> metric)::bigint;

-- Best first up to in_progress, so that max() over the blockers of a month is its state.
create type losant_usage.month_state as enum (
  'ready', 'settling', 'blocked', 'in_progress', 'closed', 'needs_adjustment'
);

-- The months in which cells of a stream with metrics are expected, and the current one. Few ranges, because most
-- organizations are tracked alike.
create view losant_usage_internal.tracked_months as
select distinct s.month
from (
  select distinct t.first_day, t.last_day from losant_usage.tracks t
  where t.stream in (select stream from losant_usage.metrics)
) as r
cross join lateral (
  select losant_usage_internal.month_of(losant_usage_internal.today()) as month
  union all
  select month::date from generate_series(losant_usage_internal.month_of(r.first_day)::timestamp,
    coalesce(r.last_day, losant_usage_internal.today())::timestamp, interval '1 month') as month
) as s;

-- Days of a month on which an organization existed and one of its streams was not tracked, in months in which the
-- stream was tracked on other days: before its span, in the month in which that begins, or after it, in that in which
-- it ends.
create view losant_usage_internal.untracked_days as
select u.org_id, u.stream, u.month, e.first_day, e.last_day
from (
  select org_id, stream, losant_usage_internal.month_of(first_day) as month, null::date as first_day,
    first_day - 1 as last_day
  from losant_usage.tracks
  union all
  select org_id, stream, losant_usage_internal.month_of(last_day), last_day + 1, null
  from losant_usage.tracks where last_day is not null
) as u
join losant_usage.organizations o on o.org_id = u.org_id
cross join lateral (
  select greatest(u.month, u.first_day, o.created_on) as first_day,
    least(losant_usage_internal.month_end(u.month), u.last_day, o.deleted_on - 1, losant_usage_internal.today() - 1)
      as last_day
) as e
where e.first_day <= e.last_day and u.stream in (select stream from losant_usage.metrics);

-- Blockers of one organization.
create view losant_usage_internal.org_blockers as
-- Stored and waiting cells will be read (again). As long as they are read in time, the month settles by itself.
select c.org_id, c.month,
  case when c.standing in ('stored', 'waiting') then 'not_final' else c.standing::text end as cause,
  (case when bool_and(c.standing in ('stored', 'waiting')
      and losant_usage_internal.is_overdue(c.next_read_at) is false) then 'settling' else 'blocked' end
    )::losant_usage.month_state as state,
  count(distinct c.usage_date)::integer as days, min(c.usage_date) as first_day, max(c.usage_date) as last_day,
  array_agg(distinct c.stream::text) as streams,
  max(coalesce(c.detail, c.reason))
    filter (where c.failed_reads > 0 or c.standing not in ('stored', 'waiting')) as detail,
  max(c.next_read_at) as next_read_at
from losant_usage_internal.non_final_cells c
where c.standing <> 'waived' and c.stream in (select stream from losant_usage.metrics)
group by c.org_id, c.month, case when c.standing in ('stored', 'waiting') then 'not_final' else c.standing::text end
union all
select u.org_id, u.month, 'not_fully_tracked', 'blocked', (max(u.last_day) - min(u.first_day) + 1)::integer,
  min(u.first_day), max(u.last_day), array_agg(distinct u.stream::text), null, null
from losant_usage_internal.untracked_days u group by u.org_id, u.month;

-- Blockers that concern the whole instance. Each has the state in which it puts its month.
create view losant_usage_internal.instance_blockers as
select losant_usage_internal.month_of(losant_usage_internal.today()) as month, 'not_ended' as cause,
  'in_progress'::losant_usage.month_state as state, null::integer as days,
  losant_usage_internal.month_of(losant_usage_internal.today()) as first_day,
  losant_usage_internal.month_end(losant_usage_internal.today()) as last_day, null::text[] as streams,
  null::text as detail
union all
select m.month, 'list_incomplete', 'blocked', null, m.month, losant_usage_internal.month_end(m.month), null,
  i.list_problem
from losant_usage_internal.tracked_months m cross join losant_usage.instance i where i.list_problem is not null
union all
-- A difference between settled numbers blocks. In a month that has ended, what is still to be compared is awaited.
select c.month, 'not_reconciled',
  (case when bool_or(c.result = 'difference' and c.is_settled) then 'blocked' else 'settling' end
    )::losant_usage.month_state,
  count(distinct c.usage_date)::integer, min(c.usage_date), max(c.usage_date),
  array_agg(distinct s.stream), string_agg(distinct c.result, ', ')
from losant_usage_internal.comparisons c
cross join losant_usage.instance i
cross join lateral unnest(array[c.stream::text, nullif(c.compared_with, 'losant')]) as s (stream)
where i.control_totals = 'block' and s.stream is not null and ((c.result = 'difference' and c.is_settled)
  or (c.orgs_unsettled = 0 and c.result in ('difference', 'not_read')
    and losant_usage_internal.has_ended(c.month)))
group by c.month;

-- Returns what resolves a blocker: one command that runs as pasted, or a sentence. Days before `readable_from` can no
-- longer be read.
create function losant_usage_internal.remedy(
  cause text, state losant_usage.month_state, org_id text, first_day date, last_day date, streams text[],
  next_read_at timestamptz, readable_from date
) returns text language sql stable parallel safe
return case
  when cause = 'not_ended' then 'wait until the month has ended'
  when cause = 'not_final' and state = 'settling' then
    concat('wait: the last of these days is read by ', losant_usage_internal.minute_text(next_read_at))
  when cause in ('list_incomplete', 'not_final') then 'losant-usage run'
  when cause = 'not_reconciled' then format('losant-usage reconcile --from %s --to %s',
    losant_usage_internal.day_text(first_day), losant_usage_internal.day_text(last_day))
  when cause in ('missing', 'not_fully_tracked') and last_day >= readable_from then
    concat(format('losant-usage backfill --org %s --from %s --to %s', org_id,
      losant_usage_internal.day_text(greatest(first_day, readable_from)), losant_usage_internal.day_text(last_day)),
      -- Without the streams, the backfill would bill others that nobody tracked in the month.
      case when cause = 'not_fully_tracked' then ' --stream ' || array_to_string(streams, ' --stream ') end)
  when cause = 'not_fully_tracked' then
    'these days can no longer be read: close the month with --accept-blockers and a reason'
  else format('losant-usage waive --org %s --day %s..%s --stream %s --reason TEXT', org_id,
    losant_usage_internal.day_text(first_day), losant_usage_internal.day_text(last_day),
    array_to_string(streams, ' --stream '))
end;

create view losant_usage.month_blockers as
select b.month, b.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, b.cause, b.state, b.days,
  b.first_day, b.last_day, b.streams, b.detail,
  losant_usage_internal.remedy(b.cause, b.state, b.org_id, b.first_day, b.last_day, b.streams, b.next_read_at,
    case when o.deleted_on is null
      then losant_usage_internal.today() - (i.policy ->> 'horizonDays')::integer else 'infinity' end) as remedy
from (
  select month, null::text collate "C" as org_id, cause, state, days, first_day, last_day, streams, detail,
    null::timestamptz as next_read_at
  from losant_usage_internal.instance_blockers
  union all
  select month, org_id, cause, state, days, first_day, last_day, streams, detail, next_read_at
  from losant_usage_internal.org_blockers
) as b
cross join losant_usage.instance i
left join losant_usage.organizations o on o.org_id = b.org_id;

-- The standing of a stream is that of the worst of its cells that are not final. The last two joins only look for a
-- blocker. The planner removes the joins of which a query selects nothing.
-- "is not true" instead of "is null": from "is null" the planner expects one row, and loops over the month.
create view losant_usage.monthly_usage as
select s.org_id, s.period_start as month, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags,
  losant_usage_internal.month_end(s.period_start) - s.period_start + 1 as days_in_month,
  losant_usage_internal.has_ended(s.period_start) as has_ended,
  losant_usage_internal.has_ended(s.period_start) and s.standing = 'final'
    and b.is_partly_tracked is not true as is_final,
  b.is_blocked is not true and i.is_blocked is not true as is_ready,
  s.days_expected, s.days_stored, s.days_final, s.days_waived, s.days_unavailable, s.days_unreported, s.standing,
  s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_max, s.devices_total_avg, s.notebook_minutes,
  s.notebook_completed, s.notebook_canceled, s.notebook_errored, s.notebook_timeout, s.payload_billable_count,
  s.payload_all_count, s.payload_all_bytes, s.payload_source_count,
  coalesce(w.device_counts, case when s.device_counts_days_stored > 0 then final end) as device_counts_standing,
  s.device_counts_days_stored,
  coalesce(w.notebook_minutes, case when s.notebook_minutes_days_stored > 0 then final end)
    as notebook_minutes_standing,
  s.notebook_minutes_days_stored,
  coalesce(w.payload_sources, case when s.payload_sources_days_stored > 0 then final end) as payload_sources_standing,
  s.payload_sources_days_stored,
  coalesce(w.payload_totals, case when s.payload_totals_days_stored > 0 then final end) as payload_totals_standing,
  s.payload_totals_days_stored
from losant_usage_internal.usage_sums s
join losant_usage.organizations o on o.org_id = s.org_id
cross join (select 'final'::losant_usage.standing as final) as e
left join (
  select org_id, month, max(standing) filter (where stream = 'device_counts') as device_counts,
    max(standing) filter (where stream = 'notebook_minutes') as notebook_minutes,
    max(standing) filter (where stream = 'payload_sources') as payload_sources,
    max(standing) filter (where stream = 'payload_totals') as payload_totals
  from losant_usage_internal.non_final_cells group by org_id, month
) as w on w.org_id = s.org_id and w.month = s.period_start
left join (
  select org_id, month, true as is_blocked, bool_or(cause = 'not_fully_tracked') as is_partly_tracked
  from losant_usage_internal.org_blockers group by org_id, month
) as b on b.org_id = s.org_id and b.month = s.period_start
left join (
  select month, true as is_blocked from losant_usage_internal.instance_blockers group by month
) as i on i.month = s.period_start
where s.range_kind = 'month';

create view losant_usage.billing_period_usage as
select s.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, s.period_start, p.period_end,
  p.period_end - s.period_start + 1 as days_in_period, m.stream, m.metric, m.unit, m.kind,
  losant_usage_internal.sum_of_metric(to_jsonb(s), m.metric) as quantity, s.days_expected,
  losant_usage_internal.sum_of_metric(to_jsonb(s), m.stream || '_days_stored')::integer as days_stored, s.standing,
  p.period_end < losant_usage_internal.today() as has_ended
from losant_usage_internal.usage_sums s
join losant_usage.organizations o on o.org_id = s.org_id
join losant_usage_internal.billing_periods p on p.org_id = s.org_id
cross join losant_usage.metrics m
where s.range_kind = 'billing_period';

-- The month to date against each limit of an organization. A flow is projected with the mean of its stored days; a
-- level stays, and so does everything of an organization that was deleted.
create view losant_usage.usage_vs_limits as
select o.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, s.month, s.days_in_month,
  s.days_expected, n.days_stored, l.key as limit_name, m.metric, m.unit, m.kind, n.limit_quantity, n.quantity,
  round(n.quantity / nullif(greatest(n.limit_quantity, 0), 0), 4) as share, p.projected_quantity,
  round(p.projected_quantity / nullif(greatest(n.limit_quantity, 0), 0), 4) as projected_share,
  case when n.quantity <= n.limit_quantity and p.projected_quantity > n.limit_quantity
    then greatest(s.month + floor(n.limit_quantity / p.daily_mean)::integer, losant_usage_internal.today()) end
    as exceeds_on,
  n.limit_quantity >= 0 and n.quantity > n.limit_quantity as is_exceeded
from losant_usage.organizations o
join (
  select u.*, u.period_start as month,
    losant_usage_internal.month_end(u.period_start) - u.period_start + 1 as days_in_month
  from losant_usage_internal.usage_sums u
  where u.range_kind = 'month'
    and u.period_start = losant_usage_internal.month_of(losant_usage_internal.today() - 1)
) as s on s.org_id = o.org_id
-- Once per organization, and not for each of its limits.
cross join lateral (select to_jsonb(s) as sums offset 0) as j
cross join lateral jsonb_each(o.limits) as l
left join losant_usage.metrics m on m.limit_name = l.key
cross join lateral (
  select trunc(l.value::text::numeric) as limit_quantity,
    losant_usage_internal.sum_of_metric(j.sums, m.metric)::numeric as quantity,
    losant_usage_internal.sum_of_metric(j.sums, m.stream || '_days_stored')::integer as days_stored
) as n
cross join lateral (
  select n.quantity / nullif(n.days_stored, 0) as daily_mean,
    case when m.kind = 'flow' and o.deleted_on is null and n.days_stored > 0
      then round(n.quantity / n.days_stored * s.days_in_month) else n.quantity end as projected_quantity
) as p
where jsonb_typeof(l.value) = 'number';

comment on view losant_usage.monthly_usage is 'Usage by organization and calendar month (UTC). Flows are summed; a level is its last number, with its maximum and average. Key: org_id, month. Source: usage_days, coverage, month_blockers.';
comment on column losant_usage.monthly_usage.device_counts_days_stored is 'Days on which the metrics of device_counts are stored (count).';
comment on column losant_usage.monthly_usage.device_counts_standing is 'Worst standing of the metrics of device_counts; null if none of its days is expected.';
comment on column losant_usage.monthly_usage.is_ready is 'Whether nothing blocks the month for the organization: no row in month_blockers for it or for all of them.';
comment on column losant_usage.monthly_usage.notebook_minutes_days_stored is 'Days on which the metrics of notebook_minutes are stored (count).';
comment on column losant_usage.monthly_usage.notebook_minutes_standing is 'Worst standing of the metrics of notebook_minutes; null if none of its days is expected.';
comment on column losant_usage.monthly_usage.payload_sources_days_stored is 'Days on which the metrics of payload_sources are stored (count).';
comment on column losant_usage.monthly_usage.payload_sources_standing is 'Worst standing of the metrics of payload_sources; null if none of its days is expected.';
comment on column losant_usage.monthly_usage.payload_totals_days_stored is 'Days on which the metrics of payload_totals are stored (count).';
comment on column losant_usage.monthly_usage.payload_totals_standing is 'Worst standing of the metrics of payload_totals; null if none of its days is expected.';
comment on view losant_usage.billing_period_usage is 'Usage by organization, its own billing period in Losant and metric, for information; only calendar months are closed. Key: org_id, metric. Source: usage_days.';
comment on column losant_usage.billing_period_usage.days_in_period is 'Days in the period (count).';
comment on column losant_usage.billing_period_usage.period_end is 'Last day of the period (UTC).';
comment on column losant_usage.billing_period_usage.period_start is 'First day of the period (UTC).';
comment on column losant_usage.billing_period_usage.quantity is 'Sum over the stored days; of a level, its last number. Null if none is stored.';
comment on view losant_usage.usage_vs_limits is 'Month to date, projection and limit, by organization and limit; an organization without limits has no row. A flow is projected with the mean of its stored days; a level stays. Key: org_id, limit_name. Source: usage_days, organizations.';
comment on column losant_usage.usage_vs_limits.exceeds_on is 'Day on which the projection exceeds the limit (UTC); null if it does not, or already has.';
comment on column losant_usage.usage_vs_limits.is_exceeded is 'Whether the month to date is above the limit; a limit of 0 is exceeded by 1. Null if the month to date is.';
comment on column losant_usage.usage_vs_limits.kind is 'flow or level; null if the limit has no metric.';
comment on column losant_usage.usage_vs_limits.days_stored is 'Days of the month to date on which the metric is stored (count); null if the limit has no metric.';
comment on column losant_usage.usage_vs_limits.limit_name is 'Name of the limit in Losant.';
comment on column losant_usage.usage_vs_limits.limit_quantity is 'The limit; a negative one limits nothing.';
comment on column losant_usage.usage_vs_limits.metric is 'Metric that the limit applies to; null if it applies to none.';
comment on column losant_usage.usage_vs_limits.projected_quantity is 'Projected quantity at the end of the month; null if the limit has no metric or nothing is stored.';
comment on column losant_usage.usage_vs_limits.projected_share is 'Projected quantity as a share of the limit; null if either is, or the limit is not above 0.';
comment on column losant_usage.usage_vs_limits.quantity is 'Month to date, over the stored days; null if none is stored.';
comment on column losant_usage.usage_vs_limits.share is 'Month to date as a share of the limit; null if either is, or the limit is not above 0.';
comment on column losant_usage.usage_vs_limits.unit is 'Unit; null if the limit has no metric.';
comment on view losant_usage.month_blockers is 'What blocks closing a month, by cause and organization or, if org_id is null, for all of them. Nothing blocks a month without rows. Key: month, org_id, cause. Source: coverage, tracks, instance, reconciliation.';
comment on column losant_usage.month_blockers.cause is 'not_ended, list_incomplete, not_final, missing, in_doubt, unavailable, not_fully_tracked or not_reconciled.';
comment on column losant_usage.month_blockers.days is 'Affected days (count); null if the cause is not about days.';
comment on column losant_usage.month_blockers.detail is 'What else is known about the cause; null if nothing is.';
comment on column losant_usage.month_blockers.first_day is 'First affected day (UTC).';
comment on column losant_usage.month_blockers.last_day is 'Last affected day (UTC).';
comment on column losant_usage.month_blockers.org_id is 'Losant organization ID (24 lowercase hex digits); null if the cause concerns all of them.';
comment on column losant_usage.month_blockers.org_name is 'Organization name as last seen; null if the cause concerns all of them.';
comment on column losant_usage.month_blockers.remedy is 'What to do: one command, or a sentence.';
comment on column losant_usage.month_blockers.state is 'State in which the cause puts the month: blocked or settling; in_progress until the month has ended.';
comment on column losant_usage.month_blockers.streams is 'Affected streams; null if the cause is not about streams.';
