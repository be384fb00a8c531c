-- Closed months: statements with their lines and proof packs, which nothing changes, and what differs since. Two functions
-- write them, open_statement and seal_statement, in one transaction of the closer's role.

create table losant_usage.statements (
  statement_id uuid primary key,
  instance_id text collate "C" not null references losant_usage.instances,
  month date not null check (extract(day from month) = 1),
  number integer not null check (number >= 1),
  kind text not null check (kind in ('closing', 'adjustment')),
  reason text,
  orgs integer not null,
  rules jsonb not null,
  controls jsonb not null,
  closed_at timestamptz not null,
  closed_by text not null default session_user,
  previous_sha256 bytea check (octet_length(previous_sha256) = 32),
  manifest text,
  manifest_sha256 bytea check (octet_length(manifest_sha256) = 32),
  unique (instance_id, number)
);
create unique index statements_closing on losant_usage.statements (instance_id, month) where kind = 'closing';
create index statements_month on losant_usage.statements (month);

-- No foreign keys, which are checked line by line: only open_statement inserts here, out of a join with metrics.
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
  days_accepted integer not null,
  days_open integer not null,
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
  message text,
  what_to_do text not null,
  primary key (statement_id, position)
);

-- The names are those that a pack has, and no other: they become names of files on somebody's disk.
create table losant_usage.statement_files (
  statement_id uuid not null references losant_usage.statements deferrable initially deferred,
  name text not null check (name in ('totals.csv', 'lines.csv', 'sources.csv', 'days.csv', 'cells.csv',
    'revisions.csv', 'waivers.csv', 'blockers.csv', 'pack-checks.sql', 'manifest.json.sig')),
  part integer not null,
  content_gzip bytea not null,
  primary key (statement_id, name, part)
);

-- The closing functions set the setting that is_by_hand asks for.
create trigger by_hand before insert on losant_usage.statements for each statement when (losant_usage_internal.is_by_hand())
  execute function losant_usage_internal.refuse('losant-usage close makes statements');
create trigger by_hand before insert on losant_usage.statement_lines for each statement when (losant_usage_internal.is_by_hand())
  execute function losant_usage_internal.refuse('losant-usage close makes statements');
create trigger by_hand before insert on losant_usage.statement_blockers for each statement when (losant_usage_internal.is_by_hand())
  execute function losant_usage_internal.refuse('losant-usage close makes statements');
create trigger by_hand before insert on losant_usage.statement_files for each statement when (losant_usage_internal.is_by_hand())
  execute function losant_usage_internal.refuse('losant-usage close makes statements');
create trigger append_only before delete or truncate on losant_usage.statements for each statement
  execute function losant_usage_internal.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger sealed_once before update on losant_usage.statements for each row when (old.manifest is not null)
  execute function losant_usage_internal.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_lines for each statement
  execute function losant_usage_internal.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_blockers for each statement
  execute function losant_usage_internal.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');
create trigger append_only before update or delete or truncate on losant_usage.statement_files for each statement
  execute function losant_usage_internal.refuse('a statement stays as it was closed: losant-usage close --adjust makes another');

create function losant_usage_internal.require_seal() returns trigger language plpgsql as $$
begin
  if exists (select from losant_usage.statements s where s.statement_id = new.statement_id and s.manifest_sha256 is null) then
    raise exception 'losant_usage.statements: a statement without its proof pack is refused' using hint = 'losant-usage close';
  end if;
  return null;
end
$$;
create constraint trigger sealed after insert on losant_usage.statements deferrable initially deferred
  for each row execute function losant_usage_internal.require_seal();

-- Locking a view locks its tables, in this order and with the rights of its owner, so that the closer can wait for loads
-- under way without a right to the tables. A join cannot be written to.
create view losant_usage_internal.ledger_lock as
select true as is_locked from losant_usage.organizations, losant_usage.tracks, losant_usage.coverage, losant_usage.usage_days,
  losant_usage.instance_totals where false;

-- One statement at a time, of whatever instance: an organization that moved is billed once.
create view losant_usage_internal.closing_lock as
select true as is_locked from losant_usage.statements a, losant_usage.statements b where false;

-- What the lines of a month say so far, whatever instance billed them.
create view losant_usage_internal.billed as
select distinct on (l.month, l.org_id, l.metric) l.month, l.org_id, l.metric, l.org_name, l.referral_id, l.plan_id, l.customer_id,
  l.total, l.maximum, l.average, l.sources, s.closed_at,
  sum(l.quantity) over (partition by l.month, l.org_id, l.metric)::bigint as quantity
from losant_usage.statement_lines l join losant_usage.statements s on s.statement_id = l.statement_id
order by l.month, l.org_id, l.metric, s.closed_at desc, s.number desc;

-- What can make a closed month differ from what was billed, by organization: cells that are not final now, days that were
-- not settled or not stored when they were billed, numbers changed or first loaded since, and organizations of another
-- instance before. What has none of it has the numbers that were billed.
create index statement_lines_open on losant_usage.statement_lines (month, org_id)
  where days_final + days_accepted < days_expected or days_stored < days_expected;
