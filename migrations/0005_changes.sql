-- Restatements, and usage as it was known at an instant.

-- Payloads by source have a row per type and source and none for their sum, so that nothing counts twice. Hours have a
-- row each, named after their column.
create view losant_usage.restatements as
select r.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, r.stream, r.usage_date,
  n.metric, n.payload_type, n.source, n.hour, n.old_quantity, n.new_quantity,
  coalesce(n.new_quantity, 0) - coalesce(n.old_quantity, 0) as difference, n.unit, r.revision, r.was_final, r.run_id,
  r.reason, r.changed_by, r.changed_at, r.id as revision_id
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

-- The loaded cells with the times at which their numbers were first stored and became final.
create view losant_usage_internal.loaded_cells as
select usage_date, org_id, stream, standing, is_reported, revision, first_loaded_at, finalized_at
from losant_usage.coverage where is_stored;

-- The rows of usage_days. To the planner a lookup in org_days, which adds unrecorded days, costs ten times as much.
create view losant_usage_internal.recorded_days as select * from losant_usage.usage_days;

create type losant_usage_internal.past_number as (
  org_id text collate "C", org_name text, referral_id text, plan_id text, customer_id text, usage_date date,
  stream text collate "C", metric text collate "C", unit text, kind text, quantity bigint,
  standing losant_usage.standing, is_reported boolean
);

-- A number as it was at an instant is the old value of its first later revision, or the current one if there is none.
create function losant_usage.usage_as_of(as_of timestamptz) returns setof losant_usage_internal.past_number
language sql stable parallel safe
begin atomic
  select c.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, c.usage_date, m.stream, m.metric, m.unit, m.kind,
    case when r.old ? m.metric then (r.old ->> m.metric)::bigint
      else losant_usage_internal.number_of(row(d.*)::losant_usage_internal.org_days, m.metric) end,
    case when c.finalized_at > as_of or r.old is not null then null else c.standing end,
    c.is_reported
  from losant_usage_internal.loaded_cells c
  join losant_usage_internal.recorded_days d on d.usage_date = c.usage_date and d.org_id = c.org_id
  join losant_usage.organizations o on o.org_id = c.org_id
  join losant_usage.metrics m on m.stream = c.stream
  left join lateral (
    select jsonb_object_agg(v.metric, v.quantity) as old
    from (
      select distinct on (n.key) n.key as metric, n.value as quantity
      from losant_usage.revisions v cross join lateral jsonb_each(v.old) as n
      where v.org_id = c.org_id and v.usage_date = c.usage_date and v.stream = c.stream and v.changed_at > as_of
      order by n.key, v.id
    ) as v
  ) as r on c.revision > 1
  where c.first_loaded_at <= as_of;
end;

create type losant_usage_internal.value_change as (
  org_id text collate "C", org_name text, referral_id text, plan_id text, customer_id text, usage_date date,
  stream text collate "C", metric text collate "C", unit text, payload_type text, source text, change text,
  old_quantity bigint, new_quantity bigint, difference bigint, was_final boolean, reason text, changed_at timestamptz
);

create function losant_usage.changes_since(as_of timestamptz) returns setof losant_usage_internal.value_change
language sql stable parallel safe
begin atomic
  select r.org_id, r.org_name, r.referral_id, r.plan_id, r.customer_id, r.usage_date, r.stream, r.metric, r.unit,
    r.payload_type, r.source, 'restated', r.old_quantity, r.new_quantity, r.difference, r.was_final, r.reason,
    r.changed_at
  from losant_usage.restatements r where r.changed_at > as_of and r.hour is null
  union all
  -- The day of the cell: a condition on it limits the larger table, read first. A loaded cell has its day recorded.
  select c.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, c.usage_date, c.stream, m.metric, m.unit, null,
    null, 'first_loaded', null, q.quantity, q.quantity, false, null, c.first_loaded_at
  from losant_usage_internal.loaded_cells c
  join losant_usage_internal.recorded_days d on d.usage_date = c.usage_date and d.org_id = c.org_id
  join losant_usage.organizations o on o.org_id = c.org_id
  join losant_usage.metrics m on m.stream = c.stream
  -- The value of the first load is the old value of the first revision that has the metric.
  cross join lateral (
    select coalesce(case when c.revision > 1 then (
      select (r.old ->> m.metric)::bigint from losant_usage.revisions r
      where r.org_id = c.org_id and r.usage_date = c.usage_date and r.stream = c.stream and r.old ? m.metric
      order by r.id limit 1
    ) end, losant_usage_internal.number_of(row(d.*)::losant_usage_internal.org_days, m.metric)) as quantity
  ) as q
  where c.first_loaded_at > as_of;
end;

comment on view losant_usage.restatements is 'Changes of stored numbers, one row per number. Payloads by source and by hour are separate rows, so nothing counts twice. Key: revision_id, metric, payload_type, source, hour. Source: revisions.';
comment on column losant_usage.restatements.changed_at is 'When the change was stored (UTC).';
comment on column losant_usage.restatements.difference is 'new_quantity minus old_quantity, where a missing number counts as 0.';
comment on column losant_usage.restatements.hour is 'UTC hour of the day, 0 to 23; null for a daily number.';
comment on column losant_usage.restatements.metric is 'Metric; for an hourly number hours_billable_count, hours_all_count or hours_all_bytes, which are not in metrics.';
comment on column losant_usage.restatements.new_quantity is 'Number after the change; null if there is none.';
comment on column losant_usage.restatements.old_quantity is 'Number before the change; null if there was none.';
comment on column losant_usage.restatements.payload_type is 'Payload type; null for other metrics.';
comment on column losant_usage.restatements.revision_id is 'Row of revisions.';
comment on column losant_usage.restatements.source is 'Payload source; null for other metrics.';
comment on function losant_usage.usage_as_of is 'The numbers that were known at an instant, one row per organization, day and metric. The standing is the current one; null if the number changed or first became final since. Source: usage_days, coverage, revisions.';
comment on function losant_usage.changes_since is 'Numbers first loaded or changed after an instant, one row per change, which is first_loaded or restated; the differences of a flow add up to its total change. Hourly numbers are in restatements only. Source: coverage, revisions.';
