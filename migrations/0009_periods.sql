-- Billing periods: calendar months, or each organization's own as they were seen in Losant; what is summed over them,
-- and what keeps one from being invoiced.

-- A day belongs to the period that holds its 00:00Z. Of two versions of a period the newer counts, and a period ends
-- where the next begins: no day is in two.
create view losant_usage.losant_periods as
select p.org_id, p.period_start,
  least(p.period_end, lead(p.period_start) over (partition by p.org_id order by p.period_start) - 1) as period_end
from (
  select distinct on (s.org_id, s.period_start) s.org_id, s.period_start, s.period_end
  from (
    select h.org_id, h.valid_from,
      (h.current_period_start at time zone 'UTC' + interval '1 day' - interval '1 microsecond')::date as period_start,
      (h.current_period_end at time zone 'UTC' - interval '1 microsecond')::date as period_end
    from losant_usage.organization_history h
    where h.current_period_end > h.current_period_start
  ) as s
  where s.period_end >= s.period_start
  order by s.org_id, s.period_start, s.valid_from desc
) as p;
comment on view losant_usage.losant_periods is 'Building block of billing_periods and period_usage, not for use by others: it may change.';

create view losant_usage.billing_periods as
select o.org_id, m.month as period_start, m.next_month - 1 as period_end, 'calendar'::text as source
from losant_usage.organizations o
join losant_usage.instances i on i.instance_id = o.instance_id and i.billing_periods = 'calendar'
cross join lateral (select min(lower(t.tracked_days)) as first_day from losant_usage.tracking t where t.org_id = o.org_id) as t
join losant_usage.months m on m.next_month > t.first_day
  and m.month <= least((now() at time zone 'UTC')::date, o.removed_on)
union all
select p.org_id, p.period_start, p.period_end, 'losant'
from losant_usage.losant_periods p
join losant_usage.organizations o on o.org_id = p.org_id
join losant_usage.instances i on i.instance_id = o.instance_id and i.billing_periods = 'losant';
comment on view losant_usage.billing_periods is 'The billing periods of every organization, none overlapping another: calendar months, or its own as they were seen in Losant (instances.billing_periods). Source: organization_history, tracking.';
comment on column losant_usage.billing_periods.org_id is 'Losant organization id.';
comment on column losant_usage.billing_periods.period_start is 'First usage date of the period (UTC).';
comment on column losant_usage.billing_periods.period_end is 'Last usage date of the period (UTC, inclusive).';
comment on column losant_usage.billing_periods.source is 'calendar: a month (UTC). losant: as seen in currentPeriodStart and currentPeriodEnd of the organization.';

create view losant_usage.days_without_period as
select o.instance_id, o.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id,
  lower(part) as first_day, upper(part) - 1 as last_day, upper(part) - lower(part) as days
from losant_usage.organizations o
join losant_usage.instances i on i.instance_id = o.instance_id and i.billing_periods = 'losant'
cross join lateral (select range_agg(t.days) as days from losant_usage.tracked t where t.org_id = o.org_id) as t
cross join lateral (
  select coalesce(range_agg(daterange(p.period_start, p.period_end + 1)), '{}') as days
  from losant_usage.billing_periods p where p.org_id = o.org_id
) as p
cross join lateral unnest(t.days - p.days) as part;
comment on view losant_usage.days_without_period is 'Tracked days that lie in no known billing period, one row per organization and range of days: they are in no row of period_usage. Source: tracked, billing_periods.';
comment on column losant_usage.days_without_period.instance_id is 'Losant instance id.';
comment on column losant_usage.days_without_period.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.days_without_period.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.days_without_period.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.days_without_period.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.days_without_period.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.days_without_period.first_day is 'First day of the range (UTC).';
comment on column losant_usage.days_without_period.last_day is 'Last day of the range (UTC, inclusive).';
comment on column losant_usage.days_without_period.days is 'Days of the range (count).';

create view losant_usage.own_period_rows as
select p.period_start, p.period_end, s.*
from losant_usage.losant_periods p
cross join lateral losant_usage.period_sums(p.period_start, p.period_end + 1, p.org_id, p.org_id) as s;
comment on view losant_usage.own_period_rows is 'Building block of period_usage, not for use by others: it may change.';

