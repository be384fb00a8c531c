-- Calendar months and each organization's own billing period: sums, blockers, comparisons, activity and limits.

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
  count(d.payload_billable_count)::integer as payload_totals_days_stored
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

-- Best first up to in_progress, so that max() over the blockers of a month is its state.
create type losant_usage.month_state as enum (
  'ready', 'partly_collected', 'settling', 'blocked', 'in_progress', 'closed', 'needs_adjustment'
);

-- Returns the state of a month; `worst_state` is that of its blockers, null without any.
create function losant_usage_internal.state_of_month(
  month date, is_closed boolean, is_changed boolean, worst_state losant_usage.month_state
) returns losant_usage.month_state language sql stable parallel safe
return case when is_changed then 'needs_adjustment' when is_closed then 'closed'
  when not losant_usage_internal.has_ended(month) then 'in_progress' else coalesce(worst_state, 'ready') end;

-- The months in which an instance expects cells of a stream with metrics, and the current one. Few ranges, because most
-- organizations are tracked alike.
create view losant_usage_internal.tracked_months as
select i.instance_id, i.list_problem, m.month
from losant_usage.instances i
cross join lateral (
  select distinct s.month
  from (
    select distinct t.first_day, t.last_day
    from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id
    where o.instance_id = i.instance_id and t.stream in (select stream from losant_usage.metrics)
  ) as r
  cross join lateral (
    select losant_usage_internal.month_of(losant_usage_internal.today()) as month
    union all
    select month::date from generate_series(losant_usage_internal.month_of(r.first_day)::timestamp,
      coalesce(r.last_day, losant_usage_internal.today())::timestamp, interval '1 month') as month
  ) as s
) as m;

-- Blockers that concern the whole instance. Each has the state in which it puts its month.
create view losant_usage_internal.instance_blockers as
select i.instance_id, m.month, 'not_over' as cause, 'in_progress'::losant_usage.month_state as state,
  m.month as first_day, losant_usage_internal.month_end(m.month) as last_day, null::date[] as usage_dates,
  null::text[] as streams, null::text as detail
from losant_usage.instances i
cross join (select losant_usage_internal.month_of(losant_usage_internal.today()) as month) as m
union all
select m.instance_id, m.month, 'list_incomplete', 'blocked', m.month, losant_usage_internal.month_end(m.month), null,
  null, m.list_problem
from losant_usage_internal.tracked_months m where m.list_problem is not null
union all
-- In a month that has ended, days that are still to be compared count too. Both streams of a comparison may be wrong.
select c.instance_id, c.month, 'not_reconciled',
  (case when bool_or(c.result = 'differs') then 'blocked' else 'settling' end)::losant_usage.month_state,
  min(c.usage_date), max(c.usage_date),
  array_agg(distinct c.usage_date), array_agg(distinct s.stream), string_agg(distinct c.result, ', ')
from losant_usage_internal.comparisons c
cross join lateral unnest(array[c.stream::text, nullif(c.compared_with, 'losant')]) as s (stream)
where c.control_totals = 'block' and c.may_differ
  and c.result = any (case when losant_usage_internal.has_ended(c.month)
    then array['differs', 'not_summed', 'not_read', 'total_not_final'] else array['differs'] end)
  and s.stream is not null
group by c.instance_id, c.month;

