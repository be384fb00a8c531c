-- Question: Which meter events are there for closed months?
-- Units: difference in its unit: the amount that the statement adds to earlier billing; may be negative.
-- Change: for unsent events, add `where instance_id = '5c…' and number > 0`; for a metric,
-- `metric = 'payload_billable_count'`. IDs and times never change: send each event_id once. An event without a customer
-- ID has no recipient.
select instance_id, number, month, org_name, event_id, customer_id, metric, difference, unit, occurred_at
from losant_usage.meter_events
order by instance_id, number, org_name, org_id, metric;
