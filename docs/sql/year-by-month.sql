-- Question: What did all organizations together use in each of the last twelve months?
-- Units: payloads, bytes, minutes; days_not_stored are days of organizations (UTC).
-- Change: for another range, change both intervals.
-- Where days_not_stored is above 0, at least one sum lacks these days.
-- Sums also lack days on which a stream was not tracked: then month_blockers has the cause not_fully_tracked.
select month, count(*) as organizations, sum(payload_billable_count) as payload_billable_count,
  sum(payload_all_bytes) as payload_all_bytes, sum(notebook_minutes) as notebook_minutes,
  sum(days_expected - days_stored) as days_not_stored, max(standing) as standing
from losant_usage.monthly_usage
where month >= date_trunc('month', now() at time zone 'UTC' - interval '12 months')::date
  and month < date_trunc('month', now() at time zone 'UTC')::date
group by month
order by month;