-- Days on which an organization existed and one of its streams was not tracked, in months in which the stream was
-- tracked on other days. So they lie before a track, in the month in which it begins, or after one, in the month in
-- which it ends. Days between two tracks of a month occur twice.
create view losant_usage_internal.untracked_days as
select u.org_id, u.stream, u.month, e.first_day, e.last_day
from (
  select t.org_id, t.stream, losant_usage_internal.month_of(t.first_day) as month, max(p.last_day) + 1 as first_day,
    t.first_day - 1 as last_day
  from losant_usage.tracks t
  left join losant_usage.tracks p on p.org_id = t.org_id and p.stream = t.stream and p.last_day < t.first_day
  group by t.org_id, t.stream, t.first_day
  union all
  select t.org_id, t.stream, losant_usage_internal.month_of(t.last_day), t.last_day + 1, min(n.first_day) - 1
  from losant_usage.tracks t
  left join losant_usage.tracks n on n.org_id = t.org_id and n.stream = t.stream and n.first_day > t.last_day
  where t.last_day is not null group by t.org_id, t.stream, t.last_day
) as u
join losant_usage.organizations o on o.org_id = u.org_id
cross join lateral (
  select greatest(u.month, u.first_day, o.created_on) as first_day,
    least(losant_usage_internal.month_end(u.month), u.last_day, o.deleted_on - 1, losant_usage_internal.today() - 1)
      as last_day
) as e
where e.first_day <= e.last_day;

-- Blockers of one organization.
create view losant_usage_internal.org_blockers as
-- Stored and waiting cells will be read (again), so they have a detail only if their reads fail. As long as they are
-- read in time, the month settles by itself.
select c.org_id, c.month,
  case when c.standing in ('stored', 'waiting') then 'not_final' else c.standing::text end as cause,
  (case when bool_and(c.standing in ('stored', 'waiting')
      and losant_usage_internal.is_overdue(c.next_read_at) is false) then 'settling' else 'blocked' end
    )::losant_usage.month_state as state,
  min(c.usage_date) as first_day, max(c.usage_date) as last_day,
  array_agg(distinct c.usage_date) as usage_dates, array_agg(distinct c.stream::text) as streams,
  max(coalesce(c.detail, c.reason))
    filter (where c.failed_reads > 0 or c.standing not in ('stored', 'waiting')) as detail,
  max(c.next_read_at) as next_read_at
from losant_usage_internal.non_final_cells c
where c.standing <> 'waived' and c.stream in (select stream from losant_usage.metrics)
group by c.org_id, c.month, case when c.standing in ('stored', 'waiting') then 'not_final' else c.standing::text end
union all
-- Nobody expects days before the first run of the instance.
select u.org_id, u.month, 'not_fully_tracked',
  (case when bool_and(u.last_day < i.collected_from) then 'partly_collected' else 'blocked' end
    )::losant_usage.month_state,
  min(u.first_day), max(u.last_day), null, array_agg(distinct u.stream::text), null, null
from losant_usage_internal.untracked_days u
join losant_usage.organizations o on o.org_id = u.org_id
join losant_usage.instances i on i.instance_id = o.instance_id
where u.stream in (select stream from losant_usage.metrics)
group by u.org_id, u.month;

-- All blockers in one shape. At next_read_at, the last of the cells is due, and for not_final so late that the read
-- makes it final; null if all are due. It is computed inside the union: a longer expression outside would keep the
-- planner from inlining remedy. No run reads a retired instance again, so nothing of it settles.
create view losant_usage_internal.blockers as
select b.instance_id, b.org_id, b.month, b.cause,
  (case when b.state = 'settling' and i.retired_at is not null then 'blocked' else b.state end
    )::losant_usage.month_state as state,
  b.first_day, b.last_day, b.usage_dates, b.streams, b.detail, b.next_read_at
from (
  select instance_id, null::text collate "C" as org_id, month, cause, state, first_day, last_day, usage_dates, streams,
    detail, null::timestamptz as next_read_at
  from losant_usage_internal.instance_blockers
  union all
  select o.instance_id, b.org_id, b.month, b.cause, b.state, b.first_day, b.last_day, b.usage_dates, b.streams,
    b.detail, case when b.next_read_at > now() then greatest(b.next_read_at, case when b.cause = 'not_final' then
      ((b.last_day + 1)::timestamp + (
          select min(c.hours::integer) from jsonb_array_elements_text(i.policy -> 'readAtHours') as c (hours)
          where c.hours::integer >= (i.policy ->> 'finalAfterHours')::integer
        ) * interval '1 hour') at time zone 'UTC'
    end) end
  from losant_usage_internal.org_blockers b
  join losant_usage.organizations o on o.org_id = b.org_id
  join losant_usage.instances i on i.instance_id = o.instance_id
) as b
join losant_usage.instances i on i.instance_id = b.instance_id;

