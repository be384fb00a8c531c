-- Closed periods: statements with their lines and proof packs, which nothing changes, and what differs since. Two
-- functions write them, open_statement and seal_statement, in one transaction of the closer's role.

create table losant_usage.statements (
  statement_id uuid primary key,
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  period_month date not null check (extract(day from period_month) = 1),
  number integer not null check (number >= 1),
  kind text not null check (kind in ('closing', 'adjustment')),
  source text not null check (source in ('calendar', 'losant')),
  reason text,
  orgs integer not null,
  rules jsonb not null default '{}',
  closed_at timestamptz not null,
  closed_by text not null default session_user,
  previous_sha256 bytea check (octet_length(previous_sha256) = 32),
  manifest text,
  manifest_sha256 bytea check (octet_length(manifest_sha256) = 32),
  unique (instance_id, number)
);
create unique index statements_closing on losant_usage.statements (instance_id, period_month) where kind = 'closing';
comment on table losant_usage.statements is 'Closed billing periods, one row per closing and per later adjustment; append-only. Written by losant-usage close, through open_statement and seal_statement.';
comment on column losant_usage.statements.statement_id is 'Id of the statement.';
comment on column losant_usage.statements.instance_id is 'Losant instance id.';
comment on column losant_usage.statements.period_month is 'First day of the month (UTC) that is closed: the month itself, or, with periods of Losant, the month in which the periods end.';
comment on column losant_usage.statements.number is 'Place among the statements of the instance, of all months, from 1 without a gap.';
comment on column losant_usage.statements.kind is 'closing: the numbers of the period. adjustment: what changed since the statements of the month before it, as differences.';
comment on column losant_usage.statements.source is 'What the periods are: calendar or losant, see billing_periods.';
comment on column losant_usage.statements.reason is 'Why it was closed although something blocked it, see statement_blockers; null if nothing did.';
comment on column losant_usage.statements.orgs is 'Organizations with a line (count).';
comment on column losant_usage.statements.rules is 'Rules by which its numbers became final: the policy of the instance (hours and days, see READ_AT_HOURS, FINAL_AT_HOURS, HORIZON_DAYS) and what control totals do.';
comment on column losant_usage.statements.closed_at is 'The moment whose numbers it has (UTC): those of usage_as_of.';
comment on column losant_usage.statements.closed_by is 'Database user that closed it.';
comment on column losant_usage.statements.previous_sha256 is 'manifest_sha256 of the statement with the number before; null of the first.';
comment on column losant_usage.statements.manifest is 'manifest.json of its proof pack (JSON text). Null only inside the transaction that closes it.';
comment on column losant_usage.statements.manifest_sha256 is 'SHA-256 of manifest, which has that of every other file.';

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
  days_not_final integer not null default 0,
  days_in_doubt integer not null default 0,
  days_missing integer not null default 0,
  days_unreported integer not null,
  days_by_hand integer not null default 0,
  is_billable boolean not null,
  revision_watermark bigint not null,
  primary key (statement_id, org_id, period_start, metric)
);
create index statement_lines_period on losant_usage.statement_lines (period_end, org_id);
comment on table losant_usage.statement_lines is 'What a statement says, one row per organization, period and metric; append-only. The sum of quantity over the statements of a period is the number of the newest one.';
comment on column losant_usage.statement_lines.statement_id is 'Statement.';
comment on column losant_usage.statement_lines.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.statement_lines.period_start is 'First usage date that is billed (UTC): of the period, or of what no other statement has billed of it.';
comment on column losant_usage.statement_lines.metric is 'Metric, see metrics.';
comment on column losant_usage.statement_lines.period_end is 'Last usage date that is billed (UTC, inclusive).';
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
comment on column losant_usage.statement_lines.days_expected is 'Days of the period on which the metric is tracked (count): the sum of days_final, days_accepted, days_not_final, days_unavailable, days_in_doubt and days_missing.';
comment on column losant_usage.statement_lines.days_stored is 'Days of these on which it is stored (count).';
comment on column losant_usage.statement_lines.days_final is 'Days of these on which it is final (count).';
comment on column losant_usage.statement_lines.days_accepted is 'Days of these on which a person accepted it, missing or as it stands (count).';
comment on column losant_usage.statement_lines.days_unavailable is 'Days of these on which it can no longer be read (count).';
comment on column losant_usage.statement_lines.days_not_final is 'Days of these on which it is to be read again, stored or not (count).';
comment on column losant_usage.statement_lines.days_in_doubt is 'Days of these on which it is in doubt (count).';
comment on column losant_usage.statement_lines.days_missing is 'Days of these on which it is missing (count).';
comment on column losant_usage.statement_lines.days_unreported is 'Days of these with zeros that stand for numbers Losant left out (count).';
comment on column losant_usage.statement_lines.days_by_hand is 'Days of these whose number was typed in, in SQL, and not read from Losant since (count).';
comment on column losant_usage.statement_lines.is_billable is 'Whether the period was over, fully tracked, and every number of it final or accepted.';
comment on column losant_usage.statement_lines.revision_watermark is 'The newest revision of the organization''s cells in the period that is in the numbers: revisions.id; 0 if there is none.';

create table losant_usage.statement_sources (
  statement_id uuid not null references losant_usage.statements (statement_id) deferrable initially deferred,
  org_id text collate "C" not null references losant_usage.organizations (org_id),
  period_start date not null,
  payload_type text collate "C" not null,
  source text collate "C" not null,
  quantity bigint not null,
  total bigint not null,
  primary key (statement_id, org_id, period_start, payload_type, source)
);
comment on table losant_usage.statement_sources is 'payload_source_count of a statement by payload type and source, one row per organization, period, type and source; append-only. The sum of quantity over the sources is that of the line.';
comment on column losant_usage.statement_sources.statement_id is 'Statement.';
comment on column losant_usage.statement_sources.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.statement_sources.period_start is 'First usage date that is billed (UTC), see statement_lines.';
comment on column losant_usage.statement_sources.payload_type is 'Payload type.';
comment on column losant_usage.statement_sources.source is 'Payload source.';
comment on column losant_usage.statement_sources.quantity is 'What this statement bills (payloads): of a closing the total, of an adjustment the total minus what the statements before it say.';
comment on column losant_usage.statement_sources.total is 'The number of the period at that moment (payloads), summed over the tracked days.';

