-- Restatements, and usage as it was known at an instant.

-- Payloads by source have a row per type and source and none for their sum, so that nothing counts twice. Hours have a
-- row each, named after their column.
create view losant_usage.restatements as
select o.instance_id, r.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, r.stream, r.usage_date,
  n.metric, n.payload_type, n.source, n.hour, n.old_quantity, n.new_quantity,
  coalesce(n.new_quantity, 0) - coalesce(n.old_quantity, 0) as difference, n.unit, r.revision, r.was_final, r.run_id,
  r.changed_at, r.id as revision_id
from losant_usage.revisions r
join losant_usage.organizations o on o.org_id = r.org_id
cross join lateral (
  select m.metric, null::text as payload_type, null::text as source, null::integer as hour,
    (r.old ->> m.metric)::bigint as old_quantity, (r.new ->> m.metric)::bigint as new_quantity, m.unit
  from losant_usage.metrics m
  where m.stream = r.stream and r.stream <> 'payload_sources' and (r.old ? m.metric or r.new ? m.metric)
  union all
  select 'payload_source_count', t.type, s.source, null, (r.old -> 'payload_sources' -> t.type ->> s.source)::bigint,
    (r.new -> 'payload_sources' -> t.type ->> s.source)::bigint, 'payloads'
  from jsonb_object_keys(coalesce(r.new -> 'payload_sources', '{}')) as t (type)
  cross join lateral jsonb_object_keys(
    coalesce(nullif(r.new -> 'payload_sources' -> t.type, 'null'), r.old -> 'payload_sources' -> t.type)) as s (source)
  union all
  select c.key, null, null, h.key::integer, (r.old -> c.key ->> h.key)::bigint, h.value::bigint,
    case c.key when 'hours_all_bytes' then 'bytes' else 'payloads' end
  from jsonb_each(r.new) as c
  cross join lateral jsonb_each_text(c.value) as h
  where r.stream = 'payload_hours'
) as n;

-- A value at an instant is the current one, unless it was first loaded later or a later revision has its old value.
create function losant_usage.usage_as_of(as_of timestamptz) returns setof losant_usage.daily_usage
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select n.*
  from losant_usage.daily_usage d
  left join (
    select c.usage_date, c.org_id, jsonb_object_agg(m.metric, null) as numbers
    from losant_usage.coverage c join losant_usage.metrics m on m.stream = c.stream
    where c.first_loaded_at > as_of
    group by c.usage_date, c.org_id
  ) as first_loads on first_loads.usage_date = d.usage_date and first_loads.org_id = d.org_id
  left join (
    select r.usage_date, r.org_id, jsonb_object_agg(r.key, r.value) as numbers
    from (
      select distinct on (r.usage_date, r.org_id, n.key) r.usage_date, r.org_id, n.key, n.value
      from losant_usage.revisions r cross join lateral jsonb_each(r.old) as n
      where r.changed_at > as_of order by r.usage_date, r.org_id, n.key, r.id
    ) as r group by r.usage_date, r.org_id
  ) as restatements on restatements.usage_date = d.usage_date and restatements.org_id = d.org_id
  left join (
    select c.usage_date, c.org_id, true as has_any
    from losant_usage.coverage c where c.finalized_at is null or c.finalized_at > as_of
    group by c.usage_date, c.org_id
  ) as unfinal_cells on unfinal_cells.usage_date = d.usage_date and unfinal_cells.org_id = d.org_id
  cross join lateral jsonb_populate_record(d,
    coalesce(restatements.numbers, '{}') || coalesce(first_loads.numbers, '{}')
      || jsonb_build_object('is_final', d.is_final and unfinal_cells.has_any is not true)) as n
$$;

create function losant_usage.changes_since(as_of timestamptz) returns table (
  instance_id text, org_id text, org_name text, referral_id text, plan_id text, customer_id text,
  usage_date date, stream text, metric text, unit text, payload_type text, source text,
  change text, old_quantity bigint, new_quantity bigint, difference bigint, was_final boolean, changed_at timestamptz
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select r.instance_id, r.org_id, r.org_name, r.referral_id, r.plan_id, r.customer_id,
    r.usage_date, r.stream, r.metric, r.unit, r.payload_type, r.source,
    'restated', r.old_quantity, r.new_quantity, r.difference, r.was_final, r.changed_at
  from losant_usage.restatements r where r.changed_at > as_of and r.hour is null
  union all
  select o.instance_id, c.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
    c.usage_date, c.stream, m.metric, m.unit, null, null,
    'first_loaded', null, q.quantity, q.quantity, false, c.first_loaded_at
  from losant_usage.coverage c
  join losant_usage.usage_days u on u.usage_date = c.usage_date and u.org_id = c.org_id
  join losant_usage.organizations o on o.org_id = c.org_id
  join losant_usage.metrics m on m.stream = c.stream
  -- The value of the first load is the old value of the first revision that has the metric.
  cross join lateral (
    select coalesce(case when c.revision > 1 then (
      select r.old ->> m.metric from losant_usage.revisions r
      where r.org_id = c.org_id and r.usage_date = c.usage_date and r.stream = c.stream and r.old ? m.metric
      order by r.id limit 1
    ) end, to_jsonb(u) ->> m.metric)::bigint as quantity
  ) as q
  where c.first_loaded_at > as_of
$$;

comment on view losant_usage.restatements is 'Changes of stored numbers, one row per number. Payloads by source and by hour are separate rows, so nothing counts twice. Source: revisions.';
comment on column losant_usage.restatements.new_quantity is 'Value after the change; null if there is none.';
comment on column losant_usage.restatements.old_quantity is 'Value before the change; null if there was none.';
comment on column losant_usage.restatements.revision_id is 'Row of revisions.';
comment on function losant_usage.usage_as_of is 'daily_usage with the numbers that were known at an instant. Source: usage_days, revisions.';
comment on function losant_usage.changes_since is 'Numbers first loaded or changed after an instant, one row per change; the differences add up to the total change. Hourly numbers are in restatements only. Source: coverage, revisions.';