create index revisions_day on losant_usage.revisions (usage_date, changed_at);
create index coverage_loaded_late on losant_usage.coverage (month, first_loaded_at)
  where first_loaded_at >= (month + interval '1 month') at time zone 'UTC';

create view losant_usage_internal.changed_orgs as
with closed as (select s.month, min(s.closed_at) as closed_at from losant_usage.statements s group by s.month)
select c.month, o.org_id from closed c join losant_usage_internal.open_cells o on o.month = c.month where o.standing <> 'final'
union
select l.month, l.org_id from losant_usage.statement_lines l
where l.days_final + l.days_accepted < l.days_expected or l.days_stored < l.days_expected
union
select c.month, r.org_id from closed c
join losant_usage.revisions r on r.usage_date between c.month and losant_usage_internal.month_end(c.month) and r.changed_at >= c.closed_at
union
select c.month, v.org_id from closed c
join losant_usage.coverage v on v.month = c.month and v.first_loaded_at >= c.closed_at
  and v.first_loaded_at >= (v.month + interval '1 month') at time zone 'UTC'
union
select c.month, o.org_id from closed c cross join losant_usage.organizations o
where exists (select from losant_usage.organization_history h where h.org_id = o.org_id and h.instance_id <> o.instance_id);

-- The numbers of a month that no statement has as they are now; of a month that the instance has closed, only the
-- organizations that can differ are added up. Only cells that are final or accepted count: the
-- total leaves out what is stored and not settled, and after the first statement a line waits until all of it is settled.
-- In plpgsql and planned at each call, which may be for one organization or for all; not compiled, because the planner takes
-- each object for a thousand rows, and compiling takes longer than the query. With the rights of its owner and in UTC, because
-- the views that call it are read by roles that may use nothing internal, in sessions of any time zone.
create function losant_usage_internal.month_lines(for_instance text, of_month date, for_statement uuid default null) returns table (
  line losant_usage.statement_lines, stream text, is_settled boolean, billed_at timestamptz
) language plpgsql stable security definer set search_path = pg_catalog, pg_temp set timezone = 'UTC'
set plan_cache_mode = force_custom_plan set jit = off set work_mem = '64MB' as $$
#variable_conflict use_column
declare
  month_end constant date := losant_usage_internal.month_end(of_month);
  month_over constant timestamptz := (month_end + 1)::timestamp at time zone 'UTC';
  -- Each day by itself finds some organizations by the key; a range of days would read the month of all.
  of_days constant date[] := array(select generate_series(of_month, month_end, interval '1 day')::date);
  of_orgs text[];
