-- Fills a database with months of data: every cell was read and is final, except for the last three days, a few failed
-- days, and one stream that Losant omits for :unreported organizations in a hundred. Sent as one script with the words
-- after colons replaced, by a superuser, because it bypasses the triggers.
set session_replication_role = replica;
set synchronous_commit = off;
set maintenance_work_mem = '512MB';
set work_mem = '128MB';
drop index losant_usage.coverage_due, losant_usage.coverage_not_final,
  losant_usage.coverage_not_final_month;

insert into losant_usage.instance (instance_id, api_url, new_orgs_from, policy)
values ('5c0000000000000000000001', 'https://api.example.com', current_date - :days,
  '{"readAtHours":[0,6,24,48,72,168,720],"finalAfterHours":72,"horizonDays":90}');
insert into losant_usage.organizations
  (org_id, name, created_on, first_seen_at, last_seen_at, current_period_start, current_period_end,
    referral_id, plan_id, tags, limits)
select '5d' || lpad(to_hex(i), 22, '0'), 'Org ' || i, current_date - 900,
  now() - interval '800 days', now(), date_trunc('month', now()) - interval '20 days',
  date_trunc('month', now()) + interval '10 days', 'C-' || i, 'plan' || (i % 3), '[{"key":"region","value":"eu"}]',
  '{"payload":20000000,"device":1000,"notebookMinutesPerMonth":3000}'
from generate_series(1, :orgs) i;
insert into losant_usage.tracks (org_id, stream, first_day, next_day)
select o.org_id, s.stream, current_date - :days, current_date
from losant_usage.organizations o, losant_usage.streams s where s.stream <> 'payload_hours' order by 1, 2;

-- Days that failed: one in 20,000 of the last two months.
create temp table failed_days as
select current_date - age as usage_date, o.org_id
from generate_series(1, least(60, :days)) as age,
  (select org_id, row_number() over (order by org_id) as n from losant_usage.organizations) as o
where (o.n * 7919 + age) % 20011 = 0;

insert into losant_usage.usage_days (usage_date, org_id, standing, is_waiting, is_stored, unreported_streams,
  devices_created, devices_deleted, devices_total, notebook_minutes,
  notebook_completed, notebook_canceled, notebook_errored, notebook_timeout, payload_billable_count, payload_all_count,
  payload_all_bytes, payload_source_count, payload_sources)
select day.usage_date, o.org_id, case when day.age > 3 then 'final' else 'stored' end::losant_usage.standing, false,
  -- Losant omits the notebooks of an organization that has none.
  true, case when o.position % 100 < :unreported then '{notebook_minutes}'::text[] end,
  n % 5, n % 3, 100 + n % 1000, n % 60, n % 9, n % 2, n % 3, n % 2,
  n * 17 % 1000000, n * 19 % 1200000, n * 19 % 1200000 * 300, n * 19 % 1200000,
  jsonb_build_object('deviceState', jsonb_build_object('device.mqtt', n * 19 % 1200000 - n * 19 % 1200000 / 3 * 2),
    'timer', jsonb_build_object('timer.flow', n * 19 % 1200000 / 3),
    'webhook', jsonb_build_object('public.rest', n * 19 % 1200000 / 3))
from (select current_date - age as usage_date, age from generate_series(:days, 1, -1) as age) as day
cross join lateral (
  select org_id, row_number() over (order by org_id) as position,
    (row_number() over (order by org_id)) * 31 + day.age * 7 as n
  from losant_usage.organizations
) as o
where not exists (select from failed_days f where f.usage_date = day.usage_date and f.org_id = o.org_id)
order by 1, 2;
insert into losant_usage.usage_days (usage_date, org_id, standing, is_waiting)
select usage_date, org_id, 'missing', false from failed_days;

insert into losant_usage.coverage (usage_date, stream, org_id, standing, is_stored, is_reported, revision,
  last_read_at, next_read_at, failed_reads, last_attempt_at, first_loaded_at, finalized_at, run_id, response_sha256,
  reason, detail)
select day.usage_date, s.stream, o.org_id,
  case when f.org_id is not null then 'missing' when day.age > 3 then 'final' else 'stored' end::losant_usage.standing,
  f.org_id is null,
  f.org_id is null and (s.stream <> 'notebook_minutes' or o.n % 100 >= :unreported),
  (f.org_id is null)::integer,
  case when f.org_id is null then day.read_at end,
  case when f.org_id is not null then now() + interval '1 hour'
    when day.age <= 31 then (select min(at) from (
      select (day.usage_date + 1)::timestamp at time zone 'UTC' + hours * interval '1 hour' as at
      from unnest(array[0, 6, 24, 48, 72, 168, 720]) as hours) as c where at > now()) end,
  (f.org_id is not null)::integer, day.read_at,
  case when f.org_id is null then day.first_at end,
  case when day.age > 3 and f.org_id is null then day.first_at + interval '3 days' end,
  '00000000-0000-4000-8000-000000000001', sha256(o.org_id::bytea),
  case when f.org_id is not null then 'server_error' end, case when f.org_id is not null then 'HTTP 500' end
from (
  select current_date - age as usage_date, age,
    (current_date - age + 1)::timestamp at time zone 'UTC' + interval '15 minutes' as first_at,
    (current_date - age + 1 + least(age - 1, 30))::timestamp at time zone 'UTC' + interval '15 minutes' as read_at
  from generate_series(:days, 1, -1) as age
) as day
join losant_usage.streams s on s.stream <> 'payload_hours'
cross join (select org_id, row_number() over (order by org_id) as n from losant_usage.organizations) as o
left join failed_days f on f.usage_date = day.usage_date and f.org_id = o.org_id
order by 1, 3, 2;

-- Each row is written again once, when it is read at the next checkpoint: tables have the size that loads leave.
update losant_usage.usage_days set is_waiting = false;
update losant_usage.coverage set failed_reads = failed_reads;

-- One cell in a hundred of one stream was restated when it became final.
insert into losant_usage.revisions (stream, org_id, usage_date, revision, old, new, changed_at, was_final, run_id)
select 'payload_totals', org_id, usage_date, 2,
  jsonb_build_object('payload_billable_count', 1, 'payload_all_count', 1, 'payload_all_bytes', 1),
  jsonb_build_object('payload_billable_count', payload_billable_count, 'payload_all_count', payload_all_count,
    'payload_all_bytes', payload_all_bytes),
  (usage_date + 4)::timestamp at time zone 'UTC', false, '00000000-0000-4000-8000-000000000001'
from losant_usage.usage_days where payload_billable_count % 100 = 0 and usage_date < current_date - 4;
update losant_usage.coverage c set revision = r.revision from losant_usage.revisions r
where c.stream = r.stream and c.org_id = r.org_id and c.usage_date = r.usage_date;

analyze losant_usage.organizations, losant_usage.usage_days, losant_usage.coverage;

-- Losant's own totals of each day, equal to the sums.
insert into losant_usage.instance_totals (usage_date, metric, losant_total, last_read_at)
select s.usage_date, m.metric, (to_jsonb(s) ->> m.metric)::bigint,
  least(now(), (s.usage_date + 8)::timestamp at time zone 'UTC')
from losant_usage_internal.day_sums s cross join losant_usage.metrics m;

create index coverage_due on losant_usage.coverage (org_id, next_read_at) where next_read_at is not null;
create index coverage_not_final on losant_usage.coverage (org_id, month) where standing <> 'final';
create index coverage_not_final_month on losant_usage.coverage (month) where standing <> 'final';
set session_replication_role = origin;