create table losant_usage.statement_blockers (
  statement_id uuid not null references losant_usage.statements (statement_id) deferrable initially deferred,
  position integer not null,
  org_id text collate "C",
  org_name text,
  period_start date not null,
  period_end date not null,
  cause text not null,
  days integer,
  first_day date not null,
  last_day date not null,
  streams text[],
  what_to_do text not null,
  primary key (statement_id, position)
);
comment on table losant_usage.statement_blockers is 'What blocked a statement that was closed all the same, for the reason in statements.reason: rows of closing_blockers at that moment; append-only.';
comment on column losant_usage.statement_blockers.statement_id is 'Statement.';
comment on column losant_usage.statement_blockers.position is 'Place in the list, from 1.';
comment on column losant_usage.statement_blockers.org_id is 'Losant organization id; null for what concerns the whole instance.';
comment on column losant_usage.statement_blockers.org_name is 'Name of the organization when the statement was made; null for the whole instance.';
comment on column losant_usage.statement_blockers.period_start is 'First usage date of the period (UTC).';
comment on column losant_usage.statement_blockers.period_end is 'Last usage date of the period (UTC, inclusive).';
comment on column losant_usage.statement_blockers.cause is 'Cause, see period_blockers; already_billed: days that a statement of another month has billed.';
comment on column losant_usage.statement_blockers.days is 'Days concerned (count); null where it is not a matter of single days.';
comment on column losant_usage.statement_blockers.first_day is 'First of these days (UTC).';
comment on column losant_usage.statement_blockers.last_day is 'Last of these days (UTC).';
comment on column losant_usage.statement_blockers.streams is 'Streams concerned; null where it is not a matter of streams.';
comment on column losant_usage.statement_blockers.what_to_do is 'What would have resolved it.';

create table losant_usage.statement_files (
  statement_id uuid not null references losant_usage.statements (statement_id) deferrable initially deferred,
  name text not null,
  part integer not null,
  content_gzip bytea not null,
  primary key (statement_id, name, part)
);
comment on table losant_usage.statement_files is 'The files of a statement''s proof pack as they were made, beside its manifest, in parts; append-only. Written out by losant-usage statement.';
comment on column losant_usage.statement_files.statement_id is 'Statement.';
comment on column losant_usage.statement_files.name is 'Name of the file.';
comment on column losant_usage.statement_files.part is 'Place of the part in the file, from 0.';
comment on column losant_usage.statement_files.content_gzip is 'The part, gzip.';

create trigger append_only before delete or truncate on losant_usage.statements
  for each statement execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only_update before update on losant_usage.statements for each statement
  when (coalesce(current_setting('losant_usage.sealing', true), '') = '')
  execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger sealed_once before update on losant_usage.statements for each row when (old.manifest is not null)
  execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_lines
  for each statement execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_sources
  for each statement execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_blockers
  for each statement execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_files
  for each statement execute function losant_usage.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');

create function losant_usage.refuse_addition() returns trigger language plpgsql as $$
begin
  if exists (
    select from added a join losant_usage.statements s on s.statement_id = a.statement_id where s.manifest_sha256 is not null) then
    raise exception 'losant_usage.%: nothing can be added to a statement', tg_table_name;
  end if;
  return null;
end
$$;
comment on function losant_usage.refuse_addition is 'Keeps a statement as it was sealed.';
create trigger closed after insert on losant_usage.statement_lines
  referencing new table as added for each statement execute function losant_usage.refuse_addition();
create trigger closed after insert on losant_usage.statement_sources
  referencing new table as added for each statement execute function losant_usage.refuse_addition();
create trigger closed after insert on losant_usage.statement_blockers
  referencing new table as added for each statement execute function losant_usage.refuse_addition();
create trigger closed after insert on losant_usage.statement_files
  referencing new table as added for each statement execute function losant_usage.refuse_addition();

create function losant_usage.require_seal() returns trigger language plpgsql as $$
begin
  if exists (select from losant_usage.statements s where s.statement_id = new.statement_id and s.manifest_sha256 is null) then
    raise exception 'losant_usage.statements: a statement without its proof pack is refused' using hint = 'losant-usage close';
  end if;
  return null;
end
$$;
comment on function losant_usage.require_seal is 'Lets no transaction end with a statement that has no proof pack.';
create constraint trigger sealed after insert on losant_usage.statements deferrable initially deferred
  for each row execute function losant_usage.require_seal();

-- Locking a view locks the tables of it with the rights of its owner, so that the closer can wait for loads under way
-- without a right to the tables. A join cannot be written to.
create view losant_usage.load_lock as
select true as is_locked from losant_usage.coverage, losant_usage.usage_days, losant_usage.payload_sources,
  losant_usage.payload_hours where false;
comment on view losant_usage.load_lock is 'Building block of closing, not for use by others: for LOCK TABLE only, it waits for the loads under way and holds further ones back, for closing at one moment.';
comment on column losant_usage.load_lock.is_locked is 'Nothing: the view has no rows.';

