-- Closed months: statements with their lines and proof packs, which are immutable, and the differences since. Two
-- functions write them, begin_statement and add_pack_file, in one transaction of the role closer.

create table losant_usage.statements (
  statement_id uuid primary key,
  instance_id text collate "C" not null references losant_usage.instances,
  month date not null check (extract(day from month) = 1),
  number integer not null check (number >= 1),
  kind text not null check (kind in ('closing', 'adjustment')),
  reason text,
  orgs integer not null,
  rules jsonb not null,
  reconciliation jsonb not null,
  closed_at timestamptz not null,
  closed_by text not null default session_user,
  previous_sha256 bytea check (octet_length(previous_sha256) = 32),
  manifest text,
  manifest_sha256 bytea check (octet_length(manifest_sha256) = 32),
  unique (instance_id, number)
);
create unique index statements_closing on losant_usage.statements (instance_id, month) where kind = 'closing';
create index statements_month on losant_usage.statements (month);

-- No foreign keys, which are checked line by line: rows only come from begin_statement, from a join with metrics.
create table losant_usage.statement_lines (
  statement_id uuid not null,
  org_id text collate "C" not null,
  metric text collate "C" not null,
  month date not null,
  org_name text not null,
  referral_id text,
  plan_id text,
  customer_id text,
  is_customer_changed boolean not null,
  unit text not null,
  kind text not null,
  quantity bigint,
  billed_before bigint,
  total bigint,
  maximum bigint,
  average numeric,
  sources jsonb,
  days_expected integer not null,
  days_stored integer not null,
  days_final integer not null,
  days_waived integer not null,
  days_pending integer not null,
  days_unavailable integer not null,
  days_in_doubt integer not null,
  days_missing integer not null,
  days_unreported integer not null,
  primary key (statement_id, org_id, metric)
);
create index statement_lines_month on losant_usage.statement_lines (month, org_id, metric);

create table losant_usage.statement_blockers (
  statement_id uuid not null references losant_usage.statements deferrable initially deferred,
  position integer not null,
  org_id text collate "C",
  org_name text,
  cause text not null,
  days integer,
  first_day date not null,
  last_day date not null,
  streams text[],
  detail text,
  remedy text not null,
  primary key (statement_id, position)
);

-- The cells that a statement did not bill because they were not settled.
create table losant_usage_internal.unbilled_cells (
  statement_id uuid not null,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  usage_date date not null,
  primary key (statement_id, org_id, stream, usage_date)
);

-- Only the names of a pack are allowed, because they become file names on somebody's disk.
create table losant_usage.statement_files (
  statement_id uuid not null references losant_usage.statements deferrable initially deferred,
  name text not null check (name in ('totals.csv', 'lines.csv', 'sources.csv', 'days.csv', 'cells.csv',
    'revisions.csv', 'waivers.csv', 'blockers.csv', 'pack-checks.sql', 'manifest.json.sig')),
  part integer not null,
  content bytea not null,
  primary key (statement_id, name, part)
);

-- Hashes and IDs hardly shrink, and compressing them takes six times as long as storing them.
alter table losant_usage.statement_files alter column content set storage external;

-- The closing functions set the setting that is_manual_write reads.
create trigger reject_manual_write before insert on losant_usage.statements
  execute function losant_usage_internal.reject_write('only losant-usage close creates statements');
create trigger reject_manual_write before insert on losant_usage.statement_lines
  execute function losant_usage_internal.reject_write('only losant-usage close creates statements');
create trigger reject_manual_write before insert on losant_usage.statement_blockers
  execute function losant_usage_internal.reject_write('only losant-usage close creates statements');
create trigger reject_manual_write before insert on losant_usage.statement_files
  execute function losant_usage_internal.reject_write('only losant-usage close creates statements');
create trigger reject_rewrite before delete or truncate on losant_usage.statements for each statement
  execute function losant_usage_internal.reject_write(
    'statements are immutable; losant-usage close --adjust creates another one');
create trigger reject_resealing before update on losant_usage.statements for each row when (old.manifest is not null)
  execute function losant_usage_internal.reject_write(
    'statements are immutable; losant-usage close --adjust creates another one');
create trigger reject_rewrite before update or delete or truncate on losant_usage.statement_lines for each statement
  execute function losant_usage_internal.reject_write(
    'statements are immutable; losant-usage close --adjust creates another one');
create trigger reject_rewrite before update or delete or truncate on losant_usage.statement_blockers for each statement
  execute function losant_usage_internal.reject_write(
    'statements are immutable; losant-usage close --adjust creates another one');
create trigger reject_rewrite before update or delete or truncate on losant_usage_internal.unbilled_cells
  for each statement execute function losant_usage_internal.reject_write(
    'statements are immutable; losant-usage close --adjust creates another one');
create trigger reject_rewrite before update or delete or truncate on losant_usage.statement_files for each statement
  execute function losant_usage_internal.reject_write(
    'statements are immutable; losant-usage close --adjust creates another one');

create function losant_usage_internal.require_seal() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (
    select from losant_usage.statements s where s.statement_id = new.statement_id and s.manifest_sha256 is null
  ) then
    raise exception 'losant_usage.statements: a statement must have its proof pack'
      using hint = 'use losant-usage close';
  end if;
  return null;
end
$$;
create constraint trigger require_seal after insert on losant_usage.statements deferrable initially deferred
  for each row execute function losant_usage_internal.require_seal();

-- Empty tables, which are only locked. Whoever writes to the ledger begins by locking the first in SHARE mode, which
-- other writers can do too. The closer locks it in ROW EXCLUSIVE mode, the only one that the privilege to insert
-- permits: it waits for loads in flight and keeps new ones out, and can keep nobody from reading.
create table losant_usage_internal.ledger_lock (is_possible boolean not null check (false));

