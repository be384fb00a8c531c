-- Losant's control totals of the instance, and the comparison of our sums with them and of streams that count the same
-- payloads with each other. Everything is added up when it is asked for.

create table losant_usage.instance_totals (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  metric text collate "C" not null references losant_usage.metrics,
  losant_total bigint check (losant_total between 0 and 9007199254740991),
  last_read_at timestamptz not null,
  primary key (usage_date, metric)
);

-- Whether an organization with these dates counts as existing on a day; an unknown date is no bound.
create function losant_usage_internal.existed_on(created_on date, deleted_on date, day date) returns boolean
language sql immutable parallel safe
return (created_on <= day) is not false and (deleted_on >= day) is not false;

-- Our sums by day, with the number of organizations that have the metrics of a stream, and of those that existed.
create view losant_usage_internal.day_sums as
select d.usage_date, d.month,
  (select count(*) from losant_usage.organizations o
    where losant_usage_internal.existed_on(o.created_on, o.deleted_on, d.usage_date)) as orgs_existing,
  count(d.devices_total) as device_counts_orgs, count(d.notebook_minutes) as notebook_minutes_orgs,
  count(d.payload_all_count) as payload_totals_orgs, count(d.payload_source_count) as payload_sources_orgs,
  losant_usage_internal.total(d.devices_created) as devices_created,
  losant_usage_internal.total(d.devices_deleted) as devices_deleted,
  losant_usage_internal.total(d.devices_total) as devices_total,
  losant_usage_internal.total(d.notebook_minutes) as notebook_minutes,
  losant_usage_internal.total(d.notebook_completed) as notebook_completed,
  losant_usage_internal.total(d.notebook_canceled) as notebook_canceled,
  losant_usage_internal.total(d.notebook_errored) as notebook_errored,
  losant_usage_internal.total(d.notebook_timeout) as notebook_timeout,
  losant_usage_internal.total(d.payload_billable_count) as payload_billable_count,
  losant_usage_internal.total(d.payload_all_count) as payload_all_count,
  losant_usage_internal.total(d.payload_all_bytes) as payload_all_bytes,
  losant_usage_internal.total(d.payload_source_count) as payload_source_count
from losant_usage.usage_days d group by d.usage_date, d.month;

create view losant_usage_internal.unsettled_counts as
select usage_date, month, stream, count(*) as orgs
from losant_usage.coverage where standing <> 'final' and not losant_usage_internal.is_settled(standing)
group by usage_date, month, stream;

-- The comparison of our sum of a day with Losant's control total.
create view losant_usage_internal.total_comparisons as
select s.usage_date, s.month, m.stream, m.metric, m.unit, m.kind, 'losant' as compared_with,
  q.quantity, t.losant_total, t.losant_total as compared_quantity, q.orgs, s.orgs_existing - q.orgs as orgs_missing,
  null::bigint as orgs_differing,
  case
    when i.new_orgs_from is null then 'selection'
    when q.orgs < s.orgs_existing then 'orgs_missing'
    when t.losant_total is null then case when t.last_read_at is not null then 'omitted'
      when m.stream = any (i.rejected_totals) then 'rejected' when s.usage_date < f.horizon then 'past_horizon'
      else 'not_read' end
    when q.quantity = t.losant_total then 'equal'
    -- It is not documented whether a total includes an organization that was deleted before it was read. A deletion
    -- may be noticed days later, but lists lack the organization from the day after it was last seen.
    when exists (select from losant_usage.organizations o
      where o.deleted_on >= s.usage_date and o.last_seen_at < t.last_read_at
        and least(o.deleted_on, (o.last_seen_at at time zone 'UTC')::date + 1)
          <= (t.last_read_at at time zone 'UTC')::date) then 'organization_deleted'
    else 'difference' end as result,
  coalesce(u.orgs, 0) as orgs_unsettled,
  u.orgs is null and (coalesce(t.last_read_at >= f.final_at, false) or s.usage_date < f.horizon) as is_settled,
  t.last_read_at
from losant_usage_internal.day_sums s
cross join losant_usage.instance i
cross join losant_usage.metrics m
cross join lateral (
  select (to_jsonb(s) ->> m.metric)::bigint as quantity, (to_jsonb(s) ->> (m.stream || '_orgs'))::bigint as orgs
) as q
cross join lateral (
  select ((s.usage_date + 1)::timestamp + (i.policy ->> 'finalAfterHours')::integer * interval '1 hour')
    at time zone 'UTC' as final_at, losant_usage_internal.today() - (i.policy ->> 'horizonDays')::integer as horizon
) as f
left join losant_usage.instance_totals t on t.usage_date = s.usage_date and t.metric = m.metric
left join losant_usage_internal.unsettled_counts u
  on u.usage_date = s.usage_date and u.month = s.month and u.stream = m.stream
where q.orgs > 0 or t.losant_total is not null;

create function losant_usage_internal.sum_of(hours bigint[]) returns bigint language sql immutable parallel safe
return (select sum(h)::bigint from unnest(hours) as h);

