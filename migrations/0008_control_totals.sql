-- Control totals: what Losant itself counts for the whole instance by day, and for each organization by month, beside our
-- sums. Nothing here ever changes a number.

create table losant_usage.instance_totals (
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  metric text collate "C" not null references losant_usage.metrics (metric),
  quantity bigint check (quantity between 0 and 9007199254740991),
  verified_at timestamptz not null,
  earlier jsonb not null default '[]',
  run_id uuid,
  response_sha256 bytea not null,
  primary key (instance_id, usage_date, metric)
);
comment on table losant_usage.instance_totals is 'What Losant counts for the whole instance, one row per instance, usage date and metric. Source: Losant deviceCounts, notebookMinuteCounts, payloadCountsBreakdown and payloadCounts of the instance.';
comment on column losant_usage.instance_totals.instance_id is 'Losant instance id.';
comment on column losant_usage.instance_totals.usage_date is 'Usage date (UTC).';
comment on column losant_usage.instance_totals.metric is 'Metric, see metrics; it has the unit.';
comment on column losant_usage.instance_totals.quantity is 'The instance''s number, in the metric''s unit; null: Losant left the day out of its answer.';
comment on column losant_usage.instance_totals.verified_at is 'When the newest answer was asked for (UTC, database clock).';
comment on column losant_usage.instance_totals.earlier is 'Numbers that Losant named before and changed, oldest first: array of {quantity, verified_at}.';
comment on column losant_usage.instance_totals.run_id is 'Run that asked; it is not in runs if nothing else was due.';
comment on column losant_usage.instance_totals.response_sha256 is 'SHA-256 over the response bodies of the newest answer, in request order.';

create table losant_usage.monthly_summaries (
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  month date not null references losant_usage.months (month),
  resource_type text collate "C" not null,
  resource_id text collate "C" not null check (resource_id ~ '^[0-9a-f]{24}$'),
  resource_name text,
  proration numeric,
  figures jsonb not null,
  verified_at timestamptz not null,
  earlier jsonb not null default '[]',
  run_id uuid,
  response_sha256 bytea not null,
  primary key (instance_id, month, resource_type, resource_id)
);
comment on table losant_usage.monthly_summaries is 'Losant''s own figures of a month that is over, one row per instance, month and organization. Source: Losant historicalSummaries.';
comment on column losant_usage.monthly_summaries.instance_id is 'Losant instance id.';
comment on column losant_usage.monthly_summaries.month is 'First day of the month (UTC).';
comment on column losant_usage.monthly_summaries.resource_type is 'What the figures are of, by Losant''s name for it: organization, application or whitelabel.';
comment on column losant_usage.monthly_summaries.resource_id is 'Its id, 24 lower-case hex characters; of an organization its org_id, whether it was ever listed or not.';
comment on column losant_usage.monthly_summaries.resource_name is 'Its name as the summary has it; null if it has none.';
comment on column losant_usage.monthly_summaries.proration is 'Which part of the month Losant says it existed (0 to 1); null if it does not say.';
comment on column losant_usage.monthly_summaries.figures is 'Every number of the summary under its name in Losant, e.g. payloadBillableCount; sizes end in Mb.';
comment on column losant_usage.monthly_summaries.verified_at is 'When the newest answer was asked for (UTC, database clock).';
comment on column losant_usage.monthly_summaries.earlier is 'Figures that Losant named before and changed, oldest first: array of {figures, verified_at}.';
comment on column losant_usage.monthly_summaries.run_id is 'Run that asked; it is not in runs if nothing else was due.';
comment on column losant_usage.monthly_summaries.response_sha256 is 'SHA-256 of the response body the summary came in.';

create table losant_usage.control_total_reads (
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  question text collate "C" not null,
  verified_at timestamptz,
  attempts integer not null default 0,
  attempted_at timestamptz not null,
  next_read_at timestamptz,
  reason text,
  message text,
  primary key (instance_id, question),
  check ((attempts = 0) = (reason is null))
);
comment on table losant_usage.control_total_reads is 'How the control totals were asked for, one row per instance and question. That Losant does not answer changes no number and fails no run.';
comment on column losant_usage.control_total_reads.instance_id is 'Losant instance id.';
comment on column losant_usage.control_total_reads.question is 'A stream, for instance_totals, or monthly_summaries and a month, e.g. monthly_summaries 2026-10.';
comment on column losant_usage.control_total_reads.verified_at is 'When the newest complete answer was asked for (UTC, database clock); null if none came yet.';
comment on column losant_usage.control_total_reads.attempts is 'Failures since the last complete answer (count).';
comment on column losant_usage.control_total_reads.attempted_at is 'When it was asked last (UTC, database clock).';
comment on column losant_usage.control_total_reads.next_read_at is 'After a failure: not asked again before (UTC); null otherwise.';
comment on column losant_usage.control_total_reads.reason is 'What was wrong, as one code; null if nothing.';
comment on column losant_usage.control_total_reads.message is 'What was wrong, for people; null if nothing.';

