-- Question: Which meter events does a billing system take for the closed months?
-- Units: quantity in the unit beside it; a level (devices) is the last of the period. Null is left out.
-- Filter: a month: `and s.period_month = date '2026-10-01'`; a metric: `and l.metric = 'payload_billable_count'`.
-- Each event_id stays the same however often this is asked, so that sending an event twice counts once. An adjustment
-- is an event of its own, with the difference, which may be negative: not every system takes that. The customer is the
-- referral id, or the organization's id where it has none. Not sent by this program: put stripe, lago or openmeter into
-- your own sender (Stripe: POST /v1/billing/meter_events; Lago: POST /api/v1/events; OpenMeter: POST /api/v1/events).
select s.period_month, l.org_name, e.event_id, e.customer, l.metric, l.quantity, l.unit, e.happened_at,
  jsonb_build_object('event_name', l.metric, 'identifier', e.event_id, 'timestamp', extract(epoch from e.happened_at)::bigint,
    'payload', jsonb_build_object('stripe_customer_id', e.customer, 'value', l.quantity::text)) as stripe,
  jsonb_build_object('event', jsonb_build_object('transaction_id', e.event_id, 'external_subscription_id', e.customer,
    'code', l.metric, 'timestamp', extract(epoch from e.happened_at)::bigint,
    'properties', jsonb_build_object('quantity', l.quantity))) as lago,
  jsonb_build_object('specversion', '1.0', 'id', e.event_id, 'source', 'losant-usage', 'type', l.metric,
    'subject', e.customer, 'time', to_char(e.happened_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'data', jsonb_build_object('quantity', l.quantity)) as openmeter
from losant_usage.statements s
join losant_usage.statement_lines l on l.statement_id = s.statement_id
cross join lateral (
  select concat_ws(':', s.statement_id, l.org_id, l.period_start, l.metric) as event_id,
    coalesce(nullif(l.referral_id, ''), l.org_id) as customer,
    -- The last second of the period: inside it for every system.
    (l.period_end + 1)::timestamp at time zone 'UTC' - interval '1 second' as happened_at
) as e
where l.quantity <> 0
order by s.period_month, l.org_name, l.org_id, l.period_start, l.metric, s.number;
