-- Question: What has changed in last month's numbers since the invoice was written?
-- Units: each row in the unit of its metric. quantity_then: the month's sum as it was known then; null: no number was stored.
-- Filter: put the moment at which the invoice was written, e.g. timestamptz '2026-11-03 08:00Z', in the place of the argument
-- of changes_since (as it stands: the third of this month); another month: put its days and its first day. Flows only.
select c.org_name, c.referral_id, c.metric, c.unit,
  case when c.first_loads >= n.days_stored and n.days_stored > 0 then null
    when n.quantity is null then -c.difference else n.quantity - c.difference end as quantity_then,
  n.quantity as quantity_now, c.difference, c.was_final, c.by_hand, c.org_id
from (
  select org_id, org_name, referral_id, stream, metric, unit, sum(difference) as difference,
    count(*) filter (where change = 'first_loaded') as first_loads,
    bool_or(was_final) as was_final, bool_or(by_hand) as by_hand
  from losant_usage.changes_since((date_trunc('month', now() at time zone 'UTC') + interval '2 days 8 hours') at time zone 'UTC')
  where usage_date between date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
    and date_trunc('month', now() at time zone 'UTC')::date - 1
  group by org_id, org_name, referral_id, stream, metric, unit
) as c
join losant_usage.metrics k on k.metric = c.metric and k.kind = 'flow'
join losant_usage.monthly_usage m
  on m.org_id = c.org_id and m.month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
-- The month's sum of that metric, and the days of its stream: the columns of their names.
cross join lateral (
  select (to_jsonb(m) ->> c.metric)::bigint as quantity, (to_jsonb(m) ->> (c.stream || '_days'))::integer as days_stored
) as n
where c.difference <> 0 or c.first_loads > 0
order by c.org_name, c.org_id, c.metric;
