-- Question: What did each statement of last month bill to each customer?
-- Units: each row in its unit; sum quantity over the statements. An organization without a customer ID is listed by
-- itself.
-- Change: for another month, replace the date after `month =` with its first day. For a statement, add
-- `and instance_id = '…' and number = …`; for a customer, `and customer_id = '…'`.
select customer_id, org_id, org_name, referral_id, number, statement_kind, metric, unit, billed_before, quantity
from losant_usage.customer_statements
where month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by customer_id, org_id, number, metric;
