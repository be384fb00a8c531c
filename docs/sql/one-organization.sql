-- Question: What did one organization use on each of the last 30 days?
-- Units: payloads, bytes, minutes, devices. Null: not stored.
-- Change: replace 'Acme' with the organization's name, or use `org_id = '…'`; names may repeat. For another range,
-- change 30, or use dates. standing is the worst of the day.
select usage_date, payload_billable_count, payload_all_count, payload_all_bytes, notebook_minutes, devices_total,
  devices_created, devices_deleted, standing, is_reported, org_id
from losant_usage.daily_usage
where org_id in (select org_id from losant_usage.organizations where name = 'Acme')
  and usage_date >= (now() at time zone 'UTC')::date - 30
order by usage_date, org_id;
