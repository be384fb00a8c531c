-- Closed periods: statements with their lines and proof packs, which nothing changes, and what differs since.

create table losant_usage.statements (
  statement_id uuid primary key,
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  period_month date not null check (extract(day from period_month) = 1),
  number integer not null check (number >= 1),
  kind text not null check (kind = case number when 1 then 'closing' else 'adjustment' end),
  source text not null check (source in ('calendar', 'losant')),
  reason text,
  orgs integer not null,
  closed_at timestamptz not null,
  closed_by text not null default session_user,
  manifest_sha256 bytea not null check (octet_length(manifest_sha256) = 32),
  unique (instance_id, period_month, number)
);
comment on table losant_usage.statements is 'Closed billing periods, one row per closing and per later adjustment; append-only. Written by losant-usage close.';
comment on column losant_usage.statements.statement_id is 'Id of the statement.';
comment on column losant_usage.statements.instance_id is 'Losant instance id.';
comment on column losant_usage.statements.period_month is 'First day of the month (UTC) that is closed: the month itself, or, with periods of Losant, the month in which the periods end.';
comment on column losant_usage.statements.number is 'Place among the statements of the period: 1 is the closing, others are adjustments.';
comment on column losant_usage.statements.kind is 'closing: the numbers of the period. adjustment: what changed since the statement before it, as differences.';
comment on column losant_usage.statements.source is 'What the periods are: calendar or losant, see billing_periods.';
comment on column losant_usage.statements.reason is 'Why it was closed although something blocked it; null if nothing did.';
comment on column losant_usage.statements.orgs is 'Organizations with a line (count).';
comment on column losant_usage.statements.closed_at is 'The moment whose numbers it has (UTC): those of usage_as_of.';
comment on column losant_usage.statements.closed_by is 'Database user that closed it.';
comment on column losant_usage.statements.manifest_sha256 is 'SHA-256 of manifest.json of its proof pack, which has that of every other file.';

create table losant_usage.statement_lines (
  statement_id uuid not null references losant_usage.statements (statement_id) deferrable initially deferred,
  org_id text collate "C" not null references losant_usage.organizations (org_id),
  period_start date not null,
  metric text collate "C" not null references losant_usage.metrics (metric),
  period_end date not null check (period_end >= period_start),
  org_name text not null,
  referral_id text,
  plan_id text,
  customer_id text,
  unit text not null,
  kind text not null,
  quantity bigint,
  total bigint,
  total_max bigint,
  total_avg numeric,
  days_in_period integer not null,
  days_expected integer not null,
  days_stored integer not null,
  days_final integer not null,
  days_accepted integer not null,
  days_unavailable integer not null,
  days_unreported integer not null,
  is_billable boolean not null,
  revision_watermark bigint not null,
  primary key (statement_id, org_id, period_start, metric)
);
create index statement_lines_org on losant_usage.statement_lines (org_id, period_start);
comment on table losant_usage.statement_lines is 'What a statement says, one row per organization, period and metric; append-only. The sum of quantity over the statements of a period is the number of the newest one.';
comment on column losant_usage.statement_lines.statement_id is 'Statement.';
comment on column losant_usage.statement_lines.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.statement_lines.period_start is 'First usage date of the period (UTC).';
comment on column losant_usage.statement_lines.metric is 'Metric, see metrics.';
comment on column losant_usage.statement_lines.period_end is 'Last usage date of the period (UTC, inclusive).';
comment on column losant_usage.statement_lines.org_name is 'Name of the organization when the statement was made.';
comment on column losant_usage.statement_lines.referral_id is 'Referral id of the organization when the statement was made; null if it had none.';
comment on column losant_usage.statement_lines.plan_id is 'Billing plan id of the organization when the statement was made; null if it had none.';
comment on column losant_usage.statement_lines.customer_id is 'Customer id of the organization when the statement was made; null if it had none.';
comment on column losant_usage.statement_lines.unit is 'Unit of the quantities.';
comment on column losant_usage.statement_lines.kind is 'flow: summed over the days. level: the last of the period.';
comment on column losant_usage.statement_lines.quantity is 'What this statement bills, in the unit beside it: of a closing the total, of an adjustment the total minus that of the statement before; null if none is stored.';
comment on column losant_usage.statement_lines.total is 'The number of the period at that moment, in the unit beside it: a flow summed over the tracked days that are stored, a level on the last of them; null if none is stored.';
comment on column losant_usage.statement_lines.total_max is 'Of a level the greatest of the period at that moment; null for flows.';
comment on column losant_usage.statement_lines.total_avg is 'Of a level the average of the days stored at that moment; null for flows.';
comment on column losant_usage.statement_lines.days_in_period is 'Days of the period (count).';
comment on column losant_usage.statement_lines.days_expected is 'Days of the period tracked for any stream (count).';
comment on column losant_usage.statement_lines.days_stored is 'Days of these of which every tracked number is stored (count).';
comment on column losant_usage.statement_lines.days_final is 'Days of these of which every tracked number is final (count).';
comment on column losant_usage.statement_lines.days_accepted is 'Days with a number that a person accepted, missing or as it stands (count).';
comment on column losant_usage.statement_lines.days_unavailable is 'Days with a number that is no longer available (count).';
comment on column losant_usage.statement_lines.days_unreported is 'Days with zeros that stand for numbers Losant left out (count).';
comment on column losant_usage.statement_lines.is_billable is 'Whether every tracked number of the period was final or accepted.';
comment on column losant_usage.statement_lines.revision_watermark is 'The newest revision of the organization''s cells in the period that is in the numbers: revisions.id; 0 if there is none.';