-- The periods of the statements of a month. What was billed keeps its period, whatever is seen in Losant later; of other
-- periods there are the days that no statement has billed.
create function losant_usage.statement_periods(for_instance text, of_month date, of_source text)
returns table (org_id text, period_start date, period_end date) language sql stable as $$
  with periods as (
    select o.org_id, of_month as period_start, (of_month + interval '1 month')::date - 1 as period_end
    from losant_usage.organizations o where o.instance_id = for_instance and of_source = 'calendar'
    union all
    select p.org_id, p.period_start, p.period_end
    from losant_usage.losant_periods p join losant_usage.organizations o on o.org_id = p.org_id and o.instance_id = for_instance
    where of_source = 'losant' and p.period_end between of_month and (of_month + interval '1 month')::date - 1
  ),
  billed as materialized (
    select l.org_id, l.period_start, l.period_end, s.period_month
    from losant_usage.statement_lines l
    join losant_usage.statements s on s.statement_id = l.statement_id and s.instance_id = for_instance
    where l.period_end >= (select min(period_start) from periods) and l.period_start < (of_month + interval '1 month')::date
    union
    select l.org_id, l.period_start, l.period_end, s.period_month
    from losant_usage.statements s join losant_usage.statement_lines l on l.statement_id = s.statement_id
    where s.instance_id = for_instance and s.period_month = of_month
  )
  select b.org_id, b.period_start, b.period_end from billed b where b.period_month = of_month
  union all
  select p.org_id, lower(part), upper(part) - 1
  from periods p
  left join (
    select b.org_id, range_agg(daterange(b.period_start, b.period_end + 1)) as days from billed b group by b.org_id
  ) as b on b.org_id = p.org_id
  cross join lateral unnest(datemultirange(daterange(p.period_start, p.period_end + 1)) - coalesce(b.days, '{}')) as part
$$;
comment on function losant_usage.statement_periods is 'The periods of the statements of a month, one row per organization and period. No day is in two, and none in one that another month has billed.';

-- In plpgsql, so that it is planned for its month and is computed once wherever it is joined.
create function losant_usage.period_numbers(for_instance text, of_month date, of_source text) returns table (
  org_id text, org_name text, referral_id text, plan_id text, customer_id text, period_start date, period_end date,
  metric text, stream text, unit text, kind text, total bigint, total_max bigint, total_avg numeric,
  days_in_period integer, days_expected integer, days_stored integer, days_final integer, days_accepted integer,
  days_unavailable integer, days_not_final integer, days_in_doubt integer, days_missing integer, days_unreported integer,
  days_by_hand integer, is_billable boolean
) language plpgsql stable strict rows 100000 set plan_cache_mode = force_custom_plan set jit = off as $$
#variable_conflict use_column
declare
  month_end constant date := (of_month + interval '1 month')::date - 1;
  first_day date;
  last_day date;
begin
  select min(p.period_start), max(p.period_end) into first_day, last_day
  from losant_usage.statement_periods(for_instance, of_month, of_source) p;
  return query
  with periods as materialized (
    select p.* from losant_usage.statement_periods(for_instance, of_month, of_source) p
  ),
  sums as (
    select p.period_start, p.period_end, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.days_in_period,
      s.days_expected, s.is_clear, s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_max,
      s.devices_total_avg, s.notebook_minutes, s.notebook_completed, s.notebook_canceled, s.notebook_errored,
      s.notebook_timeout, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes, s.payload_source_count
    from losant_usage.period_sums(of_month, month_end + 1, '', 'g') s
    join periods p on p.org_id = s.org_id and p.period_start = of_month and p.period_end = month_end
    where of_source = 'calendar'
    union all
    select p.period_start, p.period_end, s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.days_in_period,
      s.days_expected, s.is_clear, s.devices_created, s.devices_deleted, s.devices_total, s.devices_total_max,
      s.devices_total_avg, s.notebook_minutes, s.notebook_completed, s.notebook_canceled, s.notebook_errored,
      s.notebook_timeout, s.payload_billable_count, s.payload_all_count, s.payload_all_bytes, s.payload_source_count
    from periods p cross join lateral losant_usage.period_sums(p.period_start, p.period_end + 1, p.org_id, p.org_id) s
    where of_source = 'losant' or p.period_start <> of_month or p.period_end <> month_end
  ),
  tracks as materialized (
    select p.org_id, p.period_start, t.stream,
      losant_usage.count_days(t.days * datemultirange(daterange(p.period_start, p.period_end + 1))) as days
    from periods p join losant_usage.tracked t on t.org_id = p.org_id
  ),
  -- What is not final or not reported; all other tracked days are final.
  cells as materialized (
    select p.org_id, p.period_start, c.stream, count(*) filter (where c.standing <> 'final')::integer as others,
      count(*) filter (where not c.is_stored)::integer as not_stored,
      count(*) filter (where c.standing = 'accepted')::integer as accepted,
      count(*) filter (where c.standing in ('stored', 'waiting'))::integer as not_final,
      count(*) filter (where c.standing = 'unavailable')::integer as unavailable,
      count(*) filter (where c.standing = 'in_doubt')::integer as in_doubt,
      count(*) filter (where c.standing = 'missing')::integer as missing,
      count(*) filter (where c.is_stored and not c.is_reported and c.verified_at is not null)::integer as unreported,
      count(*) filter (where c.is_stored and c.verified_at is null)::integer as by_hand
    from (
      select r.org_id, r.stream, r.usage_date, r.standing, r.is_stored, r.is_reported, r.verified_at
      from losant_usage.read_cells r
      where r.usage_date between first_day and last_day and (r.standing <> 'final' or not r.is_reported)
      union all
      select r.org_id, r.stream, r.usage_date, r.standing, false, false, null
      from losant_usage.unread_cells r where r.usage_date between first_day and last_day
    ) as c
    join periods p on p.org_id = c.org_id and c.usage_date between p.period_start and p.period_end
    group by p.org_id, p.period_start, c.stream
  )
  select s.org_id, s.org_name, s.referral_id, s.plan_id, s.customer_id, s.period_start, s.period_end,
    m.metric, m.stream, m.unit, m.kind, m.total, m.total_max, m.total_avg, s.days_in_period, k.days,
    k.days - coalesce(c.not_stored, 0), k.days - coalesce(c.others, 0), coalesce(c.accepted, 0),
    coalesce(c.unavailable, 0), coalesce(c.not_final, 0), coalesce(c.in_doubt, 0), coalesce(c.missing, 0),
    coalesce(c.unreported, 0), coalesce(c.by_hand, 0), s.is_clear
  from sums s
  join tracks k on k.org_id = s.org_id and k.period_start = s.period_start and k.days > 0
  left join cells c on c.org_id = s.org_id and c.period_start = s.period_start and c.stream = k.stream
  join lateral (values
    ('devices_created', 'device_counts', 'devices', 'flow', s.devices_created, null::bigint, null::numeric),
    ('devices_deleted', 'device_counts', 'devices', 'flow', s.devices_deleted, null::bigint, null::numeric),
    ('devices_total', 'device_counts', 'devices', 'level', s.devices_total, s.devices_total_max, s.devices_total_avg),
    ('notebook_minutes', 'notebook_minutes', 'minutes', 'flow', s.notebook_minutes, null::bigint, null::numeric),
    ('notebook_completed', 'notebook_minutes', 'executions', 'flow', s.notebook_completed, null::bigint, null::numeric),
    ('notebook_canceled', 'notebook_minutes', 'executions', 'flow', s.notebook_canceled, null::bigint, null::numeric),
    ('notebook_errored', 'notebook_minutes', 'executions', 'flow', s.notebook_errored, null::bigint, null::numeric),
    ('notebook_timeout', 'notebook_minutes', 'executions', 'flow', s.notebook_timeout, null::bigint, null::numeric),
    ('payload_billable_count', 'payload_totals', 'payloads', 'flow', s.payload_billable_count, null::bigint, null::numeric),
    ('payload_all_count', 'payload_totals', 'payloads', 'flow', s.payload_all_count, null::bigint, null::numeric),
    ('payload_all_bytes', 'payload_totals', 'bytes', 'flow', s.payload_all_bytes, null::bigint, null::numeric),
    ('payload_source_count', 'payload_sources', 'payloads', 'flow', s.payload_source_count, null::bigint, null::numeric)
  ) as m (metric, stream, unit, kind, total, total_max, total_avg) on m.stream = k.stream;
