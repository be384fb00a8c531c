-- What changed, and what was known at a moment.

create view losant_usage.restatements as
select o.instance_id, r.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, r.stream, r.usage_date,
  m.metric, r.key ->> 'payload_type' as payload_type, r.key ->> 'source' as source,
  (r.old ->> m.source_column)::bigint as old_quantity,
  (r.new ->> m.source_column)::bigint as new_quantity,
  coalesce((r.new ->> m.source_column)::bigint, 0) - coalesce((r.old ->> m.source_column)::bigint, 0) as difference,
  m.unit, r.revision, r.was_final,
  r.run_id is null as by_hand, r.run_id, r.changed_by, r.changed_at, r.id as revision_id, null::integer as hour
from losant_usage.revisions r
join losant_usage.streams s on s.stream = r.stream
join losant_usage.metrics m on m.stream = r.stream
  and r.old ->> m.source_column is distinct from r.new ->> m.source_column
join losant_usage.organizations o on o.org_id = r.org_id
-- Of a stream with further keys the rows, and not their sum, so that nothing counts twice.
where (r.key = '{}') = (s.key_columns = '{}')
union all
select o.instance_id, r.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, r.stream, r.usage_date,
  m.metric, null, null, q.old, q.new, coalesce(q.new, 0) - coalesce(q.old, 0), m.unit, r.revision, r.was_final,
  r.run_id is null, r.run_id, r.changed_by, r.changed_at, r.id, hour
from losant_usage.revisions r
cross join (values ('payload_billable_count', 'billable_counts'), ('payload_all_count', 'all_counts'),
  ('payload_all_bytes', 'all_bytes')) as c (metric, array_column)
join losant_usage.metrics m on m.metric = c.metric
cross join generate_series(0, 23) as hour
cross join lateral (
  select (r.old -> c.array_column ->> hour)::bigint as old, (r.new -> c.array_column ->> hour)::bigint as new
) as q
join losant_usage.organizations o on o.org_id = r.org_id
where r.stream = 'payload_hours' and q.old is distinct from q.new;
comment on view losant_usage.restatements is 'Every change of a number after its first load, one row per change and metric, old and new; of payload_hours one row per hour too, beside the days of payload_totals and not in addition to them. Source: revisions, which is append-only.';
comment on column losant_usage.restatements.instance_id is 'Losant instance id.';
comment on column losant_usage.restatements.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.restatements.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.restatements.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.restatements.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.restatements.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.restatements.stream is 'Stream.';
comment on column losant_usage.restatements.usage_date is 'Usage date whose number changed (UTC).';
comment on column losant_usage.restatements.metric is 'Metric, see metrics.';
comment on column losant_usage.restatements.payload_type is 'Payload type, for payloads by source; null otherwise.';
comment on column losant_usage.restatements.source is 'Payload source, for payloads by source; null otherwise.';
comment on column losant_usage.restatements.old_quantity is 'The number before, in the unit beside it; null if none was stored.';
comment on column losant_usage.restatements.new_quantity is 'The number after, in the unit beside it; null if none is stored.';
comment on column losant_usage.restatements.difference is 'New minus old, in the unit beside it, where not stored counts as 0.';
comment on column losant_usage.restatements.unit is 'Unit of the quantities.';
comment on column losant_usage.restatements.revision is 'Version of the cell that the change made.';
comment on column losant_usage.restatements.was_final is 'Whether the number was final before the change.';
comment on column losant_usage.restatements.by_hand is 'Whether the change was made by hand, in SQL; otherwise Losant gave another number.';
comment on column losant_usage.restatements.run_id is 'Run that made the change; null if it was made by hand.';
comment on column losant_usage.restatements.changed_by is 'Database user that made the change.';
comment on column losant_usage.restatements.changed_at is 'When the change was made (UTC).';
comment on column losant_usage.restatements.revision_id is 'Order of the changes: revisions.id.';
comment on column losant_usage.restatements.hour is 'Hour of the usage date (UTC) from 0 to 23, for payloads by hour; null otherwise.';

create view losant_usage.device_continuity as
select o.instance_id, d.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, d.usage_date,
  before.devices_total as previous_total, d.devices_created, d.devices_deleted,
  before.devices_total + d.devices_created - d.devices_deleted as expected_total, d.devices_total,
  d.devices_total - (before.devices_total + d.devices_created - d.devices_deleted) as difference
