-- Question: What differs now from the closed periods, and is not settled yet?
-- Units: each row in the unit beside it. Null: no number was stored, or none is.
-- Filter: a month: add `where period_month = date '2026-10-01'`; an instance: `where instance_id = '…'`. Settled by
-- `losant-usage close --adjust`. Why: restated by Losant, changed by hand, loaded later, not in the statement, or tracking.
select period_month, org_name, referral_id, period_start, period_end, metric, unit, then_quantity, now_quantity, difference,
  cause, org_id
from losant_usage.adjustments
order by period_month, org_name, org_id, period_start, metric;