end
$$;
comment on function losant_usage.period_numbers is 'The numbers of the periods of a month''s statements, one row per organization, period and metric that is tracked, with the days of the metric by standing. Source: statement_periods, usage_days, cells.';

create function losant_usage.billed_numbers(for_instance text, of_month date) returns table (
  org_id text, period_start date, period_end date, metric text, org_name text, referral_id text, plan_id text, customer_id text,
  unit text, kind text, total bigint, total_max bigint, total_avg numeric, revision_watermark bigint, closed_at timestamptz
) language sql stable strict rows 100000 as $$
  select distinct on (l.org_id, l.period_start, l.metric) l.org_id, l.period_start, l.period_end, l.metric, l.org_name,
    l.referral_id, l.plan_id, l.customer_id, l.unit, l.kind, l.total, l.total_max, l.total_avg, l.revision_watermark, s.closed_at
  from losant_usage.statements s join losant_usage.statement_lines l on l.statement_id = s.statement_id
  where s.instance_id = for_instance and s.period_month = of_month
  order by l.org_id, l.period_start, l.metric, s.number desc
$$;
comment on function losant_usage.billed_numbers is 'What the statements of a month say in the end, one row per organization, period and metric: that of its newest line.';

-- Where totals are equal, payloads may still have moved from one source to another: only_restated looks at organizations
-- with a restated source alone.
create function losant_usage.source_changes(for_instance text, of_month date, of_source text, only_restated boolean) returns table (
  org_id text, period_start date, payload_type text, source text, quantity bigint, total bigint
) language plpgsql stable strict rows 10000 set plan_cache_mode = force_custom_plan set jit = off set enable_nestloop = off as $$
#variable_conflict use_column
declare
  first_day date;
  last_day date;
  chosen text[];
begin
  select min(p.period_start), max(p.period_end),
    array_agg(distinct p.org_id) filter (where not only_restated or exists (
      select from losant_usage.revisions r
      where r.org_id = p.org_id and r.stream = 'payload_sources' and r.usage_date between p.period_start and p.period_end
        and r.changed_at > (
          select min(s.closed_at) from losant_usage.statements s
          where s.instance_id = for_instance and s.period_month = of_month)))
  into first_day, last_day, chosen
  from losant_usage.statement_periods(for_instance, of_month, of_source) p;
  if chosen is null then return; end if;
  return query
  -- Materialized, and joined without a loop, so that it is what the rows of the month are looked up in, and not the other
  -- way round, however few organizations the planner expects.
  with spans as materialized (
    select p.org_id, p.period_start, p.period_end, t.from_day, t.to_day, t.has_holes, t.days
    from losant_usage.statement_periods(for_instance, of_month, of_source) p
    join losant_usage.tracked t on t.org_id = p.org_id and t.stream = 'payload_sources'
    where p.org_id = any (chosen)
  )
  select coalesce(n.org_id, b.org_id), coalesce(n.period_start, b.period_start),
    coalesce(n.payload_type, b.payload_type), coalesce(n.source, b.source),
    coalesce(n.total, 0) - coalesce(b.total, 0), coalesce(n.total, 0)
  from (
    select p.org_id, p.period_start, u.payload_type, u.source, losant_usage.total(u.count) as total
    from losant_usage.payload_sources u
    join spans p on p.org_id = u.org_id and u.usage_date between p.period_start and p.period_end
      and u.usage_date between p.from_day and p.to_day and (not p.has_holes or u.usage_date <@ p.days)
    where u.usage_date between first_day and last_day
    group by p.org_id, p.period_start, u.payload_type, u.source
  ) as n
  full join (
    select l.org_id, l.period_start, l.payload_type, l.source, losant_usage.total(l.quantity) as total
    from losant_usage.statements s join losant_usage.statement_sources l on l.statement_id = s.statement_id
    where s.instance_id = for_instance and s.period_month = of_month and l.org_id = any (chosen)
    group by l.org_id, l.period_start, l.payload_type, l.source
  ) as b on b.org_id = n.org_id and b.period_start = n.period_start and b.payload_type = n.payload_type and b.source = n.source
  where coalesce(n.total, 0) <> coalesce(b.total, 0);