-- One statement at a time across all instances, so that an organization that was transferred is billed once.
create table losant_usage_internal.closing_lock (is_possible boolean not null check (false));

-- The newest line of a month, organization and metric, with the sum of all of them, whatever instance billed them.
create view losant_usage_internal.billed_lines as
select distinct on (l.month, l.org_id, l.metric) l.month, l.org_id, l.metric, l.org_name, l.referral_id, l.plan_id,
  l.customer_id, l.total, l.maximum, l.average, l.sources, s.closed_at,
  sum(l.quantity) over (partition by l.month, l.org_id, l.metric)::bigint as quantity
from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
order by l.month, l.org_id, l.metric, s.closed_at desc, s.number desc;

create index statement_lines_incomplete on losant_usage.statement_lines (month, org_id)
  where days_final + days_waived < days_expected or days_stored < days_expected;
create index revisions_day on losant_usage.revisions (usage_date, changed_at);
create index coverage_loaded_late on losant_usage.coverage (month, first_loaded_at)
  where first_loaded_at >= (month + interval '1 month') at time zone 'UTC';

-- Adding up a closed month again for all organizations takes seconds; usually a handful has changed. So after the first
-- close only orgs_to_recheck are looked at: those with a cell that is not final, with a line that was incomplete when
-- it was billed, with a revision or a first load since the close (all in changed_orgs), or from another instance. The
-- list may be too long, since month_lines compares the quantities, but it must never be too short: whoever is not on it
-- is taken to be unchanged without a look. Whatever can change a quantity of a closed month has to leave a trace in one
-- of these five, and each needs an index that finds the trace without reading the month. The ten minutes are for a
-- statement that was begun by hand: its snapshot may be two minutes older than closed_at (see begin_statement), and may
-- lack a load that took its times before. Each trace is listed, so that the first one ends an "exists".
create view losant_usage_internal.changed_orgs as
with closed_months as (
  select s.month, min(s.closed_at) - interval '10 minutes' as closed_at from losant_usage.statements s group by s.month
)
select m.month, c.org_id from closed_months m
join losant_usage_internal.non_final_cells c on c.month = m.month
union all
select l.month, l.org_id from losant_usage.statement_lines l
where l.days_final + l.days_waived < l.days_expected or l.days_stored < l.days_expected
union all
select m.month, r.org_id from closed_months m
join losant_usage.revisions r on r.usage_date between m.month and losant_usage_internal.month_end(m.month)
  and r.changed_at >= m.closed_at
union all
select m.month, c.org_id from closed_months m
join losant_usage.coverage c on c.month = m.month and c.first_loaded_at >= m.closed_at
  and c.first_loaded_at >= (c.month + interval '1 month') at time zone 'UTC';

-- Not "exists", of which the planner expects nearly all organizations: it would read the cells of all of them.
create view losant_usage_internal.transferred_orgs as
select o.org_id from losant_usage.organizations o
where o.org_id = (
  select h.org_id from losant_usage.organization_history h
  where h.org_id = o.org_id and h.instance_id <> o.instance_id limit 1);

create view losant_usage_internal.orgs_to_recheck as
select month, org_id from losant_usage_internal.changed_orgs
union
select m.month, o.org_id
from (select distinct month from losant_usage.statements) as m cross join losant_usage_internal.transferred_orgs o;

-- Organizations as they were at the end of a month: in the version in force, else in the first later one, else as now.
create type losant_usage_internal.month_org as (
  instance_id text collate "C", org_id text collate "C", org_name text, referral_id text, plan_id text,
  customer_id text, is_customer_changed boolean
);

create function losant_usage_internal.month_orgs(p_month date) returns setof losant_usage_internal.month_org
language sql stable parallel safe
begin atomic
  select o.instance_id, o.org_id, v.name, v.referral_id, v.plan_id, v.customer_id, exists (
      select from losant_usage.organization_history e
      where e.org_id = o.org_id and e.valid_from < m.end_at and coalesce(e.valid_to, 'infinity') > m.start_at
        and row(e.customer_id, e.plan_id) is distinct from row(v.customer_id, v.plan_id))
  from losant_usage.organizations o
  cross join lateral (
    select p_month::timestamp at time zone 'UTC' as start_at,
      (losant_usage_internal.month_end(p_month) + 1)::timestamp at time zone 'UTC' as end_at
  ) as m
  cross join lateral (
    select h.name, h.referral_id, h.plan_id, h.customer_id, h.valid_from < m.end_at as is_earlier,
      abs(extract(epoch from h.valid_from - m.end_at)) as seconds
    from losant_usage.organization_history h where h.org_id = o.org_id
    union all
    select o.name, o.referral_id, o.plan_id, o.customer_id, null, null
    order by is_earlier desc nulls last, seconds limit 1
  ) as v;
end;

-- The expected cells of a month by organization and stream: of some organizations, or of all if the list is null.
create type losant_usage_internal.month_cells as (
  org_id text collate "C", stream text collate "C", days integer, stored integer, final integer, waived integer,
  pending integer, unavailable integer, in_doubt integer, missing integer, unreported integer
);

-- A list of days finds some organizations by the key, where a range of days would read the month of all.
create function losant_usage_internal.days_of(month date) returns date[] language sql immutable parallel safe
return array(select month + day from generate_series(0, losant_usage_internal.month_end(month) - month) as day);

create function losant_usage_internal.count_month_cells(p_month date, org_ids text[])
returns setof losant_usage_internal.month_cells language sql stable parallel safe
begin atomic
  select c.org_id, c.stream, count(*)::integer, count(*) filter (where c.is_stored)::integer,
    count(*) filter (where c.standing = 'final')::integer, count(*) filter (where c.standing = 'waived')::integer,
    count(*) filter (where c.standing in ('stored', 'waiting'))::integer,
    count(*) filter (where c.standing = 'unavailable')::integer,
    count(*) filter (where c.standing = 'in_doubt')::integer, count(*) filter (where c.standing = 'missing')::integer,
    count(*) filter (where c.is_stored and not c.is_reported)::integer
  from losant_usage_internal.expected_cells c
  where c.usage_date = any (losant_usage_internal.days_of(p_month)) and (org_ids is null or c.org_id = any (org_ids))
  group by c.org_id, c.stream;
