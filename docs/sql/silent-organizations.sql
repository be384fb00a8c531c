-- Question: Which organizations sent payloads in the last month and none in the last three days?
-- Units: payloads, all of them, billable or not; days (UTC).
-- Filter: silent for longer: add `where silent_days > 7`. A day that is not stored is no silence: silent_days counts the stored
-- ones. An organization that was deleted is not listed.
select org_name, referral_id, last_day as last_day_with_payloads, payloads_before, silent_days, org_id
from losant_usage.silent_organizations
order by payloads_before desc, org_name, org_id;
