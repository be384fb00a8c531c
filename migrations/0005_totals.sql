-- Losant's control totals of the instance by day, our sums, and the sums of counterparts, which count the same payloads
-- in another stream. A row exists for every day and metric of a cell. Nothing here changes usage.

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

-- Whether an organization with these dates counts as existing on a day; an unknown date is no bound.
create function losant_usage_internal.existed_on(created_on date, deleted_on date, day date) returns boolean
language sql immutable parallel safe
return (created_on <= day) is not false and (deleted_on >= day) is not false;

-- The sums of a day. Functions instead of views: each is computed once, before it is joined. As part of a larger query
-- the planner would repeat them for every row of a table that it takes for empty, as in a first run.

-- Our sum of each metric, over the organizations that have it.
create function losant_usage_internal.metric_sums(p_instance_id text, day date)
returns table (metric text, our_sum numeric, orgs_summed integer)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select m.metric, coalesce(sum(n.quantity), 0), count(n.quantity)::integer
  from losant_usage.metrics m
  left join (
    losant_usage_internal.org_days d
    join losant_usage.organizations o on o.org_id = d.org_id and o.instance_id = p_instance_id
  ) on d.usage_date = day
  left join lateral (select losant_usage_internal.number_of(d, m.metric) as quantity) as n on true
  group by m.metric
$$;

-- The number of cells of each stream that are not settled.
create function losant_usage_internal.unsettled_counts(p_instance_id text, day date)
returns table (stream text, orgs integer)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select c.stream, count(*)::integer
  from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
  where c.usage_date = day and not losant_usage_internal.is_settled(c.standing) and o.instance_id = p_instance_id
  group by c.stream
$$;

-- The streams that count the payloads of a metric once more.
create view losant_usage_internal.counterparts (metric, stream) as values
  ('payload_source_count', 'payload_totals'), ('payload_billable_count', 'payload_hours'),
  ('payload_all_count', 'payload_hours'), ('payload_all_bytes', 'payload_hours');

-- The sum of each metric and that of its counterpart, over the organizations of which both are stored and settled.
-- Hours that were waived are not compared.
create function losant_usage_internal.counterpart_sums(p_instance_id text, day date)
returns table (metric text, counterpart text, counterpart_own_sum numeric, counterpart_sum numeric,
  orgs_differing integer)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select m.metric, p.stream, sum(n.quantity), sum(n.counterpart_quantity),
    count(*) filter (where n.quantity <> n.counterpart_quantity)::integer
  from (
    select c.org_id, array_agg(c.stream) as streams
    from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
    where c.usage_date = day and c.is_stored and o.instance_id = p_instance_id
      and (c.standing = 'final' or (c.standing = 'waived' and c.stream <> 'payload_hours'))
    group by c.org_id
  ) as s
  join losant_usage.usage_days d on d.usage_date = day and d.org_id = s.org_id
  cross join lateral (values
    ('payload_source_count', d.payload_source_count, d.payload_all_count::numeric),
    ('payload_billable_count', d.payload_billable_count, (select sum(h) from unnest(d.hours_billable_count) as h)),
    ('payload_all_count', d.payload_all_count, (select sum(h) from unnest(d.hours_all_count) as h)),
    ('payload_all_bytes', d.payload_all_bytes, (select sum(h) from unnest(d.hours_all_bytes) as h))
  ) as n (metric, quantity, counterpart_quantity)
  join losant_usage.metrics m on m.metric = n.metric and m.stream = any (s.streams)
  join losant_usage_internal.counterparts p on p.metric = n.metric and p.stream = any (s.streams)
  group by m.metric, p.stream
$$;

-- Computes the sums of a day; a run ends with it, and a waiver. Whoever changes a cell invalidates its sums in the same
-- transaction, and holds their rows until it ends. So the rows are locked first, and the cells are read by a second
-- statement, which sees what was committed while the first one waited.
create function losant_usage_internal.compute_our_sums(p_instance_id text, day date) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform from losant_usage.instance_totals t where t.instance_id = p_instance_id and t.usage_date = day
  order by t.metric for update;
  update losant_usage.instance_totals t set
    our_sum = s.our_sum, orgs_summed = s.orgs_summed, orgs_unsettled = coalesce(u.orgs, 0),
    orgs_expected = (
      select count(*) from losant_usage.organizations o
      where o.instance_id = p_instance_id and losant_usage_internal.existed_on(o.created_on, o.deleted_on, day)
    ),
    counterpart = p.counterpart, counterpart_sum = p.counterpart_sum, counterpart_own_sum = p.counterpart_own_sum,
    orgs_differing = p.orgs_differing
  from losant_usage.metrics m
  join losant_usage_internal.metric_sums(p_instance_id, day) as s on s.metric = m.metric
  left join losant_usage_internal.unsettled_counts(p_instance_id, day) as u on u.stream = m.stream
  left join losant_usage_internal.counterpart_sums(p_instance_id, day) as p on p.metric = m.metric
  where t.instance_id = p_instance_id and t.usage_date = day and t.metric = m.metric;