from losant_usage.usage_days d
join losant_usage.usage_days before on before.usage_date = d.usage_date - 1 and before.org_id = d.org_id
join losant_usage.organizations o on o.org_id = d.org_id
where d.devices_total is not null and before.devices_total is not null;
comment on view losant_usage.device_continuity is 'Whether device totals follow from the day before, one row per organization and usage date whose day before is stored too. A difference is a question, not a fault: devices restored or moved with their application change the total without being created. Source: usage_days.';
comment on column losant_usage.device_continuity.instance_id is 'Losant instance id.';
comment on column losant_usage.device_continuity.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.device_continuity.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.device_continuity.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.device_continuity.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.device_continuity.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.device_continuity.usage_date is 'Usage date (UTC).';
comment on column losant_usage.device_continuity.previous_total is 'Devices at about the end of the day before (count).';
comment on column losant_usage.device_continuity.devices_created is 'Devices created that day (count).';
comment on column losant_usage.device_continuity.devices_deleted is 'Devices deleted that day (count).';
comment on column losant_usage.device_continuity.expected_total is 'previous_total + devices_created - devices_deleted (count).';
comment on column losant_usage.device_continuity.devices_total is 'Devices at about the end of the day (count).';
comment on column losant_usage.device_continuity.difference is 'devices_total - expected_total (count); 0 where the days agree.';

-- A number at a moment is the number of now, unless it was first loaded later, or a later revision has its old value. A
-- day at a time (lateral), so that a month is looked up in the ledger by its days.
create function losant_usage.usage_as_of(moment timestamptz) returns table (
  instance_id text, org_id text, org_name text, referral_id text, plan_id text, customer_id text,
  usage_date date, is_final boolean,
  devices_created bigint, devices_deleted bigint, devices_total bigint, notebook_minutes bigint,
  notebook_completed bigint, notebook_canceled bigint, notebook_errored bigint, notebook_timeout bigint,
  payload_billable_count bigint, payload_all_count bigint, payload_all_bytes bigint, payload_source_count bigint
) language sql stable parallel safe as $$
  select o.instance_id, u.org_id, o.name, o.referral_id, o.plan_id, o.customer_id, day,
    u.is_open is not true and u.is_unread is not true,
    case when 'device_counts' = any (u.unknown) then null when later.old ? 'device_counts' then (later.old -> 'device_counts' ->> 'created')::bigint else u.devices_created end,
    case when 'device_counts' = any (u.unknown) then null when later.old ? 'device_counts' then (later.old -> 'device_counts' ->> 'deleted')::bigint else u.devices_deleted end,
    case when 'device_counts' = any (u.unknown) then null when later.old ? 'device_counts' then (later.old -> 'device_counts' ->> 'total')::bigint else u.devices_total end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'minutes')::bigint else u.notebook_minutes end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'completed')::bigint else u.notebook_completed end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'canceled')::bigint else u.notebook_canceled end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'errored')::bigint else u.notebook_errored end,
    case when 'notebook_minutes' = any (u.unknown) then null when later.old ? 'notebook_minutes' then (later.old -> 'notebook_minutes' ->> 'timeout')::bigint else u.notebook_timeout end,
    case when 'payload_totals' = any (u.unknown) then null when later.old ? 'payload_totals' then (later.old -> 'payload_totals' ->> 'billable_count')::bigint else u.payload_billable_count end,
    case when 'payload_totals' = any (u.unknown) then null when later.old ? 'payload_totals' then (later.old -> 'payload_totals' ->> 'all_count')::bigint else u.payload_all_count end,
    case when 'payload_totals' = any (u.unknown) then null when later.old ? 'payload_totals' then (later.old -> 'payload_totals' ->> 'all_bytes')::bigint else u.payload_all_bytes end,
    case when 'payload_sources' = any (u.unknown) then null when later.old ? 'payload_sources' then (later.old -> 'payload_sources' ->> 'count')::bigint else u.payload_source_count end
  from losant_usage.days_between(
    (select min(usage_date) from losant_usage.usage_days), (select max(usage_date) from losant_usage.usage_days)) as day
  cross join lateral (
    select u.*, c.unknown, c.is_open, n.is_unread
    from losant_usage.usage_days u
    left join (
      select c.org_id, array_agg(c.stream) filter (where c.first_loaded_at > moment) as unknown,
        bool_or(t.days @> c.usage_date and (c.finalized_at is null or c.finalized_at > moment
          or (c.standing <> 'final' and coalesce(c.attempted_at <= moment, true)))) as is_open
      from losant_usage.coverage c
      left join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream
      where c.usage_date = day and c.stream = any (array(select stream from losant_usage.streams))
        and (c.first_loaded_at > moment or c.finalized_at > moment or c.finalized_at is null or c.standing <> 'final')
      group by c.org_id
    ) as c on c.org_id = u.org_id
    left join (
      select org_id, true as is_unread from losant_usage.unread_cells where usage_date = day group by org_id
    ) as n on n.org_id = u.org_id
    where u.usage_date = day
  ) as u
  join losant_usage.organizations o on o.org_id = u.org_id
  left join (
    select r.usage_date, r.org_id, jsonb_object_agg(r.stream, r.old) as old
    from (
      select distinct on (l.usage_date, l.org_id, l.stream) l.usage_date, l.org_id, l.stream, coalesce(l.old, 'null') as old
      from losant_usage.revisions l where l.changed_at > moment and l.key = '{}'
      order by l.usage_date, l.org_id, l.stream, l.id
    ) as r group by r.usage_date, r.org_id
  ) as later on later.usage_date = day and later.org_id = u.org_id
  where ('device_counts' = any (u.unknown) is not true
    and case when later.old ? 'device_counts' then later.old -> 'device_counts' <> 'null' else u.devices_created is not null end)
    or ('notebook_minutes' = any (u.unknown) is not true
    and case when later.old ? 'notebook_minutes' then later.old -> 'notebook_minutes' <> 'null' else u.notebook_minutes is not null end)
    or ('payload_totals' = any (u.unknown) is not true
    and case when later.old ? 'payload_totals' then later.old -> 'payload_totals' <> 'null' else u.payload_billable_count is not null end)
    or ('payload_sources' = any (u.unknown) is not true
    and case when later.old ? 'payload_sources' then later.old -> 'payload_sources' <> 'null' else u.payload_source_count is not null end)
