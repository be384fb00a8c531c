-- Question: How did each organization's usage change from the month before last to last month?
-- Units: payloads, minutes; changes as the difference, and as a share of the month before (0.25 is 25 % more).
-- Filter: other months: put their first days in both places. Changes are null where a month has no number. The share
-- compares averages by day, as months differ in length, and is null where days of either month are missing.
select m.org_name, m.referral_id, b.payload_billable_count as payloads_before, m.payload_billable_count as payloads,
  m.payload_billable_count - b.payload_billable_count as payloads_change,
  case when m.days_held = m.days_expected and b.days_held = b.days_expected then
    round((m.payload_billable_count::numeric / m.days_held) / nullif(b.payload_billable_count::numeric / b.days_held, 0) - 1, 4)
  end as payloads_share_by_day,
  m.notebook_minutes - b.notebook_minutes as minutes_change,
  (m.days_expected - m.days_held) + coalesce(b.days_expected - b.days_held, 0) as days_missing, m.org_id
from losant_usage.monthly_usage m
left join losant_usage.monthly_usage b
  on b.org_id = m.org_id and b.month = date_trunc('month', now() at time zone 'UTC' - interval '2 months')::date
where m.month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by abs(m.payload_billable_count - b.payload_billable_count) desc nulls last, m.org_name, m.org_id;