end
$$;

-- The streams from whose cells a sum is computed.
create view losant_usage_internal.sum_streams as
select metric, stream from losant_usage.metrics
union all
select metric, stream from losant_usage_internal.counterparts;

-- Sets the sums of these instances, days and streams to null, for the end of the run to compute. The upsert locks each
-- row, in the order of the keys, even if its sum is null already: otherwise a computation that began before this change
-- could write the old sum over the null. And it decides by the locked row, not by its snapshot.
create function losant_usage_internal.invalidate_sums(instance_ids text[], days date[], streams text[]) returns void
language sql set search_path = pg_catalog, pg_temp as $$
  insert into losant_usage.instance_totals as t (instance_id, usage_date, metric)
  select distinct e.instance_id, e.usage_date, e.metric
  from unnest(instance_ids, days, streams) as k (instance_id, usage_date, stream)
  join losant_usage_internal.sum_streams s on s.stream = k.stream
  join losant_usage.instance_totals e
    on e.instance_id = k.instance_id and e.usage_date = k.usage_date and e.metric = s.metric
  order by e.instance_id, e.usage_date, e.metric
  on conflict (instance_id, usage_date, metric) do update set our_sum = null where t.our_sum is not null
$$;

create function losant_usage_internal.invalidate_sums_of_new_cells() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform losant_usage_internal.invalidate_sums(
    array_agg(k.instance_id), array_agg(k.usage_date), array_agg(k.stream))
  from (
    select distinct c.usage_date, c.stream,
      (select o.instance_id from losant_usage.organizations o where o.org_id = c.org_id) as instance_id
    from new_cells c
  ) as k;
  return null;
end
$$;
create trigger invalidate_sums after insert on losant_usage.coverage referencing new table as new_cells
  for each statement execute function losant_usage_internal.invalidate_sums_of_new_cells();

-- Invalidates the sums of cells that became settled or unsettled or have other numbers, whose totals are due again.
create function losant_usage_internal.invalidate_sums_of_changed_cells() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform losant_usage_internal.invalidate_sums(
    array_agg(k.instance_id), array_agg(k.usage_date), array_agg(k.stream))
  from (
    select distinct c.usage_date, c.stream,
      (select o.instance_id from losant_usage.organizations o where o.org_id = c.org_id) as instance_id
    from (
      select usage_date, org_id, stream, revision, is_stored, losant_usage_internal.is_settled(standing) from new_cells
      except
      select usage_date, org_id, stream, revision, is_stored, losant_usage_internal.is_settled(standing) from old_cells
    ) as c
  ) as k;
  -- The rows are locked already.
  update losant_usage.instance_totals t set last_read_at = null
  from (
    select distinct c.usage_date, c.stream,
      (select o.instance_id from losant_usage.organizations o where o.org_id = c.org_id) as instance_id
    from (
      select usage_date, org_id, stream, revision from new_cells
      except
      select usage_date, org_id, stream, revision from old_cells
    ) as c
  ) as k
  join losant_usage.metrics m on m.stream = k.stream
  where t.instance_id = k.instance_id and t.usage_date = k.usage_date and t.metric = m.metric
    and t.last_read_at is not null;
  return null;
end
$$;
-- Triggers fire in the order of their names: this one follows roll_up_days, because days are locked before sums.
create trigger then_invalidate_sums after update on losant_usage.coverage
  referencing old table as old_cells new table as new_cells
  for each statement execute function losant_usage_internal.invalidate_sums_of_changed_cells();

-- A new organization counts among those that are expected from its creation on.
create function losant_usage_internal.invalidate_sums_of_new_orgs() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform losant_usage_internal.invalidate_sums(
    array_agg(t.instance_id), array_agg(t.usage_date), array_agg(m.stream))
  from losant_usage.instance_totals t join losant_usage.metrics m on m.metric = t.metric
  where exists (
    select from new_orgs n where n.instance_id = t.instance_id
      and losant_usage_internal.existed_on(n.created_on, n.deleted_on, t.usage_date)
  );
  return null;
end
$$;
create trigger invalidate_sums_of_new_orgs after insert on losant_usage.organizations
  referencing new table as new_orgs
  for each statement execute function losant_usage_internal.invalidate_sums_of_new_orgs();

