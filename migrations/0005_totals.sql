-- Losant's control totals of the instance by day, our sums, and the sums of counterparts, which count the same payloads
-- in another stream. Nothing here changes usage.

create table losant_usage.instance_totals (
  instance_id text collate "C" not null references losant_usage.instances,
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  metric text collate "C" not null references losant_usage.metrics,
  quantity bigint check (quantity between 0 and 9007199254740991),
  last_read_at timestamptz,
  our_sum numeric,
  orgs_summed integer,
  orgs_unsettled integer,
  orgs_expected integer,
  counterpart text,
  counterpart_sum numeric,
  counterpart_own_sum numeric,
  orgs_differing integer,
  primary key (instance_id, usage_date, metric)
);
create trigger reject_manual_write before insert or update or delete or truncate on losant_usage.instance_totals
  execute function losant_usage_internal.reject_write('losant-usage run reads Losant''s totals');

-- Fills the sums that a load has invalidated, newest days first, and returns how many there were. A run ends with it,
-- and a waiver. A metric is compared with its counterpart where both are stored and settled. The CTEs are materialized
-- because in a first run the planner takes the days for empty, and would compute them for each row of a join.
create function losant_usage_internal.compute_our_sums(p_instance_id text, max_days integer default null)
returns integer language sql set search_path = pg_catalog, pg_temp as $$
  with days as (
    select distinct t.usage_date from losant_usage.instance_totals t
    where t.instance_id = p_instance_id and t.our_sum is null
    order by t.usage_date desc limit max_days
  ),
  metric_sums as materialized (
    select d.usage_date, m.metric, sum(n.value::bigint) as our_sum, count(*)::integer as orgs_summed
    from days
    join losant_usage.usage_days d on d.usage_date = days.usage_date
    join losant_usage.organizations o on o.org_id = d.org_id and o.instance_id = p_instance_id
    cross join lateral jsonb_each_text(to_jsonb(d)
      - array['payload_sources', 'hours_billable_count', 'hours_all_count', 'hours_all_bytes']) as n (metric, value)
    join losant_usage.metrics m on m.metric = n.metric
    where n.value is not null
    group by d.usage_date, m.metric
  ),
  unsettled_counts as materialized (
    select c.usage_date, c.stream, count(*)::integer as orgs
    from days
    join losant_usage.coverage c on c.usage_date = days.usage_date and c.standing not in ('final', 'waived')
    join losant_usage.organizations o on o.org_id = c.org_id and o.instance_id = p_instance_id
    group by c.usage_date, c.stream
  ),
  settled_streams as (
    select c.usage_date, c.org_id, bool_or(c.stream = 'payload_totals') as has_totals,
      bool_or(c.stream = 'payload_sources') as has_sources, 
      -- Whoever waives hours accepts that they are not those of the totals.
      bool_or(c.stream = 'payload_hours' and c.standing = 'final') as has_hours
    from days
    join losant_usage.coverage c on c.usage_date = days.usage_date and c.is_stored
      and c.standing in ('final', 'waived') and c.stream in ('payload_totals', 'payload_sources', 'payload_hours')
    join losant_usage.organizations o on o.org_id = c.org_id and o.instance_id = p_instance_id
    group by c.usage_date, c.org_id
  ),
  counterpart_sums as materialized (
    select s.usage_date, p.metric, p.counterpart, sum(p.counterpart_quantity) as counterpart_sum,
      sum(p.quantity) as counterpart_own_sum,
      count(*) filter (where p.quantity <> p.counterpart_quantity)::integer as orgs_differing
    from settled_streams s
    join losant_usage.usage_days d on d.usage_date = s.usage_date and d.org_id = s.org_id
    cross join lateral (values
      ('payload_source_count', 'payload_totals', s.has_totals and s.has_sources, d.payload_source_count,
        d.payload_all_count::numeric),
      ('payload_billable_count', 'payload_hours', s.has_totals and s.has_hours, d.payload_billable_count,
        (select sum(n) from unnest(d.hours_billable_count) as n)),
      ('payload_all_count', 'payload_hours', s.has_totals and s.has_hours, d.payload_all_count,
        (select sum(n) from unnest(d.hours_all_count) as n)),
      ('payload_all_bytes', 'payload_hours', s.has_totals and s.has_hours, d.payload_all_bytes,
        (select sum(n) from unnest(d.hours_all_bytes) as n))
    ) as p (metric, counterpart, are_settled, quantity, counterpart_quantity)
    where p.are_settled
    group by s.usage_date, p.metric, p.counterpart
  ),
  org_counts as materialized (
    select days.usage_date, count(*)::integer as orgs
    from days
    join losant_usage.organizations o on o.instance_id = p_instance_id
      and (o.created_on is null or o.created_on <= days.usage_date)
      and (o.deleted_on is null or o.deleted_on >= days.usage_date)
    group by days.usage_date
  ),
  updated_totals as (
    update losant_usage.instance_totals t set
      our_sum = coalesce(s.our_sum, 0), orgs_summed = coalesce(s.orgs_summed, 0), orgs_unsettled = coalesce(u.orgs, 0),
      orgs_expected = coalesce(o.orgs, 0), counterpart = p.counterpart, counterpart_sum = p.counterpart_sum,
      counterpart_own_sum = p.counterpart_own_sum, orgs_differing = p.orgs_differing
    from losant_usage.instance_totals k
    join days on days.usage_date = k.usage_date
    join losant_usage.metrics m on m.metric = k.metric
    left join metric_sums s on s.usage_date = k.usage_date and s.metric = k.metric
    left join unsettled_counts u on u.usage_date = k.usage_date and u.stream = m.stream
    left join counterpart_sums p on p.usage_date = k.usage_date and p.metric = k.metric
    left join org_counts o on o.usage_date = k.usage_date
    where k.instance_id = p_instance_id and k.our_sum is null
      and t.instance_id = k.instance_id and t.usage_date = k.usage_date and t.metric = k.metric
    returning true
  )
  select count(*)::integer from updated_totals
