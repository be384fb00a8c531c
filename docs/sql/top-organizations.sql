-- Question: Which organizations sent the most payloads last month?
-- Units: payloads, bytes, minutes, devices; days (UTC). Null: not stored.
-- Change: for another month, replace the date after `month =` with its first day, such as date '2026-10-01'. For
-- another order, change the column in `order by`. Where days_not_stored is above 0, at least one sum lacks these days.
-- Sums also lack days on which a stream was not tracked: then month_blockers has the cause not_fully_tracked.
select org_name, referral_id, plan_id, payload_billable_count, payload_all_bytes, notebook_minutes,
  devices_total_max, days_expected - days_stored as days_not_stored, is_ready, org_id
from losant_usage.monthly_usage
where month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by payload_billable_count desc nulls last, org_name, org_id
limit 25;