-- What speaks against a month is looked up by month (x) and by key (r), and both joins go where is_billable is not asked for.
create view losant_usage.monthly_usage as
select s.instance_id, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.tags, s.period_start as month,
  s.days_in_period, s.days_expected, s.days_stored, s.days_final, s.days_accepted, s.days_unavailable,
  s.days_unreported, s.days_untracked, s.device_counts_days, s.notebook_minutes_days, s.payload_totals_days,
  s.payload_sources_days, s.is_over, s.is_fully_tracked, s.standing, s.is_final,
  s.is_clear and i.list_problem is null and (i.control_totals = 'show' or s.instance_id <> all (x.instance_ids) and not (
    s.is_final and losant_usage.is_contradicted(r.figures, x.bytes_of_mb, s.devices_total, s.notebook_minutes,
      s.payload_billable_count, s.payload_all_count, s.payload_all_bytes) and losant_usage.is_final_read(i.policy, s.period_end, r.verified_at)
      and not losant_usage.org_changed_since(s.org_id, s.period_start, s.period_end, r.verified_at))) as is_billable,
  s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_on, s.devices_total_max,
  s.devices_total_avg, s.notebook_minutes, s.notebook_completed, s.notebook_canceled, s.notebook_errored,
  s.notebook_timeout, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes, s.payload_source_count
from losant_usage.month_rows s
join losant_usage.instances i on i.instance_id = s.instance_id
left join losant_usage.monthly_summaries r on r.instance_id = s.instance_id and r.month = s.period_start
  and r.resource_type = 'organization' and r.resource_id = s.org_id
