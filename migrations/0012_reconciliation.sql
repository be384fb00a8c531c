-- The second witness: what Losant itself counts for the whole instance by day, and for each organization by month,
-- beside our sums; and a third, payloads by source beside all payloads. Nothing here ever changes a number.

alter table losant_usage.metrics
  add column same_as text collate "C" references losant_usage.metrics (metric),
  add column summary_figures text[],
  add column summary_scale bigint not null default 1;
comment on column losant_usage.metrics.same_as is 'Another metric that counts the same things and should have the same number; null if there is none.';
comment on column losant_usage.metrics.summary_figures is 'The figures of a monthly summary that add up to the metric''s month, in Losant''s words; null if there are none.';
comment on column losant_usage.metrics.summary_scale is 'How many units of the metric one of these figures'' units is; above 1 they are compared to a whole one. A Mb is taken for 1,000,000 bytes.';
update losant_usage.metrics m set same_as = v.same_as, summary_figures = v.figures, summary_scale = v.scale
from (values
  ('devices_total', null, '{deviceCount}'::text[], 1),
  ('notebook_minutes', null, '{notebookMinutesCount}', 1),
  ('payload_billable_count', null, '{payloadBillableCount}', 1),
  ('payload_all_count', null, '{payloadBillableCount,payloadNonbillableCount}', 1),
  ('payload_all_bytes', null, '{payloadBillableSizeMb,payloadNonbillableSizeMb}', 1000000),
  ('payload_source_count', 'payload_all_count', null, 1)
) as v (metric, same_as, figures, scale)
where m.metric = v.metric;

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
comment on table losant_usage.instance_totals is 'What Losant counts for the whole instance, one row per instance, usage date and metric: the second witness. Source: Losant deviceCounts, notebookMinuteCounts, payloadCountsBreakdown and payloadCounts of the instance.';
comment on column losant_usage.instance_totals.instance_id is 'Losant instance id.';
comment on column losant_usage.instance_totals.usage_date is 'Usage date (UTC).';
comment on column losant_usage.instance_totals.metric is 'Metric, see metrics; it has the unit.';
comment on column losant_usage.instance_totals.quantity is 'The instance''s number, in the metric''s unit; null: Losant left the day out of its answer.';
comment on column losant_usage.instance_totals.verified_at is 'When the newest answer was asked for (UTC, database clock).';
comment on column losant_usage.instance_totals.earlier is 'Numbers that Losant told before and changed, oldest first: array of {quantity, verified_at}.';
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
comment on column losant_usage.monthly_summaries.resource_type is 'What the figures are of, in Losant''s words: organization, application or whitelabel.';
comment on column losant_usage.monthly_summaries.resource_id is 'Its id, 24 lower-case hex characters; of an organization its org_id, whether it was ever listed or not.';
comment on column losant_usage.monthly_summaries.resource_name is 'Its name as the summary has it; null if it has none.';
comment on column losant_usage.monthly_summaries.proration is 'Which part of the month Losant says it existed (0 to 1); null if it does not say.';
comment on column losant_usage.monthly_summaries.figures is 'Every number of the summary under its name in Losant, e.g. payloadBillableCount; sizes end in Mb.';
comment on column losant_usage.monthly_summaries.verified_at is 'When the newest answer was asked for (UTC, database clock).';
comment on column losant_usage.monthly_summaries.earlier is 'Figures that Losant told before and changed, oldest first: array of {figures, verified_at}.';
comment on column losant_usage.monthly_summaries.run_id is 'Run that asked; it is not in runs if nothing else was due.';
comment on column losant_usage.monthly_summaries.response_sha256 is 'SHA-256 of the response body the summary came in.';

create table losant_usage.witness_reads (
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  question text collate "C" not null,
  verified_at timestamptz,
  attempts integer not null default 0,
  attempted_at timestamptz not null,
  next_read_at timestamptz,
  error_code text,
  error_message text,
  primary key (instance_id, question),
  check ((attempts = 0) = (error_code is null))
);
comment on table losant_usage.witness_reads is 'How the second witness was asked, one row per instance and question. That it does not answer changes no number and fails no run.';
comment on column losant_usage.witness_reads.instance_id is 'Losant instance id.';
comment on column losant_usage.witness_reads.question is 'A stream, for instance_totals, or monthly_summaries and a month, e.g. monthly_summaries 2026-10.';
comment on column losant_usage.witness_reads.verified_at is 'When the newest complete answer was asked for (UTC, database clock); null if none came yet.';
comment on column losant_usage.witness_reads.attempts is 'Failures since the last complete answer (count).';
comment on column losant_usage.witness_reads.attempted_at is 'When it was asked last (UTC, database clock).';
comment on column losant_usage.witness_reads.next_read_at is 'After a failure: not asked again before (UTC); null otherwise.';
comment on column losant_usage.witness_reads.error_code is 'What was wrong, in one word; null if nothing.';
comment on column losant_usage.witness_reads.error_message is 'What was wrong, for people; null if nothing.';

