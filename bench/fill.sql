-- Fills a database as it is after months: every organization and day read and final, except for the last three
-- days, days that fail here and there, and days left out of one stream. Sent as one script, with :orgs and :days
-- replaced, by a superuser, because triggers are bypassed.
set session_replication_role = replica;
set synchronous_commit = off;
set maintenance_work_mem = '512MB';
set work_mem = '128MB';
drop index losant_usage.coverage_due, losant_usage.coverage_open, losant_usage.coverage_trouble, losant_usage.coverage_first_loaded;

insert into losant_usage.instances (instance_id, api_url, tracked_from, policy)
values ('5c0000000000000000000001', 'https://api.example.com', current_date - :days,
  '{"readAtHours":[0,6,24,48,72,168,720],"finalAtHours":72,"horizonDays":90}');
insert into losant_usage.organizations
  (org_id, instance_id, name, created_at, first_seen_at, last_seen_at, referral_id, plan_id, tags, limits)
select '5d' || lpad(to_hex(i), 22, '0'), '5c0000000000000000000001', 'Org ' || i, now() - interval '900 days',
  now() - interval '800 days', now(), 'C-' || i, 'plan' || (i % 3), '[{"key":"region","value":"eu"}]',
  '{"payload":20000000,"device":1000,"notebookMinutesPerMonth":3000}'
from generate_series(1, :orgs) i;
insert into losant_usage.tracking (org_id, stream, tracked_days, read_days)
select o.org_id, s.stream, datemultirange(daterange(current_date - :days, null)),
  datemultirange(daterange(current_date - :days, current_date))
from losant_usage.organizations o, losant_usage.streams s where s.stream <> 'payload_hours' order by 1, 2;

-- Days that failed, of one in 20,000 cells of the last two months.
create temp table trouble as
select current_date - ago as usage_date, o.org_id
from generate_series(1, least(60, :days)) as ago,
  (select org_id, row_number() over (order by org_id) as n from losant_usage.organizations) as o
where (o.n * 7919 + ago) % 20011 = 0;

insert into losant_usage.usage_days
select day.usage_date, o.org_id, n % 5, n % 3, 100 + n % 1000, n % 60, n % 9, n % 2, n % 3, n % 2,
  n * 17 % 1000000, n * 19 % 1200000, n * 19 % 1200000 * 300, n * 19 % 1200000
from (select current_date - ago as usage_date, ago from generate_series(:days, 1, -1) as ago) as day
cross join lateral (
  select org_id, (row_number() over (order by org_id)) * 31 + day.ago * 7 as n from losant_usage.organizations
) as o
where not exists (select from trouble t where t.usage_date = day.usage_date and t.org_id = o.org_id)
order by 1, 2;
insert into losant_usage.usage_days (usage_date, org_id) select usage_date, org_id from trouble;

insert into losant_usage.payload_sources (usage_date, org_id, payload_type, source, count)
select u.usage_date, u.org_id, s.payload_type, s.source, (u.payload_source_count + s.n) / 3
from losant_usage.usage_days u, (values
  ('deviceState', 'device.mqtt', 0), ('timer', 'timer.flow', 1), ('webhook', 'public.rest', 2)) as s (payload_type, source, n)
where u.usage_date >= current_date - 62 and u.payload_source_count is not null order by 1, 2, 3, 4;

insert into losant_usage.coverage (usage_date, stream, org_id, standing, is_stored, is_reported, omissions, revision,
  verified_at, next_read_at, attempts, attempted_at, first_loaded_at, finalized_at, run_id, response_sha256, reason, message)
select day.usage_date, s.stream, o.org_id,
  case when t.org_id is not null then 'missing' when day.ago > 3 then 'final' else 'stored' end::losant_usage.standing,
  t.org_id is null,
  -- One organization in fifty has no notebooks: Losant leaves its days out.
  t.org_id is null and (s.stream <> 'notebook_minutes' or o.n % 50 <> 0),
  case when s.stream = 'notebook_minutes' and o.n % 50 = 0 and t.org_id is null then least(3, day.ago) else 0 end, 1,
  case when t.org_id is null then day.read_at end,
  case when t.org_id is not null then now() + interval '1 hour'
    when day.ago <= 31 then losant_usage.next_checkpoint(day.usage_date, now(), array[0, 6, 24, 48, 72, 168, 720]) end,
  (t.org_id is not null)::integer, day.read_at,
  case when t.org_id is null then day.first_at end,
  case when day.ago > 3 and t.org_id is null then day.first_at + interval '3 days' end,
  '00000000-0000-4000-8000-000000000001', sha256(o.org_id::bytea),
  case when t.org_id is not null then 'server_error' end, case when t.org_id is not null then 'answered HTTP 500' end