-- Returns what resolves a blocker: first what may repair it, and when that is worth trying; then what accepts it. Each
-- line is a command that runs as pasted, or a sentence about the lines after it. Nothing accepts what only has to wait.
-- Days before `readable_from` can no longer be read; `infinity` if none can.
create function losant_usage_internal.remedy(
  b losant_usage_internal.blockers, readable_from date, is_closed boolean
) returns text language sql stable parallel safe
return concat_ws(E'\n',
  case
    when b.cause = 'not_over' then 'wait until the month has ended'
    when b.cause = 'unavailable' or readable_from = 'infinity' then 'these days can no longer be read'
    when b.cause in ('list_incomplete', 'not_final') then
      concat('the last of these cells is due at ' || losant_usage_internal.minute_text(b.next_read_at) || E'; then:\n',
        'losant-usage run')
    when b.last_day < readable_from then 'these days can no longer be read'
    when b.cause = 'not_reconciled' then
      format(E'runs compare these days again once a day; to do so now:\n'
        'losant-usage backfill --force --instance %4$s --from %1$s --to %2$s --stream %3$s\n'
        'losant-usage reconcile --from %1$s --to %2$s',
        losant_usage_internal.day_text(greatest(b.first_day, readable_from)),
        losant_usage_internal.day_text(b.last_day), array_to_string(b.streams, ' --stream '), b.instance_id)
    else
      format('losant-usage backfill%s --org %s --from %s --to %s',
        case when b.cause = 'in_doubt' then ' --force' end, b.org_id,
        losant_usage_internal.day_text(greatest(b.first_day, readable_from)),
        losant_usage_internal.day_text(b.last_day))
  end,
  case
    when b.cause = 'not_over' or (b.state = 'settling' and (b.detail is null or b.org_id is null)) then null
    when b.cause in ('list_incomplete', 'not_fully_tracked', 'not_reconciled') then
      case when losant_usage_internal.has_ended(b.month) then
        format(E'to accept what remains, use the last command that this prints:\n'
          'losant-usage close --month %s --instance %s%s --dry-run',
          to_char(b.month::timestamp, 'YYYY-MM'), b.instance_id, case when is_closed then ' --adjust' end) end
    else
      concat(case when b.cause <> 'not_final' and readable_from <> 'infinity' then
          'what remains is read again by ' || losant_usage_internal.minute_text(b.next_read_at) || E'\n' end,
        format(E'to accept what remains:\n'
          'losant-usage waive --org %s --day %s..%s --stream %s --reason TEXT',
          b.org_id, losant_usage_internal.day_text(b.first_day), losant_usage_internal.day_text(b.last_day),
          array_to_string(b.streams, ' --stream ')))
  end);

-- The standing of a stream is that of the worst of its cells that are not final. The last two joins only look for a
-- blocker. The planner removes the joins of which a query selects nothing.
-- "is not true" instead of "is null": from "is null" the planner expects one row, and loops over the month.
create view losant_usage.monthly_usage as
select o.instance_id, s.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags,
  s.period_start as month,
  losant_usage_internal.month_end(s.period_start) - s.period_start + 1 as days_in_month, s.days_expected,
  s.days_stored, s.days_final, s.days_waived, s.days_unavailable, s.days_unreported, s.standing,
  losant_usage_internal.has_ended(s.period_start) as is_over,
  losant_usage_internal.has_ended(s.period_start) and s.standing = 'final'
    and b.is_partly_tracked is not true as is_final,
  b.is_blocked is not true and i.is_blocked is not true as is_billable,
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
  s.payload_totals_days_stored,
  (
    select h.plan_id from losant_usage.organization_history h where h.org_id = s.org_id
    order by h.valid_from < e.next_month_start desc, abs(extract(epoch from h.valid_from - e.next_month_start)) limit 1
  ) as month_end_plan_id
