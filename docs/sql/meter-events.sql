-- Question: Which meter events does a billing system take for the closed months?
-- Units: value in the unit beside it: of a flow what the statement adds, of a level (devices) the level itself.
-- Filter: what was not sent: `where e.instance_id = '5c…' and e.number > 0`; a metric: `e.metric = 'payload_billable_count'`.
-- An id and its time stay the same whenever this is asked; ../billing.md says what your sender has to remember, and which
-- value which meter takes: for a level on a meter that sums, put e.difference in the place of e.value, for one that takes
-- the greatest e.value_max. The bodies are null, and the row is there, where an organization has no customer id. Stripe:
-- POST /v1/billing/meter_events; Lago: POST /api/v1/events, with the customer id as the id of its subscription; OpenMeter:
-- POST /api/v1/events.
select e.instance_id, e.number, e.period_month, e.org_name, e.event_id, e.customer_id, e.metric, e.value, e.unit,
  e.occurred_at, e.send_by,
  case when b.is_complete then jsonb_build_object('event_name', e.metric, 'identifier', e.event_id, 'timestamp', b.seconds,
    'payload', jsonb_build_object('stripe_customer_id', e.customer_id, 'value', e.value::text)) end as stripe,
  case when b.is_complete then jsonb_build_object('event', jsonb_build_object('transaction_id', e.event_id,
    'external_subscription_id', e.customer_id, 'code', e.metric, 'timestamp', b.seconds, 'properties', b.properties)) end as lago,
  case when b.is_complete then jsonb_build_object('specversion', '1.0', 'id', e.event_id, 'source', 'losant-usage',
    'type', e.metric, 'subject', e.customer_id, 'time', to_char(e.occurred_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'data', b.properties) end as openmeter
from losant_usage.meter_events e
cross join lateral (
  select e.customer_id is not null and e.value is not null as is_complete, extract(epoch from e.occurred_at)::bigint as seconds,
    jsonb_build_object('value', e.value, 'org_id', e.org_id, 'period_start', e.period_start, 'period_end', e.period_end,
      'replaces', e.replaces_event_id, 'replaces_value', e.replaces_value) as properties
) as b
order by e.instance_id, e.number, e.org_name, e.org_id, e.period_start, e.metric;
