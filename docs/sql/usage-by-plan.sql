-- Question: What did the organizations of each plan use last month?
-- Units: organizations, payloads, bytes, minutes; days_not_stored are days of organizations (UTC).
-- Change: for another month, replace the date after `month =` with its first day. Plans are the current ones;
-- statement_lines has those at the end of the month.
-- Sums also lack days on which a stream was not tracked: then month_blockers has the cause not_fully_tracked.
select coalesce(plan_id, 'no plan') as plan, count(*) as organizations, count(*) filter (where is_ready) as ready,
  sum(payload_billable_count) as payload_billable_count, sum(payload_all_bytes) as payload_all_bytes,
  sum(notebook_minutes) as notebook_minutes, sum(days_expected - days_stored) as days_not_stored
from losant_usage.monthly_usage
where month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
group by coalesce(plan_id, 'no plan')
order by payload_billable_count desc nulls last, plan;