from losant_usage_internal.usage_sums s
join losant_usage.organizations o on o.org_id = s.org_id
cross join lateral (
  select 'final'::losant_usage.standing as final,
    (losant_usage_internal.month_end(s.period_start) + 1)::timestamp at time zone 'UTC' as next_month_start
) as e
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
  select instance_id, month, true as is_blocked from losant_usage_internal.instance_blockers group by instance_id, month
) as i on i.instance_id = o.instance_id and i.month = s.period_start
where s.range_kind = 'month';

create view losant_usage.billing_period_usage as
select o.instance_id, s.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, o.tags, s.period_start,
  p.period_end, p.period_end - s.period_start + 1 as days_in_period, s.days_expected,
  s.days_stored, s.days_final, s.days_waived, s.days_unavailable, s.days_unreported, s.standing,
  p.period_end < losant_usage_internal.today() as is_over,
  p.period_end < losant_usage_internal.today() and s.standing = 'final' and not exists (
      -- A stream that is tracked on some of the days, as in untracked_days.
      select from losant_usage.tracks t
      where t.org_id = s.org_id and t.stream in (select stream from losant_usage.metrics)
        and t.first_day <= e.last_day and coalesce(t.last_day, e.last_day) >= e.first_day
      group by t.stream
      having sum(least(t.last_day, e.last_day) - greatest(t.first_day, e.first_day) + 1) <= e.last_day - e.first_day
    ) as is_final,
  s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_max, s.devices_total_avg, s.notebook_minutes,
  s.notebook_completed, s.notebook_canceled, s.notebook_errored, s.notebook_timeout, s.payload_billable_count,
  s.payload_all_count, s.payload_all_bytes, s.payload_source_count
from losant_usage_internal.usage_sums s
join losant_usage.organizations o on o.org_id = s.org_id
join losant_usage_internal.billing_periods p on p.org_id = s.org_id
cross join lateral (
  select greatest(p.period_start, o.created_on) as first_day, least(p.period_end, o.deleted_on - 1) as last_day
) as e
where s.range_kind = 'billing_period';

-- A type instead of "returns table": the columns of that would have the database's collation, and a query for one
-- organization could use no index.
create type losant_usage_internal.compared_day as (
  instance_id text collate "C", org_id text collate "C", usage_date date, quantity bigint,
  previous_date date, previous_quantity bigint
);

create function losant_usage_internal.reject_comparison(comparison text) returns integer
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'comparison % is unknown', coalesce(quote_literal(comparison), 'null')
    using errcode = '22023', hint = 'pass previous_days, same_weekdays, four_weeks or previous_year';
end
$$;

-- A metric per organization and day, with its value on the day that it is compared with: as many days earlier as
-- the range has, the same weekdays earlier, 28 days, or 364 days. Sum only rows in which neither is null. Before an
-- organization was created and after it was deleted its usage is 0; a day that is missing or not expected is null.
-- Organizations whose stream was never tracked have no rows, nor has an unknown metric. Inlined, so that a query for
-- one organization reads one.
create function losant_usage.usage_compared(metric text, first_day date, last_day date, comparison text)
returns setof losant_usage_internal.compared_day language sql stable parallel safe
begin atomic
  select o.instance_id, p.org_id, p.usage_date,
    coalesce(p.quantity, case when p.usage_date < o.created_on or p.usage_date >= o.deleted_on then 0 end),
    p.previous_date,
    coalesce(p.previous_quantity,
      case when p.previous_date < o.created_on or p.previous_date >= o.deleted_on then 0 end)
  from (
    select case comparison when 'previous_days' then last_day - first_day + 1
      when 'same_weekdays' then (last_day - first_day + 7) / 7 * 7 when 'four_weeks' then 28
      when 'previous_year' then 364 else losant_usage_internal.reject_comparison(comparison) end as days
  ) as shift
  cross join lateral (
    select d.org_id, d.usage_date, d.usage_date - shift.days as previous_date, max(d.quantity) as quantity,
      max(d.previous_quantity) as previous_quantity
    from (
      select d.org_id, d.usage_date, losant_usage_internal.number_of(d, metric) as quantity,
        null::bigint as previous_quantity
      from losant_usage_internal.org_days d where d.usage_date between first_day and last_day
      union all
      select d.org_id, d.usage_date + shift.days, null, losant_usage_internal.number_of(d, metric)
      from losant_usage_internal.org_days d
      where d.usage_date between first_day - shift.days and last_day - shift.days
    ) as d
    group by d.org_id, d.usage_date
  ) as p
  join losant_usage.organizations o on o.org_id = p.org_id
  where exists (
    select from losant_usage.metrics m join losant_usage.tracks t on t.stream = m.stream
    where m.metric = usage_compared.metric and t.org_id = p.org_id);
