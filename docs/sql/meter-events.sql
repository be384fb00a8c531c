-- Question: Which meter events, such as those of Stripe, are there for closed months?
-- Units: value in its unit: the amount that the statement adds to earlier billing; may be negative.
-- Change: for unsent events, add `and s.number > 0` with the last number that you sent; for a metric,
-- `and l.metric = 'payload_billable_count'`. Identifiers never change: send each once. A line without a customer ID has
-- no recipient.
select concat_ws(':', s.number, l.org_id, l.metric) as identifier, l.metric as event_name, l.customer_id,
  l.quantity as value, l.unit, s.month, s.number,
  least(s.created_at, (s.month + interval '1 month' - interval '1 second')
    at time zone 'UTC') as occurred_at, l.org_name
from losant_usage.statements s
join losant_usage.statement_lines l on l.statement_id = s.statement_id
where l.quantity <> 0 and l.customer_id is not null
order by s.number, l.org_name, l.org_id, l.metric;
