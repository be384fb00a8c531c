-- Question: Which organizations cannot be billed for last month yet, and why?
-- Units: days (UTC).
-- Filter: another month: put its first day after `month =`. What to do about each reason is in docs/operations.md, "A month is
-- not billable".
select org_name, referral_id,
  concat_ws(', ',
    case when not is_over then 'the month is not over' end,
    case when not is_whole then 'days are not tracked' end,
    case when days_held < days_expected then 'days missing: ' || days_expected - days_held end,
    case when days_final < days_held then 'days not final: ' || days_held - days_final end,
    case when days_unavailable > 0 then 'days unavailable: ' || days_unavailable end) as why,
  days_expected, days_held, days_final, days_waived, days_unavailable, org_id
from losant_usage.monthly_usage
where month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date and not is_billable
order by days_expected - days_held desc, org_name, org_id;