end;

-- Billable payloads of the month to date and of the same days 28 days earlier, which are the same weekdays: from the
-- fourth day of the month on, and at most its first 28 days. A small organization may double every week without anybody
-- caring, so a large change is also half a percent of its instance.
create view losant_usage_internal.month_changes as
select c.org_id, c.quantity, c.previous_quantity,
  c.quantity <> c.previous_quantity
    and abs(c.quantity - c.previous_quantity) >= 0.5 * c.previous_quantity
    and abs(c.quantity - c.previous_quantity) >= 0.005 * sum(c.previous_quantity) over (partition by c.instance_id)
    as is_large
from (
  select u.instance_id, u.org_id, sum(u.quantity)::bigint as quantity,
    sum(u.previous_quantity)::bigint as previous_quantity
  from losant_usage.usage_compared('payload_billable_count',
    losant_usage_internal.month_of(losant_usage_internal.today() - 1),
    least(losant_usage_internal.today() - 1, losant_usage_internal.month_of(losant_usage_internal.today() - 1) + 27),
    'four_weeks') as u
  where u.quantity is not null and u.previous_quantity is not null
    and extract(day from losant_usage_internal.today() - 1) >= 3
  group by u.instance_id, u.org_id
) as c;

create view losant_usage.organization_activity as
select o.instance_id, o.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, y.month,
  s.payload_billable_count, s.days_not_stored, s.devices_total, c.quantity as compared_quantity, c.previous_quantity,
  round(c.quantity::numeric / nullif(c.previous_quantity, 0) - 1, 4) as change_ratio,
  e.is_new, e.is_recently_deleted,
  o.deleted_on is null and s.zero_days = 3 and s.last_active_on is not null as is_silent, s.last_active_on,
  coalesce(c.is_large, false) or e.is_new or e.is_recently_deleted as has_large_change
from (
  select losant_usage_internal.today() as today,
    losant_usage_internal.month_of(losant_usage_internal.today() - 1) as month
) as y
cross join losant_usage.organizations o
cross join lateral (
  select coalesce(o.created_on >= y.today - 7, false) as is_new,
    coalesce(o.deleted_on >= y.today - 7, false) as is_recently_deleted
) as e
left join (
  select d.org_id,
    losant_usage_internal.total(d.payload_billable_count) filter (
      where d.month = losant_usage_internal.month_of(losant_usage_internal.today() - 1)) as payload_billable_count,
    count(*) filter (where d.month = losant_usage_internal.month_of(losant_usage_internal.today() - 1)
      and d.payload_billable_count is null)::integer as days_not_stored,
    count(*) filter (
      where d.usage_date >= losant_usage_internal.today() - 3 and d.payload_billable_count = 0) as zero_days,
    max(d.usage_date) filter (where d.payload_billable_count > 0) as last_active_on,
    losant_usage_internal.last_level(losant_usage_internal.dated_level(d.usage_date, d.devices_total)) filter (
      where d.usage_date >= losant_usage_internal.today() - 3) as devices_total
  from losant_usage_internal.org_days d
  where d.usage_date between losant_usage_internal.today() - 35 and losant_usage_internal.today() - 1
  group by d.org_id
) as s on s.org_id = o.org_id
left join losant_usage_internal.month_changes c on c.org_id = o.org_id;

