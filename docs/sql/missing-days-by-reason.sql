-- Question: How many numbers of the last 90 days are missing, and why?
-- Units: numbers: one is an organization, stream and UTC day.
-- Filter: another span: change 90, or put dates. Standings: in_doubt and missing are gaps, which are read again by themselves;
-- unavailable can no longer be read; accepted ones were waived by a person. Each single one: losant_usage.cells.
select stream, standing, reason, count(*) as numbers, count(distinct org_id) as organizations,
  min(usage_date) as oldest_day, max(usage_date) as newest_day
from losant_usage.cells
where usage_date >= (now() at time zone 'UTC')::date - 90 and standing in ('in_doubt', 'missing', 'unavailable', 'accepted')
group by stream, standing, reason
order by numbers desc, stream, standing, reason;
