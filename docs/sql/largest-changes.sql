-- Question: Whose billable payloads of this month changed most against the same days of last month?
-- Units: payloads; the share is of last month (0.25 is 25 % more), null where it had none. Days up to yesterday (UTC).
-- Filter: only those that fell: add `where difference < 0`. Days that are not stored in both months are in neither sum: days
-- says how many are. An organization without such a day, or deleted, is not listed.
select org_name, referral_id, previous_quantity as before_payloads, quantity as now_payloads, difference as change,
  change as share, days, org_id
from losant_usage.usage_movers
order by abs(difference) desc, org_name, org_id
limit 25;