create table losant_usage.statement_files (
  statement_id uuid not null references losant_usage.statements (statement_id) deferrable initially deferred,
  name text not null,
  part integer not null,
  content_gzip bytea not null,
  primary key (statement_id, name, part)
);
comment on table losant_usage.statement_files is 'The proof pack of a statement as it was made, in parts; append-only. Written out by losant-usage statement.';
comment on column losant_usage.statement_files.statement_id is 'Statement.';
comment on column losant_usage.statement_files.name is 'Name of the file.';
comment on column losant_usage.statement_files.part is 'Place of the part in the file, from 0.';
comment on column losant_usage.statement_files.content_gzip is 'The part, gzip.';

create trigger append_only before update or delete or truncate on losant_usage.statements
  for each statement execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_lines
  for each statement execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_files
  for each statement execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');

-- Lines and files come before their statement, in its transaction; nothing is added to one that stands.
create function losant_usage.refuse_addition() returns trigger language plpgsql as $$
begin
  if exists (select from added a join losant_usage.statements s on s.statement_id = a.statement_id) then
    raise exception 'losant_usage.%: nothing can be added to a statement', tg_table_name;
  end if;
  return null;
end
$$;
comment on function losant_usage.refuse_addition is 'Keeps a statement as it was closed.';
create trigger closed after insert on losant_usage.statement_lines
  referencing new table as added for each statement execute function losant_usage.refuse_addition();
create trigger closed after insert on losant_usage.statement_files
  referencing new table as added for each statement execute function losant_usage.refuse_addition();

create function losant_usage.hold_loads() returns void
language sql security definer set search_path = pg_catalog, pg_temp as $$
  lock table losant_usage.coverage, losant_usage.usage_days, losant_usage.payload_sources in share mode
$$;
comment on function losant_usage.hold_loads is 'Waits for the loads under way and holds further ones back until the transaction ends: for closing at one moment.';
revoke execute on function losant_usage.hold_loads from public;