begin
  if exists (
    select from losant_usage.statements s where s.instance_id = for_instance and s.month = of_month and s.kind = 'closing'
  ) then
    of_orgs := array(select c.org_id from losant_usage_internal.changed_orgs c where c.month = of_month);
    if of_orgs = '{}' then return; end if;
  end if;
  return query
  with orgs as (
    select o.org_id, coalesce(h.name, o.name) as org_name, case when h.name is null then o.referral_id else h.referral_id end as referral_id,
      case when h.name is null then o.plan_id else h.plan_id end as plan_id,
      case when h.name is null then o.customer_id else h.customer_id end as customer_id,
      exists (
        select from losant_usage.organization_history e
        where e.org_id = o.org_id and e.valid_from < month_over and coalesce(e.valid_to, 'infinity') > of_month::timestamp at time zone 'UTC'
          and row(e.customer_id, e.plan_id) is distinct from row(h.customer_id, h.plan_id)) as is_changed
    from losant_usage.organizations o
    left join lateral (
      select h.* from losant_usage.organization_history h
      where h.org_id = o.org_id order by h.valid_from < month_over desc, abs(extract(epoch from h.valid_from - month_over)) limit 1
    ) as h on true
    where o.instance_id = for_instance and (of_orgs is null or o.org_id = any (of_orgs))
  ),
  open as (
    select c.org_id, c.stream, c.usage_date, c.standing, c.is_stored, c.is_reported, c.is_stored and c.standing not in ('final', 'accepted') as is_held
    from losant_usage_internal.open_cells c where c.month = of_month and (of_orgs is null or c.org_id = any (of_orgs))
  ),
  wanted as (
    select w.org_id, w.stream, count(*)::integer as days
    from (
      select c.org_id, c.stream from losant_usage.coverage c
      where c.usage_date = any (of_days) and (of_orgs is null or c.org_id = any (of_orgs))
      union all
      select u.org_id, u.stream from losant_usage_internal.unfilled u where u.month = of_month
    ) as w group by w.org_id, w.stream
  ),
  -- What is not open is final.
  cells as (
    select w.org_id, w.stream, w.days, count(*) filter (where not c.is_stored)::integer as not_stored,
      count(*) filter (where c.standing <> 'final')::integer as not_final,
      count(*) filter (where c.standing = 'accepted')::integer as accepted,
      count(*) filter (where c.standing in ('stored', 'waiting'))::integer as open,
      count(*) filter (where c.standing = 'unavailable')::integer as unavailable,
      count(*) filter (where c.standing = 'in_doubt')::integer as in_doubt,
      count(*) filter (where c.standing = 'missing')::integer as missing,
      count(*) filter (where c.is_stored and not c.is_reported)::integer as unreported, coalesce(bool_or(c.is_held), false) as is_held
    from wanted w left join open c on c.org_id = w.org_id and c.stream = w.stream
    group by w.org_id, w.stream, w.days
  ),
  sums as materialized (
    select s.org_id, to_jsonb(s) as numbers from losant_usage_internal.period_sums s
    where s.period = 'month' and s.period_start = of_month and (of_orgs is null or s.org_id = any (of_orgs))
  ),
  -- Where a number is stored and not settled, the others are added up again, without it.
  settled as (
    select c.org_id, m.metric, losant_usage_internal.total(n.quantity) as sum, max(n.quantity) as maximum,
      round(avg(n.quantity), 2) as average,
      (array_agg(n.quantity order by d.usage_date desc) filter (where n.quantity is not null))[1] as last
    from cells c
    join losant_usage.metrics m on m.stream = c.stream
    join losant_usage.usage_days d on d.org_id = c.org_id and d.usage_date between of_month and month_end
    cross join lateral (select (to_jsonb(d) ->> m.metric)::bigint as quantity) as n
    where c.is_held and not exists (
      select from open h where h.is_held and h.org_id = c.org_id and h.stream = c.stream and h.usage_date = d.usage_date)
    group by c.org_id, m.metric
  ),
  -- The keys of an object and its values come in the same order, and both one by one: jsonb_each fills a table for each
  -- object, which takes twice as long.
  sources as (
    select t.org_id, jsonb_object_agg(t.type, t.sources) as sources
    from (
      select s.org_id, s.type, jsonb_object_agg(s.source, s.count) as sources
      from (
        select c.org_id, c.type, c.source, losant_usage_internal.total(c.count::bigint) as count
        from (
          select t.org_id, t.type, jsonb_object_keys(t.sources) as source, jsonb_path_query(t.sources, '$.*') as count
          from (
            select d.org_id, jsonb_object_keys(d.payload_sources) as type, jsonb_path_query(d.payload_sources, '$.*') as sources
            from losant_usage.usage_days d
            where d.month = of_month and (of_orgs is null or d.org_id = any (of_orgs)) and not exists (
              select from open h where h.is_held and h.stream = 'payload_sources' and h.org_id = d.org_id and h.usage_date = d.usage_date)
          ) as t
        ) as c group by c.org_id, c.type, c.source
      ) as s group by s.org_id, s.type
    ) as t group by t.org_id
  ),
  billed as (
    select b.* from losant_usage_internal.billed b where b.month = of_month and (of_orgs is null or b.org_id = any (of_orgs))
  )
  select row(for_statement, o.org_id, m.metric, of_month, coalesce(b.org_name, o.org_name),
      case when b.org_id is null then o.referral_id else b.referral_id end, case when b.org_id is null then o.plan_id else b.plan_id end,
      case when b.org_id is null then o.customer_id else b.customer_id end, o.is_changed, m.unit, m.kind,
      -- What was never billed was billed with nothing.
      case when b.org_id is null then n.total else n.total - coalesce(b.quantity, 0) end, b.quantity, n.total, n.maximum, n.average,
      case when m.metric = 'payload_source_count' and n.total is not null then coalesce(s.sources, '{}') end, c.days, c.days - c.not_stored,
      c.days - c.not_final, c.accepted, c.open, c.unavailable, c.in_doubt, c.missing, c.unreported)::losant_usage.statement_lines,
    m.stream, c.not_final = c.accepted, b.closed_at
  from orgs o
  join cells c on c.org_id = o.org_id
  join losant_usage.metrics m on m.stream = c.stream
  join sums u on u.org_id = o.org_id
  left join settled h on c.is_held and h.org_id = c.org_id and h.metric = m.metric
  left join sources s on m.metric = 'payload_source_count' and s.org_id = o.org_id
  cross join lateral (
    select case when not c.is_held then (u.numbers ->> m.metric)::bigint when m.kind = 'flow' then h.sum else h.last end as total,
      case when m.kind = 'flow' then null when c.is_held then h.maximum else (u.numbers ->> (m.metric || '_max'))::bigint end as maximum,
      case when m.kind = 'flow' then null when c.is_held then h.average else (u.numbers ->> (m.metric || '_avg'))::numeric end as average
  ) as n
  left join billed b on b.org_id = o.org_id and b.metric = m.metric
  where b.org_id is null or row(n.total, n.maximum, n.average) is distinct from row(b.total, b.maximum, b.average)
    or (m.metric = 'payload_source_count' and n.total is not null and coalesce(s.sources, '{}') is distinct from b.sources);
end
$$;

-- What a statement made now would have: of a closing also what was billed by another instance and differs since.
create function losant_usage.statement_draft(for_instance text, of_month date, is_adjustment boolean, for_statement uuid default null)
returns setof losant_usage.statement_lines language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select (l.line).* from losant_usage_internal.month_lines(for_instance, of_month, for_statement) l
  where (l.is_settled and (l.line).quantity is not null) or (not is_adjustment and l.billed_at is null)