create function losant_usage.is_final_read(policy jsonb, last_day date, verified_at timestamptz) returns boolean
language sql immutable parallel safe as $$
  select coalesce(verified_at >= ((last_day + 1)::timestamp
    + (policy ->> 'finalAtHours')::integer * interval '1 hour') at time zone 'UTC', false)
$$;
comment on function losant_usage.is_final_read is 'Whether a control total was read so late after its last day that no change of it is expected, by the policy of its instance.';

-- Each figure by its name, which takes a tenth of the time that the names in metrics would: a test holds them together.
create function losant_usage.is_contradicted(figures jsonb, bytes_of_mb bigint, devices_total bigint,
  notebook_minutes bigint, payload_billable_count bigint, payload_all_count bigint, payload_all_bytes bigint) returns boolean
language sql stable parallel safe as $$
  select coalesce(devices_total <> (figures ->> 'deviceCount')::numeric, false)
    or coalesce(notebook_minutes <> (figures ->> 'notebookMinutesCount')::numeric, false)
    or coalesce(payload_billable_count <> (figures ->> 'payloadBillableCount')::numeric, false)
    or coalesce(payload_all_count <> (figures ->> 'payloadBillableCount')::numeric
      + (figures ->> 'payloadNonbillableCount')::numeric, false)
    or coalesce(abs(payload_all_bytes - bytes_of_mb * ((figures ->> 'payloadBillableSizeMb')::numeric
      + (figures ->> 'payloadNonbillableSizeMb')::numeric)) >= bytes_of_mb, false)
$$;
comment on function losant_usage.is_contradicted is 'Whether a figure of a monthly summary differs from the month of its organization; sizes, which Losant gives in Mb, by a Mb or more. What is not there does not differ.';

create function losant_usage.org_changed_since(of_org text, first_day date, last_day date, moment timestamptz) returns boolean
language sql stable parallel safe as $$
  select exists (
    select from losant_usage.revisions r
    where r.org_id = of_org and r.usage_date between first_day and last_day and r.changed_at > moment)
  or exists (
    select from losant_usage.days_between(first_day, last_day) as day
    join losant_usage.coverage c on c.usage_date = day and c.first_loaded_at > moment and c.org_id = of_org)
$$;
comment on function losant_usage.org_changed_since is 'Whether a number of the organization on these days was loaded or changed after the moment: a control total that is older says nothing of it.';

create function losant_usage.instance_changed_since(of_instance text, of_stream text, of_day date, moment timestamptz) returns boolean
language sql stable parallel safe as $$
  select exists (
    select from losant_usage.revisions r join losant_usage.organizations o on o.org_id = r.org_id
    where r.changed_at > moment and r.usage_date = of_day and r.stream = of_stream and o.instance_id = of_instance)
  or exists (
    select from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
    where c.usage_date = of_day and c.first_loaded_at > moment and c.stream = of_stream and o.instance_id = of_instance)
$$;
comment on function losant_usage.instance_changed_since is 'Whether a number of the instance, stream and day was loaded or changed after the moment: a control total that is older says nothing of it.';