$$;

-- Comparisons with their outcome. Only rows with may_differ can block a month; for the others the outcome need not
-- be computed.
create view losant_usage_internal.comparisons as
select t.instance_id, t.usage_date, losant_usage_internal.month_of(t.usage_date) as month, m.stream, m.metric, m.unit,
  m.kind, i.control_totals, (t.our_sum = t.quantity) is not true or t.orgs_differing > 0 as may_differ, r.*
from losant_usage.instance_totals t
join losant_usage.metrics m on m.metric = t.metric
join losant_usage.instances i on i.instance_id = t.instance_id
cross join lateral (
  select ((t.usage_date + 1)::timestamp + (i.policy ->> 'finalAfterHours')::integer * interval '1 hour')
    at time zone 'UTC' as final_at
) as f
cross join lateral (
  select 'losant' as compared_with, t.our_sum as quantity, t.quantity::numeric as total,
    t.orgs_expected - t.orgs_summed as orgs_missing, null::integer as orgs_differing,
    case when i.new_orgs_from is null then 'selection'
      when t.usage_date <= i.org_transferred_on then 'organization_transferred'
      when t.our_sum is null then 'not_summed'
      when t.orgs_unsettled > 0 then 'not_final'
      when t.orgs_summed < t.orgs_expected then 'orgs_missing'
      when t.quantity is null and t.last_read_at >= f.final_at then 'omitted'
      when t.quantity is null and i.totals_problem is not null then 'refused'
      when t.quantity is null then 'not_read'
      when t.our_sum = t.quantity then 'equal'
      when t.last_read_at >= f.final_at is not true then 'total_not_final'
      -- It is not documented whether Losant's total includes an organization that was deleted since.
      when exists (select from losant_usage.organizations o where o.instance_id = t.instance_id
        and o.deleted_on between t.usage_date and (t.last_read_at at time zone 'UTC')::date) then 'organization_deleted'
      else 'differs' end as result,
    t.last_read_at
  union all
  select t.counterpart, t.counterpart_own_sum, t.counterpart_sum, null, t.orgs_differing,
    case when t.our_sum is null then 'not_summed' when t.orgs_differing > 0 then 'differs' else 'equal' end, null
  where t.counterpart is not null
) as r;

create view losant_usage.reconciliation as
select instance_id, usage_date, month, stream, metric, unit, kind, compared_with, quantity, total,
  quantity - total as difference, orgs_missing, orgs_differing,
  case when result in ('equal', 'differs') then result
    when result in ('not_summed', 'not_final', 'not_read', 'total_not_final') then 'pending'
    else 'not_compared' end as outcome,
  case when result not in ('equal', 'differs') then result end as reason, last_read_at
from losant_usage_internal.comparisons;

comment on table losant_usage.instance_totals is 'Losant’s control total and our sum per instance, day and metric. Written by losant-usage run; never changes usage.';
comment on column losant_usage.instance_totals.counterpart is 'Stream that counts the same payloads; null if none is loaded.';
comment on column losant_usage.instance_totals.counterpart_own_sum is 'Our sum over the same organizations; null if there is no counterpart.';
comment on column losant_usage.instance_totals.counterpart_sum is 'Sum of the counterpart, over organizations where both are settled; null if there is no counterpart.';
comment on column losant_usage.instance_totals.orgs_expected is 'Organizations that existed on the day (count).';
comment on column losant_usage.instance_totals.orgs_summed is 'Organizations in our sum (count).';
comment on column losant_usage.instance_totals.orgs_unsettled is 'Organizations whose cell is not settled (count).';
comment on column losant_usage.instance_totals.our_sum is 'Our sum over the organizations; null from a change until the end of the run that made it.';
comment on view losant_usage.reconciliation is 'Our sums compared with control totals (compared_with = losant) and with counterpart streams, by instance, day and metric. Source: instance_totals.';
comment on column losant_usage.reconciliation.compared_with is 'losant for the control total, otherwise the counterpart stream.';
comment on column losant_usage.reconciliation.orgs_missing is 'Organizations that existed on the day but are not in our sum (count); null for a counterpart.';
comment on column losant_usage.reconciliation.outcome is 'equal, differs, pending or not_compared.';