end
$$;
comment on function losant_usage.source_changes is 'Payloads by type and source that differ from what the statements of a month say, where they say nothing all of them: one row per organization, period, type and source. A source without payloads counts 0.';

-- Only what is final or accepted can be settled: a number that is missing is no zero.
create function losant_usage.adjustments_of(for_instance text, of_month date, of_source text) returns table (
  org_id text, org_name text, referral_id text, plan_id text, customer_id text, period_start date, period_end date,
  metric text, unit text, kind text, then_quantity bigint, now_quantity bigint, difference bigint,
  then_max bigint, now_max bigint, then_avg numeric, now_avg numeric, cause text,
  days_in_period integer, days_expected integer, days_stored integer, days_final integer, days_accepted integer,
  days_unavailable integer, days_not_final integer, days_in_doubt integer, days_missing integer, days_unreported integer,
  days_by_hand integer, is_billable boolean
) language sql stable strict rows 100 set jit = off as $$
  select d.org_id, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.period_start, d.period_end,
    d.metric, d.unit, d.kind, d.then_total, d.now_total,
    case when d.days_expected = d.days_final + d.days_accepted then
      case when d.now_total is null then - d.then_total else d.now_total - coalesce(d.then_total, 0) end end,
    d.then_max, d.now_max, d.then_avg, d.now_avg,
    case when d.watermark is null then 'not_in_statement'
      when r.by_hand then 'changed_by_hand' when r.by_hand is not null then 'restated'
      when exists (
        select from losant_usage.coverage c where c.org_id = d.org_id and c.stream = d.stream
          and c.usage_date between d.period_start and d.period_end and c.first_loaded_at > d.billed_at) then 'loaded_later'
      else 'tracking' end,
    d.days_in_period, d.days_expected, d.days_stored, d.days_final, d.days_accepted, d.days_unavailable, d.days_not_final,
    d.days_in_doubt, d.days_missing, d.days_unreported, d.days_by_hand, d.is_billable
  from (
    select coalesce(n.org_id, b.org_id) as org_id, coalesce(n.org_name, b.org_name) as org_name,
      coalesce(n.referral_id, b.referral_id) as referral_id, coalesce(n.plan_id, b.plan_id) as plan_id,
      coalesce(n.customer_id, b.customer_id) as customer_id,
      coalesce(n.period_start, b.period_start) as period_start, coalesce(n.period_end, b.period_end) as period_end,
      coalesce(n.metric, b.metric) as metric, coalesce(n.unit, b.unit) as unit, coalesce(n.kind, b.kind) as kind,
      b.total as then_total, n.total as now_total, b.total_max as then_max, n.total_max as now_max,
      b.total_avg as then_avg, n.total_avg as now_avg, b.revision_watermark as watermark, b.closed_at as billed_at,
      coalesce(n.stream, (select m.stream from losant_usage.metrics m where m.metric = b.metric)) as stream,
      n.days_in_period, n.days_expected, n.days_stored, n.days_final, n.days_accepted, n.days_unavailable, n.days_not_final,
      n.days_in_doubt, n.days_missing, n.days_unreported, n.days_by_hand, n.is_billable
    from losant_usage.period_numbers(for_instance, of_month, of_source) as n
    full join losant_usage.billed_numbers(for_instance, of_month) as b
      on b.org_id = n.org_id and b.period_start = n.period_start and b.metric = n.metric
    left join (
      select distinct c.org_id, c.period_start, 'payload_source_count' as metric
      from losant_usage.source_changes(for_instance, of_month, of_source, true) as c
    ) as c on c.org_id = n.org_id and c.period_start = n.period_start and c.metric = n.metric
    where (row(n.total, n.total_max, n.total_avg) is distinct from row(b.total, b.total_max, b.total_avg) or c.org_id is not null)
      and not losant_usage.is_pruned(for_instance, coalesce(n.period_start, b.period_start), coalesce(n.period_end, b.period_end))
  ) as d
  left join lateral (
    select bool_or(r.run_id is null) as by_hand from losant_usage.revisions r
    where r.org_id = d.org_id and r.usage_date between d.period_start and d.period_end and r.stream = d.stream
      and r.id > d.watermark
  ) as r on true
$$;
comment on function losant_usage.adjustments_of is 'What differs now from what the statements of a closed month say. Source: statement_lines, period_numbers.';

create view losant_usage.adjustments as
select s.instance_id, s.period_month, a.org_id, a.org_name, a.referral_id, a.plan_id, a.customer_id, a.period_start, a.period_end,
  a.metric, a.unit, a.kind, a.then_quantity, a.now_quantity, a.difference, a.then_max, a.now_max, a.then_avg, a.now_avg, a.cause
from losant_usage.statements s
cross join lateral losant_usage.adjustments_of(s.instance_id, s.period_month, s.source) as a
where s.kind = 'closing';
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
comment on column losant_usage.adjustments.difference is 'Now minus then, which close --adjust bills: 0 where payloads moved from one source to another; null while a number of the period is neither final nor accepted, which a blocker says.';
comment on column losant_usage.adjustments.then_max is 'Of a level the greatest of the period in the newest statement; null for flows.';
comment on column losant_usage.adjustments.now_max is 'Of a level the greatest of the period now; null for flows.';
comment on column losant_usage.adjustments.then_avg is 'Of a level the average of the period in the newest statement; null for flows.';
comment on column losant_usage.adjustments.now_avg is 'Of a level the average of the period now; null for flows.';
comment on column losant_usage.adjustments.cause is 'restated: Losant gave other numbers since. changed_by_hand: numbers were changed in SQL. loaded_later: a number was first loaded after the statement. not_in_statement: it is in no statement of the period. tracking: other days are tracked.';