$$;
comment on function losant_usage.usage_as_of is 'The numbers as they were known at a moment (UTC), e.g. when an invoice was written: one row per organization and usage date of which any was stored then, wide as daily_usage, tracked or not; names of organizations are of today. is_final: whether every tracked number of the day was final then. Always restrict usage_date. Source: usage_days, coverage, revisions.';

create function losant_usage.changes_since(moment timestamptz) returns table (
  instance_id text, org_id text, org_name text, referral_id text, plan_id text, customer_id text,
  usage_date date, stream text, metric text, unit text, payload_type text, source text,
  change text, old_quantity bigint, new_quantity bigint, difference bigint, was_final boolean,
  by_hand boolean, changed_at timestamptz
) language sql stable parallel safe as $$
  select r.instance_id, r.org_id, r.org_name, r.referral_id, r.plan_id, r.customer_id,
    r.usage_date, r.stream, r.metric, r.unit, r.payload_type, r.source,
    'restated', r.old_quantity, r.new_quantity, r.difference, r.was_final, r.by_hand, r.changed_at
  from losant_usage.restatements r where r.changed_at > moment and r.hour is null
  union all
  select o.instance_id, c.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
    day, c.stream, m.metric, m.unit, null, null,
    'first_loaded', null, q.quantity, q.quantity, false, false, c.first_loaded_at
  -- Day by day: of most days nothing was first loaded since, and one look at the index tells.
  from losant_usage.days_between(
    (select min(usage_date) from losant_usage.usage_days), (select max(usage_date) from losant_usage.usage_days)) as day
  join losant_usage.coverage c on c.usage_date = day and c.first_loaded_at > moment
  join losant_usage.usage_days u on u.usage_date = day and u.org_id = c.org_id
  join losant_usage.organizations o on o.org_id = c.org_id
  join losant_usage.metrics m on m.stream = c.stream
  cross join lateral (
    select case m.metric
      when 'devices_created' then u.devices_created
      when 'devices_deleted' then u.devices_deleted
      when 'devices_total' then u.devices_total
      when 'notebook_minutes' then u.notebook_minutes
      when 'notebook_completed' then u.notebook_completed
      when 'notebook_canceled' then u.notebook_canceled
      when 'notebook_errored' then u.notebook_errored
      when 'notebook_timeout' then u.notebook_timeout
      when 'payload_billable_count' then u.payload_billable_count
      when 'payload_all_count' then u.payload_all_count
      when 'payload_all_bytes' then u.payload_all_bytes
      when 'payload_source_count' then u.payload_source_count end as quantity
  ) as q
