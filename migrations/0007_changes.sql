-- What changed, and what was known at a moment.

-- One row per changed number. Of payloads by source the types and sources, and not their sum, so that nothing counts
-- twice; of hours each hour, under names of their own.
create view losant_usage.restatements as
select o.instance_id, r.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, r.stream, r.usage_date,
  n.metric, n.payload_type, n.source, n.hour, n.old_quantity, n.new_quantity,
  coalesce(n.new_quantity, 0) - coalesce(n.old_quantity, 0) as difference, n.unit, r.revision, r.was_final, r.run_id, r.changed_at,
  r.id as revision_id
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
  cross join lateral jsonb_object_keys(coalesce(nullif(r.new -> 'payload_sources' -> t.type, 'null'), r.old -> 'payload_sources' -> t.type)) as s (source)
  union all
  select c.key, null, null, h.key::integer, (r.old -> c.key ->> h.key)::bigint, h.value::bigint,
    case c.key when 'hours_all_bytes' then 'bytes' else 'payloads' end
  from jsonb_each(r.new) as c
  cross join lateral jsonb_each_text(c.value) as h
  where r.stream = 'payload_hours'
) as n;

-- When the numbers of cells were stored and became final, for the functions below.
create view losant_usage_internal.cell_times as
select usage_date, org_id, stream, first_loaded_at, finalized_at, revision from losant_usage.coverage;

-- A number at a moment is the number of now, unless it was first loaded later, or a later revision has its old value.
-- Both functions are inlined, so that only the days and organizations that a query asks for are looked at: they run with
-- the caller's rights, and have the key as a column of its own.
create function losant_usage.usage_as_of(moment timestamptz) returns setof losant_usage.daily_usage
language sql stable parallel safe
begin atomic
  select d.instance_id, d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.tags, d.usage_date,
    d.standing, d.is_final and c.is_open is not true, d.is_reported,
    n.devices_created, n.devices_deleted, n.devices_total, n.notebook_minutes, n.notebook_completed, n.notebook_canceled,
    n.notebook_errored, n.notebook_timeout, n.payload_billable_count, n.payload_all_count, n.payload_all_bytes, n.payload_source_count
  from losant_usage.daily_usage d
  cross join lateral (
    select array_agg(c.stream) filter (where c.first_loaded_at > moment) as later_streams, max(c.revision) > 1 as is_revised,
      bool_or(c.finalized_at is null or c.finalized_at > moment) as is_open
    from losant_usage_internal.cell_times c where c.usage_date = d.usage_date and c.org_id = d.org_id
  ) as c
  cross join lateral (
    select case when c.is_revised then (
        select jsonb_object_agg(r.key, r.value)
        from (
          select distinct on (n.key) n.key, n.value
          from losant_usage.revisions r cross join lateral jsonb_each(r.old) as n
          where r.org_id = d.org_id and r.usage_date = d.usage_date and r.changed_at > moment order by n.key, r.id
        ) as r
      ) end as changed,
      case when c.later_streams is not null then (
        select jsonb_object_agg(m.metric, null) from losant_usage.metrics m where m.stream = any (c.later_streams)
      ) end as unknown
  ) as k
  cross join lateral jsonb_populate_record(d, coalesce(k.changed, '{}') || coalesce(k.unknown, '{}')) as n;
end;

create function losant_usage.changes_since(moment timestamptz) returns table (
  instance_id text, org_id text, org_name text, referral_id text, plan_id text, customer_id text,
  usage_date date, stream text, metric text, unit text, payload_type text, source text,
  change text, old_quantity bigint, new_quantity bigint, difference bigint, was_final boolean, changed_at timestamptz
) language sql stable parallel safe
begin atomic
  select r.instance_id, r.org_id, r.org_name, r.referral_id, r.plan_id, r.customer_id,
    r.usage_date, r.stream, r.metric, r.unit, r.payload_type, r.source,
    'restated', r.old_quantity, r.new_quantity, r.difference, r.was_final, r.changed_at
  from losant_usage.restatements r where r.changed_at > moment and r.hour is null
  union all
  select o.instance_id, c.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
    c.usage_date, c.stream, m.metric, m.unit, null, null,
    'first_loaded', null, q.quantity, q.quantity, false, c.first_loaded_at
  from losant_usage_internal.cell_times c
  join losant_usage.organizations o on o.org_id = c.org_id
  join losant_usage.metrics m on m.stream = c.stream
  -- The number that was loaded first is the old value of the first revision that has it, so that differences add up.
  cross join lateral (
    select coalesce(case when c.revision > 1 then (
      select (r.old ->> m.metric)::bigint from losant_usage.revisions r
      where r.org_id = c.org_id and r.usage_date = c.usage_date and r.stream = c.stream and r.old ? m.metric order by r.id limit 1
    ) end, (
      select losant_usage_internal.number_of(d, m.metric)
      from losant_usage.daily_usage d where d.org_id = c.org_id and d.usage_date = c.usage_date
    )) as quantity
  ) as q
  where c.first_loaded_at > moment;
end;

comment on view losant_usage.restatements is 'What changed after it was stored, one row per number. Of payloads by source the types and sources, of hours each hour, under names of their own. Source: revisions.';
comment on column losant_usage.restatements.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.restatements.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.restatements.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.restatements.referral_id is 'Referral id of the organization as last seen, the place for your own customer number; null if it has none.';
comment on column losant_usage.restatements.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.restatements.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.restatements.stream is 'Stream, see streams.';
comment on column losant_usage.restatements.usage_date is 'Usage date (UTC).';
comment on column losant_usage.restatements.metric is 'Metric; of hours the column of usage_days.';
comment on column losant_usage.restatements.payload_type is 'Payload type; null where it does not apply.';
comment on column losant_usage.restatements.source is 'Source of the payloads; null where it does not apply.';
comment on column losant_usage.restatements.hour is 'UTC hour of the day; null where it does not apply.';
comment on column losant_usage.restatements.old_quantity is 'What was stored; null if it was not there.';
comment on column losant_usage.restatements.new_quantity is 'What is stored since; null if it is not there.';
comment on column losant_usage.restatements.difference is 'New minus old.';
comment on column losant_usage.restatements.unit is 'Unit of the quantity.';
comment on column losant_usage.restatements.revision is 'Version of the cells numbers that the change made.';
comment on column losant_usage.restatements.was_final is 'Whether it was final before.';
comment on column losant_usage.restatements.run_id is 'Run that changed it.';
comment on column losant_usage.restatements.changed_at is 'When it was changed (UTC).';
comment on column losant_usage.restatements.revision_id is 'Row of revisions.';
comment on function losant_usage.usage_as_of is 'daily_usage with the numbers that were known at a moment. Source: usage_days, revisions.';
comment on function losant_usage.changes_since is 'What was first loaded or changed after a moment, one row per number and change: the differences of a number add up to what changed since. Hours are in restatements only. Source: coverage, revisions.';
