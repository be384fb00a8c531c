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

-- When the values of each cell were first stored, and when they became final.
create view losant_usage_internal.cell_times as
select usage_date, org_id, stream, revision, first_loaded_at, finalized_at from losant_usage.coverage;

-- The rows of usage_days. To the planner a lookup in org_days, which adds unrecorded days, costs ten times as much.
create view losant_usage_internal.recorded_days as select * from losant_usage.usage_days;

-- Returns a value as it was at an instant: null if it was first loaded later; otherwise the old value of its first
-- later revision, or the current value if there is none.
create function losant_usage_internal.value_as_of(
  current_value bigint, metric text, new_metrics text[], old_values jsonb
) returns bigint language sql immutable parallel safe
return case when metric = any (new_metrics) then null when old_values ? metric then (old_values ->> metric)::bigint
  else current_value end;

create type losant_usage_internal.past_day as (
  instance_id text collate "C", org_id text collate "C", org_name text, referral_id text, plan_id text,
  customer_id text, tags jsonb, usage_date date, standing losant_usage.standing, is_final boolean,
  is_reported boolean, devices_created bigint, devices_deleted bigint, devices_total bigint, notebook_minutes bigint,
  notebook_completed bigint, notebook_canceled bigint, notebook_errored bigint, notebook_timeout bigint,
  payload_billable_count bigint, payload_all_count bigint, payload_all_bytes bigint, payload_source_count bigint
);

create function losant_usage.usage_as_of(as_of timestamptz) returns setof losant_usage_internal.past_day
language sql stable parallel safe
begin atomic
  select d.instance_id, d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.tags, d.usage_date,
    case when not c.has_changed and d.standing not in ('waiting', 'unavailable', 'missing') then d.standing end,
    d.is_final and not c.has_changed, d.is_reported,
    losant_usage_internal.value_as_of(d.devices_created, 'devices_created', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.devices_deleted, 'devices_deleted', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.devices_total, 'devices_total', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.notebook_minutes, 'notebook_minutes', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.notebook_completed, 'notebook_completed', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.notebook_canceled, 'notebook_canceled', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.notebook_errored, 'notebook_errored', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.notebook_timeout, 'notebook_timeout', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.payload_billable_count, 'payload_billable_count', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.payload_all_count, 'payload_all_count', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.payload_all_bytes, 'payload_all_bytes', c.new_metrics, r.old_values),
    losant_usage_internal.value_as_of(d.payload_source_count, 'payload_source_count', c.new_metrics, r.old_values)
  from losant_usage.daily_usage d
  cross join lateral (
    select count(*) > 0 as has_changed, array_agg(m.metric) filter (where c.first_loaded_at > as_of) as new_metrics
    from losant_usage_internal.cell_times c join losant_usage.metrics m on m.stream = c.stream
    where c.usage_date = d.usage_date and c.org_id = d.org_id and greatest(c.first_loaded_at, c.finalized_at) > as_of
  ) as c
  left join (
    select r.usage_date, r.org_id, jsonb_object_agg(r.metric, r.value) as old_values
    from (
      select distinct on (r.usage_date, r.org_id, o.metric) r.usage_date, r.org_id, o.metric, o.value
      from losant_usage.revisions r cross join lateral jsonb_each(r.old) as o (metric, value)
      where r.changed_at > as_of order by r.usage_date, r.org_id, o.metric, r.id
    ) as r group by r.usage_date, r.org_id
  ) as r on r.usage_date = d.usage_date and r.org_id = d.org_id
  where as_of is not null;
end;

create type losant_usage_internal.value_change as (
  instance_id text collate "C", org_id text collate "C", org_name text, referral_id text, plan_id text,
  customer_id text, usage_date date, stream text collate "C", metric text collate "C", unit text, payload_type text,
  source text, change text, old_quantity bigint, new_quantity bigint, difference bigint, was_final boolean,
  changed_at timestamptz
);

create function losant_usage.changes_since(as_of timestamptz) returns setof losant_usage_internal.value_change
language sql stable parallel safe
begin atomic
  select r.instance_id, r.org_id, r.org_name, r.referral_id, r.plan_id, r.customer_id,
    r.usage_date, r.stream, r.metric, r.unit, r.payload_type, r.source,
    'restated', r.old_quantity, r.new_quantity, r.difference, r.was_final, r.changed_at
  from losant_usage.restatements r where r.changed_at > as_of and r.hour is null
  union all
  -- The day of the cell: a condition on it limits the larger table, read first. A loaded cell has its day recorded.
  select o.instance_id, c.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
    c.usage_date, c.stream, m.metric, m.unit, null, null,
    'first_loaded', null, q.quantity, q.quantity, false, c.first_loaded_at
  from losant_usage_internal.cell_times c
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
comment on column losant_usage.restatements.new_quantity is 'Value after the change; null if there is none.';
comment on column losant_usage.restatements.old_quantity is 'Value before the change; null if there was none.';
comment on column losant_usage.restatements.revision_id is 'Row of revisions.';
comment on function losant_usage.usage_as_of is 'daily_usage with the numbers that were known at an instant. The standing is the current one; null if a number was first loaded or first became final since, or if it is waiting, unavailable or missing. Source: usage_days, coverage, revisions.';
comment on function losant_usage.changes_since is 'Numbers first loaded or changed after an instant, one row per change, which is first_loaded or restated; the differences of a flow add up to its total change. Hourly numbers are in restatements only. Source: coverage, revisions.';
