-- Question: How did each organization's usage change from the month before last to last month?
-- Units: payloads, minutes; changes as a difference, and as a share per day (0.25 is 25% more), because months differ
-- in length.
-- Change: for other months, replace both dates with their first days. A change is null if its stream is not stored on
-- an expected day of either month, such as before it was loaded.
-- Sums also lack days on which a stream was not tracked: then month_blockers has the cause not_fully_tracked.
select m.org_name, m.referral_id, p.payload_billable_count as payloads_before, m.payload_billable_count as payloads,
  case when c.has_payloads then m.payload_billable_count - p.payload_billable_count end as payloads_change,
  case when c.has_payloads then round((m.payload_billable_count::numeric / m.days_expected)
    / nullif(p.payload_billable_count::numeric / p.days_expected, 0) - 1, 4) end as payloads_share_by_day,
  case when c.has_minutes then m.notebook_minutes - p.notebook_minutes end as minutes_change,
  m.days_expected - m.days_stored as days_not_stored, p.days_expected - p.days_stored as days_not_stored_before,
  m.standing, m.org_id
from losant_usage.monthly_usage m
-- For the planner, which knows how many organizations there are, but not how many rows of a view match.
join losant_usage.organizations o on o.org_id = m.org_id
left join losant_usage.monthly_usage p
  on p.org_id = o.org_id and p.month = date_trunc('month', now() at time zone 'UTC' - interval '2 months')::date
cross join lateral (
  select m.payload_totals_days_stored = m.days_expected and p.payload_totals_days_stored = p.days_expected
      as has_payloads,
    m.notebook_minutes_days_stored = m.days_expected and p.notebook_minutes_days_stored = p.days_expected as has_minutes
) as c
where m.month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by abs(m.payload_billable_count - p.payload_billable_count) desc nulls last, m.org_name, m.org_id;
