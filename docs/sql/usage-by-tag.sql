-- Question: What did the organizations of each tag use last month, each organization counted once?
-- Units: organizations, payloads, bytes, minutes; days_not_stored are days of organizations (UTC).
-- Change: for another tag, replace 'tier' with its key. Keys may repeat within an organization: `nth = 1` takes the
-- first, so that the rows add up to the total. Tags are the current ones. For another month, replace the date after
-- `month =` with its first day.
-- Sums also lack days on which a stream was not tracked: then month_blockers has the cause not_fully_tracked.
select coalesce(t.value, 'no such tag') as tier, count(*) as organizations,
  sum(m.payload_billable_count) as payload_billable_count, sum(m.payload_all_bytes) as payload_all_bytes,
  sum(m.notebook_minutes) as notebook_minutes, sum(m.days_expected - m.days_stored) as days_not_stored
from losant_usage.monthly_usage m
left join losant_usage.organization_tags t on t.org_id = m.org_id and t.key = 'tier' and t.nth = 1
where m.month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
group by coalesce(t.value, 'no such tag')
order by payload_billable_count desc nulls last, tier;
