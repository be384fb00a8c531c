-- Question: Which organizations cannot be billed for last month yet, and why?
-- Units: days (UTC); null if the cause is not about days.
-- Change: for another month, replace the date after `month =` with its first day. One row per organization and cause; a
-- cause without an organization blocks the whole instance. remedy has a command or sentence per line.
select coalesce(i.name, i.instance_id) as instance, b.org_name, b.referral_id, b.cause, b.days, b.first_day, b.last_day,
  array_to_string(b.streams, ', ') as streams, b.detail, b.remedy, b.org_id
from losant_usage.month_blockers b
join losant_usage.instances i on i.instance_id = b.instance_id
where b.month = date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
order by b.org_name nulls first, b.org_id, b.cause, instance;
