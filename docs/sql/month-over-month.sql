-- Question: How did each organization's usage change from the month before last to last month?
-- Units: payloads, minutes; changes as the difference, and as a share of the month before (0.25 is 25 % more).
-- Filter: other months: put their first days in both places. Changes are null where a month has no number. The share
-- compares averages by day, as months differ in length, and is null where payloads of a day of either month are missing.
select m.org_name, m.referral_id, b.payload_billable_count as payloads_before, m.payload_billable_count as payloads,
  m.payload_billable_count - b.payload_billable_count as payloads_change,
  case when m.payload_totals_days = m.days_expected and b.payload_totals_days = b.days_expected then
    round((m.payload_billable_count::numeric / m.days_expected) / nullif(b.payload_billable_count::numeric / b.days_expected, 0) - 1, 4)
  end as payloads_share_by_day,
  m.notebook_minutes - b.notebook_minutes as minutes_change,
  m.days_expected - m.payload_totals_days as payload_days_missing, b.days_expected - b.payload_totals_days as payload_days_missing_before,
  m.standing, m.org_id
from losant_usage.monthly_usage m
left join losant_usage.monthly_usage b
  on b.org_id = m.org_id and b.month = date_trunc('month', now() at time zone 'UTC' - interval '2 months')::date
where m.month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by abs(m.payload_billable_count - b.payload_billable_count) desc nulls last, m.org_name, m.org_id;