-- What a forecast knows of each flow: the mean by weekday, Monday first, over the last 28 days, or the month to date if
-- that is longer. Days of the month that are not stored, and weekdays of which none is, count as the mean of all. Fewer
-- than three stored days tell nothing.
create view losant_usage_internal.weekday_rates as
select w.org_id, n.metric, sum(n.quantity) / sum(n.days) * sum(n.days_unstored) as unstored_quantity,
  array[
    coalesce(max(n.quantity / n.days) filter (where w.weekday = 1), sum(n.quantity) / sum(n.days)),
    coalesce(max(n.quantity / n.days) filter (where w.weekday = 2), sum(n.quantity) / sum(n.days)),
    coalesce(max(n.quantity / n.days) filter (where w.weekday = 3), sum(n.quantity) / sum(n.days)),
    coalesce(max(n.quantity / n.days) filter (where w.weekday = 4), sum(n.quantity) / sum(n.days)),
    coalesce(max(n.quantity / n.days) filter (where w.weekday = 5), sum(n.quantity) / sum(n.days)),
    coalesce(max(n.quantity / n.days) filter (where w.weekday = 6), sum(n.quantity) / sum(n.days)),
    coalesce(max(n.quantity / n.days) filter (where w.weekday = 7), sum(n.quantity) / sum(n.days))] as rates
from (
  -- Sums by weekday first, in plain bigints: half the time of an average for each row.
  select d.org_id, extract(isodow from d.usage_date)::integer as weekday,
    losant_usage_internal.total(d.payload_billable_count) as payloads,
    count(d.payload_billable_count) as payload_days,
    count(*) filter (where d.payload_billable_count is null and d.usage_date >= y.month) as payload_days_unstored,
    losant_usage_internal.total(d.notebook_minutes) as minutes, count(d.notebook_minutes) as minute_days,
    count(*) filter (where d.notebook_minutes is null and d.usage_date >= y.month) as minute_days_unstored
  from (select losant_usage_internal.month_of(losant_usage_internal.today() - 1) as month) as y
  cross join losant_usage_internal.org_days d
  where d.usage_date < losant_usage_internal.today()
    and d.usage_date >= least(losant_usage_internal.today() - 28, y.month)
  group by d.org_id, weekday
) as w
cross join lateral (values
  ('payload_billable_count', w.payloads::numeric, nullif(w.payload_days, 0), w.payload_days_unstored),
  ('notebook_minutes', w.minutes::numeric, nullif(w.minute_days, 0), w.minute_days_unstored)
) as n (metric, quantity, days, days_unstored)
group by w.org_id, n.metric
having sum(n.days) >= 3;

-- The days from today to the end of the month of yesterday, and how many of them are of each weekday, Monday first.
create view losant_usage_internal.days_ahead as
select array_agg(d.day order by d.day) as days, array[
  count(*) filter (where d.weekday = 1), count(*) filter (where d.weekday = 2), count(*) filter (where d.weekday = 3),
  count(*) filter (where d.weekday = 4), count(*) filter (where d.weekday = 5), count(*) filter (where d.weekday = 6),
  count(*) filter (where d.weekday = 7)] as weekday_counts
from (
  select day::date as day, extract(isodow from day) as weekday
  from generate_series(losant_usage_internal.today()::timestamp, losant_usage_internal.month_end(
    losant_usage_internal.month_of(losant_usage_internal.today() - 1))::timestamp, interval '1 day') as day
) as d;

-- The days ahead are arrays, of which the planner expects few elements. The day on which a limit is exceeded is looked
-- for only where the month exceeds it. A day that is stored lacks no number: if one is null, its stream is not loaded.
create view losant_usage.usage_vs_limits as
select o.instance_id, o.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, s.month,
  losant_usage_internal.month_end(s.month) - s.month + 1 as days_in_month, s.days_expected,
  case m.metric when 'devices_total' then s.device_days when 'notebook_minutes' then s.minute_days
    when 'payload_billable_count' then s.payload_days else s.days_stored end as days_stored,
  l.key as limit_name, m.metric, m.unit, m.kind, n.limit_quantity, n.quantity,
  round(n.quantity / nullif(greatest(n.limit_quantity, 0), 0), 4) as share, p.projected_quantity,
  round(p.projected_quantity / nullif(greatest(n.limit_quantity, 0), 0), 4) as projected_share, e.exceeds_on,
  n.limit_quantity >= 0 and n.quantity > n.limit_quantity as is_exceeded
