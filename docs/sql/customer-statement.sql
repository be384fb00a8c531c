-- Question: What did each statement of the last closed month bill to each customer?
-- Units: each row in its unit; the quantities of a month's statements add up to what was billed.
-- Change: for another month, replace what follows `month =` with its first day, such as date '2026-10-01'. For a
-- customer, add `and l.customer_id = '…'`. An organization without a customer ID is listed by itself.
select coalesce(l.customer_id, l.org_id) as customer, string_agg(distinct l.org_name, ', ') as organizations,
  s.number, s.kind, s.created_at, l.metric, l.unit, sum(l.quantity) as quantity,
  sum(l.days_expected - l.days_stored) as days_not_stored
from losant_usage.statements s
join losant_usage.statement_lines l on l.statement_id = s.statement_id
where s.month = (select max(month) from losant_usage.statements)
group by coalesce(l.customer_id, l.org_id), s.number, s.kind, s.created_at, l.metric, l.unit
order by customer, s.number, l.metric;