create function losant_usage.closing_blockers(for_instance text, of_month date) returns table (
  org_id text, org_name text, referral_id text, period_start date, period_end date, cause text, days integer,
  first_day date, last_day date, streams text[], what_to_do text
) language plpgsql stable strict rows 10 set plan_cache_mode = force_custom_plan set jit = off as $$
#variable_conflict use_column
declare
  month_end constant date := (of_month + interval '1 month')::date - 1;
  usual text;
  closed text;
begin
  select i.billing_periods, s.source into usual, closed
  from losant_usage.instances i
  left join losant_usage.statements s on s.instance_id = i.instance_id and s.period_month = of_month and s.kind = 'closing'
  where i.instance_id = for_instance;
  -- A query for each source: only then does the view compute no more than the periods asked for.
  if usual = 'calendar' then
    return query
    select b.org_id, b.org_name, b.referral_id, b.period_start, b.period_end, b.cause, b.days, b.first_day, b.last_day, b.streams, b.what_to_do
    from losant_usage.period_blockers b
    where b.instance_id = for_instance and b.source = 'calendar' and b.period_start = of_month;
  else
    return query
    select b.org_id, b.org_name, b.referral_id, b.period_start, b.period_end, b.cause, b.days, b.first_day, b.last_day, b.streams, b.what_to_do
    from losant_usage.period_blockers b
    where b.instance_id = for_instance and b.source = 'losant' and b.org_id is not null and b.period_end between of_month and month_end;
    -- What speaks against days of all organizations counts if it concerns a day of one of these periods.
    return query
    select b.org_id, b.org_name, b.referral_id, b.period_start, b.period_end, b.cause, b.days, b.first_day, b.last_day, b.streams, b.what_to_do
    from losant_usage.period_blockers b
    where b.instance_id = for_instance and b.source = 'losant' and b.org_id is null
      and b.period_start between (
        select coalesce(date_trunc('month', min(p.period_start)::timestamp)::date, of_month) from losant_usage.billing_periods p
        where p.source = 'losant' and p.period_end between of_month and month_end) and of_month
      and case when b.cause = 'list_incomplete' then b.period_start = of_month else exists (
        select from losant_usage.billing_periods p join losant_usage.organizations o on o.org_id = p.org_id
        where o.instance_id = b.instance_id and p.period_end between of_month and month_end
          and p.period_start <= b.last_day and p.period_end >= b.first_day) end;
  end if;
  if closed is null then
    return query
    -- Read once, and not for each organization, of which the index would read the lines of all.
    with billed as materialized (
      select distinct l.org_id, l.period_start, l.period_end from losant_usage.statement_lines l
      where l.period_start <= month_end and l.period_end >= (
        select min(b.period_start) from losant_usage.billing_periods b
        where b.source = usual and b.period_end between of_month and month_end)
    )
    select o.org_id, o.name, o.referral_id, p.period_start, p.period_end, 'already_billed', losant_usage.count_days(p.days),
      lower(p.days), upper(p.days) - 1, null::text[],
      losant_usage.what_to_do('already_billed', o.org_id, p.period_start, p.period_end, p.days, null)
    from (
      select p.org_id, p.period_start, p.period_end,
        range_agg(daterange(p.period_start, p.period_end + 1) * daterange(l.period_start, l.period_end + 1)) as days
      from losant_usage.billing_periods p
      join losant_usage.organizations o on o.org_id = p.org_id and o.instance_id = for_instance
      join billed l on l.org_id = p.org_id and l.period_end >= p.period_start and l.period_start <= p.period_end
      where p.source = usual and p.period_end between of_month and month_end
      group by p.org_id, p.period_start, p.period_end
    ) as p
    join losant_usage.organizations o on o.org_id = p.org_id;
    return;
  end if;
  -- What was billed by periods that are no longer those of its organization.
  return query
  with moved as materialized (
    select p.* from losant_usage.statement_periods(for_instance, of_month, closed) p
    where not exists (
      select from losant_usage.billing_periods b
      where b.org_id = p.org_id and b.source = usual and b.period_start = p.period_start and b.period_end = p.period_end)
  )
  select s.org_id, s.org_name, s.referral_id, p.period_start, p.period_end, c.cause, losant_usage.count_days(c.days),
    coalesce(lower(c.days), p.period_start), coalesce(upper(c.days) - 1, p.period_end), c.streams,
    losant_usage.what_to_do(c.cause, s.org_id, p.period_start, p.period_end, c.days, c.streams)
  from moved p
  cross join lateral losant_usage.period_sums(p.period_start, p.period_end + 1, p.org_id, p.org_id) s
  cross join lateral (values
    ('not_fully_tracked', not s.is_fully_tracked, null::datemultirange, null::text[]),
    ('not_final', s.open_days is not null, s.open_days, s.open_streams),
    ('missing', s.missing_days is not null, s.missing_days, s.missing_streams),
    ('in_doubt', s.in_doubt_days is not null, s.in_doubt_days, s.in_doubt_streams),
    ('unavailable', s.unavailable_days is not null, s.unavailable_days, s.unavailable_streams),
    ('changed_by_hand', s.by_hand_days is not null, s.by_hand_days, s.by_hand_streams)
  ) as c (cause, applies, days, streams)
  where c.applies;
end
$$;
comment on function losant_usage.closing_blockers is 'What keeps a month of an instance from being closed or adjusted: rows of period_blockers, days that a statement of another month has billed (already_billed), and what speaks against periods that were billed and are no longer those of their organization. Source: period_blockers, statement_lines.';

create function losant_usage.require_closable(for_instance text, of_month date, is_adjustment boolean, moment timestamptz) returns text
language plpgsql stable as $$
declare
  month_name constant text := to_char(of_month, 'YYYY-MM');
  usual text;
  title text;
  closing losant_usage.statements;
