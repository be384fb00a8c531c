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

create function losant_usage.summary_total(figures jsonb, of_metric text) returns numeric language sql stable parallel safe as $$
  select sum((figures ->> f.name)::numeric) * m.summary_scale
  from losant_usage.metrics m cross join lateral unnest(m.summary_figures) as f (name)
  where m.metric = of_metric group by m.metric, m.summary_scale, m.summary_figures
  having count(figures ->> f.name) = cardinality(m.summary_figures)
$$;
comment on function losant_usage.summary_total is 'The month of a metric by a monthly summary, in the metric''s unit; null if a figure of it is left out.';

create function losant_usage.differs_from_summary(quantity numeric, total numeric, scale bigint) returns boolean
language sql immutable parallel safe as $$
  select coalesce(case when scale > 1 then abs(quantity - total) >= scale else quantity <> total end, false)
$$;
comment on function losant_usage.differs_from_summary is 'Whether both are there and not equal; figures in a greater unit are compared to a whole one.';

create function losant_usage.is_settled_at(of_instance text, last_day date, verified_at timestamptz) returns boolean
language sql stable parallel safe as $$
  select coalesce(verified_at >= ((last_day + 1)::timestamp + (i.policy ->> 'finalAtHours')::integer * interval '1 hour') at time zone 'UTC', false)
  from losant_usage.instances i where i.instance_id = of_instance
$$;
comment on function losant_usage.is_settled_at is 'Whether a control total was read so late after its last day that no change is expected.';

create view losant_usage.instance_days as
select n.*,
  (select count(*) from losant_usage.organizations o
   where o.instance_id = n.instance_id and (o.created_on is null or o.created_on <= n.usage_date)
     and (o.removed_on is null or o.removed_on >= n.usage_date)) as orgs,
  array(select distinct c.stream from losant_usage.read_cells c
    where c.instance_id = n.instance_id and c.usage_date = n.usage_date and c.standing <> 'final') as open_streams
from (
  select o.instance_id, r.usage_date,
    sum(r.devices_created) as devices_created, count(r.devices_created) as devices_created_orgs,
    sum(r.devices_deleted) as devices_deleted, count(r.devices_deleted) as devices_deleted_orgs,
    sum(r.devices_total) as devices_total, count(r.devices_total) as devices_total_orgs,
    sum(r.notebook_minutes) as notebook_minutes, count(r.notebook_minutes) as notebook_minutes_orgs,
    sum(r.notebook_completed) as notebook_completed, count(r.notebook_completed) as notebook_completed_orgs,
    sum(r.notebook_canceled) as notebook_canceled, count(r.notebook_canceled) as notebook_canceled_orgs,
    sum(r.notebook_errored) as notebook_errored, count(r.notebook_errored) as notebook_errored_orgs,
    sum(r.notebook_timeout) as notebook_timeout, count(r.notebook_timeout) as notebook_timeout_orgs,
    sum(r.payload_billable_count) as payload_billable_count,
    count(r.payload_billable_count) as payload_billable_count_orgs, sum(r.payload_all_count) as payload_all_count,
    count(r.payload_all_count) as payload_all_count_orgs, sum(r.payload_all_bytes) as payload_all_bytes,
    count(r.payload_all_bytes) as payload_all_bytes_orgs, sum(r.payload_source_count) as payload_source_count,
    count(r.payload_source_count) as payload_source_count_orgs
  from losant_usage.org_rows r join losant_usage.organizations o on o.org_id = r.org_id
  group by o.instance_id, r.usage_date
) as n;
comment on view losant_usage.instance_days is 'Building block of reconciliation, not for use by others: it may change.';

create view losant_usage.total_differences as
select s.instance_id, s.usage_date, m.stream, m.metric, m.unit, m.kind, v.quantity, t.verified_at,
  -- A day that Losant leaves out is one of zeros, where that is what a missing day means.
  coalesce(t.quantity, case st.missing_means when 'zero' then 0 end)::numeric as total,
  (s.orgs - v.orgs)::integer as orgs_missing,
  (select count(*)::integer from losant_usage.organizations o
   where o.instance_id = s.instance_id and o.removed_at is not null and o.removed_at < t.verified_at
     and o.removed_on >= s.usage_date and (o.created_on is null or o.created_on <= s.usage_date)) as orgs_removed,
  m.stream <> all (s.open_streams) and losant_usage.is_settled_at(s.instance_id, s.usage_date, t.verified_at) as is_settled
from losant_usage.instance_days s
cross join lateral (values
  ('devices_created', s.devices_created, s.devices_created_orgs),
  ('devices_deleted', s.devices_deleted, s.devices_deleted_orgs),
  ('devices_total', s.devices_total, s.devices_total_orgs),
  ('notebook_minutes', s.notebook_minutes, s.notebook_minutes_orgs),
  ('notebook_completed', s.notebook_completed, s.notebook_completed_orgs),
  ('notebook_canceled', s.notebook_canceled, s.notebook_canceled_orgs),
  ('notebook_errored', s.notebook_errored, s.notebook_errored_orgs),
  ('notebook_timeout', s.notebook_timeout, s.notebook_timeout_orgs),
  ('payload_billable_count', s.payload_billable_count, s.payload_billable_count_orgs),
  ('payload_all_count', s.payload_all_count, s.payload_all_count_orgs),
  ('payload_all_bytes', s.payload_all_bytes, s.payload_all_bytes_orgs),
  ('payload_source_count', s.payload_source_count, s.payload_source_count_orgs)
) as v (metric, quantity, orgs)
join losant_usage.instance_totals t
  on t.instance_id = s.instance_id and t.usage_date = s.usage_date and t.metric = v.metric
