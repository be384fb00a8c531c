-- Question: How much of its limits has each organization used this month, and on which day will it exceed them?
-- Units: each row in its unit; shares of the limit (0.8 is 80%), null for a limit of 0.
-- Change: for those that will exceed a limit, add `and exceeds_on is not null`. For an organization, add
-- `and org_id = '…'`. Projected with the mean of the stored days. Where days_not_stored is above 0, quantity lacks
-- these days.
-- Sums also lack days on which a stream was not tracked: then month_blockers has the cause not_fully_tracked.
select org_name, referral_id, month, limit_name, quantity, limit_quantity, unit, share, projected_quantity,
  projected_share, exceeds_on, is_exceeded,
  days_expected - days_stored as days_not_stored, org_id
from losant_usage.usage_vs_limits
where metric is not null
order by share desc nulls last, org_name, org_id, limit_name;