create view losant_usage.instance_days as
select n.*, e.orgs, e.open_streams
from (
  -- Numbers of a stream are stored together or not at all. Only bytes can pass a bigint.
  select r.instance_id, r.usage_date, count(r.devices_created) as device_counts_orgs,
    count(r.notebook_minutes) as notebook_minutes_orgs, count(r.payload_billable_count) as payload_totals_orgs,
    count(r.payload_source_count) as payload_sources_orgs,
    losant_usage.total(r.devices_created) as devices_created, losant_usage.total(r.devices_deleted) as devices_deleted,
    losant_usage.total(r.devices_total) as devices_total, losant_usage.total(r.notebook_minutes) as notebook_minutes,
    losant_usage.total(r.notebook_completed) as notebook_completed,
    losant_usage.total(r.notebook_canceled) as notebook_canceled,
    losant_usage.total(r.notebook_errored) as notebook_errored,
    losant_usage.total(r.notebook_timeout) as notebook_timeout,
    losant_usage.total(r.payload_billable_count) as payload_billable_count,
    losant_usage.total(r.payload_all_count) as payload_all_count, sum(r.payload_all_bytes) as payload_all_bytes,
    losant_usage.total(r.payload_source_count) as payload_source_count
  from losant_usage.org_rows r
  group by r.instance_id, r.usage_date
) as n
cross join lateral (
  -- offset 0: once for each day, and not for each metric of it.
  select (select count(*) from losant_usage.organizations o
      where o.instance_id = n.instance_id and (o.created_on is null or o.created_on <= n.usage_date)
        and (o.removed_on is null or o.removed_on >= n.usage_date)) as orgs,
    array(select distinct c.stream from losant_usage.read_cells c
      where c.instance_id = n.instance_id and c.usage_date = n.usage_date and c.standing <> 'final') as open_streams
  offset 0
) as e;
comment on view losant_usage.instance_days is 'Building block of reconciliation, not for use by others: it may change.';

create view losant_usage.total_differences as
select d.*, d.total is not null and d.quantity <> d.total
  and losant_usage.instance_changed_since(d.instance_id, d.stream, d.usage_date, d.verified_at) as is_outdated
from (
  select s.instance_id, s.usage_date, m.stream, m.metric, m.unit, m.kind, v.quantity, t.verified_at,
    t.quantity::numeric as total, (s.orgs - v.orgs)::integer as orgs_missing,
    (select count(*)::integer from losant_usage.organizations o
     where o.instance_id = s.instance_id and o.removed_at is not null and o.removed_at <= t.verified_at
       and o.removed_on >= s.usage_date and (o.created_on is null or o.created_on <= s.usage_date)) as orgs_removed,
    m.stream <> all (s.open_streams) as is_final,
    losant_usage.is_final_read(i.policy, s.usage_date, t.verified_at) as is_final_read
  from losant_usage.instance_days s
  join losant_usage.instances i on i.instance_id = s.instance_id
  cross join lateral (values
    ('devices_created', s.devices_created::numeric, s.device_counts_orgs),
    ('devices_deleted', s.devices_deleted::numeric, s.device_counts_orgs),
    ('devices_total', s.devices_total::numeric, s.device_counts_orgs),
    ('notebook_minutes', s.notebook_minutes::numeric, s.notebook_minutes_orgs),
    ('notebook_completed', s.notebook_completed::numeric, s.notebook_minutes_orgs),
    ('notebook_canceled', s.notebook_canceled::numeric, s.notebook_minutes_orgs),
    ('notebook_errored', s.notebook_errored::numeric, s.notebook_minutes_orgs),
    ('notebook_timeout', s.notebook_timeout::numeric, s.notebook_minutes_orgs),
    ('payload_billable_count', s.payload_billable_count::numeric, s.payload_totals_orgs),
    ('payload_all_count', s.payload_all_count::numeric, s.payload_totals_orgs),
    ('payload_all_bytes', s.payload_all_bytes::numeric, s.payload_totals_orgs),
    ('payload_source_count', s.payload_source_count::numeric, s.payload_sources_orgs)
  ) as v (metric, quantity, orgs)
  join losant_usage.metrics m on m.metric = v.metric
  left join losant_usage.instance_totals t
    on t.instance_id = s.instance_id and t.usage_date = s.usage_date and t.metric = v.metric
) as d;
comment on view losant_usage.total_differences is 'Building block of reconciliation, not for use by others: it may change.';

create view losant_usage.contradicted_days as
select instance_id, usage_date, stream, metric from losant_usage.total_differences
where quantity <> total and orgs_missing = 0 and orgs_removed = 0 and is_final and is_final_read and not is_outdated;
comment on view losant_usage.contradicted_days is 'Building block of period_blockers, not for use by others: it may change.';

-- From both sides: the organizations Losant has a summary of, and those we have a month of.
create view losant_usage.summary_differences as
select k.instance_id, m.month, k.org_id, o.org_id is not null as is_listed, coalesce(o.name, k.resource_name) as org_name,
  o.referral_id, o.plan_id, o.customer_id, t.metric, t.stream, t.unit, t.kind, v.quantity, v.total, k.verified_at,
  k.days_expected - k.days_stored as days_missing, k.is_final,
  losant_usage.is_final_read(i.policy, m.next_month - 1, k.verified_at) as is_final_read,
  case when o.org_id is null then v.total > 0
    when t.summary_scale > 1 then coalesce(abs(v.quantity - v.total) >= t.summary_scale, false)
    else coalesce(v.quantity <> v.total, false) end as differs
