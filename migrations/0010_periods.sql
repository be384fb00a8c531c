-- Billing periods: calendar months, or each organization's own as they were seen in Losant.

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
comment on column losant_usage.losant_periods.org_id is 'Losant organization id.';
comment on column losant_usage.losant_periods.period_start is 'First usage date of the period (UTC).';
comment on column losant_usage.losant_periods.period_end is 'Last usage date of the period (UTC, inclusive).';

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
comment on column losant_usage.days_without_period.referral_id is 'Referral id of the organization as last seen.';
comment on column losant_usage.days_without_period.plan_id is 'Billing plan id of the organization as last seen.';
comment on column losant_usage.days_without_period.customer_id is 'Customer id of the organization as last seen.';
comment on column losant_usage.days_without_period.first_day is 'First day of the range (UTC).';
comment on column losant_usage.days_without_period.last_day is 'Last day of the range (UTC, inclusive).';
comment on column losant_usage.days_without_period.days is 'Days of the range (count).';

create function losant_usage.build_period_usage() returns void language plpgsql as $build$
declare
  calendar constant text := format($arm$
    select u.instance_id, u.org_id, u.org_name, u.referral_id, u.plan_id, u.customer_id, u.tags,
      u.month as period_start, u.month + u.days_in_period - 1 as period_end, 'calendar'::text as source, u.days_in_period,
      u.days_expected, u.days_held, u.days_final, u.days_waived, u.days_unavailable, u.days_unreported, u.days_untracked,
      u.is_over, u.is_whole, u.is_final, u.is_billable, %s
    from losant_usage.monthly_usage u
    $arm$, losant_usage.per_level('u.%1$I', 'u.%1$I, u.%2$I, u.%3$I, u.%4$I'));
  losant constant text := format($arm$
    select s.instance_id, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.tags,
      m.first_day, m.last_day, 'losant', m.last_day + 1 - m.first_day,
      %1$s
    from (
      select org_id, period_start as first_day, period_end as last_day,
        least(period_end + 1, (now() at time zone 'UTC')::date) as next_day,
        period_end < (now() at time zone 'UTC')::date as is_over
      from losant_usage.losant_periods
    ) as m
    %2$s
    %%s
    where s.days_expected > 0 or s.days_untracked > 0
    $arm$, losant_usage.period_columns(), losant_usage.period_sums(of_one_org => true));
begin
  execute 'create or replace view losant_usage.all_period_usage as ' || calendar || ' union all ' || format(losant, '');
  execute $c$ comment on view losant_usage.all_period_usage is 'Building block of period_usage and statements, not for use by others: it may change.' $c$;
  execute 'create or replace view losant_usage.period_usage as ' || calendar
    || $j$ join losant_usage.instances i on i.instance_id = u.instance_id and i.billing_periods = 'calendar' union all $j$
    || format(losant, $j$ join losant_usage.instances i on i.instance_id = s.instance_id and i.billing_periods = 'losant' $j$);
  execute $c$ comment on view losant_usage.period_usage is 'monthly_usage by billing period: one row per organization and period with a tracked day. Days in no known period are in days_without_period. Source: billing_periods, usage_days, coverage, tracked.' $c$;
  perform losant_usage.describe(relation, losant_usage.organization_texts() || jsonb_build_object(
    'period_start', 'First usage date of the period (UTC).',
    'period_end', 'Last usage date of the period (UTC, inclusive).',
    'source', 'calendar: a month (UTC). losant: the organization''s own billing period.') || losant_usage.period_texts('period'))
  from (values ('period_usage'), ('all_period_usage')) as v (relation);

  execute format($view$
    create or replace view losant_usage.usage_vs_limits as
    select p.instance_id, p.org_id, p.org_name, p.referral_id, p.plan_id, p.customer_id, p.period_start, p.period_end, p.source,
      p.days_in_period, p.days_expected, p.days_held, l.key as limit_name, m.metric, m.unit, m.kind,
      q.bound::bigint as limit_quantity, q.quantity::bigint, round(q.quantity / nullif(q.bound, 0), 4) as share,
      q.projected::bigint as projected_quantity, round(q.projected / nullif(q.bound, 0), 4) as projected_share
    from losant_usage.period_usage p
    join losant_usage.organizations o on o.org_id = p.org_id
    cross join lateral jsonb_each(o.limits) as l
    left join losant_usage.metrics m on m.limit_name = l.key
    cross join lateral (select (case m.metric %1$s end)::numeric as number) as n
    cross join lateral (
      select trunc(least(l.value::text::numeric, 9007199254740991)) as bound, n.number as quantity, case m.kind when 'level' then n.number
        when 'flow' then round(n.number * p.days_in_period / nullif(p.days_held, 0)) end as projected
    ) as q
    where (now() at time zone 'UTC')::date - 1 between p.period_start and p.period_end
      and jsonb_typeof(l.value) = 'number'
    $view$, losant_usage.per_metric('when %1$L then p.%1$I', ' '));
  execute $c$ comment on view losant_usage.usage_vs_limits is 'The period that holds yesterday, to date, beside the limits of each organization as last seen: one row per organization and limit, also where the limit bounds nothing that is counted here (metric is null then). Source: period_usage, organizations, metrics.' $c$;
  perform losant_usage.describe('usage_vs_limits', losant_usage.organization_texts() || losant_usage.period_texts('period') || jsonb_build_object(
    'period_start', 'First usage date of the period (UTC).',
    'period_end', 'Last usage date of the period (UTC, inclusive).',
    'source', 'calendar: a month (UTC). losant: the organization''s own billing period.',
    'limit_name', 'The limit: a key of organizations.limits.',
    'metric', 'The metric it is taken to bound (metrics.limit_name); null where nothing is counted for it.',
    'unit', 'Unit of the quantities.',
    'kind', 'flow: summed over the period to date. level: the last of the period to date.',
    'limit_quantity', 'The limit, in the unit beside it.',
    'quantity', 'The number of the period to date, in the unit beside it; null if none is held.',
    'share', 'quantity divided by the limit; null for a limit of 0.',
    'projected_quantity', 'What the whole period comes to if it goes on as on the days held; of a level the last number.',
    'projected_share', 'projected_quantity divided by the limit; null for a limit of 0.'));
end
$build$;
comment on function losant_usage.build_period_usage is 'Builds period_usage and usage_vs_limits from streams and metrics.';
do $$ begin perform losant_usage.build_period_usage(); end $$;