end;

-- The days of an organization's month whose cells are stored but not settled, so that they do not count in a statement,
-- by stream. As arrays: the planner expects few cells, and would look for one of each day and stream.
create view losant_usage_internal.unsettled_days as
select org_id, month, array_agg(usage_date) filter (where stream = 'device_counts') as device_counts,
  array_agg(usage_date) filter (where stream = 'notebook_minutes') as notebook_minutes,
  array_agg(usage_date) filter (where stream = 'payload_totals') as payload_totals,
  array_agg(usage_date) filter (where stream = 'payload_sources') as payload_sources
from losant_usage_internal.non_final_cells
where is_stored and not losant_usage_internal.is_settled(standing) group by org_id, month;

-- The sums of the settled cells of months, with a row for each metric.
create view losant_usage_internal.settled_sums as
select s.org_id, s.month, n.metric, n.total, n.maximum, n.average
from (
  select d.org_id, d.month,
    losant_usage_internal.total(d.devices_created) filter (where k.device_counts) as devices_created,
    losant_usage_internal.total(d.devices_deleted) filter (where k.device_counts) as devices_deleted,
    losant_usage_internal.last_level(losant_usage_internal.dated_level(d.usage_date, d.devices_total))
      filter (where k.device_counts) as devices_total,
    max(d.devices_total) filter (where k.device_counts) as devices_total_max,
    round(avg(d.devices_total) filter (where k.device_counts), 2) as devices_total_avg,
    losant_usage_internal.total(d.notebook_minutes) filter (where k.notebook_minutes) as notebook_minutes,
    losant_usage_internal.total(d.notebook_completed) filter (where k.notebook_minutes) as notebook_completed,
    losant_usage_internal.total(d.notebook_canceled) filter (where k.notebook_minutes) as notebook_canceled,
    losant_usage_internal.total(d.notebook_errored) filter (where k.notebook_minutes) as notebook_errored,
    losant_usage_internal.total(d.notebook_timeout) filter (where k.notebook_minutes) as notebook_timeout,
    losant_usage_internal.total(d.payload_billable_count) filter (where k.payload_totals) as payload_billable_count,
    losant_usage_internal.total(d.payload_all_count) filter (where k.payload_totals) as payload_all_count,
    losant_usage_internal.total(d.payload_all_bytes) filter (where k.payload_totals) as payload_all_bytes,
    losant_usage_internal.total(d.payload_source_count) filter (where k.payload_sources) as payload_source_count
  from losant_usage_internal.org_days d
  left join losant_usage_internal.unsettled_days u on u.org_id = d.org_id and u.month = d.month
  cross join lateral (
    select d.usage_date <> all (coalesce(u.device_counts, '{}')) as device_counts,
      d.usage_date <> all (coalesce(u.notebook_minutes, '{}')) as notebook_minutes,
      d.usage_date <> all (coalesce(u.payload_totals, '{}')) as payload_totals,
      d.usage_date <> all (coalesce(u.payload_sources, '{}')) as payload_sources
  ) as k
  group by d.org_id, d.month
) as s
cross join lateral (values
  ('devices_created', s.devices_created, null::bigint, null::numeric),
  ('devices_deleted', s.devices_deleted, null, null),
  ('devices_total', s.devices_total, s.devices_total_max, s.devices_total_avg),
  ('notebook_minutes', s.notebook_minutes, null, null),
  ('notebook_completed', s.notebook_completed, null, null),
  ('notebook_canceled', s.notebook_canceled, null, null),
  ('notebook_errored', s.notebook_errored, null, null),
  ('notebook_timeout', s.notebook_timeout, null, null),
  ('payload_billable_count', s.payload_billable_count, null, null),
  ('payload_all_count', s.payload_all_count, null, null),
  ('payload_all_bytes', s.payload_all_bytes, null, null),
  ('payload_source_count', s.payload_source_count, null, null)
) as n (metric, total, maximum, average);

-- The planner computes a count above a sort, which then carries the object of all counts of a day. A barrier makes it
-- compute counts first, and lets conditions on an organization or a month pass.
create view losant_usage_internal.sortable_source_counts with (security_barrier) as
select * from losant_usage_internal.source_counts;

-- The same of payloads by type and source.
create view losant_usage_internal.settled_sources as
select t.org_id, t.month, jsonb_object_agg(t.payload_type, t.counts) as sources
from (
  select s.org_id, s.month, s.payload_type, jsonb_object_agg(s.source, s.count) as counts
  from (
    select c.org_id, c.month, c.payload_type, c.source, losant_usage_internal.total(c.count) as count
    from losant_usage_internal.sortable_source_counts c
    left join losant_usage_internal.unsettled_days u on u.org_id = c.org_id and u.month = c.month
    where c.usage_date <> all (coalesce(u.payload_sources, '{}'))
    group by c.org_id, c.month, c.payload_type, c.source
  ) as s group by s.org_id, s.month, s.payload_type
) as t group by t.org_id, t.month;

-- Raises unless the day is the first of a month.
create function losant_usage_internal.require_month(day date) returns void
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
  if day is null or day <> losant_usage_internal.month_of(day) then
    raise exception '% is not the first day of a month', coalesce(losant_usage_internal.day_text(day), 'null')
      using errcode = '22023', hint = 'pass a month as its first day, such as 2026-10-01';
  end if;
end
$$;

