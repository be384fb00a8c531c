-- Question: What is the state of each month?
-- Units: organizations; months are calendar months (UTC).
-- Change: for more months, change 3.
select month, state, array_to_string(causes, ', ') as causes, orgs_blocked, orgs_to_adjust, lines_to_adjust, closed_at,
  statements
from losant_usage.months
where has_ended and month >= date_trunc('month', now() at time zone 'UTC' - interval '3 months')::date
order by month desc;
