-- Question: What is the state of each month?
-- Units: organizations; months are calendar months (UTC).
-- Change: this computes every closed month, so keep the condition on month. For an instance, add
-- `and m.instance_id = '…'`.
select coalesce(i.name, i.instance_id) as instance, m.month, m.state, array_to_string(m.causes, ', ') as causes,
  m.orgs_blocked, m.orgs_to_adjust, m.lines_to_adjust, m.closed_at, m.statements
from losant_usage.months m
join losant_usage.instances i on i.instance_id = m.instance_id
where m.is_over and m.month >= date_trunc('month', now() at time zone 'UTC' - interval '3 months')::date
order by m.month desc, instance, m.instance_id;
