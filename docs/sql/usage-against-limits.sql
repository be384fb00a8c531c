-- Question: How much of its limits has each organization used this month, and on which day will it exceed them?
-- Units: each row in its unit; shares of the limit (0.8 is 80%), null for a limit of 0.
-- Filter: those that will exceed a limit: add `and crosses_on is not null`. An organization: add `and org_id = '…'`. Projected by
-- the same weekdays of the last 28 days. Where days_missing is above 0, quantities are too low.
select org_name, referral_id, month, limit_name, quantity, limit_quantity, unit, share, projected_quantity, projected_share,
  crosses_on, days_expected - days_stored as days_missing, org_id
from losant_usage.usage_vs_limits
where metric is not null
order by share desc nulls last, org_name, org_id, limit_name;