$$;

-- How the month compares with Losant's totals and with what counts the same elsewhere, by days; also what was not
-- compared at all.
create function losant_usage.month_controls(for_instance text, of_month date) returns table (
  stream text, compared_with text, outcome text, reason text, days integer
) language sql stable strict security definer set search_path = pg_catalog, pg_temp as $$
  select r.stream, r.compared_with, r.outcome, r.reason, count(distinct r.usage_date)::integer
  from losant_usage.reconciliation r where r.instance_id = for_instance and r.month = of_month
  group by r.stream, r.compared_with, r.outcome, r.reason
  union all
  select t.stream, 'losant', 'not_compared', 'no_total', count(*)::integer
  from (
    select t.stream, min(t.first_day) as first_day, max(coalesce(t.to_day, losant_usage_internal.month_end(of_month))) as last_day
    from losant_usage.tracks t join losant_usage.organizations o on o.org_id = t.org_id and o.instance_id = for_instance
    group by t.stream
  ) as t
  cross join lateral generate_series(greatest(t.first_day, of_month)::timestamp,
    least(t.last_day, losant_usage_internal.month_end(of_month))::timestamp, interval '1 day') as day
  where exists (select from losant_usage.metrics m where m.stream = t.stream) and not exists (
    select from losant_usage.instance_totals i join losant_usage.metrics m on m.metric = i.metric and m.stream = t.stream
    where i.instance_id = for_instance and i.usage_date = day::date)
  group by t.stream
$$;

-- Throws what a person can mend by another command, with what to do. Answers a hash of what blocks the month and of what
-- would be billed, by which exactly this is accepted; null if nothing blocks it.
create function losant_usage.require_closable(
  for_instance text, of_month date, is_adjustment boolean, accepted_hash text, moment timestamptz
) returns text language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  month_name constant text := to_char(of_month, 'YYYY-MM');
  title constant text := (
    select format('%s of instance %s', month_name, case when i.name is null then i.instance_id else format('%s (%s)', i.name, i.instance_id) end)
    from losant_usage.instances i where i.instance_id = for_instance);
  closing losant_usage.statements;
  blockers text;
  found_hash text;
begin
  if losant_usage_internal.month_end(of_month) >= (moment at time zone 'UTC')::date then
    raise exception '% is not over: its last day is % (UTC)', month_name, losant_usage_internal.month_end(of_month)
      using errcode = 'LU001', hint = 'close a month after its end, when its last days are final: 72 hours later by default (FINAL_AT_HOURS)';
  end if;
  select * into closing from losant_usage.statements s
  where s.instance_id = for_instance and s.month = of_month and s.kind = 'closing';
  if is_adjustment and closing.statement_id is null then
    raise exception '% is not closed, so there is nothing to adjust', title
      using errcode = 'LU001', hint = format('close it first: losant-usage close --period %s', month_name);
  end if;
  if not is_adjustment and closing.statement_id is not null then
    raise exception '% is closed already, since % by %', title,
      to_char(closing.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), closing.closed_by using errcode = 'LU001',
      hint = format('a closed month stays as it is; what changed since is billed with: losant-usage close --period %s --adjust', month_name);
  end if;
  select string_agg(concat_ws(' ', coalesce(b.org_id, '-'), b.cause, b.first_day, b.last_day, b.usage_dates, b.streams), E'\n'
    order by b.org_id collate "C", b.cause, b.first_day) into blockers
  from losant_usage.period_blockers b where b.instance_id = for_instance and b.month = of_month;
  if blockers is not null then
    select left(encode(sha256(convert_to(concat_ws(E'\n', blockers, string_agg(
      concat_ws(' ', d.org_id, d.metric, coalesce(d.quantity::text, '-')), E'\n' order by d.org_id collate "C", d.metric collate "C"
    )), 'UTF8')), 'hex'), 12) into found_hash
    from losant_usage.statement_draft(for_instance, of_month, is_adjustment) d;
  elsif accepted_hash is not null then
    raise exception 'nothing blocks % any more', month_name using errcode = 'LU001',
      hint = 'look at it once more, and close it without --incomplete';
  end if;
  if found_hash <> accepted_hash then
    raise exception 'What blocks %, or what would be billed, is not what --blockers % accepts: it is % now', title, accepted_hash, found_hash
      using errcode = 'LU001', hint = 'look at the list once more: the same command without --incomplete and --blockers';
  end if;
  return found_hash;
end
$$;