from losant_usage.months m
cross join lateral (
  select *
  from (
    select r.instance_id, r.resource_id as org_id, r.resource_name, r.figures, r.verified_at
    from losant_usage.monthly_summaries r where r.month = m.month and r.resource_type = 'organization'
  ) as s
  full join (
    select n.instance_id, n.org_id, n.days_expected, n.days_stored, n.is_final, n.devices_total, n.notebook_minutes,
      n.payload_billable_count, n.payload_all_count, n.payload_all_bytes
    from losant_usage.period_sums(m.month, m.next_month, '', 'g') as n where n.is_over and n.days_expected > 0
  ) as u using (instance_id, org_id)
) as k
join losant_usage.instances i on i.instance_id = k.instance_id
left join losant_usage.organizations o on o.org_id = k.org_id and o.instance_id = k.instance_id
cross join lateral (values
  ('devices_total', k.devices_total::numeric, (k.figures ->> 'deviceCount')::numeric),
  ('notebook_minutes', k.notebook_minutes::numeric, (k.figures ->> 'notebookMinutesCount')::numeric),
  ('payload_billable_count', k.payload_billable_count::numeric, (k.figures ->> 'payloadBillableCount')::numeric),
  ('payload_all_count', k.payload_all_count::numeric,
    (k.figures ->> 'payloadBillableCount')::numeric + (k.figures ->> 'payloadNonbillableCount')::numeric),
  ('payload_all_bytes', k.payload_all_bytes::numeric,
    (k.figures ->> 'payloadBillableSizeMb')::numeric + (k.figures ->> 'payloadNonbillableSizeMb')::numeric)
) as f (metric, quantity, figure)
join losant_usage.metrics t on t.metric = f.metric
cross join lateral (select f.quantity, f.figure * t.summary_scale as total) as v
where m.month < (now() at time zone 'UTC')::date;
comment on view losant_usage.summary_differences is 'Building block of reconciliation, not for use by others: it may change.';

create view losant_usage.reconciliation as
select 'instance_day' as scope, r.instance_id, date_trunc('month', r.usage_date::timestamp)::date as month, r.usage_date,
  null::text as org_id, null::text as org_name, null::text as referral_id, null::text as plan_id, null::text as customer_id,
  true as is_listed, r.metric, r.unit, r.kind, r.quantity, r.total, r.quantity - r.total as difference,
  r.orgs_missing, r.orgs_removed, null::integer as days_missing,
  case when r.quantity is null or r.total is null then 'not_compared' when w.reason is not null then 'pending'
    when r.quantity <> r.total then 'differs' else 'equal' end as outcome,
  case when r.quantity is null then 'not_stored' when r.total is not null then w.reason
    when r.verified_at is not null then 'left_out' else coalesce(q.reason, 'not_read') end as reason,
  r.verified_at
from losant_usage.total_differences r
left join losant_usage.control_total_reads q on q.instance_id = r.instance_id and q.question = r.stream
cross join lateral (
  select case when r.orgs_missing > 0 then 'orgs_missing' when r.orgs_removed > 0 then 'orgs_removed'
    when not r.is_final then 'not_final' when not r.is_final_read then 'total_not_final'
    when r.is_outdated then 'total_outdated' end as reason
) as w
union all
select 'org_day', o.instance_id, date_trunc('month', r.usage_date::timestamp)::date, r.usage_date,
  o.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
  true, m.metric, m.unit, m.kind, v.quantity, v.total, v.quantity - v.total,
  null, null, null,
  case when e.is_open then 'pending' else 'differs' end, case when e.is_open then 'not_final' end,
  null
from losant_usage.org_rows r
cross join lateral (values ('payload_source_count', r.payload_source_count::numeric, r.payload_all_count::numeric)) as v (metric, quantity, total)
join losant_usage.organizations o on o.org_id = r.org_id
join losant_usage.metrics m on m.metric = v.metric
join losant_usage.metrics w on w.metric = m.same_as
cross join lateral (
  select exists (
    select from losant_usage.read_cells c where c.usage_date = r.usage_date and c.org_id = r.org_id
      and c.standing <> 'final' and c.stream in (m.stream, w.stream)) as is_open
) as e
where v.quantity <> v.total
union all
select 'org_month', s.instance_id, s.month, null, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id,
  s.is_listed, s.metric, s.unit, s.kind, s.quantity, s.total, s.quantity - s.total,
  null, null, s.days_missing,
  case when s.total is null or (s.quantity is null and s.is_listed) then 'not_compared'
    when w.reason is not null then 'pending' when s.differs then 'differs' else 'equal' end,
  case when s.total is not null and s.quantity is null and s.is_listed then 'not_stored'
    when s.total is not null then w.reason
    when s.verified_at is not null then case when q.reason = 'unusable' then q.reason else 'left_out' end
    when q.verified_at is not null then 'no_summary' else coalesce(q.reason, 'not_read') end,
  s.verified_at