-- The lines of a month whose quantities differ from what was billed, whatever instance billed it. Only organizations of
-- the instance are computed; of a month that it has closed, only those to recheck. Only settled cells count, and after
-- the first statement a line waits until all of its cells are settled.
-- In plpgsql and planned at each call, which may be for one organization or for all. Without JIT, because the planner
-- expects many more rows than there are, and compiling takes longer than the query. With the rights of its owner and in
-- UTC: the roles that read its views have no privileges on internal views, and any time zone.
create function losant_usage_internal.month_lines(p_instance_id text, p_month date, p_statement_id uuid default null)
returns table (line losant_usage.statement_lines, stream text, is_settled boolean, billed_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
set plan_cache_mode = force_custom_plan set jit = off set work_mem = '64MB' as $$
#variable_conflict use_column
declare
  is_closed constant boolean := exists (
    select from losant_usage.statements s
    where s.instance_id = p_instance_id and s.month = p_month and s.kind = 'closing');
  org_ids text[];
begin
  perform losant_usage_internal.require_month(p_month);
  org_ids := array(
    select o.org_id from losant_usage.organizations o
    where o.instance_id = p_instance_id and (not is_closed
      or o.org_id in (select r.org_id from losant_usage_internal.orgs_to_recheck r where r.month = p_month)));
  if org_ids = '{}' then return; end if;
  -- To look up most organizations takes longer than to read the month of all.
  if not is_closed and 2 * cardinality(org_ids) > (select count(*) from losant_usage.organizations) then
    org_ids := null;
  end if;
  return query
  -- Once per organization: in the join, the planner would look for its version for each of its lines.
  with month_orgs as materialized (
    select * from losant_usage_internal.month_orgs(p_month) as o
    where o.instance_id = p_instance_id and (org_ids is null or o.org_id = any (org_ids))
  )
  select row(p_statement_id, o.org_id, m.metric, p_month, coalesce(b.org_name, o.org_name),
      case when b.org_id is null then o.referral_id else b.referral_id end,
      case when b.org_id is null then o.plan_id else b.plan_id end,
      case when b.org_id is null then o.customer_id else b.customer_id end, o.is_customer_changed, m.unit, m.kind,
      -- A line that was never billed counts as billed with 0.
      case when b.org_id is null then n.total else n.total - coalesce(b.quantity, 0) end, b.quantity,
      n.total, n.maximum, n.average, n.sources, c.days, c.stored, c.final, c.waived, c.pending, c.unavailable,
      c.in_doubt, c.missing, c.unreported)::losant_usage.statement_lines,
    m.stream, c.final + c.waived = c.days, b.closed_at
  from month_orgs as o
  join losant_usage_internal.count_month_cells(p_month, org_ids) as c on c.org_id = o.org_id
  join losant_usage.metrics m on m.stream = c.stream
  left join losant_usage_internal.settled_sums t
    on t.month = p_month and (org_ids is null or t.org_id = any (org_ids))
    and t.org_id = o.org_id and t.metric = m.metric
  left join losant_usage_internal.settled_sources s
    on s.month = p_month and (org_ids is null or s.org_id = any (org_ids))
    and s.org_id = o.org_id and m.metric = 'payload_source_count'
  cross join lateral (
    select t.total, t.maximum, t.average, case when m.metric = 'payload_source_count' and t.total is not null
      then coalesce(s.sources, '{}') end as sources
  ) as n
  left join losant_usage_internal.billed_lines b
    on b.month = p_month and (org_ids is null or b.org_id = any (org_ids))
    and b.org_id = o.org_id and b.metric = m.metric
  where b.org_id is null or row(n.total, n.maximum, n.average) is distinct from row(b.total, b.maximum, b.average)
    or n.sources is distinct from b.sources;
end
$$;

-- The draft of a closing also has lines that another instance billed and that differ since.
create function losant_usage.statement_draft(
  p_instance_id text, p_month date, is_adjustment boolean, p_statement_id uuid default null
) returns setof losant_usage.statement_lines
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select (l.line).* from losant_usage_internal.month_lines(p_instance_id, p_month, p_statement_id) l
  where (l.is_settled and (l.line).quantity is not null) or (not is_adjustment and l.billed_at is null)
$$;

-- The second part has the days for which no control total was requested.
create function losant_usage.month_reconciliation(p_instance_id text, p_month date) returns table (
  stream text, compared_with text, outcome text, reason text, days integer
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select losant_usage_internal.require_month(p_month);
  select r.stream, r.compared_with, r.outcome, r.reason, count(distinct r.usage_date)::integer
  from losant_usage.reconciliation r where r.instance_id = p_instance_id and r.month = p_month
  group by r.stream, r.compared_with, r.outcome, r.reason
  union all
  select t.stream, 'losant', 'not_compared', 'no_total', count(*)::integer
  from (
    select distinct r.stream, day::date as day
    from (
      -- Few ranges, because most organizations are tracked on all days of a month.
      select distinct t.stream, greatest(t.first_day, p_month) as first_day,
        least(t.last_day, losant_usage_internal.month_end(p_month), losant_usage_internal.today() - 1) as last_day
      from losant_usage.tracks t
      join losant_usage.organizations o on o.org_id = t.org_id and o.instance_id = p_instance_id
    ) as r
    cross join lateral generate_series(r.first_day::timestamp, r.last_day::timestamp, interval '1 day') as day
  ) as t
  where exists (select from losant_usage.metrics m where m.stream = t.stream) and not exists (
    select from losant_usage.instance_totals i
    join losant_usage.metrics m on m.metric = i.metric and m.stream = t.stream
    where i.instance_id = p_instance_id and i.usage_date = t.day)
  group by t.stream
$$;

create view losant_usage.month_blockers as
select b.instance_id, b.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, b.month, b.cause,
  cardinality(b.usage_dates) as days, b.first_day, b.last_day, b.usage_dates, b.streams, b.detail,
  losant_usage_internal.remedy(b, r.readable_from, c.statement_id is not null) as remedy, b.state,
  concat(case cardinality(b.usage_dates) when 1 then '1 day ' else cardinality(b.usage_dates) || ' days ' end,
    replace(b.cause, '_', ' '), ' (' || array_to_string(b.streams, ', ') || ')') as summary
from losant_usage_internal.blockers b
-- Without the offset, this expression would be an argument of remedy, and the planner would not inline it.
join (
  select instance_id, case when retired_at is null
    then losant_usage_internal.today() - (policy ->> 'horizonDays')::integer else 'infinity' end as readable_from
  from losant_usage.instances offset 0
) as i on i.instance_id = b.instance_id
left join losant_usage.organizations o on o.org_id = b.org_id
left join losant_usage.statements c on c.instance_id = b.instance_id and c.month = b.month and c.kind = 'closing'
cross join lateral (
  select case when o.deleted_on is null then i.readable_from else 'infinity' end as readable_from
) as r;

-- Raises what a person can resolve with another command. Returns the hash of the blockers and of the lines, with
-- which exactly these can be accepted; null if nothing blocks the month.
create function losant_usage.check_closable(
  p_instance_id text, p_month date, is_adjustment boolean, blockers_hash text, as_of timestamptz
) returns text language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  month_name constant text := to_char(p_month, 'YYYY-MM');
  title constant text := (
    select format('%s of instance %s', month_name,
      case when i.name is null then i.instance_id else format('%s (%s)', i.name, i.instance_id) end)
    from losant_usage.instances i where i.instance_id = p_instance_id);
  closing losant_usage.statements;
  blockers text;
  current_hash text;
begin
  perform losant_usage_internal.require_month(p_month);
  if title is null then
    raise exception 'instance % is not in this database', coalesce(p_instance_id, 'null')
      using errcode = '22023', hint = 'losant_usage.instances lists those that are';
  end if;
  if losant_usage_internal.month_end(p_month) >= (as_of at time zone 'UTC')::date then
    raise exception '% has not ended: its last day is % (UTC)', month_name,
        losant_usage_internal.day_text(losant_usage_internal.month_end(p_month))
      using errcode = 'LU001',
        hint = 'close a month once its last days are final: by default 72 hours after it ends (FINAL_AFTER_HOURS)';
  end if;
  select * into closing from losant_usage.statements s
  where s.instance_id = p_instance_id and s.month = p_month and s.kind = 'closing';
  if is_adjustment and closing.statement_id is null then
    raise exception '% is not closed, so there is nothing to adjust', title
      using errcode = 'LU001',
        hint = format('close it first: losant-usage close --month %s --instance %s', month_name, p_instance_id);
  end if;
  if not is_adjustment and closing.statement_id is not null then
    raise exception '% was already closed at % by %', title,
      losant_usage_internal.minute_text(closing.closed_at), closing.closed_by
      using errcode = 'LU001', hint = format(
        'a closed month does not change; bill later changes with: losant-usage close --month %s --instance %s --adjust',
        month_name, p_instance_id);
  end if;
  -- JSON has one format for days; a cast to text follows the session.
  select string_agg(
    jsonb_build_array(b.org_id, b.cause, b.first_day, b.last_day, b.usage_dates, b.streams)::text, E'\n'
    order by b.org_id collate "C", b.cause collate "C", b.first_day) into blockers
  from losant_usage.month_blockers b where b.instance_id = p_instance_id and b.month = p_month;
  if blockers is not null then
    select left(encode(sha256(convert_to(concat_ws(E'\n', blockers, string_agg(
      concat_ws(' ', d.org_id, d.metric, coalesce(d.quantity::text, '-')), E'\n'
      order by d.org_id collate "C", d.metric collate "C"
    )), 'UTF8')), 'hex'), 12) into current_hash
    from losant_usage.statement_draft(p_instance_id, p_month, is_adjustment) d;
  elsif blockers_hash is not null then
    raise exception '% is no longer blocked', month_name using errcode = 'LU001',
      hint = 'review it again, and close it without --accept-blockers and --reason';
  end if;
  if current_hash <> blockers_hash then
    raise exception 'The blockers of %, or what would be billed, have changed: '
        '--accept-blockers % no longer matches, the hash is now %', title, blockers_hash, current_hash
      using errcode = 'LU001',
        hint = 'review the list again: run the same command without --accept-blockers and --reason';
  end if;
  return current_hash;
end
$$;

-- Returns a statement as its manifest has it. `earlier` lists the statements of the month before it: those of its own
-- instance, and those that billed one of its organizations.
create function losant_usage_internal.statement_document(p_statement_id uuid) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object('id', s.statement_id, 'instanceId', s.instance_id, 'month', to_char(s.month, 'YYYY-MM'),
    'number', s.number, 'kind', s.kind, 'reason', s.reason, 'orgs', s.orgs,
    'closedAt', to_char(s.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'closedBy', s.closed_by,
    'rules', s.rules, 'reconciliation', s.reconciliation, 'previousSha256', encode(s.previous_sha256, 'hex'),
    'earlier', (
      select coalesce(jsonb_agg(
        jsonb_build_object('instanceId', e.instance_id, 'number', e.number, 'sha256', encode(e.manifest_sha256, 'hex'))
        order by e.closed_at, e.instance_id, e.number), '[]')
      from losant_usage.statements e
      where e.month = s.month and e.statement_id <> s.statement_id and e.closed_at <= s.closed_at
        and (e.instance_id <> s.instance_id or e.number < s.number)
        and (e.instance_id = s.instance_id or exists (
          select from losant_usage.statement_lines l
          join losant_usage.statement_lines b on b.statement_id = e.statement_id and b.org_id = l.org_id
          where l.statement_id = s.statement_id))))
  from losant_usage.statements s where s.statement_id = p_statement_id
$$;

-- Returns when a number or a waiver of the month last changed after `as_of`; null if none did.
create function losant_usage_internal.changed_after(p_month date, as_of timestamptz) returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
  select max(c.changed_at) from (
    select max(r.changed_at) as changed_at from losant_usage.revisions r
    where r.usage_date between p_month and losant_usage_internal.month_end(p_month) and r.changed_at > as_of
    union all
    select max(c.first_loaded_at) from losant_usage.coverage c
    where c.month = p_month and c.first_loaded_at > as_of
      and c.first_loaded_at >= (c.month + interval '1 month') at time zone 'UTC'
    union all
    select max(greatest(w.waived_at, w.lifted_at)) from losant_usage.waivers w
    where w.usage_date between p_month and losant_usage_internal.month_end(p_month)
      and greatest(w.waived_at, w.lifted_at) > as_of
  ) as c
$$;

-- Begins a statement of what the transaction sees, which is the ledger at `as_of`: nothing that it sees is newer, and
-- its snapshot is at most two minutes old. Returns its document; or null, and stores nothing, if there is nothing to
-- bill, or if the month has blockers that are not accepted.
create function losant_usage.begin_statement(
  p_instance_id text, p_month date, is_adjustment boolean, acceptance_reason text, blockers_hash text, as_of timestamptz
) returns jsonb language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  new_id constant uuid := gen_random_uuid();
  changed_at constant timestamptz := losant_usage_internal.changed_after(p_month, as_of);
  current_hash text;
  lines integer;
begin
  -- In another isolation level, blockers, lines and files would each be of another moment.
  if current_setting('transaction_isolation') <> 'repeatable read' or as_of not between now() and clock_timestamp()
    or clock_timestamp() > now() + interval '2 minutes' then
    raise exception 'a statement must be created in a repeatable read transaction of the last two minutes, as of a '
      'time within it' using hint = 'use losant-usage close';
  end if;
  if changed_at is not null then
    raise exception 'The statement would be as of %, but has a change of %',
      to_char(as_of at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      to_char(changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
      using errcode = 'LU001',
        hint = 'the database clock was set back, or as_of is not its time; close the month later, with '
          'losant-usage close';
  end if;
  -- Not a SET clause of the function: only a superuser may create a function with this one.
  perform set_config('losant_usage.program', 'close', true);
  current_hash := losant_usage.check_closable(p_instance_id, p_month, is_adjustment, blockers_hash, as_of);
  if current_hash is not null and (blockers_hash is null or acceptance_reason is null) then return null; end if;
  insert into losant_usage.statement_lines
  select * from losant_usage.statement_draft(p_instance_id, p_month, is_adjustment, new_id);
  get diagnostics lines = row_count;
  if lines = 0 then return null; end if;
  -- The queries of the pack's files join these lines, which the planner has no statistics of yet. Without them they are
  -- slower, but a vacuum or a concurrent reindex may hold its lock for hours.
  analyze (skip_locked) losant_usage.statement_lines;
  insert into losant_usage.statement_blockers
    (statement_id, position, org_id, org_name, cause, days, first_day, last_day, streams, detail, remedy)
  select new_id, row_number() over (order by b.org_name, b.org_id, b.cause, b.first_day), b.org_id, b.org_name,
    b.cause, b.days, b.first_day, b.last_day, b.streams, b.detail, b.remedy
  from losant_usage.month_blockers b
  where current_hash is not null and b.instance_id = p_instance_id and b.month = p_month;
  insert into losant_usage_internal.unbilled_cells
  select new_id, c.org_id, c.stream, c.usage_date from losant_usage_internal.non_final_cells c
  where current_hash is not null and c.month = p_month and c.standing <> 'waived' and exists (
    select from losant_usage.statement_lines l where l.statement_id = new_id and l.org_id = c.org_id);
  insert into losant_usage.statements
    (statement_id, instance_id, month, number, kind, reason, orgs, rules, reconciliation, closed_at, previous_sha256)
  select new_id, i.instance_id, p_month, coalesce(p.number, 0) + 1,
    case when is_adjustment then 'adjustment' else 'closing' end,
    case when current_hash is not null then acceptance_reason end,
    (select count(distinct l.org_id) from losant_usage.statement_lines l where l.statement_id = new_id),
    i.policy - 'leastFinalAfterHours' || jsonb_build_object('controlTotals', i.control_totals,
      'finalAfterHours', coalesce(i.policy -> 'leastFinalAfterHours', i.policy -> 'finalAfterHours')),
    (select coalesce(jsonb_agg(to_jsonb(c) order by c.stream, c.compared_with, c.outcome, c.reason), '[]')
      from losant_usage.month_reconciliation(p_instance_id, p_month) c),
    as_of, p.manifest_sha256
  from losant_usage.instances i
  left join lateral (
    select s.number, s.manifest_sha256 from losant_usage.statements s where s.instance_id = p_instance_id
    order by s.number desc limit 1
  ) as p on true
  where i.instance_id = p_instance_id;
  -- What needed attention in the month is from before the statement; the next refresh adds what is left.
  update losant_usage.attention_items a set is_current = false
  where a.instance_id = p_instance_id and a.is_current and a.subject = to_char(p_month::timestamp, 'YYYY-MM')
    and a.kind in ('month_ready', 'month_blocked', 'month_needs_adjustment');
  return losant_usage_internal.statement_document(new_id);
end
$$;

-- Stores a part of a file of the pack. The manifest is added last and seals the statement, if every file of a pack is
-- there with the size and the hash that the manifest has, and the signature if it names a key.
create function losant_usage.add_pack_file(p_statement_id uuid, file_name text, content bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  document jsonb;
begin
  if not exists (
    select from losant_usage.statements s where s.statement_id = p_statement_id and s.manifest is null
  ) then
    raise exception 'losant_usage.statement_files: the statement is sealed or does not exist'
      using hint = 'use losant-usage close';
  end if;
  perform set_config('losant_usage.program', 'close', true);
  if file_name <> 'manifest.json' then
    insert into losant_usage.statement_files (statement_id, name, part, content)
    select p_statement_id, file_name, count(*), add_pack_file.content
    from losant_usage.statement_files f where f.statement_id = p_statement_id and f.name = file_name;
    return;
  end if;
  document := convert_from(content, 'UTF8')::jsonb;
  if document -> 'statement' is distinct from losant_usage_internal.statement_document(p_statement_id) then
    raise exception 'losant_usage.statements: the manifest belongs to another statement'
      using hint = 'use losant-usage close';
  end if;
  if not (
    select count(distinct f.name) = 9 and bool_and(row(m.bytes, m.sha256) is not distinct from row(f.bytes, f.sha256))
    from jsonb_to_recordset(document -> 'files') as m (name text, bytes bigint, sha256 text)
    full join (
      select f.name, sum(length(f.content)) as bytes,
        encode(sha256(string_agg(f.content, '' order by f.part)), 'hex') as sha256
      from losant_usage.statement_files f
      where f.statement_id = p_statement_id and f.name <> 'manifest.json.sig' group by f.name
    ) as f on f.name = m.name
  ) or (document ->> 'signedBy' is not null) <> exists (
    select from losant_usage.statement_files f where f.statement_id = p_statement_id and f.name = 'manifest.json.sig'
  ) then
    raise exception 'losant_usage.statements: the manifest does not match the files of the pack'
      using hint = 'use losant-usage close';
  end if;
  update losant_usage.statements s set manifest = convert_from(add_pack_file.content, 'UTF8'),
    manifest_sha256 = sha256(add_pack_file.content)
  where s.statement_id = p_statement_id;
end
$$;

-- Differences between what was billed and what would be billed now. `close --adjust` bills each once.
create view losant_usage.adjustments as
select s.instance_id, s.month, n.org_id, n.org_name, n.referral_id, n.plan_id, n.customer_id, n.metric, n.unit, n.kind,
  n.billed_before as billed_quantity, n.total as quantity, case when l.is_settled then n.quantity end as difference,
  case when l.billed_at is null then 'not_in_statement'
    when exists (select from losant_usage.revisions r
      where r.org_id = n.org_id and r.stream = l.stream and r.changed_at > l.billed_at
        and r.usage_date between s.month and losant_usage_internal.month_end(s.month)) then 'restated'
    when not l.is_settled then 'not_settled' else 'settled_later' end as cause
from losant_usage.statements s
cross join lateral losant_usage_internal.month_lines(s.instance_id, s.month) as l
cross join lateral (select (l.line).*) as n
where s.kind = 'closing';

-- The months of each instance: those that it has closed, the current one, and those of which something may be to bill.
-- Of an organization that was transferred, the former instance may have billed everything; what has changed since may
-- differ from that or not. Its line is looked up by the key: "not exists" would read the lines of all months.
create view losant_usage_internal.instance_months as
select s.instance_id, s.month from losant_usage.statements s where s.kind = 'closing'
union all
select m.instance_id, m.month
from losant_usage_internal.tracked_months m
where case
  when exists (
    select from losant_usage.statements s
    where s.instance_id = m.instance_id and s.month = m.month and s.kind = 'closing') then false
  when not losant_usage_internal.has_ended(m.month)
    or not exists (select from losant_usage.statements s where s.month = m.month) then true
  when exists (
    select from losant_usage.organizations o
    where o.instance_id = m.instance_id and exists (
        select from losant_usage.tracks t
        where t.org_id = o.org_id and t.stream in (select stream from losant_usage.metrics)
          and t.first_day <= losant_usage_internal.month_end(m.month) and coalesce(t.last_day, 'infinity') >= m.month)
      and (
        select l.org_id from losant_usage.statement_lines l where l.month = m.month and l.org_id = o.org_id limit 1
      ) is null
  ) then true
  when not exists (
    select from losant_usage_internal.changed_orgs c join losant_usage.organizations o on o.org_id = c.org_id
    where c.month = m.month and o.instance_id = m.instance_id
  ) then false
  else exists (select from losant_usage_internal.month_lines(m.instance_id, m.month)) end;

-- Of a closed month, what cannot be billed yet is only counted.
create view losant_usage.months as
select m.instance_id, m.month, e.is_over,
  losant_usage_internal.state_of_month(m.month, c.closed_at is not null, d.orgs > 0, b.state) as state,
  b.causes, case when e.is_over and c.closed_at is null then coalesce(b.orgs, 0) end as orgs_blocked,
  d.orgs as orgs_to_adjust, d.lines as lines_to_adjust, c.closed_at, c.closed_by, c.statements, d.lines_unsettled
from losant_usage_internal.instance_months m
cross join lateral (select losant_usage_internal.has_ended(m.month) as is_over) as e
left join lateral (
  select min(s.closed_at) filter (where s.kind = 'closing') as closed_at,
    min(s.closed_by) filter (where s.kind = 'closing') as closed_by, count(*)::integer as statements
  from losant_usage.statements s where s.instance_id = m.instance_id and s.month = m.month
) as c on true
-- Not lateral, so that the blockers of all months are computed once.
left join (
  select b.instance_id, b.month, array_agg(distinct b.cause order by b.cause) as causes, max(b.state) as state,
    count(distinct b.org_id) filter (where b.state = 'blocked')::integer as orgs
  from losant_usage.month_blockers b where b.cause <> 'not_over' group by b.instance_id, b.month
) as b on b.instance_id = m.instance_id and b.month = m.month and e.is_over and c.closed_at is null
left join lateral (
  select count(*) filter (where n.is_billable)::integer as lines,
    count(distinct (l.line).org_id) filter (where n.is_billable)::integer as orgs,
    count(*) filter (where not l.is_settled)::integer as lines_unsettled
  from losant_usage_internal.month_lines(m.instance_id, m.month) as l
  cross join lateral (select l.is_settled and (l.line).quantity is not null as is_billable) as n
  where c.closed_at is not null
) as d on c.closed_at is not null;

-- The time of an event depends on its statement alone, so an event never changes.
create view losant_usage.meter_events as
select concat_ws(':', s.instance_id, l.org_id, l.metric, to_char(l.month, 'YYYY-MM'), s.number) as event_id,
  s.instance_id, s.month, s.number, s.statement_id, s.kind as statement_kind, s.closed_at, l.org_id, l.org_name,
  nullif(l.customer_id, '') as customer_id, l.referral_id, l.plan_id, l.metric, l.unit, l.kind,
  l.quantity as difference,
  case when s.kind = 'closing'
      and s.closed_at < (losant_usage_internal.month_end(s.month) + 29)::timestamp at time zone 'UTC'
    then (losant_usage_internal.month_end(s.month) + 1)::timestamp at time zone 'UTC' - interval '1 second'
    else date_trunc('second', s.closed_at) end as occurred_at
from losant_usage.statements s
join losant_usage.statement_lines l on l.statement_id = s.statement_id
where l.quantity <> 0;

comment on table losant_usage.statements is 'Closings and adjustments of months; append-only. Written by losant-usage close.';
comment on column losant_usage.statements.closed_at is 'Instant as of which the statement was computed (UTC); usage_as_of with it gives the same numbers for settled days.';
comment on column losant_usage.statements.manifest is 'manifest.json of its proof pack (JSON text); null only inside the closing transaction.';
comment on column losant_usage.statements.manifest_sha256 is 'SHA-256 of the manifest, which has the hashes of all other files; null only inside the closing transaction.';
comment on column losant_usage.statements.number is 'Sequence number among all statements of the instance, from 1 without gaps.';
comment on column losant_usage.statements.previous_sha256 is 'manifest_sha256 of the statement with the previous number; null for the first.';
comment on column losant_usage.statements.reconciliation is 'Reconciliation of the month: days by stream, compared_with, outcome and reason.';
comment on column losant_usage.statements.rules is 'Policy in force: readAtHours, horizonDays, controlTotals, and the least finalAfterHours that was ever in force.';
comment on table losant_usage.statement_lines is 'Lines of statements by organization and metric; append-only. The sum of quantity over all statements of a month is what was billed.';
comment on table losant_usage.statement_blockers is 'Blockers that were accepted when a month was closed; append-only.';
comment on column losant_usage.statement_blockers.cause is 'Code of the cause; see month_blockers.';
comment on table losant_usage.statement_files is 'Proof pack files of statements, except manifests; append-only.';
comment on column losant_usage.statement_files.content is 'Content of the part.';
comment on column losant_usage.statement_files.part is 'Index of the part within the file, from 0.';
comment on view losant_usage.adjustments is 'Differences between what was billed for a closed month and its numbers now; losant-usage close --adjust bills them. Key: instance_id, month, org_id, metric. Source: statement_lines, usage_days, coverage.';
comment on column losant_usage.adjustments.billed_quantity is 'What was billed; null if nothing was.';
comment on view losant_usage.month_blockers is 'What blocks closing a month, by organization or, if org_id is null, for the whole instance. Nothing blocks a month without rows. Key: instance_id, month, org_id, cause. Source: coverage, tracks, instances, reconciliation.';
comment on column losant_usage.month_blockers.usage_dates is 'Affected days (UTC); null if the cause is not about days.';
comment on column losant_usage.month_blockers.state is 'State in which the cause puts the month: blocked, settling or partly_collected; in_progress until the month has ended.';
comment on column losant_usage.month_blockers.summary is 'Cause with days and streams, in words.';
comment on view losant_usage.months is 'The months of each instance, with their state: those that it has closed, the current one, and those of which it has something to bill. Key: instance_id, month. Source: statements, month_blockers, adjustments.';
comment on column losant_usage.months.causes is 'What keeps the month from being ready; see month_blockers. Null if nothing does, or if the month has not ended or is closed.';
comment on column losant_usage.months.lines_to_adjust is 'Settled numbers that differ from what was billed (count); null unless the month is closed.';
comment on column losant_usage.months.lines_unsettled is 'Numbers that differ from what was billed, but are not settled yet (count); null unless the month is closed.';
comment on column losant_usage.months.orgs_blocked is 'Organizations with a blocker of the state blocked (count); null unless the month has ended and is not closed.';
comment on column losant_usage.months.orgs_to_adjust is 'Organizations with a settled number that differs from what was billed (count); null unless the month is closed.';
comment on column losant_usage.months.state is 'in_progress, settling, blocked, partly_collected, ready, closed or needs_adjustment.';
comment on view losant_usage.meter_events is 'What statements bill, one event per line with a quantity other than 0, for metering systems. Send each event_id once. Key: event_id. Source: statement_lines.';
comment on column losant_usage.meter_events.event_id is 'Event ID, stable forever: instance, organization, metric, month and number.';
comment on column losant_usage.meter_events.occurred_at is 'Event time (UTC): the last second of the month; for an adjustment, or a statement 28 or more days later, its closed_at.';
comment on function losant_usage.statement_draft is 'The lines that a statement created now would have.';
comment on function losant_usage.month_reconciliation is 'The reconciliation of a month: days by stream, comparison and outcome.';
comment on function losant_usage.check_closable is 'Raises LU001, with a hint, for a month that cannot be closed or adjusted. Returns the hash that close --accept-blockers takes, over the blockers and the quantities that would be billed; null if nothing blocks the month.';
comment on function losant_usage.begin_statement is 'Begins a statement. Called by losant-usage close.';
comment on function losant_usage.add_pack_file is 'Adds a file to the proof pack of a statement; the manifest, added last, seals it. Called by losant-usage close.';