create index organizations_removed on losant_usage.organizations (instance_id) where removed_at is not null;

create function losant_usage.build_reconciliation() returns void language plpgsql as $build$
begin
  execute format($view$
    create or replace view losant_usage.reconciliation as
    select 'instance_day' as scope, r.instance_id, date_trunc('month', r.usage_date::timestamp)::date as month, r.usage_date,
      null::text as org_id, null::text as org_name, null::text as referral_id, null::text as plan_id, null::text as customer_id,
      true as is_listed, r.metric, r.unit, r.kind, r.quantity, r.total, r.quantity - r.total as difference,
      r.orgs_missing, r.orgs_removed, null::integer as days_missing,
      r.quantity is not null and r.total is not null and r.quantity <> r.total as differs,
      r.orgs_missing = 0 and r.orgs_removed = 0 and r.is_final as is_final, r.verified_at
    from (
      select s.instance_id, s.usage_date, m.metric, m.unit, m.kind, v.quantity, t.verified_at,
        -- A day that Losant leaves out is one of zeros, where that is what a missing day means.
        coalesce(t.quantity, case st.missing_means when 'zero' then 0 end)::numeric as total,
        (s.orgs - v.orgs)::integer as orgs_missing,
        (select count(*)::integer from losant_usage.organizations o
         where o.instance_id = s.instance_id and o.removed_at is not null and o.removed_at < t.verified_at
           and o.removed_on >= s.usage_date and (o.created_on is null or o.created_on <= s.usage_date)) as orgs_removed,
        m.stream <> all (s.open_streams) and coalesce(t.verified_at >= ((s.usage_date + 1)::timestamp
          + (i.policy ->> 'finalAtHours')::integer * interval '1 hour') at time zone 'UTC', false) as is_final
      from (
        select n.*,
          (select count(*) from losant_usage.organizations o
           where o.instance_id = n.instance_id and (o.created_on is null or o.created_on <= n.usage_date)
             and (o.removed_on is null or o.removed_on >= n.usage_date)) as orgs,
          array(select distinct c.stream from losant_usage.open_cells c
            where c.instance_id = n.instance_id and c.usage_date = n.usage_date and c.state <> 'final') as open_streams
        from (
          select o.instance_id, r.usage_date, %1$s
          from losant_usage.org_rows r join losant_usage.organizations o on o.org_id = r.org_id
          group by o.instance_id, r.usage_date
        ) as n
      ) as s
      join losant_usage.instances i on i.instance_id = s.instance_id
      cross join lateral (values %2$s) as v (metric, quantity, orgs)
      join losant_usage.instance_totals t
        on t.instance_id = s.instance_id and t.usage_date = s.usage_date and t.metric = v.metric
      join losant_usage.metrics m on m.metric = v.metric
      join losant_usage.streams st on st.stream = m.stream
    ) as r
    union all
    select 'org_day', o.instance_id, date_trunc('month', r.usage_date::timestamp)::date, r.usage_date,
      o.org_id, o.name, o.referral_id, o.plan_id, o.customer_id,
      true, m.metric, m.unit, m.kind, v.quantity, v.total, v.quantity - v.total,
      null, null, null, true,
      not exists (
        select from losant_usage.open_cells c
        where c.usage_date = r.usage_date and c.org_id = r.org_id and c.state <> 'final' and c.stream in (m.stream, w.stream)),
      null
    from losant_usage.org_rows r
    cross join lateral (values %3$s) as v (metric, quantity, total)
    join losant_usage.organizations o on o.org_id = r.org_id
    join losant_usage.metrics m on m.metric = v.metric
    join losant_usage.metrics w on w.metric = m.same_as
    where v.quantity <> v.total
    union all
    select 'org_month', s.instance_id, s.month, null, s.resource_id, coalesce(o.name, s.resource_name),
      o.referral_id, o.plan_id, o.customer_id,
      o.org_id is not null, m.metric, m.unit, m.kind, v.quantity, t.total, v.quantity - t.total,
      null, null, u.days_expected - u.days_held,
      case when o.org_id is null then t.total > 0
        when m.summary_scale > 1 then coalesce(abs(v.quantity - t.total) >= m.summary_scale, false)
        else coalesce(v.quantity <> t.total, false) end,
      case when o.org_id is null then true else coalesce(u.is_final, false) end and coalesce(s.verified_at >= (
        (s.month + interval '1 month') + (i.policy ->> 'finalAtHours')::integer * interval '1 hour') at time zone 'UTC', false),
      s.verified_at
    from losant_usage.monthly_summaries s
    join losant_usage.instances i on i.instance_id = s.instance_id
    join losant_usage.metrics m on m.summary_figures is not null
    left join losant_usage.organizations o on o.org_id = s.resource_id and o.instance_id = s.instance_id
    left join losant_usage.monthly_usage u on u.month = s.month and u.org_id = s.resource_id
    cross join lateral (select case m.metric %4$s end::numeric as quantity) as v
    cross join lateral (
      select sum((s.figures ->> f.name)::numeric) * m.summary_scale as total from unnest(m.summary_figures) as f (name)
      having count(s.figures ->> f.name) = cardinality(m.summary_figures)
    ) as t
    where s.resource_type = 'organization'
    $view$,
    losant_usage.per_metric('sum(r.%1$I) as %1$I, count(r.%1$I) as %1$s_orgs', ', '),
    losant_usage.per_metric('(%1$L, s.%1$I, s.%1$s_orgs)', ', '),
    (select string_agg(format('(%L, r.%I::numeric, r.%I::numeric)', metric, metric, same_as), ', ')
     from losant_usage.metrics where same_as is not null),
    losant_usage.per_metric('when %1$L then u.%1$I', ' '));
  execute $c$ comment on view losant_usage.reconciliation is 'Our sums beside what Losant counts itself. By scope: instance_day, one row per instance, usage date and metric that was compared: the organizations'' sum beside the instance''s own total. org_day, one row per organization and day on which two metrics that count the same things differ (none where they agree). org_month, one row per organization, month and figure of a monthly summary: the month''s sum beside the summary. Never add scopes up. Restrict usage_date for days, and month = … for months. A difference that stands: differs and is_final. Source: usage_days, coverage, instance_totals, monthly_summaries.' $c$;
  perform losant_usage.describe('reconciliation', losant_usage.organization_texts() || jsonb_build_object(
    'scope', 'What is compared: instance_day, org_day or org_month.',
    'month', 'First day of the month (UTC); of a day, of the month it is in.',
    'usage_date', 'Usage date (UTC); null for org_month.',
    'org_id', 'Losant organization id; null for instance_day.',
    'org_name', 'Name of the organization as last seen; of one that was never listed, its name in the summary. Null for instance_day.',
    'is_listed', 'Whether the organization was ever listed. False: a summary names it and nothing was exported of it.',
    'metric', 'What is counted, see metrics.',
    'unit', 'Unit of quantity, total and difference.',
    'kind', 'flow or level, see metrics; the level of a month is its last.',
    'quantity', 'Ours: the sum over organizations, the organization''s own number, or its month. Null: nothing is held.',
    'total', 'Theirs: the instance''s total, the metric that counts the same, or the summary''s figure in the metric''s unit. Null: Losant left it out.',
    'difference', 'quantity - total; null if either is.',
    'orgs_missing', 'instance_day: organizations that existed that day and are missing from quantity (count).',
    'orgs_removed', 'instance_day: organizations in quantity that were deleted before the total was read, which Losant may not count any more (count).',
    'days_missing', 'org_month: days of the month that are missing from quantity (count); null if none is tracked.',
    'differs', 'Whether both are there and not equal (sizes that Losant tells in Mb: by a Mb or more), or the organization was never listed and has usage.',
    'is_final', 'Whether nothing is expected to change: every number in quantity is final, none is missing, no organization of it was deleted meanwhile, and the total was read as late as that.',
    'verified_at', 'When the total was asked for (UTC); null for org_day.'));
end
$build$;
comment on function losant_usage.build_reconciliation is 'Builds reconciliation from streams and metrics.';
do $$ begin perform losant_usage.build_reconciliation(); end $$;

create function losant_usage.build() returns void language plpgsql as $$
begin
  perform losant_usage.build_streams();
  perform losant_usage.build_record();
  perform losant_usage.build_org_rows();
  perform losant_usage.build_daily_usage();
  perform losant_usage.build_monthly_usage();
  perform losant_usage.build_usage_as_of();
  perform losant_usage.build_changes_since();
  perform losant_usage.build_period_usage();
  perform losant_usage.build_statements();
  perform losant_usage.build_reconciliation();
end
$$;
comment on function losant_usage.build is 'Builds all views, triggers and functions that follow from streams and metrics, in the order in which they stand on each other: to be called by a migration that adds to them.';
