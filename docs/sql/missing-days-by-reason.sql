-- Question: How many numbers of the last 90 days are missing, and why?
-- Units: numbers: one is an organization, stream and UTC day.
-- Filter: another span: change 90, or put dates. Gaps are tried again by themselves; unavailable and waived are known to be
-- missing. Each single one: losant_usage.coverage_gaps and losant_usage.known_missing.
select stream, state, coalesce(error_code, state) as reason, count(*) as numbers, count(distinct org_id) as organizations,
  min(usage_date) as oldest_day, max(usage_date) as newest_day
from (
  select stream, state, error_code, org_id, usage_date
  from losant_usage.coverage_gaps
  where usage_date >= (now() at time zone 'UTC')::date - 90
  union all
  select stream, state, error_code, org_id, usage_date
  from losant_usage.known_missing
  where usage_date >= (now() at time zone 'UTC')::date - 90
) as missing
group by stream, state, coalesce(error_code, state)
order by numbers desc, stream, state, reason;