left join lateral (
  select coalesce(array_agg(distinct d.instance_id), '{}') as instance_ids,
    (select m.summary_scale from losant_usage.metrics m where m.metric = 'payload_all_bytes') as bytes_of_mb
  from losant_usage.contradicted_days d where d.usage_date between s.period_start and s.period_end
) as x on true
where s.days_expected > 0;
comment on view losant_usage.monthly_usage is 'One row per organization and month (UTC) with a tracked day: flows summed over the tracked days that are stored; of levels the last, the maximum and the average. May it be invoiced: is_billable. Source: usage_days, cells, period_blockers.';
comment on column losant_usage.monthly_usage.instance_id is 'Losant instance id.';
comment on column losant_usage.monthly_usage.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.monthly_usage.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.monthly_usage.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.monthly_usage.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.monthly_usage.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.monthly_usage.tags is 'Tags of the organization as last seen; one row per tag in organization_tags.';
comment on column losant_usage.monthly_usage.month is 'First day of the month (UTC).';
comment on column losant_usage.monthly_usage.days_in_period is 'Days of the month (count).';
comment on column losant_usage.monthly_usage.days_expected is 'Days of the month, up to yesterday, that are tracked for any stream (count).';
comment on column losant_usage.monthly_usage.days_stored is 'Days of these of which every tracked number is stored (count).';
comment on column losant_usage.monthly_usage.days_final is 'Days of these of which every tracked number is final (count).';
comment on column losant_usage.monthly_usage.days_accepted is 'Days of these with a number that a person accepted as it stands or as missing (count).';
comment on column losant_usage.monthly_usage.days_unavailable is 'Days of these with a number that can no longer be read (count).';
comment on column losant_usage.monthly_usage.days_unreported is 'Days of these with zeros that stand for numbers Losant left out (count).';
comment on column losant_usage.monthly_usage.days_untracked is 'Days with a number that is stored but not tracked, and so is not in the sums (count).';
comment on column losant_usage.monthly_usage.device_counts_days is 'Tracked days of which the numbers of device_counts are stored (count).';
comment on column losant_usage.monthly_usage.notebook_minutes_days is 'Tracked days of which the numbers of notebook_minutes are stored (count).';
comment on column losant_usage.monthly_usage.payload_totals_days is 'Tracked days of which the numbers of payload_totals are stored (count).';
comment on column losant_usage.monthly_usage.payload_sources_days is 'Tracked days of which the numbers of payload_sources are stored (count).';
comment on column losant_usage.monthly_usage.is_over is 'Whether the month is over (UTC).';
comment on column losant_usage.monthly_usage.is_fully_tracked is 'Whether every day of the month, up to yesterday, on which the organization existed is tracked, for the same streams on each.';
comment on column losant_usage.monthly_usage.standing is 'Standing of the worst tracked cell of the month, see cells; null if no day is tracked.';
comment on column losant_usage.monthly_usage.is_final is 'Whether the month is over and fully tracked, and every number of it is final.';
comment on column losant_usage.monthly_usage.is_billable is 'Whether the month may be invoiced: no row of period_blockers speaks against it.';
comment on column losant_usage.monthly_usage.devices_created is 'Devices created (devices, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.devices_deleted is 'Devices deleted (devices, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.devices_total is 'Devices at about the end of the day (devices, level) on the last day of the month that is stored; null if none is.';
comment on column losant_usage.monthly_usage.devices_total_on is 'Devices at about the end of the day: the day of the month that the number is of (UTC); null if none is stored.';
comment on column losant_usage.monthly_usage.devices_total_max is 'Devices at about the end of the day (devices): the greatest of the month; null if none is stored.';
comment on column losant_usage.monthly_usage.devices_total_avg is 'Devices at about the end of the day (devices): the average of the days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.notebook_minutes is 'Notebook execution time (minutes, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.notebook_completed is 'Notebook executions that completed (executions, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.notebook_canceled is 'Notebook executions that were canceled (executions, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.notebook_errored is 'Notebook executions that failed (executions, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.notebook_timeout is 'Notebook executions that ran out of time (executions, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.payload_billable_count is 'Billable payloads (payloads, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.payload_all_count is 'All payloads, billable or not (payloads, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.monthly_usage.payload_source_count is 'Payloads of all types and sources (payloads, flow), summed over the tracked days that are stored; null if none is.';

create view losant_usage.period_usage as
select s.instance_id, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.tags,
  s.month as period_start, s.month + s.days_in_period - 1 as period_end, 'calendar'::text as source,
  s.days_in_period, s.days_expected, s.days_stored, s.days_final, s.days_accepted, s.days_unavailable,
  s.days_unreported, s.days_untracked, s.device_counts_days, s.notebook_minutes_days, s.payload_totals_days,
  s.payload_sources_days, s.is_over, s.is_fully_tracked, s.standing, s.is_final, s.is_billable,
  s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_on, s.devices_total_max,
  s.devices_total_avg, s.notebook_minutes, s.notebook_completed, s.notebook_canceled, s.notebook_errored,
  s.notebook_timeout, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes, s.payload_source_count
from losant_usage.monthly_usage s
join losant_usage.instances i on i.instance_id = s.instance_id and i.billing_periods = 'calendar'
union all
select s.instance_id, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.tags, s.period_start, s.period_end, 'losant',
  s.days_in_period, s.days_expected, s.days_stored, s.days_final, s.days_accepted, s.days_unavailable,
  s.days_unreported, s.days_untracked, s.device_counts_days, s.notebook_minutes_days, s.payload_totals_days,
  s.payload_sources_days, s.is_over, s.is_fully_tracked, s.standing, s.is_final,
  s.is_clear and i.list_problem is null and (i.control_totals = 'show'
    or not daterange(s.period_start, s.period_end, '[]') && coalesce(x.days, '{}')),
  s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_on, s.devices_total_max,
  s.devices_total_avg, s.notebook_minutes, s.notebook_completed, s.notebook_canceled, s.notebook_errored,
  s.notebook_timeout, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes, s.payload_source_count
from losant_usage.own_period_rows s
join losant_usage.instances i on i.instance_id = s.instance_id and i.billing_periods = 'losant'
left join lateral (
  select range_agg(daterange(d.usage_date, d.usage_date + 1)) as days from losant_usage.contradicted_days d
  where d.instance_id = i.instance_id
) as x on true
where s.days_expected > 0;
comment on view losant_usage.period_usage is 'monthly_usage by billing period: one row per organization and period with a tracked day. Days in no known period are in days_without_period. Source: billing_periods, usage_days, cells.';
comment on column losant_usage.period_usage.instance_id is 'Losant instance id.';
comment on column losant_usage.period_usage.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.period_usage.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.period_usage.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.period_usage.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.period_usage.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.period_usage.tags is 'Tags of the organization as last seen; one row per tag in organization_tags.';
comment on column losant_usage.period_usage.period_start is 'First usage date of the period (UTC).';
comment on column losant_usage.period_usage.period_end is 'Last usage date of the period (UTC, inclusive).';
comment on column losant_usage.period_usage.source is 'calendar: a month (UTC). losant: the organization''s own billing period.';
comment on column losant_usage.period_usage.days_in_period is 'Days of the period (count).';
comment on column losant_usage.period_usage.days_expected is 'Days of the period, up to yesterday, that are tracked for any stream (count).';
comment on column losant_usage.period_usage.days_stored is 'Days of these of which every tracked number is stored (count).';
comment on column losant_usage.period_usage.days_final is 'Days of these of which every tracked number is final (count).';
comment on column losant_usage.period_usage.days_accepted is 'Days of these with a number that a person accepted as it stands or as missing (count).';
comment on column losant_usage.period_usage.days_unavailable is 'Days of these with a number that can no longer be read (count).';
comment on column losant_usage.period_usage.days_unreported is 'Days of these with zeros that stand for numbers Losant left out (count).';
comment on column losant_usage.period_usage.days_untracked is 'Days with a number that is stored but not tracked, and so is not in the sums (count).';
comment on column losant_usage.period_usage.device_counts_days is 'Tracked days of which the numbers of device_counts are stored (count).';
comment on column losant_usage.period_usage.notebook_minutes_days is 'Tracked days of which the numbers of notebook_minutes are stored (count).';
comment on column losant_usage.period_usage.payload_totals_days is 'Tracked days of which the numbers of payload_totals are stored (count).';
comment on column losant_usage.period_usage.payload_sources_days is 'Tracked days of which the numbers of payload_sources are stored (count).';
comment on column losant_usage.period_usage.is_over is 'Whether the period is over (UTC).';
comment on column losant_usage.period_usage.is_fully_tracked is 'Whether every day of the period, up to yesterday, on which the organization existed is tracked, for the same streams on each.';
comment on column losant_usage.period_usage.standing is 'Standing of the worst tracked cell of the period, see cells; null if no day is tracked.';
comment on column losant_usage.period_usage.is_final is 'Whether the period is over and fully tracked, and every number of it is final.';
comment on column losant_usage.period_usage.is_billable is 'Whether the period may be invoiced: no row of period_blockers speaks against it.';
comment on column losant_usage.period_usage.devices_created is 'Devices created (devices, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.devices_deleted is 'Devices deleted (devices, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.devices_total is 'Devices at about the end of the day (devices, level) on the last day of the period that is stored; null if none is.';
comment on column losant_usage.period_usage.devices_total_on is 'Devices at about the end of the day: the day of the period that the number is of (UTC); null if none is stored.';
comment on column losant_usage.period_usage.devices_total_max is 'Devices at about the end of the day (devices): the greatest of the period; null if none is stored.';
comment on column losant_usage.period_usage.devices_total_avg is 'Devices at about the end of the day (devices): the average of the days that are stored; null if none is.';
comment on column losant_usage.period_usage.notebook_minutes is 'Notebook execution time (minutes, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.notebook_completed is 'Notebook executions that completed (executions, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.notebook_canceled is 'Notebook executions that were canceled (executions, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.notebook_errored is 'Notebook executions that failed (executions, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.notebook_timeout is 'Notebook executions that ran out of time (executions, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.payload_billable_count is 'Billable payloads (payloads, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.payload_all_count is 'All payloads, billable or not (payloads, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow), summed over the tracked days that are stored; null if none is.';
comment on column losant_usage.period_usage.payload_source_count is 'Payloads of all types and sources (payloads, flow), summed over the tracked days that are stored; null if none is.';

create function losant_usage.what_to_do(cause text, org_id text, period_start date, period_end date, days datemultirange, streams text[])
returns text language sql immutable parallel safe as $$
  select case cause
    when 'not_over' then 'wait until the period is over'
    when 'list_incomplete' then 'organizations may be missing: losant-usage status says why the list is incomplete; every run asks again'
    when 'not_fully_tracked' then format('losant-usage backfill --org %s --from %s --to %s', org_id, period_start, period_end)
    when 'no_period' then 'the period was never seen in Losant: BILLING_PERIODS=calendar bills calendar months'
    when 'already_billed' then 'a day is billed once: set BILLING_PERIODS back if it was changed; closed with --incomplete, only the other days are billed'
    when 'not_final' then 'it becomes final by itself: losant-usage run reads what is due'
    when 'contradicted' then format('losant-usage reconcile --from %s --to %s', period_start, period_end)
    when 'missing' then format('losant-usage backfill --org %s --from %s --to %s', org_id, lower(days), upper(days) - 1)
    else format(case when cardinality(streams) = 1 and upper(days) - lower(days) = losant_usage.count_days(days)
      then 'losant-usage explain --org %1$s --day %2$s, then losant-usage waive --org %1$s --day %2$s..%3$s --stream %4$s --reason TEXT'
      else 'losant-usage gaps --all lists them, losant-usage waive --org %1$s --day D --stream S --reason TEXT accepts each' end,
      org_id, lower(days), upper(days) - 1, streams[1])
  end
$$;
comment on function losant_usage.what_to_do is 'What resolves a blocker: a command where there is one.';

create view losant_usage.period_blockers as
select b.instance_id, b.org_id, b.org_name, b.referral_id, b.plan_id, b.customer_id, b.period_start, b.period_end, b.source,
  b.cause, case when b.days is not null then losant_usage.count_days(b.days) end as days,
  coalesce(lower(b.days), b.period_start) as first_day, coalesce(upper(b.days) - 1, b.period_end) as last_day, b.streams,
  losant_usage.what_to_do(b.cause, b.org_id, b.period_start, b.period_end, b.days, b.streams) as what_to_do
from (
  select s.instance_id, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.period_start, s.period_end,
    s.source, c.cause, c.days, c.streams
  from (
    select s.*, 'calendar'::text as source,
      i.control_totals = 'block' and s.is_final and losant_usage.is_contradicted(r.figures, m.summary_scale,
        s.devices_total, s.notebook_minutes, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes)
      and losant_usage.is_final_read(i.policy, s.period_end, r.verified_at)
      and not losant_usage.org_changed_since(s.org_id, s.period_start, s.period_end, r.verified_at) as is_contradicted
    from losant_usage.month_rows s
    join losant_usage.instances i on i.instance_id = s.instance_id and i.billing_periods = 'calendar'
    join losant_usage.metrics m on m.metric = 'payload_all_bytes'
    left join losant_usage.monthly_summaries r on r.instance_id = s.instance_id and r.month = s.period_start
      and r.resource_type = 'organization' and r.resource_id = s.org_id
    union all
    select s.*, 'losant', false
    from losant_usage.own_period_rows s
    join losant_usage.instances i on i.instance_id = s.instance_id and i.billing_periods = 'losant'
  ) as s
  -- No day has to be tracked of a period that was over before the first that is of its instance.
  left join (
    select o.instance_id, min(t.tracked_from) as first_day
    from losant_usage.tracking t join losant_usage.organizations o on o.org_id = t.org_id
    group by o.instance_id
  ) as n on n.instance_id = s.instance_id
  cross join lateral (values
    ('not_over', not s.is_over, null::datemultirange, null::text[]),
    ('not_fully_tracked', not s.is_fully_tracked, null, null),
    ('not_final', s.open_days is not null, s.open_days, s.open_streams),
    ('missing', s.missing_days is not null, s.missing_days, s.missing_streams),
    ('in_doubt', s.in_doubt_days is not null, s.in_doubt_days, s.in_doubt_streams),
    ('unavailable', s.unavailable_days is not null, s.unavailable_days, s.unavailable_streams),
    ('changed_by_hand', s.by_hand_days is not null, s.by_hand_days, s.by_hand_streams),
    ('contradicted', s.is_contradicted, null, null)
  ) as c (cause, applies, days, streams)
  where c.applies and (not s.is_clear or s.is_contradicted) and (s.days_expected > 0 or s.period_end >= n.first_day)
  union all
  select p.instance_id, p.org_id, p.org_name, p.referral_id, p.plan_id, p.customer_id, m.month, m.next_month - 1, 'losant',
    'no_period', datemultirange(daterange(greatest(p.first_day, m.month), least(p.last_day + 1, m.next_month))), null
  from losant_usage.days_without_period p
  join losant_usage.months m on m.month <= p.last_day and m.next_month > p.first_day
  union all
  select i.instance_id, null, null, null, null, null, m.month, m.next_month - 1, i.billing_periods, 'list_incomplete', null, null
  from losant_usage.instances i
  join losant_usage.months m on m.month < (now() at time zone 'UTC')::date
    and m.next_month > least(i.tracked_from, (select min(tracked_from) from losant_usage.tracking))
  where i.list_problem is not null
  union all
  select d.instance_id, null, null, null, null, null, m.month, m.next_month - 1, i.billing_periods, 'contradicted',
    part.days, d.streams
  from losant_usage.months m
  cross join lateral (
    select d.instance_id, range_agg(daterange(d.usage_date, d.usage_date + 1)) as days, array_agg(distinct d.stream) as streams
    from losant_usage.contradicted_days d where d.usage_date between m.month and m.next_month - 1
    group by d.instance_id
  ) as d
  join losant_usage.instances i on i.instance_id = d.instance_id and i.control_totals = 'block'
  -- Periods of organizations cut through months: each range of days by itself tells which of them it speaks against.
  cross join lateral (
    select d.days where i.billing_periods = 'calendar'
    union all select datemultirange(each) from unnest(d.days) as each where i.billing_periods = 'losant'
  ) as part
  where m.month < (now() at time zone 'UTC')::date
    and m.next_month > (select min(usage_date) from losant_usage.usage_days)
  union all
  -- An organization that was never listed, and has usage by its summary.
  select r.instance_id, r.resource_id, r.resource_name, null, null, null,
    r.month, (r.month + interval '1 month')::date - 1, i.billing_periods, 'contradicted', null, null
  from losant_usage.monthly_summaries r
  join losant_usage.instances i on i.instance_id = r.instance_id and i.control_totals = 'block' and i.billing_periods = 'calendar'
  join losant_usage.metrics m on m.metric = 'payload_all_bytes'
  where r.resource_type = 'organization'
    and not exists (select from losant_usage.organizations o where o.org_id = r.resource_id and o.instance_id = r.instance_id)
    and losant_usage.is_contradicted(r.figures, m.summary_scale, 0, 0, 0, 0, 0)
    and losant_usage.is_final_read(i.policy, (r.month + interval '1 month')::date - 1, r.verified_at)
) as b;
comment on view losant_usage.period_blockers is 'What keeps a period from being invoiced, one row per organization (or instance), period and cause, with the days and what to do; none: it may be. A row of an instance speaks against all its periods that have a day from first_day to last_day. Restrict period_start. Source: cells, tracked, billing_periods, reconciliation.';
comment on column losant_usage.period_blockers.instance_id is 'Losant instance id.';
comment on column losant_usage.period_blockers.org_id is 'Losant organization id; null for what concerns the whole instance.';
comment on column losant_usage.period_blockers.org_name is 'Name of the organization as last seen; null for the whole instance.';
comment on column losant_usage.period_blockers.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.period_blockers.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.period_blockers.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.period_blockers.period_start is 'First usage date of the period (UTC); of an instance, of the month.';
comment on column losant_usage.period_blockers.period_end is 'Last usage date of the period (UTC, inclusive); of an instance, of the month.';
comment on column losant_usage.period_blockers.source is 'calendar: a month (UTC). losant: the organization''s own billing period.';
comment on column losant_usage.period_blockers.cause is 'not_over, list_incomplete (organizations may be missing), not_fully_tracked, no_period (days that lie in no known period), not_final (stored or waiting), missing, in_doubt, unavailable, changed_by_hand, contradicted (a control total differs on final numbers).';
comment on column losant_usage.period_blockers.days is 'Days of the period concerned (count); null where it is not a matter of single days.';
comment on column losant_usage.period_blockers.first_day is 'First of these days (UTC).';
comment on column losant_usage.period_blockers.last_day is 'Last of these days (UTC).';
comment on column losant_usage.period_blockers.streams is 'Streams concerned on these days, or that the control total is of; null where it is not a matter of streams.';
comment on column losant_usage.period_blockers.what_to_do is 'What resolves it, with the command where there is one.';

create view losant_usage.usage_vs_limits as
select p.instance_id, p.org_id, p.org_name, p.referral_id, p.plan_id, p.customer_id, p.period_start, p.period_end, p.source,
  p.days_in_period, p.days_expected, q.days as days_stored, l.key as limit_name, m.metric, m.unit, m.kind,
  q.bound::bigint as limit_quantity, q.quantity::bigint, round(q.quantity / nullif(q.bound, 0), 4) as share,
  q.projected::bigint as projected_quantity, round(q.projected / nullif(q.bound, 0), 4) as projected_share,
  case when q.quantity > q.bound then coalesce((
      select min(r.day) from (
        select day, case m.kind when 'level' then v.number else sum(v.number) over (order by day) end as number
        from losant_usage.days_between(p.period_start, q.yesterday) as day
        join losant_usage.usage_days u on u.usage_date = day and u.org_id = p.org_id
        cross join lateral (select case m.metric when 'devices_total' then u.devices_total
          when 'notebook_minutes' then u.notebook_minutes when 'payload_billable_count' then u.payload_billable_count end::numeric) as v (number)
      ) as r where r.number > q.bound), q.yesterday)
    when q.projected > q.bound then least(q.last_day, q.yesterday + floor((q.bound - q.quantity) * q.days / q.quantity)::integer + 1)
  end as crosses_on
from losant_usage.period_usage p
join losant_usage.organizations o on o.org_id = p.org_id
cross join lateral jsonb_each(o.limits) as l
left join losant_usage.metrics m on m.limit_name = l.key
cross join lateral (
  select case m.metric when 'devices_total' then p.devices_total when 'notebook_minutes' then p.notebook_minutes
      when 'payload_billable_count' then p.payload_billable_count end::numeric as number,
    case m.stream when 'device_counts' then p.device_counts_days when 'notebook_minutes' then p.notebook_minutes_days
      when 'payload_totals' then p.payload_totals_days end as days,
    least(p.period_end, o.removed_on) - greatest(p.period_start, o.created_on) + 1 as days_possible,
    least(p.period_end, o.removed_on) as last_day, (now() at time zone 'UTC')::date - 1 as yesterday
) as n
cross join lateral (
  select trunc(least(l.value::text::numeric, 9007199254740991)) as bound, n.number as quantity, n.days, n.last_day, n.yesterday,
    case m.kind when 'level' then n.number when 'flow' then round(n.number * n.days_possible / nullif(n.days, 0)) end as projected
) as q
where (now() at time zone 'UTC')::date - 1 between p.period_start and p.period_end
  and jsonb_typeof(l.value) = 'number';
comment on view losant_usage.usage_vs_limits is 'The period that holds yesterday, to date, beside the limits of each organization as last seen: one row per organization and limit, also where the limit bounds nothing that is counted here (metric is null then). Source: period_usage, organizations, metrics.';
comment on column losant_usage.usage_vs_limits.instance_id is 'Losant instance id.';
comment on column losant_usage.usage_vs_limits.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.usage_vs_limits.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.usage_vs_limits.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.usage_vs_limits.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.usage_vs_limits.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.usage_vs_limits.period_start is 'First usage date of the period (UTC).';
comment on column losant_usage.usage_vs_limits.period_end is 'Last usage date of the period (UTC, inclusive).';
comment on column losant_usage.usage_vs_limits.source is 'calendar: a month (UTC). losant: the organization''s own billing period.';
comment on column losant_usage.usage_vs_limits.days_in_period is 'Days of the period (count).';
comment on column losant_usage.usage_vs_limits.days_expected is 'Days of the period, up to yesterday, that are tracked for any stream (count).';
comment on column losant_usage.usage_vs_limits.days_stored is 'Days of these of which the metric is stored (count); null where metric is.';
comment on column losant_usage.usage_vs_limits.limit_name is 'The limit: a key of organizations.limits.';
comment on column losant_usage.usage_vs_limits.metric is 'The metric it is taken to bound (metrics.limit_name); null where nothing is counted for it.';
comment on column losant_usage.usage_vs_limits.unit is 'Unit of the quantities; null where metric is.';
comment on column losant_usage.usage_vs_limits.kind is 'flow: summed over the period to date. level: the last of the period to date. Null where metric is.';
comment on column losant_usage.usage_vs_limits.limit_quantity is 'The limit, in the unit beside it.';
comment on column losant_usage.usage_vs_limits.quantity is 'The number of the period to date, in the unit beside it; null if none is stored.';
comment on column losant_usage.usage_vs_limits.share is 'quantity divided by the limit; null for a limit of 0.';
comment on column losant_usage.usage_vs_limits.projected_quantity is 'What the period comes to if it goes on as on the days that are stored, over the days of it on which the organization can exist; of a level the last number; null if none is stored.';
comment on column losant_usage.usage_vs_limits.projected_share is 'projected_quantity divided by the limit; null for a limit of 0.';
comment on column losant_usage.usage_vs_limits.crosses_on is 'The usage date (UTC) on which the limit is passed if it goes on so, or the first on which it was passed already; null if it is not.';
