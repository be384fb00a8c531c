-- Question: Which organizations sent payloads in the last month and none in the last three days?
-- Units: payloads, all of them, billable or not; days (UTC).
-- Filter: another span: change 3 and 33. A day that is not stored is no silence: days_not_stored says how many of the three are
-- not. An organization that was deleted is not listed.
select o.name as org_name, o.referral_id, u.last_day_with_payloads, u.payloads_before, 3 - u.days_stored as days_not_stored, o.org_id
from (
  select d.org_id, max(d.usage_date) filter (where d.payload_all_count > 0) as last_day_with_payloads,
    sum(d.payload_all_count) filter (where d.usage_date < y.today - 3) as payloads_before,
    sum(d.payload_all_count) filter (where d.usage_date >= y.today - 3) as payloads_lately,
    count(d.payload_all_count) filter (where d.usage_date >= y.today - 3) as days_stored
  from (select (now() at time zone 'UTC')::date as today) as y
  join losant_usage.usage_days d on d.usage_date between y.today - 33 and y.today - 1
  group by d.org_id
) as u
join losant_usage.organizations o on o.org_id = u.org_id and o.removed_at is null
where u.payloads_before > 0 and u.payloads_lately is not distinct from 0
order by u.payloads_before desc, org_name, org_id;
