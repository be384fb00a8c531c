-- Question: Which organizations cannot be billed for last month yet, and why?
-- Units: days (UTC); null if the cause is not about days.
-- Change: for another month, replace the date after `month =` with its first day. One row per organization and cause; a
-- cause without an organization blocks the whole month.
select org_name, referral_id, cause, days, first_day, last_day, array_to_string(streams, ', ') as streams, detail,
  remedy, org_id
from losant_usage.month_blockers
where month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by org_name nulls first, org_id, cause;
