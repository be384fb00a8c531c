-- Question: What differs now from what was invoiced for a closed month, and is not settled yet?
-- Units: each row in the unit beside it. Null: nothing was billed, or not all of it is final yet.
-- Filter: a month: add `where month = date '2026-10-01'`. Settled by losant-usage close --adjust.
select month, org_name, referral_id, metric, unit, billed_quantity, quantity, difference, cause, org_id
from losant_usage.adjustments
order by month, org_name, org_id, metric;