from losant_usage.summary_differences s
left join losant_usage.control_total_reads q
  on q.instance_id = s.instance_id and q.question = 'monthly_summaries ' || to_char(s.month, 'YYYY-MM')
cross join lateral (
  select case when s.is_listed and s.is_final is not true then 'not_final' when not s.is_final_read then 'total_not_final'
    when s.differs and s.is_listed and losant_usage.org_changed_since(
      s.org_id, s.month, (s.month + interval '1 month')::date - 1, s.verified_at) then 'total_outdated' end as reason
) as w;
comment on view losant_usage.reconciliation is 'Our sums beside what Losant counts itself. By scope: instance_day, one row per instance, usage date and metric: the organizations'' sum beside the instance''s own total. org_day, one row per organization and day on which two metrics that count the same things differ (none where they agree). org_month, one row per organization, month that is over and metric that monthly summaries have: the month''s sum beside the summary, also where either is not there. Never add scopes up. Restrict usage_date for days, and month = … for months. Source: usage_days, cells, instance_totals, monthly_summaries.';
comment on column losant_usage.reconciliation.scope is 'What is compared: instance_day, org_day or org_month.';
comment on column losant_usage.reconciliation.instance_id is 'Losant instance id.';
comment on column losant_usage.reconciliation.org_id is 'Losant organization id; null for instance_day.';
comment on column losant_usage.reconciliation.org_name is 'Name of the organization as last seen; of one that was never listed, its name in the summary. Null for instance_day.';
comment on column losant_usage.reconciliation.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.reconciliation.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.reconciliation.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.reconciliation.month is 'First day of the month (UTC); of a day, of the month it is in.';
comment on column losant_usage.reconciliation.usage_date is 'Usage date (UTC); null for org_month.';
comment on column losant_usage.reconciliation.is_listed is 'Whether the organization was ever listed. False: a summary names it and nothing was exported of it.';
comment on column losant_usage.reconciliation.metric is 'What is counted, see metrics.';
comment on column losant_usage.reconciliation.unit is 'Unit of quantity, total and difference.';
comment on column losant_usage.reconciliation.kind is 'flow or level, see metrics; the level of a month is its last.';
comment on column losant_usage.reconciliation.quantity is 'Ours: the sum over organizations, the organization''s own number, or its month. Null: nothing is stored.';
comment on column losant_usage.reconciliation.total is 'Theirs: the instance''s total, the metric that counts the same, or the summary''s figure in the metric''s unit. Null: Losant left it out or was not asked, see reason.';
comment on column losant_usage.reconciliation.difference is 'quantity - total; null if either is.';
comment on column losant_usage.reconciliation.orgs_missing is 'instance_day: organizations that existed that day and are missing from quantity (count); null in other scopes.';
comment on column losant_usage.reconciliation.orgs_removed is 'instance_day: organizations in quantity that were deleted before the total was read, which Losant may not count any more (count); null in other scopes.';
comment on column losant_usage.reconciliation.days_missing is 'org_month: days of the month that are missing from quantity (count); null if none is tracked.';
comment on column losant_usage.reconciliation.reason is 'Why it is pending or not compared, as one code: orgs_missing, orgs_removed, not_final, total_not_final (read before no change of it was expected), total_outdated (our number is newer), not_stored, left_out (of Losant''s answer), no_summary (Losant has none of the organization), unusable (no number), not_read, or why the question was refused, e.g. forbidden; null otherwise.';
comment on column losant_usage.reconciliation.outcome is 'equal; differs: both are there, final and not equal (sizes that Losant gives in Mb: by a Mb or more), or the organization was never listed and has usage; pending: something is not final, or missing from the sum, or the total is older than the newest number; not_compared: one of them is not there, which never counts as equal.';
comment on column losant_usage.reconciliation.verified_at is 'When Losant''s figure was asked for (UTC); null for org_day.';