begin
  select i.billing_periods, case when i.name is null then i.instance_id else format('%s (%s)', i.name, i.instance_id) end
  into usual, title from losant_usage.instances i where i.instance_id = for_instance;
  if usual is null then
    raise exception 'there is no instance %', for_instance using errcode = 'LU001', hint = 'losant-usage status shows those there are';
  end if;
  title := format('%s of instance %s', month_name, title);
  if (of_month + interval '1 month')::date > (moment at time zone 'UTC')::date then
    raise exception '% is not over: its last day is % (UTC)', month_name, (of_month + interval '1 month')::date - 1
      using errcode = 'LU001', hint = 'close a month after its end, when its last days are final: 72 hours later by default (FINAL_AT_HOURS)';
  end if;
  select * into closing from losant_usage.statements s
  where s.instance_id = for_instance and s.period_month = of_month and s.kind = 'closing';
  if losant_usage.is_pruned(for_instance, of_month, (of_month + interval '1 month')::date - 1) then
    raise exception '% was removed: nothing is left to bill', title
      using errcode = 'LU001', hint = 'losant-usage statement writes the proof packs of its statements, which stay';
  end if;
  if is_adjustment and closing.statement_id is null then
    raise exception '% is not closed, so there is nothing to adjust', title
      using errcode = 'LU001', hint = format('close it first: losant-usage close --period %s', month_name);
  end if;
  if not is_adjustment and closing.statement_id is not null then
    raise exception '% is closed already, since % by %', title,
      to_char(closing.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), closing.closed_by using errcode = 'LU001',
      hint = format('a closed period stays as it is; what changed since is billed with: losant-usage close --period %s --adjust', month_name);
  end if;
  return coalesce(closing.source, usual);
end
$$;
comment on function losant_usage.require_closable is 'What the periods of a month are, calendar or losant; raises LU001 with what to do if the month cannot be closed, or adjusted, at that moment.';

create function losant_usage.statement_draft(for_instance text, of_month date, of_source text, is_adjustment boolean) returns table (
  org_id text, period_start date, metric text, period_end date, org_name text, referral_id text, plan_id text, customer_id text,
  unit text, kind text, quantity bigint, total bigint, total_max bigint, total_avg numeric, days_in_period integer,
  days_expected integer, days_stored integer, days_final integer, days_accepted integer, days_unavailable integer,
  days_not_final integer, days_in_doubt integer, days_missing integer, days_unreported integer, days_by_hand integer,
  is_billable boolean
) language plpgsql stable strict rows 100000 set plan_cache_mode = force_custom_plan set jit = off as $$
#variable_conflict use_column
begin
  if is_adjustment then
    return query
    select a.org_id, a.period_start, a.metric, a.period_end, a.org_name, a.referral_id, a.plan_id, a.customer_id, a.unit, a.kind,
      a.difference, a.now_quantity, a.now_max, a.now_avg, a.days_in_period, a.days_expected, a.days_stored, a.days_final,
      a.days_accepted, a.days_unavailable, a.days_not_final, a.days_in_doubt, a.days_missing, a.days_unreported, a.days_by_hand,
      a.is_billable
    from losant_usage.adjustments_of(for_instance, of_month, of_source) a where a.difference is not null;
  else
    return query
    select n.org_id, n.period_start, n.metric, n.period_end, n.org_name, n.referral_id, n.plan_id, n.customer_id, n.unit, n.kind,
      n.total, n.total, n.total_max, n.total_avg, n.days_in_period, n.days_expected, n.days_stored, n.days_final,
      n.days_accepted, n.days_unavailable, n.days_not_final, n.days_in_doubt, n.days_missing, n.days_unreported, n.days_by_hand,
      n.is_billable
    from losant_usage.period_numbers(for_instance, of_month, of_source) n;
  end if;
end
$$;
comment on function losant_usage.statement_draft is 'The lines that a closing or an adjustment of a month would have now.';

create function losant_usage.statement_totals(of_statement uuid) returns table (
  metric text, unit text, kind text, orgs integer, quantity text
) language sql stable as $$
  select l.metric, l.unit, l.kind, count(distinct l.org_id)::integer, sum(l.quantity)::text
  from losant_usage.statement_lines l join losant_usage.metrics m on m.metric = l.metric
  where l.statement_id = of_statement group by l.metric, l.unit, l.kind, m.position order by m.position
$$;
comment on function losant_usage.statement_totals is 'Sums of a statement over its organizations, one row per metric; quantity as text, as it may pass 2^53; null if none is stored.';