-- The statement as its manifest has it. It follows every statement of the month before it that billed one of its
-- organizations, and those of its own instance.
create function losant_usage_internal.statement_document(of_statement uuid) returns jsonb language sql stable as $$
  select jsonb_build_object('id', s.statement_id, 'instanceId', s.instance_id, 'month', to_char(s.month, 'YYYY-MM'),
    'number', s.number, 'kind', s.kind, 'reason', s.reason, 'orgs', s.orgs,
    'closedAt', to_char(s.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'closedBy', s.closed_by,
    'rules', s.rules, 'controls', s.controls, 'previousSha256', encode(s.previous_sha256, 'hex'),
    'earlier', (
      select coalesce(jsonb_agg(jsonb_build_object('instanceId', e.instance_id, 'number', e.number, 'sha256', encode(e.manifest_sha256, 'hex'))
        order by e.closed_at, e.instance_id, e.number), '[]')
      from losant_usage.statements e
      where e.month = s.month and e.statement_id <> s.statement_id and e.closed_at <= s.closed_at
        and (e.instance_id <> s.instance_id or e.number < s.number)
        and (e.instance_id = s.instance_id or exists (
          select from losant_usage.statement_lines l join losant_usage.statement_lines b on b.statement_id = e.statement_id and b.org_id = l.org_id
          where l.statement_id = s.statement_id))))
  from losant_usage.statements s where s.statement_id = of_statement
$$;

-- Begins a statement of what the transaction sees, which is the ledger at the moment given. Answers the statement's
-- document; or null, and keeps nothing, if there is nothing to bill, or something blocks the month and was not accepted.
create function losant_usage.open_statement(
  for_instance text, of_month date, is_adjustment boolean, incomplete_reason text, accepted_hash text, moment timestamptz
) returns jsonb language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  new_id constant uuid := gen_random_uuid();
  found_hash text;
  lines integer;
begin
  -- In another isolation, blockers, lines and files would be of different moments.
  if current_setting('transaction_isolation') <> 'repeatable read' or moment not between now() and clock_timestamp() then
    raise exception 'a statement is of one moment' using hint = 'losant-usage close';
  end if;
  -- Not a setting of the function: only a superuser could create it with one.
  perform set_config('losant_usage.program', 'close', true);
  found_hash := losant_usage.require_closable(for_instance, of_month, is_adjustment, accepted_hash, moment);
  if found_hash is not null and (accepted_hash is null or incomplete_reason is null) then return null; end if;
  insert into losant_usage.statement_lines
  select * from losant_usage.statement_draft(for_instance, of_month, is_adjustment, new_id);
  get diagnostics lines = row_count;
  if lines = 0 then return null; end if;
  -- The files of the pack are read by these lines, of which the planner knows nothing yet.
  analyze losant_usage.statement_lines;
  insert into losant_usage.statement_blockers (statement_id, position, org_id, org_name, cause, days, first_day, last_day, streams, message, what_to_do)
  select new_id, row_number() over (order by b.org_name, b.org_id, b.cause, b.first_day), b.org_id, b.org_name, b.cause, b.days,
    b.first_day, b.last_day, b.streams, b.message, b.what_to_do
  from losant_usage.period_blockers b where found_hash is not null and b.instance_id = for_instance and b.month = of_month;
  insert into losant_usage.statements
    (statement_id, instance_id, month, number, kind, reason, orgs, rules, controls, closed_at, previous_sha256)
  select new_id, i.instance_id, of_month, coalesce(p.number, 0) + 1, case when is_adjustment then 'adjustment' else 'closing' end,
    case when found_hash is not null then incomplete_reason end,
    (select count(distinct l.org_id) from losant_usage.statement_lines l where l.statement_id = new_id),
    i.policy || jsonb_build_object('controlTotals', i.control_totals),
    (select coalesce(jsonb_agg(to_jsonb(c) order by c.stream, c.compared_with, c.outcome, c.reason), '[]')
      from losant_usage.month_controls(for_instance, of_month) c),
    moment, p.manifest_sha256
  from losant_usage.instances i
  left join lateral (
    select s.number, s.manifest_sha256 from losant_usage.statements s where s.instance_id = for_instance order by s.number desc limit 1
  ) as p on true
  where i.instance_id = for_instance;
  return losant_usage_internal.statement_document(new_id);
end
$$;

-- Keeps a part of a file of the pack, gzip; the manifest comes last, as it is, and seals the statement.
create function losant_usage.seal_statement(of_statement uuid, file_name text, content bytea) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from losant_usage.statements s where s.statement_id = of_statement and s.manifest is null) then
    raise exception 'losant_usage.statement_files: nothing can be added to a statement' using hint = 'losant-usage close';
  end if;
  perform set_config('losant_usage.program', 'close', true);
  if file_name <> 'manifest.json' then
    insert into losant_usage.statement_files (statement_id, name, part, content_gzip)
    select of_statement, file_name, count(*), content
    from losant_usage.statement_files f where f.statement_id = of_statement and f.name = file_name;
    return;
  end if;
  if convert_from(content, 'UTF8')::jsonb -> 'statement' is distinct from losant_usage_internal.statement_document(of_statement) then
    raise exception 'losant_usage.statements: the manifest is not of this statement' using hint = 'losant-usage close';
  end if;
  update losant_usage.statements s set manifest = convert_from(content, 'UTF8'), manifest_sha256 = sha256(content)
  where s.statement_id = of_statement;
end
$$;

