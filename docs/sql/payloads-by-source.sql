-- Question: Where did the payloads of last month come from?
-- Units: payloads, billable or not; share of all (0.25 is 25%).
-- Change: for another month, use its first and last day. For an organization, add `and org_id = '…'` before `group by`.
-- Days that are not stored are not included: payload_sources_days_stored of monthly_usage counts the others.
select payload_type, source, sum(count) as payloads, round(sum(count) / nullif(sum(sum(count)) over (), 0), 4) as share,
  count(distinct org_id) as organizations
from losant_usage.payload_sources
where usage_date between date_trunc('month', now() at time zone 'UTC' - interval '1 month')::date
  and date_trunc('month', now() at time zone 'UTC')::date - 1
group by payload_type, source
order by payloads desc, payload_type, source;
