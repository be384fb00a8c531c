-- Question: Which days explain what is still to be adjusted in closed months?
-- Units: each row in its unit; adjustment and difference in the same one. For a level (devices), the last day counts.
-- Change: for a month, add `and a.month = date '2026-10-01'`; for an organization, `and a.org_id = '…'`. To bill the
-- differences: losant-usage close --adjust.
select a.month, a.org_name, a.metric, a.unit, a.billed_quantity, a.quantity, a.difference as adjustment, c.usage_date,
  c.change, c.payload_type, c.source, c.old_quantity, c.new_quantity, c.difference, c.reason, c.changed_at, a.org_id
from losant_usage.adjustments a
join (
  select month, max(created_at) as created_at from losant_usage.statements group by month
) as s on s.month = a.month
cross join lateral losant_usage.changes_since(s.created_at) as c
where c.org_id = a.org_id and c.metric = a.metric
  and c.usage_date between a.month and (a.month + interval '1 month')::date - 1
order by a.month, a.org_name, a.org_id, a.metric, c.usage_date, c.changed_at, c.payload_type, c.source;