from (
  select d.month, d.org_id, count(*)::integer as days_expected,
    count(*) filter (where d.is_stored)::integer as days_stored,
    losant_usage_internal.last_level(
      losant_usage_internal.dated_level(d.usage_date, d.devices_total)) as devices_total,
    count(*) filter (where d.is_stored or d.devices_total is not null)::integer as device_days,
    losant_usage_internal.total(d.notebook_minutes) as notebook_minutes,
    count(*) filter (where d.is_stored or d.notebook_minutes is not null)::integer as minute_days,
    losant_usage_internal.total(d.payload_billable_count) as payload_billable_count,
    count(*) filter (where d.is_stored or d.payload_billable_count is not null)::integer as payload_days
  from losant_usage_internal.org_days d
  where d.month = losant_usage_internal.month_of(losant_usage_internal.today() - 1)
  group by d.month, d.org_id
) as s
join losant_usage.organizations o on o.org_id = s.org_id
cross join lateral jsonb_each(o.limits) as l
left join losant_usage.metrics m on m.limit_name = l.key
left join losant_usage_internal.weekday_rates r on r.org_id = s.org_id and r.metric = m.metric
cross join losant_usage_internal.days_ahead a
cross join lateral (
  select trunc(l.value::text::numeric) as limit_quantity, m.kind = 'flow' and o.deleted_on is null as has_growth,
    q.quantity, coalesce(q.quantity, 0) as known_quantity
  from (
    select (case m.metric when 'devices_total' then s.devices_total when 'notebook_minutes' then s.notebook_minutes
      when 'payload_billable_count' then s.payload_billable_count end)::numeric as quantity
  ) as q
) as n
cross join lateral (
  select case when n.has_growth then round(n.known_quantity + r.unstored_quantity + coalesce(sum(w.rate * w.days), 0))
    else n.quantity end as projected_quantity
  from unnest(r.rates, a.weekday_counts) as w (rate, days)
) as p
cross join lateral (
  select min(g.day) filter (
    where round(n.known_quantity + r.unstored_quantity + g.growth) > n.limit_quantity) as exceeds_on
  from (
    select day, sum(r.rates[extract(isodow from day)::integer]) over (order by day) as growth
    from unnest(a.days) as day
    where n.has_growth and n.known_quantity <= n.limit_quantity and p.projected_quantity > n.limit_quantity
  ) as g
) as e
where jsonb_typeof(l.value) = 'number';