join losant_usage.metrics m on m.metric = v.metric
join losant_usage.streams st on st.stream = m.stream;
comment on view losant_usage.total_differences is 'Building block of reconciliation, not for use by others: it may change.';

create view losant_usage.contradicted_days as
select instance_id, usage_date, stream, metric from losant_usage.total_differences
where quantity <> total and orgs_missing = 0 and orgs_removed = 0 and is_settled;
comment on view losant_usage.contradicted_days is 'Building block of period_blockers, not for use by others: it may change.';

create view losant_usage.summary_differences as
select s.instance_id, s.month, s.resource_id, s.resource_name, s.verified_at, o.org_id, o.name as org_name,
  o.referral_id, o.plan_id, o.customer_id, m.metric, m.unit, m.kind, v.quantity, t.total,
  u.days_expected - u.days_stored as days_missing,
  case when o.org_id is null then t.total > 0 else losant_usage.differs_from_summary(v.quantity, t.total, m.summary_scale) end as differs,
  (o.org_id is null or coalesce(u.is_final, false))
    and losant_usage.is_settled_at(s.instance_id, (s.month + interval '1 month')::date - 1, s.verified_at) as is_settled
from losant_usage.monthly_summaries s
join losant_usage.metrics m on m.summary_figures is not null
left join losant_usage.organizations o on o.org_id = s.resource_id and o.instance_id = s.instance_id
left join losant_usage.month_rows u on u.period_start = s.month and u.org_id = s.resource_id
cross join lateral (
  select case m.metric
    when 'devices_total' then u.devices_total
    when 'notebook_minutes' then u.notebook_minutes
    when 'payload_billable_count' then u.payload_billable_count
    when 'payload_all_count' then u.payload_all_count
    when 'payload_all_bytes' then u.payload_all_bytes end::numeric as quantity
) as v
cross join lateral (select losant_usage.summary_total(s.figures, m.metric) as total) as t
where s.resource_type = 'organization' and t.total is not null;
comment on view losant_usage.summary_differences is 'Building block of reconciliation, not for use by others: it may change.';

create view losant_usage.reconciliation as
select 'instance_day' as scope, r.instance_id, date_trunc('month', r.usage_date::timestamp)::date as month, r.usage_date,
  null::text as org_id, null::text as org_name, null::text as referral_id, null::text as plan_id, null::text as customer_id,
  true as is_listed, r.metric, r.unit, r.kind, r.quantity, r.total, r.quantity - r.total as difference,
  r.orgs_missing, r.orgs_removed, null::integer as days_missing,
  case when r.quantity is null or r.total is null then 'not_compared'
    when r.orgs_missing > 0 or r.orgs_removed > 0 or not r.is_settled then 'pending'
    when r.quantity <> r.total then 'differs' else 'equal' end as outcome,
  r.verified_at
from losant_usage.total_differences r
union all
select 'org_day', o.instance_id, date_trunc('month', r.usage_date::timestamp)::date, r.usage_date,
  o.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
  true, m.metric, m.unit, m.kind, v.quantity, v.total, v.quantity - v.total,
  null, null, null,
  case when exists (
    select from losant_usage.read_cells c
    where c.usage_date = r.usage_date and c.org_id = r.org_id and c.standing <> 'final' and c.stream in (m.stream, w.stream))
    then 'pending' else 'differs' end,
  null
from losant_usage.org_rows r
cross join lateral (values ('payload_source_count', r.payload_source_count::numeric, r.payload_all_count::numeric)) as v (metric, quantity, total)
join losant_usage.organizations o on o.org_id = r.org_id
join losant_usage.metrics m on m.metric = v.metric
join losant_usage.metrics w on w.metric = m.same_as
where v.quantity <> v.total
union all
select 'org_month', s.instance_id, s.month, null, s.resource_id, coalesce(s.org_name, s.resource_name),
  s.referral_id, s.plan_id, s.customer_id,
  s.org_id is not null, s.metric, s.unit, s.kind, s.quantity, s.total, s.quantity - s.total,
  null, null, s.days_missing,
  case when not s.is_settled then 'pending' when s.differs then 'differs'
    when s.quantity is null and s.org_id is not null then 'not_compared' else 'equal' end,
  s.verified_at
from losant_usage.summary_differences s;
comment on view losant_usage.reconciliation is 'Our sums beside what Losant counts itself. By scope: instance_day, one row per instance, usage date and metric that was compared: the organizations'' sum beside the instance''s own total. org_day, one row per organization and day on which two metrics that count the same things differ (none where they agree). org_month, one row per organization, month and figure of a monthly summary: the month''s sum beside the summary. Never add scopes up. Restrict usage_date for days, and month = … for months. Source: usage_days, cells, instance_totals, monthly_summaries.';
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
comment on column losant_usage.reconciliation.total is 'Theirs: the instance''s total, the metric that counts the same, or the summary''s figure in the metric''s unit. Null: Losant left it out.';
comment on column losant_usage.reconciliation.difference is 'quantity - total; null if either is.';
comment on column losant_usage.reconciliation.orgs_missing is 'instance_day: organizations that existed that day and are missing from quantity (count).';
comment on column losant_usage.reconciliation.orgs_removed is 'instance_day: organizations in quantity that were deleted before the total was read, which Losant may not count any more (count).';
comment on column losant_usage.reconciliation.days_missing is 'org_month: days of the month that are missing from quantity (count); null if none is tracked.';
comment on column losant_usage.reconciliation.outcome is 'equal; differs: both are there, final and not equal (sizes that Losant gives in Mb: by a Mb or more), or the organization was never listed and has usage; pending: something is not final yet, or missing from the sum; not_compared: one of them is not there.';
comment on column losant_usage.reconciliation.verified_at is 'When Losant''s figure was asked for (UTC); null for org_day.';