create function losant_usage.period_numbers(for_instance text, of_month date, of_source text) returns table (
  org_id text, org_name text, referral_id text, plan_id text, customer_id text, period_start date, period_end date,
  metric text, stream text, unit text, kind text, total bigint, total_max bigint, total_avg numeric,
  days_in_period integer, days_expected integer, days_stored integer, days_final integer, days_accepted integer,
  days_unavailable integer, days_unreported integer, is_billable boolean
) language sql stable as $$
  select p.org_id, p.org_name, p.referral_id, p.plan_id, p.customer_id, p.period_start, p.period_end,
    m.metric, m.stream, m.unit, m.kind, m.total, m.total_max, m.total_avg,
    p.days_in_period, p.days_expected, p.days_stored, p.days_final, p.days_accepted,
    p.days_unavailable, p.days_unreported, p.is_clear
  from (
    select * from losant_usage.month_rows where of_source = 'calendar' and period_start = of_month
    union all
    select * from losant_usage.own_period_rows
    where of_source = 'losant' and period_end between of_month and (of_month + interval '1 month')::date - 1
  ) as p
  cross join lateral (values
    ('devices_created', 'device_counts', 'devices', 'flow', p.devices_created, null::bigint, null::numeric),
    ('devices_deleted', 'device_counts', 'devices', 'flow', p.devices_deleted, null::bigint, null::numeric),
    ('devices_total', 'device_counts', 'devices', 'level', p.devices_total, p.devices_total_max, p.devices_total_avg),
    ('notebook_minutes', 'notebook_minutes', 'minutes', 'flow', p.notebook_minutes, null::bigint, null::numeric),
    ('notebook_completed', 'notebook_minutes', 'executions', 'flow', p.notebook_completed, null::bigint, null::numeric),
    ('notebook_canceled', 'notebook_minutes', 'executions', 'flow', p.notebook_canceled, null::bigint, null::numeric),
    ('notebook_errored', 'notebook_minutes', 'executions', 'flow', p.notebook_errored, null::bigint, null::numeric),
    ('notebook_timeout', 'notebook_minutes', 'executions', 'flow', p.notebook_timeout, null::bigint, null::numeric),
    ('payload_billable_count', 'payload_totals', 'payloads', 'flow', p.payload_billable_count, null::bigint, null::numeric),
    ('payload_all_count', 'payload_totals', 'payloads', 'flow', p.payload_all_count, null::bigint, null::numeric),
    ('payload_all_bytes', 'payload_totals', 'bytes', 'flow', p.payload_all_bytes, null::bigint, null::numeric),
    ('payload_source_count', 'payload_sources', 'payloads', 'flow', p.payload_source_count, null::bigint, null::numeric)
  ) as m (metric, stream, unit, kind, total, total_max, total_avg)
  where p.instance_id = for_instance and p.days_expected > 0
    and (m.total is not null or exists (
      select from losant_usage.tracked t where t.org_id = p.org_id and t.stream = m.stream
        and t.days && daterange(p.period_start, p.period_end + 1)))
$$;
comment on function losant_usage.period_numbers is 'The numbers of an instance''s periods that end in a month, one row per organization, period and metric: what a statement of that month would say. Source: month_rows, own_period_rows.';

-- Strict: not inlined, so that only the source that is asked for is computed.
-- Compiling its plan takes several times as long as running it.
create function losant_usage.adjustments_of(for_instance text, month date, of_source text) returns table (
  org_id text, org_name text, referral_id text, plan_id text, customer_id text, period_start date, period_end date,
  metric text, unit text, kind text, then_quantity bigint, now_quantity bigint, difference bigint,
  then_max bigint, now_max bigint, then_avg numeric, now_avg numeric, cause text
) language sql stable strict rows 100 set jit = off as $$
  select d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.period_start, d.period_end,
    d.metric, d.unit, d.kind, d.then_total, d.now_total, coalesce(d.now_total, 0) - coalesce(d.then_total, 0),
    d.then_max, d.now_max, d.then_avg, d.now_avg,
    case when d.watermark is null then 'not_in_statement'
      when r.by_hand then 'changed_by_hand' when r.by_hand is not null then 'restated'
      when exists (
        select from losant_usage.coverage c where c.org_id = d.org_id and c.stream = d.stream
          and c.usage_date between d.period_start and d.period_end and c.first_loaded_at > d.billed_at) then 'loaded_later'
      else 'tracking' end
  from (
    select coalesce(n.org_id, b.org_id) as org_id, coalesce(n.org_name, b.org_name) as org_name,
      coalesce(n.referral_id, b.referral_id) as referral_id, coalesce(n.plan_id, b.plan_id) as plan_id,
      coalesce(n.customer_id, b.customer_id) as customer_id,
      coalesce(n.period_start, b.period_start) as period_start, coalesce(n.period_end, b.period_end) as period_end,
      coalesce(n.metric, b.metric) as metric, coalesce(n.unit, b.unit) as unit, coalesce(n.kind, b.kind) as kind,
      b.total as then_total, n.total as now_total, b.total_max as then_max, n.total_max as now_max,
      b.total_avg as then_avg, n.total_avg as now_avg, b.revision_watermark as watermark, b.closed_at as billed_at,
      coalesce(n.stream, (select m.stream from losant_usage.metrics m where m.metric = b.metric)) as stream
    from losant_usage.period_numbers(for_instance, month, of_source) as n
    full join (
      select distinct on (l.org_id, l.period_start, l.metric) l.*, s.closed_at
      from losant_usage.statements s join losant_usage.statement_lines l on l.statement_id = s.statement_id
      where s.instance_id = for_instance and s.period_month = month
      order by l.org_id, l.period_start, l.metric, s.number desc
    ) as b on b.org_id = n.org_id and b.period_start = n.period_start and b.metric = n.metric
    where row(n.total, n.total_max, n.total_avg) is distinct from row(b.total, b.total_max, b.total_avg)
      and not losant_usage.is_pruned(for_instance, coalesce(n.period_start, b.period_start), coalesce(n.period_end, b.period_end))
  ) as d
  left join lateral (
    select bool_or(r.run_id is null) as by_hand from losant_usage.revisions r
    where r.org_id = d.org_id and r.usage_date between d.period_start and d.period_end and r.stream = d.stream
      and r.id > d.watermark
  ) as r on true