comment on view losant_usage.monthly_usage is 'Usage by organization and calendar month (UTC). Flows are summed; a level is its last number, with its maximum and average. Key: org_id, month. Source: usage_days, coverage, month_blockers.';
comment on column losant_usage.monthly_usage.device_counts_days_stored is 'Days on which the metrics of device_counts are stored (count).';
comment on column losant_usage.monthly_usage.device_counts_standing is 'Worst standing of the metrics of device_counts; null if none of its days is expected.';
comment on column losant_usage.monthly_usage.notebook_minutes_days_stored is 'Days on which the metrics of notebook_minutes are stored (count).';
comment on column losant_usage.monthly_usage.notebook_minutes_standing is 'Worst standing of the metrics of notebook_minutes; null if none of its days is expected.';
comment on column losant_usage.monthly_usage.payload_sources_days_stored is 'Days on which the metrics of payload_sources are stored (count).';
comment on column losant_usage.monthly_usage.payload_sources_standing is 'Worst standing of the metrics of payload_sources; null if none of its days is expected.';
comment on column losant_usage.monthly_usage.payload_totals_days_stored is 'Days on which the metrics of payload_totals are stored (count).';
comment on column losant_usage.monthly_usage.payload_totals_standing is 'Worst standing of the metrics of payload_totals; null if none of its days is expected.';
comment on column losant_usage.monthly_usage.month_end_plan_id is 'Billing plan ID at the end of the month, as a statement has it; if the organization was first seen later, its first one; null if there is none.';
comment on column losant_usage.monthly_usage.is_billable is 'Whether nothing blocks the month for the organization: no row in month_blockers for it or its instance.';
comment on view losant_usage.billing_period_usage is 'Usage by organization and its own billing period in Losant, for information; only calendar months are closed. Key: org_id. Source: as monthly_usage.';
comment on column losant_usage.billing_period_usage.days_in_period is 'Days in the period (count).';
comment on column losant_usage.billing_period_usage.period_end is 'Last day of the period (UTC).';
comment on column losant_usage.billing_period_usage.period_start is 'First day of the period (UTC).';
comment on function losant_usage.usage_compared is 'A metric by organization and day, with its number on the compared day: previous_days, same_weekdays, four_weeks or previous_year (52 weeks). A number is 0 on days on which the organization did not exist; an organization whose stream was never loaded has no rows. Sum only rows in which neither number is null. Source: daily_usage.';
comment on view losant_usage.organization_activity is 'Recent activity by organization: month to date, compared with the same days 28 days earlier, and whether it is new, recently deleted or silent, or has a large change. Key: org_id. Source: usage_days.';
comment on column losant_usage.organization_activity.previous_quantity is 'Billable payloads of the same days 28 days earlier; null if none can be compared.';
comment on column losant_usage.organization_activity.change_ratio is 'compared_quantity relative to previous_quantity: 0.5 is half as much again; null if that is null or 0.';
comment on column losant_usage.organization_activity.compared_quantity is 'Billable payloads of the month to date, at most its first 28 days, on the days that are stored on both sides; null before the fourth day of the month, and if none can be compared.';
comment on column losant_usage.organization_activity.days_not_stored is 'Expected days of the month to date without stored billable payloads (count); null if no day of the last 35 is expected.';
comment on column losant_usage.organization_activity.has_large_change is 'Whether it changed by half or more, and by 0.5% or more of what its instance had on the same days before; or is new, or recently deleted.';
comment on column losant_usage.organization_activity.is_new is 'Whether the organization was created in the last 7 days.';
comment on column losant_usage.organization_activity.is_recently_deleted is 'Whether its deletion was noticed in the last 7 days.';
comment on column losant_usage.organization_activity.is_silent is 'Whether its last three days are zeros after any other number in the last 35 days; false once it is deleted.';
comment on column losant_usage.organization_activity.last_active_on is 'Last day with billable payloads within the last 35 days (UTC); null if there is none.';
comment on view losant_usage.usage_vs_limits is 'Month to date, projection and limit, by organization and limit; an organization without limits has no row. A flow is projected with the same weekdays of the last 28 days, and days that are not stored with the mean; a level stays. Key: org_id, limit_name. Source: usage_days, organizations.';
comment on column losant_usage.usage_vs_limits.exceeds_on is 'Day on which the projection exceeds the limit (UTC); null if it does not, or already has.';
comment on column losant_usage.usage_vs_limits.is_exceeded is 'Whether the month to date is above the limit; a limit of 0 is exceeded by 1. Null if the month to date is.';
comment on column losant_usage.usage_vs_limits.limit_quantity is 'The limit; a negative one limits nothing.';
comment on column losant_usage.usage_vs_limits.projected_quantity is 'Projected quantity at the end of the month; null if the limit has no metric, for a flow of which fewer than three days are stored, and, if nothing of the month is stored, for a level and after a deletion.';
comment on column losant_usage.usage_vs_limits.projected_share is 'Projected quantity as a share of the limit; null if either is, or the limit is not above 0.';
comment on column losant_usage.usage_vs_limits.share is 'Month to date as a share of the limit; null if either is, or the limit is not above 0.';
