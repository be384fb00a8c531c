-- Adds the hours of the last 90 days, all final, to a database that bench/views.ts has filled, and measures the two reads
-- that people ask for. By hand: psql -X -f bench/hours.sql URL, as a superuser, because triggers are bypassed.
set session_replication_role = replica;
insert into losant_usage.tracking (org_id, stream, tracked_days, read_days)
select org_id, 'payload_hours', datemultirange(daterange(current_date - 90, null)),
  datemultirange(daterange(current_date - 90, current_date))
from losant_usage.organizations on conflict do nothing;
insert into losant_usage.payload_hours
select day, o.org_id, c.counts, c.counts, c.counts
from losant_usage.days_between(current_date - 90, current_date - 1) as day
cross join losant_usage.organizations o
cross join lateral (
  select array_agg((hashtext(o.org_id) & 65535)::bigint * (hour + 1) order by hour) as counts from generate_series(0, 23) as hour
) as c
order by 1, 2 on conflict do nothing;
insert into losant_usage.coverage (usage_date, stream, org_id, standing, is_stored, is_reported, revision, last_read_at,
  first_loaded_at, finalized_at, run_id, response_sha256)
select h.usage_date, 'payload_hours', h.org_id, 'final', true, true, 1, now(), now(), now(),
  '00000000-0000-4000-8000-000000000001', sha256(h.org_id::bytea)
from losant_usage.payload_hours h order by 1, 2, 3 on conflict do nothing;
set session_replication_role = origin;
vacuum analyze losant_usage.payload_hours, losant_usage.coverage, losant_usage.tracking;
select pg_total_relation_size('losant_usage.payload_hours') / count(*) as bytes_an_org_day from losant_usage.payload_hours;

\timing on
select count(*), sum(payload_all_count), max(standing), sum(payload_billable_count), sum(payload_all_bytes) from losant_usage.hourly_usage
where org_id = '5d00000000000000000003e8' and usage_date between current_date - 31 and current_date - 1;
select count(*), sum(payload_all_count), max(standing), sum(payload_billable_count), sum(payload_all_bytes) from losant_usage.hourly_usage where usage_date = current_date - 10;
select count(*), sum(payload_all_count), max(standing), sum(payload_billable_count), sum(payload_all_bytes) from losant_usage.local_daily_usage('Europe/Berlin')
where org_id = '5d00000000000000000003e8' and local_date between current_date - 31 and current_date - 1;
select count(*), sum(payload_all_count), max(standing), sum(payload_billable_count), sum(payload_all_bytes) from losant_usage.local_daily_usage('Europe/Berlin') where local_date = current_date - 10;