$$;
comment on function losant_usage.adjustments_of is 'What differs now from what the statements of a closed month say. Source: statement_lines, period_usage.';

create view losant_usage.adjustments as
select s.instance_id, s.period_month, a.*
from losant_usage.statements s
cross join lateral losant_usage.adjustments_of(s.instance_id, s.period_month, s.source) as a
where s.number = 1;
comment on view losant_usage.adjustments is 'What differs now from what was closed, and is not settled yet, one row per organization, period and metric. losant-usage close --adjust settles it. Source: statement_lines, period_usage, revisions.';
comment on column losant_usage.adjustments.instance_id is 'Losant instance id.';
comment on column losant_usage.adjustments.period_month is 'First day of the closed month (UTC), see statements.';
comment on column losant_usage.adjustments.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.adjustments.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.adjustments.referral_id is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.adjustments.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.adjustments.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.adjustments.period_start is 'First usage date of the period (UTC).';
comment on column losant_usage.adjustments.period_end is 'Last usage date of the period (UTC, inclusive).';
comment on column losant_usage.adjustments.metric is 'Metric, see metrics.';
comment on column losant_usage.adjustments.unit is 'Unit of the quantities.';
comment on column losant_usage.adjustments.kind is 'flow or level, see metrics.';
comment on column losant_usage.adjustments.then_quantity is 'The number of the period in its newest statement; null if none was stored, or it is in none.';
comment on column losant_usage.adjustments.now_quantity is 'The number of the period now; null if none is stored.';
comment on column losant_usage.adjustments.difference is 'Now minus then, where not stored counts as 0.';
comment on column losant_usage.adjustments.then_max is 'Of a level the greatest of the period in the newest statement; null for flows.';
comment on column losant_usage.adjustments.now_max is 'Of a level the greatest of the period now; null for flows.';
comment on column losant_usage.adjustments.then_avg is 'Of a level the average of the period in the newest statement; null for flows.';
comment on column losant_usage.adjustments.now_avg is 'Of a level the average of the period now; null for flows.';
comment on column losant_usage.adjustments.cause is 'restated: Losant gave other numbers since. changed_by_hand: numbers were changed in SQL. loaded_later: a number was first loaded after the statement. not_in_statement: it is in no statement of the period. tracking: other days are tracked.';

