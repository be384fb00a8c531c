-- Question: Which numbers changed in the last 90 days although they were final?
-- Units: each row in the unit of its metric; changed_at in the time zone of your session. Null: no value before or
-- after.
-- Change: for another range, change the interval. For an organization, add `and org_id = '…'`.
select changed_at, org_name, referral_id, usage_date, metric, payload_type, source, hour, old_quantity, new_quantity,
  difference, unit, org_id
from losant_usage.restatements
where was_final and changed_at >= now() - interval '90 days'
order by changed_at desc, revision_id desc, metric, payload_type, source, hour;
