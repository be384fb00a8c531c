-- Question: How much of its limits has each organization used in this billing period, and where will it end?
-- Units: each row in the unit beside it; shares of the limit (0.8 is 80 %), null for a limit of 0.
-- Filter: those that are close: add `and projected_share > 0.8`. An organization: add `and org_id = '…'`. Projected: what
-- the period comes to if it goes on as on the days that are held. Where days_missing is above 0, quantities are too low.
select org_name, referral_id, period_start, period_end, limit_name, quantity, limit_quantity, unit, share,
  projected_quantity, projected_share, days_expected - days_held as days_missing, org_id
from losant_usage.usage_vs_limits
where metric is not null
order by share desc nulls last, org_name, org_id, limit_name;