-- Usage columns of FOCUS, the FinOps open cost and usage specification (https://focus.finops.org), by their names
-- there; what it has no name for begins with x_. There is no price, and so no cost.
create view losant_usage.focus_usage as
select d.instance_id as "BillingAccountId", i.name as "BillingAccountName",
  d.org_id as "SubAccountId", d.org_name as "SubAccountName",
  p.first_day::timestamp at time zone 'UTC' as "BillingPeriodStart",
  (p.last_day + 1)::timestamp at time zone 'UTC' as "BillingPeriodEnd",
  d.usage_date::timestamp at time zone 'UTC' as "ChargePeriodStart",
  (d.usage_date + 1)::timestamp at time zone 'UTC' as "ChargePeriodEnd",
  'Usage'::text as "ChargeCategory", m.description as "ChargeDescription",
  d.quantity::numeric as "ConsumedQuantity", d.unit as "ConsumedUnit",
  'Losant'::text as "ProviderName", 'Losant'::text as "PublisherName",
  'Internet of Things'::text as "ServiceCategory", 'Losant'::text as "ServiceName",
  d.org_id as "ResourceId", d.org_name as "ResourceName", 'Organization'::text as "ResourceType",
  d.metric as "SkuMeter",
  d.stream as "x_Stream", d.kind as "x_Kind", d.usage_date as "x_UsageDate", d.is_final as "x_IsFinal",
  d.referral_id as "x_ReferralId", d.plan_id as "x_PlanId", d.customer_id as "x_CustomerId"
from losant_usage.daily_usage_long d
join losant_usage.instances i on i.instance_id = d.instance_id
join losant_usage.metrics m on m.metric = d.metric
left join lateral (
  select date_trunc('month', d.usage_date::timestamp)::date as first_day,
    (date_trunc('month', d.usage_date::timestamp) + interval '1 month')::date - 1 as last_day
  where i.billing_periods = 'calendar'
  union all
  select l.period_start, l.period_end from losant_usage.losant_periods l
  where i.billing_periods = 'losant' and l.org_id = d.org_id and d.usage_date between l.period_start and l.period_end
) as p on true
where d.quantity is not null;
comment on view losant_usage.focus_usage is 'Usage by the column names of FOCUS, one row per organization, tracked usage date and metric that is stored; no prices. Add over days where x_Kind is flow only. Restrict x_UsageDate. Source: daily_usage_long.';
comment on column losant_usage.focus_usage."BillingAccountId" is 'Losant instance id.';
comment on column losant_usage.focus_usage."BillingAccountName" is 'Name of the instance as last seen; null if Losant did not say.';
comment on column losant_usage.focus_usage."SubAccountId" is 'Losant organization id.';
comment on column losant_usage.focus_usage."SubAccountName" is 'Name of the organization as last seen.';
comment on column losant_usage.focus_usage."BillingPeriodStart" is 'Start of the billing period of the day (UTC, inclusive); null if it lies in no known one.';
comment on column losant_usage.focus_usage."BillingPeriodEnd" is 'End of the billing period of the day (UTC, exclusive); null if it lies in no known one.';
comment on column losant_usage.focus_usage."ChargePeriodStart" is 'Start of the usage date (UTC, inclusive).';
comment on column losant_usage.focus_usage."ChargePeriodEnd" is 'End of the usage date (UTC, exclusive).';
comment on column losant_usage.focus_usage."ChargeCategory" is 'Usage.';
comment on column losant_usage.focus_usage."ChargeDescription" is 'What the metric counts.';
comment on column losant_usage.focus_usage."ConsumedQuantity" is 'The number, in ConsumedUnit.';
comment on column losant_usage.focus_usage."ConsumedUnit" is 'Unit of the quantity.';
comment on column losant_usage.focus_usage."ProviderName" is 'Losant.';
comment on column losant_usage.focus_usage."PublisherName" is 'Losant.';
comment on column losant_usage.focus_usage."ServiceCategory" is 'Internet of Things.';
comment on column losant_usage.focus_usage."ServiceName" is 'Losant.';
comment on column losant_usage.focus_usage."ResourceId" is 'Losant organization id.';
comment on column losant_usage.focus_usage."ResourceName" is 'Name of the organization as last seen.';
comment on column losant_usage.focus_usage."ResourceType" is 'Organization.';
comment on column losant_usage.focus_usage."SkuMeter" is 'Metric, see metrics.';
comment on column losant_usage.focus_usage."x_Stream" is 'Stream the metric belongs to.';
comment on column losant_usage.focus_usage."x_Kind" is 'flow: may be summed over days. level: never sum it over days.';
comment on column losant_usage.focus_usage."x_UsageDate" is 'Usage date (UTC): restrict this one.';
comment on column losant_usage.focus_usage."x_IsFinal" is 'Whether the number is final.';
comment on column losant_usage.focus_usage."x_ReferralId" is 'Referral id of the organization as last seen; null if it has none.';
comment on column losant_usage.focus_usage."x_PlanId" is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.focus_usage."x_CustomerId" is 'Customer id of the organization as last seen; null if it has none.';
