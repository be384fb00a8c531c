-- Question: Which meter events does a billing system take for the closed months?
-- Units: difference in the unit beside it: what the statement adds to what was billed before; may be negative.
-- Filter: what was not sent: `where instance_id = '5c…' and number > 0`; a metric: `metric = 'payload_billable_count'`. Ids and times
-- stay the same whenever this is asked: send each event_id once. An event without a customer id has nobody to go to.
select instance_id, number, month, org_name, event_id, customer_id, metric, difference, unit, occurred_at
from losant_usage.meter_events
order by instance_id, number, org_name, org_id, metric;
