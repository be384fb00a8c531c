-- Question: What did all organizations together use on each of the last 30 days?
-- Units: payloads, bytes, minutes, devices near the end of the day (a level: do not sum days).
-- Change: for another range, change 30, or use dates.
-- payloads_not_stored, minutes_not_stored and devices_not_stored count the organizations that a sum lacks,
-- those whose stream is not loaded included.
select usage_date, sum(payload_billable_count) as payload_billable_count, sum(payload_all_bytes) as payload_all_bytes,
  sum(notebook_minutes) as notebook_minutes, sum(devices_total) as devices_total, count(*) as organizations,
  count(*) - count(payload_billable_count) as payloads_not_stored,
  count(*) - count(notebook_minutes) as minutes_not_stored, count(*) - count(devices_total) as devices_not_stored,
  max(standing) as standing
from losant_usage.daily_usage
where usage_date >= (now() at time zone 'UTC')::date - 30
group by usage_date
order by usage_date;
