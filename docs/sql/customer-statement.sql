-- Question: What was each customer billed for last month, over all statements and organizations?
-- Units: each row in the unit beside it. An organization without a customer id stands for itself.
-- Filter: another month: put its first day after `month =`. A customer: add `and customer_id = '…'`.
select customer_id, org_id, metric, unit, quantity, orgs, statements
from losant_usage.customer_statements
where month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by customer_id, org_id, metric;
