-- Question: At which hour of the day does an organization send payloads?
-- Units: billable payloads in each hour of the day, over the days of last month; share of all of them (0.25 is 25%).
-- Change: for another month, use its first and last day. For an organization, add `and org_id = '…'`. For another time
-- zone, use its name instead of UTC. Needs the stream payload_hours. Days that are not stored are not included;
-- days_stored counts the others.
select org_id, org_name, extract(hour from hour at time zone 'UTC')::integer as hour_of_day,
  sum(payload_billable_count) as payloads, max(payload_billable_count) as most,
  round(sum(payload_billable_count)
    / nullif(sum(sum(payload_billable_count)) over (partition by org_id), 0), 4) as share,
  count(distinct usage_date) as days_stored
from losant_usage.hourly_usage
where usage_date between date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
  and date_trunc('month', now() at time zone 'UTC')::date - 1
  and payload_billable_count is not null
group by org_id, org_name, hour_of_day
order by org_name, org_id, payloads desc, hour_of_day;
