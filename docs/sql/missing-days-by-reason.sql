-- Question: How many cells of the last 90 days are missing, and why?
-- Units: cells (organization, stream, UTC day).
-- Filter: another span: change 90, or put dates. Standings: in_doubt and missing are gaps, which are retried automatically;
-- unavailable can no longer be read; waived cells were accepted as they are. For each cell, see losant_usage.cells.
select stream, standing, reason, count(*) as numbers, count(distinct org_id) as organizations,
  min(usage_date) as oldest_day, max(usage_date) as newest_day
from losant_usage.cells
where usage_date >= (now() at time zone 'UTC')::date - 90 and standing in ('in_doubt', 'missing', 'unavailable', 'accepted')
group by stream, standing, reason
order by numbers desc, stream, standing, reason;