-- What differs from what was invoiced; settled once, by close --adjust.
create view losant_usage.adjustments as
select s.instance_id, s.month, n.org_id, n.org_name, n.referral_id, n.plan_id, n.customer_id, n.metric, n.unit, n.kind,
  n.billed_before as billed_quantity, n.total as quantity, case when l.is_settled then n.quantity end as difference,
  case when l.billed_at is null then 'not_in_statement'
    when exists (select from losant_usage.revisions r where r.org_id = n.org_id and r.stream = l.stream and r.changed_at > l.billed_at
      and r.usage_date between s.month and losant_usage_internal.month_end(s.month)) then 'restated'
    else 'settled_later' end as cause
from losant_usage.statements s
cross join lateral losant_usage_internal.month_lines(s.instance_id, s.month) as l
cross join lateral (select (l.line).*) as n
where s.kind = 'closing';

-- The months of each instance: open, blocked, closed, or different from what was closed.
create view losant_usage.months as
select m.instance_id, m.month, m.is_over,
  case when c.closed_at is null then case when b.causes is null then 'open' else 'blocked' end
    when d.orgs > 0 then 'different' else 'closed' end as state,
  b.causes, case when m.is_over and c.closed_at is null then coalesce(b.orgs, 0) end as orgs_blocked,
  d.orgs as orgs_different, d.lines as lines_different, c.closed_at, c.statements
from (
  select instance_id, month, losant_usage_internal.month_end(month) < losant_usage_internal.today() as is_over
  from losant_usage_internal.instance_months
) as m
left join lateral (
  select min(s.closed_at) filter (where s.kind = 'closing') as closed_at, count(*)::integer as statements
  from losant_usage.statements s where s.instance_id = m.instance_id and s.month = m.month
) as c on true
-- Blockers are found once, not again for each month.
left join (
  select b.instance_id, b.month, array_agg(distinct b.cause order by b.cause) as causes, count(distinct b.org_id)::integer as orgs
  from losant_usage.period_blockers b where b.cause <> 'not_over' group by b.instance_id, b.month
) as b on b.instance_id = m.instance_id and b.month = m.month and m.is_over and c.closed_at is null
left join lateral (
  select count(*)::integer as lines, count(distinct (l.line).org_id)::integer as orgs
  from losant_usage_internal.month_lines(m.instance_id, m.month) as l where c.closed_at is not null
) as d on c.closed_at is not null;

-- For systems that meter: what a statement bills, as a difference. The time of an event depends on its statement alone.
create view losant_usage.meter_events as
select concat_ws(':', s.instance_id, l.org_id, l.metric, to_char(l.month, 'YYYY-MM'), s.number) as event_id,
  s.instance_id, s.month, s.number, s.statement_id, s.kind as statement_kind, s.closed_at, l.org_id, l.org_name,
  nullif(l.customer_id, '') as customer_id, l.referral_id, l.plan_id, l.metric, l.unit, l.kind, l.quantity as difference,
  case when s.kind = 'closing' and s.closed_at < (losant_usage_internal.month_end(s.month) + 28)::timestamp at time zone 'UTC'
    then (losant_usage_internal.month_end(s.month) + 1)::timestamp at time zone 'UTC' - interval '1 second'
    else date_trunc('second', s.closed_at) end as occurred_at
from losant_usage.statements s
join losant_usage.statement_lines l on l.statement_id = s.statement_id
where l.quantity <> 0;

-- What a customer was billed for a month, over all statements. An organization without a customer stands for itself.
create view losant_usage.customer_statements as
select c.customer_id, c.org_id, l.month, l.metric, l.unit, l.kind, sum(l.quantity) as quantity,
  count(distinct l.org_id)::integer as orgs, count(distinct l.statement_id)::integer as statements
from losant_usage.statement_lines l
cross join lateral (
  select nullif(l.customer_id, '') as customer_id, case when nullif(l.customer_id, '') is null then l.org_id end as org_id
) as c
group by c.customer_id, c.org_id, l.month, l.metric, l.unit, l.kind;

