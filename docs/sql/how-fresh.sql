-- Question: How complete is the data?
-- Units: UTC days; organizations; gaps are cells (organization, stream, day).
-- Change: nothing. complete_to is the last day through which every organization is complete; null if even the first day
-- is not. list_problem: organizations may be missing.
select f.stream, f.complete_to, f.last_day, f.orgs_complete, f.orgs, f.gaps, f.orgs_with_gaps, f.oldest_gap,
  i.list_problem
from losant_usage.freshness f
cross join losant_usage.instance i
order by f.stream;
