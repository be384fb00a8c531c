-- Question: How many cells of the last 90 days are missing, and why?
-- Units: cells (organization, stream, UTC day).
-- Change: for another range, change 90, or use dates. in_doubt and missing are gaps, which are retried automatically;
-- unavailable cells can no longer be read; waived cells were accepted as they are. For each cell, see
-- losant_usage.cells.
select stream, standing, reason, count(*) as cells, count(distinct org_id) as organizations,
  min(usage_date) as oldest_day, max(usage_date) as newest_day
from losant_usage.cells
where usage_date >= (now() at time zone 'UTC')::date - 90
  and standing in ('in_doubt', 'missing', 'unavailable', 'waived')
group by stream, standing, reason
order by cells desc, stream, standing, reason;
