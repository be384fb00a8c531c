-- Question: How have the numbers of earlier months changed since a given time?
-- Units: each row in the unit of its metric. Levels (devices) cannot be summed and are not included.
-- Change: replace the argument of changes_since with the time of your invoice, such as timestamptz '2026-11-03 08:00Z'
-- (the default is the third of this month; until then there are no rows).
select date_trunc('month', c.usage_date::timestamp)::date as month, c.org_name, c.referral_id, c.metric, c.unit,
  sum(c.difference) as difference, bool_or(c.was_final) as was_final,
  count(*) filter (where c.change = 'first_loaded') as numbers_loaded_later, c.org_id
from losant_usage.changes_since(
  (date_trunc('month', now() at time zone 'UTC') + interval '2 days 8 hours') at time zone 'UTC') as c
join losant_usage.metrics m on m.metric = c.metric and m.kind = 'flow'
where c.usage_date < date_trunc('month', now() at time zone 'UTC')::date
group by month, c.org_id, c.org_name, c.referral_id, c.metric, c.unit
order by month, c.org_name, c.org_id, c.metric;
