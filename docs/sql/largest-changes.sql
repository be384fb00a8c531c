-- Question: Whose billable payloads of this month changed most against the same days of last month?
-- Units: payloads; the share is of last month (0.25 is 25 % more), null where it had none. Days up to yesterday (UTC).
-- Filter: only those that fell: add `and now_payloads < before_payloads`. Sums of the days that are stored: where days_stored
-- differ, they are not of the same length. Null: nothing of it is stored.
select o.name as org_name, o.referral_id, u.before_payloads, u.now_payloads, u.now_payloads - u.before_payloads as change,
  round((u.now_payloads - u.before_payloads) / nullif(u.before_payloads, 0), 4) as share,
  u.before_days_stored, u.now_days_stored, o.org_id
from (
  select d.org_id,
    sum(d.payload_billable_count) filter (where d.usage_date < p.month) as before_payloads,
    sum(d.payload_billable_count) filter (where d.usage_date >= p.month) as now_payloads,
    count(d.payload_billable_count) filter (where d.usage_date < p.month) as before_days_stored,
    count(d.payload_billable_count) filter (where d.usage_date >= p.month) as now_days_stored
  from (select yesterday, date_trunc('month', yesterday::timestamp)::date as month
    from (select (now() at time zone 'UTC')::date - 1 as yesterday) as y) as p
  join losant_usage.usage_days d on d.usage_date between p.month and p.yesterday
    or d.usage_date between (p.month - interval '1 month')::date and (p.yesterday - interval '1 month')::date
  group by d.org_id
) as u
join losant_usage.organizations o on o.org_id = u.org_id
order by abs(u.now_payloads - u.before_payloads) desc nulls last, org_name, org_id
limit 25;
