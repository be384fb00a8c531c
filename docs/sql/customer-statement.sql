-- Question: What was each customer billed for last month, over all statements and organizations?
-- Units: each row in its unit. An organization without a customer ID is listed by itself.
-- Change: for another month, replace the date after `month =` with its first day. For a customer, add
-- `and customer_id = '…'`.
select customer_id, org_id, metric, unit, quantity, orgs, statements
from losant_usage.customer_statements
where month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by customer_id, org_id, metric;
