-- Question: Which organizations can be billed for last month, and for what?
-- Units: payloads, bytes, minutes, devices, days (UTC).
-- Change: for another month, replace the date after `month =` with its first day. Ready: no row in month_blockers.
-- days_waived (cells accepted as they are) and days_unreported (zeros that Losant never reported) qualify the sums.
select referral_id, org_name, payload_billable_count, payload_all_bytes, notebook_minutes, devices_total,
  devices_total_max, is_final, days_waived, days_unreported, org_id
from losant_usage.monthly_usage
where month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date and is_ready
order by org_name, org_id;