create function losant_usage.statement_document(of_statement uuid) returns jsonb language sql stable as $$
  select jsonb_build_object('id', s.statement_id, 'instanceId', s.instance_id, 'month', to_char(s.period_month, 'YYYY-MM'),
    'number', s.number, 'kind', s.kind, 'periods', s.source, 'reason', s.reason, 'orgs', s.orgs,
    'closedAt', to_char(s.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'closedBy', s.closed_by,
    'rules', s.rules, 'previousSha256', encode(s.previous_sha256, 'hex'),
    'earlier', (
      select coalesce(jsonb_agg(jsonb_build_object('number', e.number, 'sha256', encode(e.manifest_sha256, 'hex')) order by e.number), '[]')
      from losant_usage.statements e
      where e.instance_id = s.instance_id and e.period_month = s.period_month and e.number < s.number))
  from losant_usage.statements s where s.statement_id = of_statement
$$;
comment on function losant_usage.statement_document is 'What the manifest of a proof pack says of its statement (JSON), with the SHA-256 of the manifest before it and of those of the same month.';

create function losant_usage.open_statement(
  for_instance text, of_month date, is_adjustment boolean, incomplete_reason text, moment timestamptz
) returns jsonb language plpgsql security definer set search_path = pg_catalog, pg_temp set jit = off as $$
declare
  periods constant text := losant_usage.require_closable(for_instance, of_month, is_adjustment, moment);
  new_id constant uuid := gen_random_uuid();
  blocker_count bigint;
  line_count bigint;
begin
  -- In another isolation, blockers, lines and files would be of different moments.
  if current_setting('transaction_isolation') <> 'repeatable read' or moment not between now() and clock_timestamp() then
    raise exception 'a statement is of one moment' using hint = 'losant-usage close';
  end if;
  insert into losant_usage.statement_blockers
  select new_id, row_number() over (order by b.org_name, b.org_id, b.period_start, b.cause, b.first_day), b.org_id, b.org_name,
    b.period_start, b.period_end, b.cause, b.days, b.first_day, b.last_day, b.streams, b.what_to_do
  from losant_usage.closing_blockers(for_instance, of_month) b;
  get diagnostics blocker_count = row_count;
  if blocker_count > 0 and incomplete_reason is null then return jsonb_build_object('outcome', 'refused'); end if;
  insert into losant_usage.statement_lines (statement_id, org_id, period_start, metric, period_end, org_name,
    referral_id, plan_id, customer_id, unit, kind, quantity, total, total_max, total_avg, days_in_period,
    days_expected, days_stored, days_final, days_accepted, days_unavailable, days_not_final, days_in_doubt, days_missing,
    days_unreported, days_by_hand, is_billable, revision_watermark)
  with draft as materialized (
    select * from losant_usage.statement_draft(for_instance, of_month, periods, is_adjustment)
  ),
  newest as materialized (
    select p.org_id, p.period_start, (
      select max(r.id) from losant_usage.revisions r
      where r.org_id = p.org_id and r.usage_date between p.period_start and p.period_end) as id
    from (select distinct d.org_id, d.period_start, d.period_end from draft d) as p
  )
  select new_id, d.org_id, d.period_start, d.metric, d.period_end, d.org_name, d.referral_id, d.plan_id, d.customer_id, d.unit,
    d.kind, d.quantity, d.total, d.total_max, d.total_avg, d.days_in_period, d.days_expected, d.days_stored, d.days_final,
    d.days_accepted, d.days_unavailable, d.days_not_final, d.days_in_doubt, d.days_missing, d.days_unreported,
    d.days_by_hand, d.is_billable, coalesce(r.id, 0)
  from draft d join newest r on r.org_id = d.org_id and r.period_start = d.period_start;
  get diagnostics line_count = row_count;
  if line_count = 0 then return jsonb_build_object('outcome', case when is_adjustment then 'unchanged' else 'empty' end); end if;
  insert into losant_usage.statement_sources (statement_id, org_id, period_start, payload_type, source, quantity, total)
  select new_id, c.org_id, c.period_start, c.payload_type, c.source, c.quantity, c.total
  from losant_usage.source_changes(for_instance, of_month, periods, false) c
  where exists (
    select from losant_usage.statement_lines l where l.statement_id = new_id and l.org_id = c.org_id
      and l.period_start = c.period_start and l.metric = 'payload_source_count');
  insert into losant_usage.statements
    (statement_id, instance_id, period_month, number, kind, source, reason, orgs, rules, closed_at, previous_sha256)
  select new_id, i.instance_id, of_month, coalesce(p.number, 0) + 1, case when is_adjustment then 'adjustment' else 'closing' end,
    periods, case when blocker_count > 0 then incomplete_reason end,
    (select count(distinct l.org_id) from losant_usage.statement_lines l where l.statement_id = new_id),
    coalesce(i.policy, '{}') || jsonb_build_object('controlTotals', i.control_totals), moment, p.manifest_sha256
  from losant_usage.instances i
  left join lateral (
    select s.number, s.manifest_sha256 from losant_usage.statements s
    where s.instance_id = for_instance order by s.number desc limit 1
  ) as p on true
  where i.instance_id = for_instance;
  return jsonb_build_object('outcome', 'open', 'lines', line_count, 'statement', losant_usage.statement_document(new_id));
end
$$;
comment on function losant_usage.open_statement is 'Begins a closing or an adjustment of a month, for the closer: looks at the blockers, writes the lines of the moment, and gives the statement its number, closed_by and closed_at. refused: something blocks it and no reason was given; unchanged, empty: there is nothing to bill. The transaction has to seal it (seal_statement), or keeps nothing.';
revoke execute on function losant_usage.open_statement from public;

create function losant_usage.seal_statement(of_statement uuid, file_name text, content bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  manifest jsonb;
begin
  perform from losant_usage.statements s where s.statement_id = of_statement and s.manifest is null;
  if not found then
    raise exception 'losant_usage.statements: nothing can be added to a statement' using hint = 'losant-usage close --adjust makes another';
  end if;
  if file_name <> 'manifest.json' then
    insert into losant_usage.statement_files
    select of_statement, file_name, count(*), content from losant_usage.statement_files f
    where f.statement_id = of_statement and f.name = file_name;
    return;
  end if;
  manifest := convert_from(content, 'UTF8')::jsonb;
  if manifest -> 'statement' is distinct from losant_usage.statement_document(of_statement)
    or manifest -> 'totals' is distinct from (select jsonb_agg(to_jsonb(t)) from losant_usage.statement_totals(of_statement) t)
    or array(select f ->> 'name' from jsonb_array_elements(manifest -> 'files') as f order by 1) is distinct from array(
      select distinct f.name from losant_usage.statement_files f where f.statement_id = of_statement and f.name like '%.csv' order by 1) then
    raise exception 'losant_usage.statements: the manifest is not that of the statement' using hint = 'losant-usage close';
  end if;
  perform set_config('losant_usage.sealing', of_statement::text, true);
  update losant_usage.statements s set manifest = convert_from(content, 'UTF8'), manifest_sha256 = sha256(content)
  where s.statement_id = of_statement;
  perform set_config('losant_usage.sealing', '', true);
end
$$;
comment on function losant_usage.seal_statement is 'Takes the files of a proof pack, for the closer, in the transaction that began the statement: each part of a file as gzip, in order, and at last manifest.json as it is, which has to say what the statement says, and after which nothing is added.';
revoke execute on function losant_usage.seal_statement from public;