comment on table losant_usage.statements is 'Closings and adjustments of months; append-only. Written by losant-usage close.';
comment on column losant_usage.statements.statement_id is 'Id of the statement.';
comment on column losant_usage.statements.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.statements.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.statements.number is 'Place among the statements of the instance, of all months, from 1 without a gap.';
comment on column losant_usage.statements.kind is 'closing: the numbers of the month. adjustment: what differs from the statements before it.';
comment on column losant_usage.statements.reason is 'Why it was closed although something blocked it, see statement_blockers; null if nothing did.';
comment on column losant_usage.statements.orgs is 'Organizations with a line (count).';
comment on column losant_usage.statements.rules is 'Rules by which its numbers became final: readAtHours, finalAtHours, horizonDays, controlTotals.';
comment on column losant_usage.statements.controls is 'How the month compared with Losants totals and with what counts the same elsewhere: by stream, compared_with, outcome and reason the days.';
comment on column losant_usage.statements.closed_at is 'The moment whose numbers it has (UTC): those of usage_as_of.';
comment on column losant_usage.statements.closed_by is 'Database user that closed it.';
comment on column losant_usage.statements.previous_sha256 is 'manifest_sha256 of the statement with the number before; null of the first.';
comment on column losant_usage.statements.manifest is 'manifest.json of its proof pack (JSON text). Null only inside the transaction that closes it.';
comment on column losant_usage.statements.manifest_sha256 is 'SHA-256 of manifest, which has that of every other file. Null only inside the transaction that closes it.';
comment on table losant_usage.statement_lines is 'What statements bill, by organization and metric; append-only. The sum of quantity over all statements of a month is what was invoiced.';
comment on column losant_usage.statement_lines.statement_id is 'Statement.';
comment on column losant_usage.statement_lines.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.statement_lines.metric is 'Metric, see metrics.';
comment on column losant_usage.statement_lines.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.statement_lines.org_name is 'Name of the organization on the last day of the month; of a correction that of the line that it corrects.';
comment on column losant_usage.statement_lines.referral_id is 'Referral id, as org_name; null if it had none.';
comment on column losant_usage.statement_lines.plan_id is 'Billing plan id, as org_name; null if it had none.';
comment on column losant_usage.statement_lines.customer_id is 'Customer id, as org_name; null if it had none.';
comment on column losant_usage.statement_lines.is_customer_changed is 'Whether the organization had another customer or plan earlier in the month.';
comment on column losant_usage.statement_lines.unit is 'Unit of the quantities.';
comment on column losant_usage.statement_lines.kind is 'flow: summed over the days. level: the last of the month.';
comment on column losant_usage.statement_lines.quantity is 'What the line bills: the total, without what earlier lines billed; null if nothing could be billed.';
comment on column losant_usage.statement_lines.billed_before is 'What earlier lines of the organization, month and metric billed, whatever instance they are of; null if nothing.';
comment on column losant_usage.statement_lines.total is 'The number of the month at that moment, over the days that are final or accepted; null if none is stored.';
comment on column losant_usage.statement_lines.maximum is 'Greatest number of a level; null for flows, and without a total.';
comment on column losant_usage.statement_lines.average is 'Average number of a level; null for flows, and without a total.';
comment on column losant_usage.statement_lines.sources is 'The total of payload_source_count by type and source: {type: {source: count}}; null for other metrics.';
comment on column losant_usage.statement_lines.days_expected is 'Days that are wanted (count): the sum of final, accepted, open, unavailable, in doubt and missing ones.';
comment on column losant_usage.statement_lines.days_stored is 'Days of these that are stored (count).';
comment on column losant_usage.statement_lines.days_final is 'Days of these that are final (count).';
comment on column losant_usage.statement_lines.days_accepted is 'Days of these that a person accepted, missing or as they stand (count).';
comment on column losant_usage.statement_lines.days_open is 'Days of these that were still to be read again (count).';
comment on column losant_usage.statement_lines.days_unavailable is 'Days of these that can no longer be read (count).';
comment on column losant_usage.statement_lines.days_in_doubt is 'Days of these that are in doubt (count).';
comment on column losant_usage.statement_lines.days_missing is 'Days of these that are missing (count).';
comment on column losant_usage.statement_lines.days_unreported is 'Days of these with zeros that Losant never named (count).';
comment on table losant_usage.statement_blockers is 'What blocked a month when it was closed, and was accepted with its reason; append-only.';
comment on column losant_usage.statement_blockers.statement_id is 'Statement.';
comment on column losant_usage.statement_blockers.position is 'Place in the list, from 1.';
comment on column losant_usage.statement_blockers.org_id is 'Organization; null: every organization of the instance.';
comment on column losant_usage.statement_blockers.org_name is 'Name of the organization when the statement was made; null for the whole instance.';
comment on column losant_usage.statement_blockers.cause is 'Cause, see period_blockers.';
comment on column losant_usage.statement_blockers.days is 'Days concerned (count); null where it is not about days.';
comment on column losant_usage.statement_blockers.first_day is 'First day concerned (UTC).';
comment on column losant_usage.statement_blockers.last_day is 'Last day concerned (UTC).';
comment on column losant_usage.statement_blockers.streams is 'Streams concerned; null where it is not about streams.';
comment on column losant_usage.statement_blockers.message is 'What was wrong, for people; null if the cause says it.';
comment on column losant_usage.statement_blockers.what_to_do is 'What would have resolved it.';
comment on table losant_usage.statement_files is 'The proof packs of statements, but for their manifests; append-only.';
comment on column losant_usage.statement_files.statement_id is 'Statement.';
comment on column losant_usage.statement_files.name is 'Name of the file.';
comment on column losant_usage.statement_files.part is 'Place of the part in the file, from 0.';
comment on column losant_usage.statement_files.content_gzip is 'The part, gzip.';
comment on view losant_usage.adjustments is 'What differs now from what was invoiced for a closed month; losant-usage close --adjust settles it. Source: statement_lines, usage_days, coverage.';
comment on column losant_usage.adjustments.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.adjustments.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.adjustments.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.adjustments.org_name is 'Name of the organization, as the newest line has it.';
comment on column losant_usage.adjustments.referral_id is 'Referral id, as the newest line has it; null if it had none.';
comment on column losant_usage.adjustments.plan_id is 'Billing plan id, as the newest line has it; null if it had none.';
comment on column losant_usage.adjustments.customer_id is 'Customer id, as the newest line has it; null if it had none.';
comment on column losant_usage.adjustments.metric is 'Metric, see metrics.';
comment on column losant_usage.adjustments.unit is 'Unit of the quantities.';
comment on column losant_usage.adjustments.kind is 'flow: may be summed over days. level: never sum it over days.';
comment on column losant_usage.adjustments.billed_quantity is 'What was invoiced; null if nothing.';
comment on column losant_usage.adjustments.quantity is 'The number now, over the days that are final or accepted; null if none is stored.';
comment on column losant_usage.adjustments.difference is 'What an adjustment would bill; null while a day of it is neither final nor accepted.';
comment on column losant_usage.adjustments.cause is 'restated: a number was changed since. settled_later: a day was not billed then, or only maximum, average or sources differ. not_in_statement: never billed.';
comment on view losant_usage.months is 'The months of each instance since its first day. Source: statements, period_blockers, adjustments.';
comment on column losant_usage.months.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.months.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.months.is_over is 'Whether its last day is over (UTC).';
comment on column losant_usage.months.state is 'open: not closed, and nothing blocks it. blocked: over, and something does. closed. different: closed, and a number differs since.';
comment on column losant_usage.months.causes is 'What blocks it, see period_blockers; null unless it is blocked.';
comment on column losant_usage.months.orgs_blocked is 'Organizations that are blocked (count); null unless it is over and not closed.';
comment on column losant_usage.months.orgs_different is 'Organizations with a number that differs from what was invoiced (count); null unless it is closed.';
comment on column losant_usage.months.lines_different is 'Numbers that differ (count); null unless it is closed.';
comment on column losant_usage.months.closed_at is 'When it was closed (UTC); null if it is not.';
comment on column losant_usage.months.statements is 'Statements of the month (count).';
comment on view losant_usage.meter_events is 'What statements bill, one row per line with a quantity, for systems that meter: send each event_id once. Source: statement_lines.';
comment on column losant_usage.meter_events.event_id is 'Id of the event, the same for ever: instance, organization, metric, month and number.';
comment on column losant_usage.meter_events.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.meter_events.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.meter_events.number is 'Number of the statement.';
comment on column losant_usage.meter_events.statement_id is 'Statement.';
comment on column losant_usage.meter_events.statement_kind is 'closing or adjustment.';
comment on column losant_usage.meter_events.closed_at is 'When the statement was made (UTC).';
comment on column losant_usage.meter_events.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.meter_events.org_name is 'Name of the organization in the statement.';
comment on column losant_usage.meter_events.customer_id is 'Customer id in the statement; null if it has none.';
comment on column losant_usage.meter_events.referral_id is 'Referral id in the statement; null if it has none.';
comment on column losant_usage.meter_events.plan_id is 'Billing plan id in the statement; null if it has none.';
comment on column losant_usage.meter_events.metric is 'Metric, see metrics.';
comment on column losant_usage.meter_events.unit is 'Unit of the difference.';
comment on column losant_usage.meter_events.kind is 'flow: may be summed over days. level: the difference to what was billed before.';
comment on column losant_usage.meter_events.difference is 'What the statement bills; may be negative.';
comment on column losant_usage.meter_events.occurred_at is 'Time of the event (UTC): the last second of the month, or when the statement was made, of adjustments and where that was 28 days later or more.';
comment on view losant_usage.customer_statements is 'What a customer was billed for a month, over all statements and organizations. Source: statement_lines.';
comment on column losant_usage.customer_statements.customer_id is 'Customer id in the statements; null for an organization without one.';
comment on column losant_usage.customer_statements.org_id is 'Organization without a customer; null where customer_id is there.';
comment on column losant_usage.customer_statements.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.customer_statements.metric is 'Metric, see metrics.';
comment on column losant_usage.customer_statements.unit is 'Unit of the quantity.';
comment on column losant_usage.customer_statements.kind is 'flow: summed over the days. level: the last of the month, summed over organizations.';
comment on column losant_usage.customer_statements.quantity is 'Sum of what was billed; null if nothing could be.';
comment on column losant_usage.customer_statements.orgs is 'Organizations (count).';
comment on column losant_usage.customer_statements.statements is 'Statements (count).';
comment on function losant_usage.statement_draft is 'The lines of a statement that is made now.';
comment on function losant_usage.month_controls is 'How a month compares with Losants totals and with what counts the same elsewhere, by days, and what was not compared.';
comment on function losant_usage.require_closable is 'Throws LU001 for a month that cannot be closed or adjusted, with what to do. Answers what close --incomplete accepts: a hash over the blockers of the month, their days and streams, and the quantities that would be billed; null if nothing blocks it.';
comment on function losant_usage.open_statement is 'Begins a statement. Called by losant-usage close.';
comment on function losant_usage.seal_statement is 'Keeps the files of a statements pack, and seals it with the manifest. Called by losant-usage close.';
