-- Question: Which organizations sent payloads in the last five weeks and none in the last three days?
-- Units: billable payloads; days (UTC). A day that is not stored does not count as silent.
-- Change: for an instance, add `and a.instance_id = '…'`.
select a.org_name, a.referral_id, a.last_active_on as last_day_with_payloads,
  a.previous_quantity as payloads_28_days_earlier, a.org_id
from losant_usage.organization_activity a
where a.is_silent
order by a.previous_quantity desc nulls last, a.org_name, a.org_id;