-- The comparison of a metric with another stream that counts the same payloads, over the organizations that have both.
create view losant_usage_internal.stream_comparisons as
select c.usage_date, c.month, m.stream, m.metric, m.unit, m.kind, c.compared_with,
  losant_usage_internal.total(c.quantity) as quantity, null::bigint as losant_total,
  losant_usage_internal.total(c.compared_quantity) as compared_quantity, count(*) as orgs, null::bigint as orgs_missing,
  count(*) filter (where c.is_different) as orgs_differing,
  case when bool_or(c.is_different) then 'difference' else 'equal' end as result, null::bigint as orgs_unsettled,
  -- Settled once a difference is one between final numbers; waived ones were accepted as they are.
  case when bool_or(c.is_different) then bool_or(case when c.is_different then not exists (
      select from losant_usage.coverage k
      where k.org_id = c.org_id and k.usage_date = c.usage_date and k.stream in (m.stream, c.compared_with)
        and k.standing <> 'final') end) else true end as is_settled,
  null::timestamptz as last_read_at
from (
  select d.usage_date, d.month, d.org_id, 'payload_source_count' as metric, 'payload_totals' as compared_with,
    d.payload_source_count as quantity, d.payload_all_count as compared_quantity,
    d.payload_source_count <> d.payload_all_count as is_different
  from losant_usage.usage_days d where d.payload_source_count is not null and d.payload_all_count is not null
  union all
  select d.usage_date, d.month, d.org_id, n.metric, 'payload_hours', n.quantity, n.compared_quantity,
    n.quantity <> n.compared_quantity
  from losant_usage.usage_days d
  cross join lateral (values
    ('payload_billable_count', d.payload_billable_count, losant_usage_internal.sum_of(d.hours_billable_count)),
    ('payload_all_count', d.payload_all_count, losant_usage_internal.sum_of(d.hours_all_count)),
    ('payload_all_bytes', d.payload_all_bytes, losant_usage_internal.sum_of(d.hours_all_bytes))
  ) as n (metric, quantity, compared_quantity)
  where d.hours_all_count is not null and d.payload_all_count is not null
) as c
join losant_usage.metrics m on m.metric = c.metric
group by c.usage_date, c.month, m.stream, m.metric, m.unit, m.kind, c.compared_with;

create view losant_usage_internal.comparisons as
select * from losant_usage_internal.total_comparisons
union all
select * from losant_usage_internal.stream_comparisons;

create view losant_usage.reconciliation as
select usage_date, month, stream, metric, unit, kind, compared_with, quantity, losant_total,
  case when compared_with <> 'losant' then compared_quantity end as compared_quantity,
  quantity - compared_quantity as difference, orgs_missing, orgs_differing,
  case when result in ('equal', 'difference') then result when result = 'not_read' then 'pending'
    when result = 'orgs_missing' and orgs_unsettled > 0 then 'pending' else 'not_compared' end as outcome,
  case when result not in ('equal', 'difference') then result end as reason, is_settled, last_read_at
from losant_usage_internal.comparisons;

comment on table losant_usage.instance_totals is 'Losant’s control total of the instance by day and metric, once it was requested. Written by losant-usage run; never changes usage.';
comment on column losant_usage.instance_totals.losant_total is 'Control total of Losant; null if Losant omitted it.';
comment on column losant_usage.instance_totals.last_read_at is 'When the control total was requested (UTC).';
comment on view losant_usage.reconciliation is 'Our sums compared with Losant’s control totals (compared_with = losant) and with other streams that count the same payloads, by day and metric. Filter on usage_date or month; without a filter it adds up every day. Key: usage_date, metric, compared_with. Source: usage_days, coverage, instance_totals.';
comment on column losant_usage.reconciliation.compared_quantity is 'Sum of the other stream, over organizations that have both; null for a control total.';
comment on column losant_usage.reconciliation.compared_with is 'losant for the control total, otherwise the other stream.';
comment on column losant_usage.reconciliation.difference is 'quantity minus the number it is compared with; null if that is.';
comment on column losant_usage.reconciliation.is_settled is 'Whether both sides are settled: a difference between settled numbers blocks the month.';
comment on column losant_usage.reconciliation.last_read_at is 'When the control total was requested (UTC); null if it was not, and for another stream.';
comment on column losant_usage.reconciliation.losant_total is 'Control total of Losant; null if it was not read or was omitted, and for another stream.';
comment on column losant_usage.reconciliation.orgs_differing is 'Organizations whose number differs from that of the other stream (count); null for a control total.';
comment on column losant_usage.reconciliation.orgs_missing is 'Organizations that existed on the day but are not in our sum (count); null for another stream.';
comment on column losant_usage.reconciliation.outcome is 'equal, difference, pending or not_compared.';
comment on column losant_usage.reconciliation.quantity is 'Our sum over the organizations that have the metric; null if none has.';
comment on column losant_usage.reconciliation.reason is 'Why the comparison is pending or not_compared; null otherwise. selection: LOSANT_ORG_IDS selects organizations. orgs_missing: not every organization of the day is stored. not_read, omitted, rejected, past_horizon: there is no control total. organization_deleted: an organization was deleted before the control total was read.';
