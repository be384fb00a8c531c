-- Control totals: what Losant itself counts for the whole instance by day, beside our sums, and what the same payloads
-- count elsewhere. Nothing here changes a number.

create table losant_usage.instance_totals (
  instance_id text collate "C" not null references losant_usage.instances,
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  metric text collate "C" not null references losant_usage.metrics,
  quantity bigint check (quantity between 0 and 9007199254740991),
  verified_at timestamptz,
  our_sum numeric,
  orgs_summed integer,
  orgs_open integer,
  orgs_expected integer,
  counterpart text,
  counterpart_sum numeric,
  counterpart_own_sum numeric,
  orgs_differing integer,
  primary key (instance_id, usage_date, metric)
);
create trigger by_hand before insert or update or delete or truncate on losant_usage.instance_totals
  execute function losant_usage_internal.refuse('Losant''s totals are read by losant-usage run');

-- Fills the sums that a load has set to null, of the newest days first, and returns how many there were. A run ends with
-- it, as does a waiver. The counterparts of a number are compared where both are stored and settled. Materialized, because in
-- a first run the planner takes the days for empty, and would count again for each row of a join.

create function losant_usage_internal.sum_days(for_instance text, most_days integer default null) returns integer language sql as $$
  with days as (
    select distinct t.usage_date from losant_usage.instance_totals t where t.instance_id = for_instance and t.our_sum is null
    order by t.usage_date desc limit most_days
  ),
  numbers as materialized (
    select d.usage_date, m.metric, sum(n.value::bigint) as our_sum, count(*)::integer as orgs_summed
    from days
    join losant_usage.usage_days d on d.usage_date = days.usage_date
    join losant_usage.organizations o on o.org_id = d.org_id and o.instance_id = for_instance
    cross join lateral jsonb_each_text(to_jsonb(d) - array['payload_sources', 'hours_billable_count', 'hours_all_count', 'hours_all_bytes']) as n (metric, value)
    join losant_usage.metrics m on m.metric = n.metric
    where n.value is not null
    group by d.usage_date, m.metric
  ),
  open as materialized (
    select c.usage_date, c.stream, count(*)::integer as orgs
    from days
    join losant_usage.coverage c on c.usage_date = days.usage_date and c.standing not in ('final', 'accepted')
    join losant_usage.organizations o on o.org_id = c.org_id and o.instance_id = for_instance
    group by c.usage_date, c.stream
  ),
  settled as (
    select c.usage_date, c.org_id,
      bool_or(c.stream = 'payload_totals') as totals, bool_or(c.stream = 'payload_sources') as sources, bool_or(c.stream = 'payload_hours') as hours
    from days
    join losant_usage.coverage c on c.usage_date = days.usage_date and c.is_stored and c.standing in ('final', 'accepted')
      and c.stream in ('payload_totals', 'payload_sources', 'payload_hours')
    join losant_usage.organizations o on o.org_id = c.org_id and o.instance_id = for_instance
    group by c.usage_date, c.org_id
  ),
  pairs as materialized (
    select s.usage_date, p.metric, p.counterpart, sum(p.counted) as counterpart_sum, sum(p.own) as counterpart_own_sum,
      count(*) filter (where p.own <> p.counted)::integer as orgs_differing
    from settled s
    join losant_usage.usage_days d on d.usage_date = s.usage_date and d.org_id = s.org_id
    cross join lateral (values
      ('payload_source_count', 'payload_totals', s.totals and s.sources, d.payload_source_count, d.payload_all_count::numeric),
      ('payload_billable_count', 'payload_hours', s.totals and s.hours, d.payload_billable_count,
        (select sum(n) from unnest(d.hours_billable_count) as n)),
      ('payload_all_count', 'payload_hours', s.totals and s.hours, d.payload_all_count,
        (select sum(n) from unnest(d.hours_all_count) as n)),
      ('payload_all_bytes', 'payload_hours', s.totals and s.hours, d.payload_all_bytes,
        (select sum(n) from unnest(d.hours_all_bytes) as n))
    ) as p (metric, counterpart, are_settled, own, counted)
    where p.are_settled
    group by s.usage_date, p.metric, p.counterpart
  ),
  expected as materialized (
    select days.usage_date, count(*)::integer as orgs
    from days
    join losant_usage.organizations o on o.instance_id = for_instance
      and (o.created_on is null or o.created_on <= days.usage_date) and (o.removed_on is null or o.removed_on >= days.usage_date)
    group by days.usage_date
  ),
  summed as (
    update losant_usage.instance_totals t set
      our_sum = coalesce(n.our_sum, 0), orgs_summed = coalesce(n.orgs_summed, 0), orgs_open = coalesce(w.orgs, 0),
      orgs_expected = coalesce(e.orgs, 0), counterpart = p.counterpart, counterpart_sum = p.counterpart_sum,
      counterpart_own_sum = p.counterpart_own_sum, orgs_differing = p.orgs_differing
    from losant_usage.instance_totals k
    join days on days.usage_date = k.usage_date
    join losant_usage.metrics m on m.metric = k.metric
    left join numbers n on n.usage_date = k.usage_date and n.metric = k.metric
    left join open w on w.usage_date = k.usage_date and w.stream = m.stream
    left join pairs p on p.usage_date = k.usage_date and p.metric = k.metric
    left join expected e on e.usage_date = k.usage_date
    where k.instance_id = for_instance and k.our_sum is null
      and t.instance_id = k.instance_id and t.usage_date = k.usage_date and t.metric = k.metric
    returning true
  )
  select count(*)::integer from summed
$$;

