-- Question: What did all organizations together use in each of the last twelve months?
-- Units: payloads, bytes, minutes; days_incomplete are days of organizations (UTC).
-- Filter: another span: change both intervals. One instance: add `and instance_id = '…'` before `group by`. Where
-- days_incomplete is above 0, the sums are too low by what is missing.
select date_trunc('month', usage_date::timestamp)::date as month, count(distinct org_id) as organizations,
  sum(payload_billable_count) as payload_billable_count, sum(payload_all_bytes) as payload_all_bytes,
  sum(notebook_minutes) as notebook_minutes,
  count(*) filter (where streams_stored < streams_expected) as days_incomplete
from losant_usage.daily_usage
where usage_date >= date_trunc('month', now() at time zone 'UTC' - interval '12 months')::date
  and usage_date < date_trunc('month', now() at time zone 'UTC')::date
group by 1
order by 1;
