-- Question: What has changed in last month's numbers since the invoice was written?
-- Units: each row in the unit of its metric. Levels (devices) are days and no sums, and are left out.
-- Filter: put the moment of the invoice, e.g. timestamptz '2026-11-03 08:00Z', in the place of the argument of changes_since (as it
-- stands: the third of this month).
select c.org_name, c.referral_id, c.metric, c.unit, sum(c.difference) as difference, bool_or(c.was_final) as was_final,
  count(*) filter (where c.change = 'first_loaded') as days_loaded_later, c.org_id
from losant_usage.changes_since((date_trunc('month', now() at time zone 'UTC') + interval '2 days 8 hours') at time zone 'UTC') as c
join losant_usage.metrics m on m.metric = c.metric and m.kind = 'flow'
where c.usage_date between date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
  and date_trunc('month', now() at time zone 'UTC')::date - 1
group by c.org_id, c.org_name, c.referral_id, c.metric, c.unit
order by c.org_name, c.org_id, c.metric;
