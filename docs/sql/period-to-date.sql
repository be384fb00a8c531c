-- Question: What has each organization used so far in the billing period that holds yesterday?
-- Units: payloads, bytes, minutes, devices; days (UTC). Null: nothing of it is stored.
-- Filter: an organization: add `and org_id = '…'`; an instance: `and instance_id = '…'`. A past period: put one of its
-- days, e.g. date '2026-10-15', in the place of yesterday. Where days_missing is above 0, the sums are too low.
select org_name, referral_id, period_start, period_end, source, payload_billable_count, payload_all_bytes, notebook_minutes,
  devices_total, devices_total_max, days_in_period, days_stored, days_expected - days_stored as days_missing, org_id
from losant_usage.period_usage
where (now() at time zone 'UTC')::date - 1 between period_start and period_end
order by payload_billable_count desc nulls last, org_name, org_id;