from (
  select current_date - ago as usage_date, ago,
    (current_date - ago + 1)::timestamp at time zone 'UTC' + interval '15 minutes' as first_at,
    (current_date - ago + 1 + least(ago - 1, 30))::timestamp at time zone 'UTC' + interval '15 minutes' as read_at
  from generate_series(:days, 1, -1) as ago
) as day
join losant_usage.streams s on s.stream <> 'payload_hours'
cross join (select org_id, row_number() over (order by org_id) as n from losant_usage.organizations) as o
left join trouble t on t.usage_date = day.usage_date and t.org_id = o.org_id
order by 1, 2, 3;

-- One cell in a hundred of one stream was restated when it became final.
insert into losant_usage.revisions
  (stream, org_id, usage_date, revision, key, old, new, changed_by, changed_at, was_final)
select 'payload_totals', org_id, usage_date, 2, '{}',
  jsonb_build_object('billable_count', 1, 'all_count', 1, 'all_bytes', 1),
  jsonb_build_object('billable_count', payload_billable_count, 'all_count', payload_all_count, 'all_bytes', payload_all_bytes),
  'writer', (usage_date + 4)::timestamp at time zone 'UTC', false
from losant_usage.usage_days where payload_billable_count % 100 = 0 and usage_date < current_date - 4;
update losant_usage.coverage c set revision = r.revision from losant_usage.revisions r
where (c.stream, c.org_id, c.usage_date) = (r.stream, r.org_id, r.usage_date);

-- Losant's own totals of each day, and of each month that is over, equal to the sums.
insert into losant_usage.instance_totals (instance_id, usage_date, metric, quantity, verified_at, response_sha256)
select '5c0000000000000000000001', d.usage_date, m.metric, (d.numbers ->> m.metric)::bigint, now(), sha256('total')
from (
  select u.usage_date, jsonb_build_object('devices_created', sum(devices_created), 'devices_deleted', sum(devices_deleted),
    'devices_total', sum(devices_total), 'notebook_minutes', sum(notebook_minutes),
    'notebook_completed', sum(notebook_completed), 'notebook_canceled', sum(notebook_canceled),
    'notebook_errored', sum(notebook_errored), 'notebook_timeout', sum(notebook_timeout),
    'payload_billable_count', sum(payload_billable_count), 'payload_all_count', sum(payload_all_count),
    'payload_all_bytes', sum(payload_all_bytes), 'payload_source_count', sum(payload_source_count)) as numbers
  from losant_usage.usage_days u group by u.usage_date
) as d cross join losant_usage.metrics m;
insert into losant_usage.monthly_summaries
  (instance_id, month, resource_type, resource_id, resource_name, figures, verified_at, response_sha256)
select '5c0000000000000000000001', u.month, 'organization', u.org_id, 'Org', jsonb_build_object(
    'payloadBillableCount', billable, 'payloadNonbillableCount', everything - billable,
    'notebookMinutesCount', notebooks, 'deviceCount', devices), now(), sha256('summary')
from (
  select date_trunc('month', usage_date::timestamp)::date as month, org_id, sum(payload_billable_count) as billable,
    sum(payload_all_count) as everything, sum(notebook_minutes) as notebooks,
    (array_agg(devices_total order by usage_date desc))[1] as devices
  from losant_usage.usage_days group by 1, 2
) as u where u.month < date_trunc('month', current_date::timestamp)::date;

create index coverage_due on losant_usage.coverage (next_read_at, org_id) where next_read_at is not null;
create index coverage_open on losant_usage.coverage (usage_date, org_id) where standing <> 'final' or not is_reported;
create index coverage_trouble on losant_usage.coverage (usage_date, org_id)
  where standing in ('accepted', 'unavailable', 'in_doubt', 'missing');
create index coverage_first_loaded on losant_usage.coverage (usage_date, first_loaded_at);
set session_replication_role = origin;
