-- Question: Whose billable payloads of the last 28 days changed most compared with the 28 days before?
-- Units: payloads; share is relative to the days before (0.25 is 25% more), null if they had none.
-- Change: for another metric, range or comparison, change the arguments (previous_days: as many days; same_weekdays: as
-- many whole weeks; previous_year: 52 weeks). Only days stored on both sides are summed; days counts them.
select o.name as org_name, o.referral_id, sum(c.previous_quantity) as previous_payloads,
  sum(c.quantity) as current_payloads, sum(c.quantity - c.previous_quantity) as change,
  round(sum(c.quantity - c.previous_quantity) / nullif(sum(c.previous_quantity), 0), 4) as share,
  count(*) as days, c.org_id
from losant_usage.usage_compared('payload_billable_count',
  (now() at time zone 'UTC')::date - 28, (now() at time zone 'UTC')::date - 1, 'same_weekdays') as c
join losant_usage.organizations o on o.org_id = c.org_id
where c.quantity is not null and c.previous_quantity is not null
group by c.org_id, o.name, o.referral_id
order by abs(sum(c.quantity - c.previous_quantity)) desc, o.name, c.org_id
limit 25;