$$;
comment on function losant_usage.changes_since is 'Every number that changed or was first loaded after a moment (UTC), one row per change and metric. change: restated or first_loaded; a first load shows the number of now. Hours are in restatements only. Source: restatements, coverage, usage_days.';

create view losant_usage.usage_movers as
select o.instance_id, o.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, u.period_start, u.period_end,
  u.days, u.quantity, u.previous_quantity, u.quantity - u.previous_quantity as difference,
  round((u.quantity - u.previous_quantity)::numeric / nullif(u.previous_quantity, 0), 4) as change
from (
  select n.org_id, p.month as period_start, p.yesterday as period_end, count(*)::integer as days,
    sum(n.payload_billable_count)::bigint as quantity, sum(b.payload_billable_count)::bigint as previous_quantity
  from (select yesterday, date_trunc('month', yesterday::timestamp)::date as month
    from (select (now() at time zone 'UTC')::date - 1 as yesterday) as y) as p
  join losant_usage.usage_days n on n.usage_date between p.month and p.yesterday and n.payload_billable_count is not null
  join losant_usage.usage_days b on b.org_id = n.org_id and b.payload_billable_count is not null and b.usage_date < p.month
    and b.usage_date = (p.month - interval '1 month')::date + (n.usage_date - p.month)
  group by n.org_id, p.month, p.yesterday
) as u
join losant_usage.organizations o on o.org_id = u.org_id and o.removed_at is null;
comment on view losant_usage.usage_movers is 'Billable payloads of the month (UTC) that holds yesterday, to date, beside the same days of the month before: one row per organization that exists and has a day in both. Days that are not stored in both months are left out of both sums. Source: usage_days.';
comment on column losant_usage.usage_movers.instance_id is 'Losant instance id.';
comment on column losant_usage.usage_movers.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.usage_movers.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.usage_movers.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.usage_movers.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.usage_movers.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.usage_movers.period_start is 'First day of the month (UTC).';
comment on column losant_usage.usage_movers.period_end is 'Yesterday (UTC).';
comment on column losant_usage.usage_movers.days is 'Days of the month that are compared (count).';
comment on column losant_usage.usage_movers.quantity is 'Billable payloads of these days (count).';
comment on column losant_usage.usage_movers.previous_quantity is 'Billable payloads of the same days of the month before (count).';
comment on column losant_usage.usage_movers.difference is 'quantity - previous_quantity (count).';
comment on column losant_usage.usage_movers.change is 'difference divided by previous_quantity (1 is twice as many); null where that is 0.';

create view losant_usage.silent_organizations as
select o.instance_id, o.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, u.last_day, z.days as silent_days,
  u.payloads as payloads_before
from (select (now() at time zone 'UTC')::date - 1 as yesterday) as y
cross join lateral (
  select d.org_id, max(d.usage_date) filter (where d.payload_all_count > 0) as last_day, sum(d.payload_all_count)::bigint as payloads
  from losant_usage.usage_days d where d.usage_date between y.yesterday - 33 and y.yesterday group by d.org_id
) as u
join losant_usage.organizations o on o.org_id = u.org_id and o.removed_at is null
cross join lateral (
  select count(*)::integer as days from losant_usage.days_between(u.last_day + 1, y.yesterday) as day
  join losant_usage.usage_days s on s.usage_date = day and s.org_id = u.org_id and s.payload_all_count = 0
) as z
where u.last_day < y.yesterday - 2 and z.days >= 3;
comment on view losant_usage.silent_organizations is 'Organizations that sent payloads within the last 34 days and none on three or more stored days since, one row each. A day that is not stored is no silence. Source: usage_days.';
comment on column losant_usage.silent_organizations.instance_id is 'Losant instance id.';
comment on column losant_usage.silent_organizations.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.silent_organizations.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.silent_organizations.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.silent_organizations.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.silent_organizations.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.silent_organizations.last_day is 'Last usage date with a payload, billable or not (UTC).';
comment on column losant_usage.silent_organizations.silent_days is 'Days since on which zero payloads are stored (count).';
comment on column losant_usage.silent_organizations.payloads_before is 'Payloads of the last 34 days, billable or not (count).';