-- Invalidates the sums of the days on which an organization existed in an instance either before or after the change:
-- the days between two dates, or, in both instances of a transfer, all of them and the days of its cells before a
-- creation date that moved later.
create function losant_usage_internal.invalidate_sums_of_changed_orgs() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform losant_usage_internal.invalidate_sums(
    array_agg(t.instance_id), array_agg(t.usage_date), array_agg(m.stream))
  from old_orgs o
  join new_orgs n on n.org_id = o.org_id
    and (n.instance_id, n.created_on, n.deleted_on) is distinct from (o.instance_id, o.created_on, o.deleted_on)
  join losant_usage.instance_totals t on t.instance_id in (o.instance_id, n.instance_id)
  join losant_usage.metrics m on m.metric = t.metric
  where (t.instance_id = o.instance_id
      and losant_usage_internal.existed_on(o.created_on, o.deleted_on, t.usage_date))
    <> (t.instance_id = n.instance_id
      and losant_usage_internal.existed_on(n.created_on, n.deleted_on, t.usage_date))
    or (n.instance_id <> o.instance_id and exists (
      select from losant_usage.usage_days d where d.org_id = n.org_id and d.usage_date = t.usage_date));
  return null;
end
$$;
create trigger invalidate_sums_of_changed_orgs after update on losant_usage.organizations
  referencing old table as old_orgs new table as new_orgs
  for each statement execute function losant_usage_internal.invalidate_sums_of_changed_orgs();

-- Comparisons. Only rows with may_differ can block a month; for the others the outcome need not be computed.
create view losant_usage_internal.comparisons as
select t.instance_id, t.usage_date, losant_usage_internal.month_of(t.usage_date) as month, m.stream, m.metric, m.unit,
  m.kind, i.control_totals, f.final_at,
  (t.our_sum = t.quantity) is not true or t.orgs_differing > 0 as may_differ, r.*
from losant_usage.instance_totals t
join losant_usage.metrics m on m.metric = t.metric
join losant_usage.instances i on i.instance_id = t.instance_id
cross join lateral (
  select ((t.usage_date + 1)::timestamp + (i.policy ->> 'finalAfterHours')::integer * interval '1 hour')
    at time zone 'UTC' as final_at, losant_usage_internal.today() - (i.policy ->> 'horizonDays')::integer as horizon
) as f
cross join lateral (
  select 'losant' as compared_with, t.our_sum as quantity, t.quantity::numeric as total,
    t.orgs_expected - t.orgs_summed as orgs_missing, null::integer as orgs_differing,
    -- First, whatever the total: without our sum it is not known either whether there is a counterpart.
    case when t.our_sum is null then 'not_summed'
      -- What was compared before organizations were selected stays compared.
      when i.new_orgs_from is null and (t.last_read_at >= f.final_at) is not true then 'selection'
      when t.usage_date <= i.org_transferred_on then 'organization_transferred'
      when t.orgs_unsettled > 0 then 'not_final'
      when t.orgs_summed < t.orgs_expected then 'orgs_missing'
      when t.quantity is null and t.last_read_at >= f.final_at then 'omitted'
      when t.quantity is null and m.stream = any (i.unreadable_totals) then 'refused'
      when t.our_sum = t.quantity then 'equal'
      -- It is no longer requested.
      when t.usage_date < f.horizon and (t.last_read_at >= f.final_at) is not true then 'past_horizon'
      when t.quantity is null then 'not_read'
      when (t.last_read_at >= f.final_at) is not true then 'total_not_final'
      -- It is not documented whether a total includes an organization that was deleted before it was read. A deletion
      -- may be noticed days later, but lists lack the organization from the day after it was last seen.
      when exists (select from losant_usage.organizations o where o.instance_id = t.instance_id
        and o.deleted_on >= t.usage_date and o.last_seen_at < t.last_read_at
        and least(o.deleted_on, (o.last_seen_at at time zone 'UTC')::date + 1)
          <= (t.last_read_at at time zone 'UTC')::date) then 'organization_deleted'
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
comment on column losant_usage.instance_totals.orgs_expected is 'Organizations that existed on the day (count); null until our sum is first computed.';
comment on column losant_usage.instance_totals.orgs_summed is 'Organizations in our sum (count); null until it is first computed.';
comment on column losant_usage.instance_totals.orgs_unsettled is 'Organizations whose cell is not settled (count); null until our sum is first computed.';
comment on column losant_usage.instance_totals.our_sum is 'Our sum over the organizations; null from a change of a cell or organization until the end of the run that made it.';
comment on view losant_usage.reconciliation is 'Our sums compared with control totals (compared_with = losant) and with counterpart streams, by instance, day and metric. Key: instance_id, usage_date, metric, compared_with. Source: instance_totals.';
comment on column losant_usage.reconciliation.compared_with is 'losant for the control total, otherwise the counterpart stream.';
comment on column losant_usage.reconciliation.orgs_missing is 'Organizations that existed on the day but are not in our sum (count); null for a counterpart, and until our sum is first computed.';
comment on column losant_usage.reconciliation.outcome is 'equal, differs, pending or not_compared.';
