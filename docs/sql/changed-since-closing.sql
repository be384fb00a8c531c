-- Question: Which closed months have differences that are not billed yet?
-- Units: each row in its unit. Null: nothing was billed, or not everything is settled yet.
-- Change: for a month, add `where month = date '2026-10-01'`. To bill differences: losant-usage close --adjust.
select month, org_name, referral_id, metric, unit, billed_quantity, quantity, difference, cause, org_id
from losant_usage.adjustments
order by month, org_name, org_id, metric;
