-- Question: How complete is the data?
-- Units: UTC days; organizations; gaps are cells (organization, stream, day).
-- Change: for an instance, add `where f.instance_id = '…'`. complete_to is the last day through which every
-- organization is complete; null if even the first day is not. list_problem: organizations may be missing.
select coalesce(i.name, i.instance_id) as instance, f.stream, f.complete_to, f.last_day, f.orgs_complete, f.orgs,
  f.gaps, f.orgs_with_gaps, f.oldest_gap, i.list_problem
from losant_usage.freshness f
join losant_usage.instances i on i.instance_id = f.instance_id
order by instance, f.instance_id, f.stream;