-- What a number is compared with, and what comes of it. Only what may differ can keep a month from being invoiced: of all
-- others that need not be worked out.
create view losant_usage_internal.comparisons as
select t.instance_id, t.usage_date, losant_usage_internal.month_of(t.usage_date) as month, m.stream, m.metric, m.unit, m.kind,
  i.control_totals, (t.our_sum = t.quantity) is not true or t.orgs_differing > 0 as may_differ, r.*
from losant_usage.instance_totals t
join losant_usage.metrics m on m.metric = t.metric
join losant_usage.instances i on i.instance_id = t.instance_id
cross join lateral (
  select ((t.usage_date + 1)::timestamp + (i.policy ->> 'finalAtHours')::integer * interval '1 hour') at time zone 'UTC' as final_at
) as f
cross join lateral (
  select 'losant' as compared_with, t.our_sum as quantity, t.quantity::numeric as total,
    t.orgs_expected - t.orgs_summed as orgs_missing, null::integer as orgs_differing,
    case when i.all_from is null then 'selection'
      when t.usage_date <= i.org_moved_on then 'organization_moved'
      when t.our_sum is null then 'not_summed'
      when t.orgs_open > 0 then 'not_final'
      when t.orgs_summed < t.orgs_expected then 'orgs_missing'
      when t.quantity is null and t.verified_at >= f.final_at then 'left_out'
      when t.quantity is null and i.totals_problem is not null then 'refused'
      when t.quantity is null then 'not_read'
      when t.our_sum = t.quantity then 'equal'
      when t.verified_at >= f.final_at is not true then 'total_not_final'
      -- Whether Losant's total keeps an organization that is deleted is not documented.
      when exists (select from losant_usage.organizations o
        where o.instance_id = t.instance_id and o.removed_on between t.usage_date and t.verified_at) then 'organization_deleted'
      else 'differs' end as result,
    t.verified_at
  union all
  select t.counterpart, t.counterpart_own_sum, t.counterpart_sum, null, t.orgs_differing,
    case when t.our_sum is null then 'not_summed' when t.orgs_differing > 0 then 'differs' else 'equal' end, null
  where t.counterpart is not null
) as r;

create view losant_usage.reconciliation as
select instance_id, usage_date, month, stream, metric, unit, kind, compared_with, quantity, total, quantity - total as difference,
  orgs_missing, orgs_differing,
  case when result in ('equal', 'differs') then result
    when result in ('not_summed', 'not_final', 'not_read', 'total_not_final') then 'pending' else 'not_compared' end as outcome,
  case when result not in ('equal', 'differs') then result end as reason, verified_at
from losant_usage_internal.comparisons;

comment on table losant_usage.instance_totals is 'Losants own total of an instances day beside our sum, one row per metric. Written by losant-usage run; changes no number.';
comment on column losant_usage.instance_totals.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.instance_totals.usage_date is 'Usage date (UTC).';
comment on column losant_usage.instance_totals.metric is 'Metric, see metrics.';
comment on column losant_usage.instance_totals.quantity is 'Losants total; null if it was not read, or was left out.';
comment on column losant_usage.instance_totals.verified_at is 'When Losants total was asked for (UTC); null if it was not.';
comment on column losant_usage.instance_totals.our_sum is 'Sum over the organizations; null from a change until the end of the run that made it.';
comment on column losant_usage.instance_totals.orgs_summed is 'Organizations in that sum (count).';
comment on column losant_usage.instance_totals.orgs_open is 'Organizations whose cell of the stream is not settled (count).';
comment on column losant_usage.instance_totals.orgs_expected is 'Organizations that existed on the day (count).';
comment on column losant_usage.instance_totals.counterpart is 'Stream that counts the same payloads elsewhere; null if none is collected.';
comment on column losant_usage.instance_totals.counterpart_sum is 'Its sum where both are settled; null without one.';
comment on column losant_usage.instance_totals.counterpart_own_sum is 'Our sum over the same organizations; null without one.';
comment on column losant_usage.instance_totals.orgs_differing is 'Organizations whose two numbers differ (count); null without a counterpart.';
comment on view losant_usage.reconciliation is 'Our sums beside Losants totals of the instance (compared_with losant), and beside the stream that counts the same payloads elsewhere, by day and metric. Source: instance_totals.';
comment on column losant_usage.reconciliation.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.reconciliation.usage_date is 'Usage date (UTC).';
comment on column losant_usage.reconciliation.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.reconciliation.stream is 'Stream, see streams.';
comment on column losant_usage.reconciliation.metric is 'Metric, see metrics.';
comment on column losant_usage.reconciliation.unit is 'Unit of the quantity.';
comment on column losant_usage.reconciliation.kind is 'flow: may be summed over days. level: never sum it over days.';
comment on column losant_usage.reconciliation.compared_with is 'losant, or the stream that counts the same.';
comment on column losant_usage.reconciliation.quantity is 'Our sum; null while it is not added up.';
comment on column losant_usage.reconciliation.total is 'The other number; null if there is none.';
comment on column losant_usage.reconciliation.difference is 'Our sum minus the other number; null if one of them is.';
comment on column losant_usage.reconciliation.orgs_missing is 'Organizations that existed on the day and are not in the sum (count); null where it does not apply.';
comment on column losant_usage.reconciliation.orgs_differing is 'Organizations whose two numbers differ (count); null where it does not apply.';
comment on column losant_usage.reconciliation.outcome is 'equal, differs, pending, or not_compared.';
comment on column losant_usage.reconciliation.reason is 'Why it is pending or not compared; null otherwise.';
comment on column losant_usage.reconciliation.verified_at is 'When the other number was asked for (UTC); null where it does not apply.';
