-- Question: Which numbers changed in the last 90 days although they were final?
-- Units: each row in the unit of its metric; changed_at in the time zone of your session.
-- Filter: another span: change the interval. An organization: add `and org_id = '…'`. By hand: in SQL; otherwise Losant gave
-- another number. Null: no number was stored, or none is.
select changed_at, org_name, referral_id, usage_date, metric, payload_type, source, old_quantity, new_quantity, difference,
  unit, by_hand, changed_by, org_id
from losant_usage.restatements
where was_final and changed_at >= now() - interval '90 days'
order by changed_at desc, revision_id desc, metric;
