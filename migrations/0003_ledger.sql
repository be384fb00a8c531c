-- The ledger: a row for every expected cell (organization, stream, usage day), a row with all values of an
-- organization's day, and the record of what was restated, quarantined and waived.

-- The one span of days for which the cells of an organization and stream are expected. Cells exist for every day from
-- first_day up to next_day, exclusive; those up to last_day, at most yesterday, are still to be created.
create table losant_usage.tracks (
  org_id text collate "C" not null,
  stream text collate "C" not null,
  first_day date not null check (first_day between '2015-01-01' and '2049-12-31'),
  next_day date not null check (next_day >= first_day and next_day <= '2050-01-01'),
  last_day date check (last_day >= first_day and last_day >= next_day - 1),
  primary key (org_id, stream)
);
create index tracks_unrecorded on losant_usage.tracks (next_day) where last_day is null or next_day <= last_day;

-- No foreign keys: rows only come from a join with organizations.
create table losant_usage.coverage (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  month date not null generated always as (date_trunc('month', usage_date::timestamp)::date) stored,
  standing losant_usage.standing not null default 'waiting',
  is_stored boolean not null default false,
  is_reported boolean not null default false,
  revision integer not null default 0,
  failed_reads integer not null default 0,
  last_read_at timestamptz,
  next_read_at timestamptz,
  last_attempt_at timestamptz,
  first_loaded_at timestamptz,
  finalized_at timestamptz,
  run_id uuid,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  reason text collate "C",
  detail text,
  response_sha256 bytea check (octet_length(response_sha256) = 32),
  constraint coverage_is_stored check (case standing when 'waived' then true when 'unavailable' then true
    else is_stored = (standing in ('final', 'stored', 'in_doubt')) end),
  constraint coverage_reason check (standing in ('final', 'stored') or reason is not null),
  constraint coverage_first_load check (not is_stored or (first_loaded_at is not null and revision > 0)),
  constraint coverage_final check (standing <> 'final' or (finalized_at is not null and last_read_at is not null))
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
-- For a range of days; it takes 7 bytes per row. While a table is empty, the planner finds several indexes equal and
-- takes the last one, and a session keeps that plan: so the key comes last.
create index coverage_date on losant_usage.coverage (usage_date);
alter table losant_usage.coverage add primary key (org_id, usage_date, stream);
create index coverage_due on losant_usage.coverage (org_id, next_read_at) where next_read_at is not null;
-- Nearly all cells are final, and are never listed. The second index is for all organizations: in that of the month
-- alone the planner sees that these cells lie together on disk.
create index coverage_not_final on losant_usage.coverage (org_id, month) where standing <> 'final';
create index coverage_not_final_month on losant_usage.coverage (month) where standing <> 'final';
-- For what was loaded lately. Ranges of pages are enough, as in usage_days_changed.
create index coverage_first_loaded on losant_usage.coverage using brin (first_loaded_at) with (pages_per_range = 16);
create index coverage_loaded_late on losant_usage.coverage (month, first_loaded_at)
  where first_loaded_at >= (month + interval '1 month') at time zone 'UTC';
create index coverage_failing on losant_usage.coverage (usage_date) where failed_reads > 0;

-- The values of a cell are stored together or not at all; null: not stored. A day is created with its first cell;
-- roll_up_days keeps what it says about its cells. Only streams with metrics count there: hours are not billed, so
-- nothing waits for them. A day of which only hours are expected has no standing, and is in no view of days or months.
create table losant_usage.usage_days (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  month date not null generated always as (date_trunc('month', usage_date::timestamp)::date) stored,
  standing losant_usage.standing,
  is_waiting boolean not null default false,
  is_stored boolean not null default false,
  changed_at timestamptz not null default clock_timestamp(),
  org_id text collate "C" not null,
  unreported_streams text[] collate "C",
  devices_created bigint check (devices_created between 0 and 9007199254740991),
  devices_deleted bigint check (devices_deleted between 0 and 9007199254740991),
  devices_total bigint check (devices_total between 0 and 9007199254740991),
  notebook_minutes bigint check (notebook_minutes between 0 and 9007199254740991),
  notebook_completed bigint check (notebook_completed between 0 and 9007199254740991),
  notebook_canceled bigint check (notebook_canceled between 0 and 9007199254740991),
  notebook_errored bigint check (notebook_errored between 0 and 9007199254740991),
  notebook_timeout bigint check (notebook_timeout between 0 and 9007199254740991),
  payload_billable_count bigint check (payload_billable_count between 0 and 9007199254740991),
  payload_all_count bigint check (payload_all_count between 0 and 9007199254740991),
  payload_all_bytes bigint check (payload_all_bytes between 0 and 9007199254740991),
  payload_source_count bigint check (payload_source_count between 0 and 9007199254740991),
  payload_sources jsonb,
  hours_billable_count bigint[] check (cardinality(hours_billable_count) = 24),
  hours_all_count bigint[] check (cardinality(hours_all_count) = 24),
  hours_all_bytes bigint[] check (cardinality(hours_all_bytes) = 24),
  constraint device_counts_whole check (num_nulls(devices_created, devices_deleted, devices_total) in (0, 3)),
  constraint notebook_minutes_whole check (num_nulls(notebook_minutes, notebook_completed, notebook_canceled,
    notebook_errored, notebook_timeout) in (0, 5)),
  constraint payload_totals_whole check (num_nulls(payload_billable_count, payload_all_count, payload_all_bytes)
    in (0, 3)),
  constraint payload_sources_whole check (num_nulls(payload_source_count, payload_sources) in (0, 2)),
  constraint payload_hours_whole check (num_nulls(hours_billable_count, hours_all_count, hours_all_bytes) in (0, 3))
);
-- Days lie together on disk, so a range of days is a range of pages. The planner sees that in the correlation of an
-- index on the day or the month alone; without these it reads the whole table for a month. Each has 7 bytes per row.
create index usage_days_date on losant_usage.usage_days (usage_date);
create index usage_days_month on losant_usage.usage_days (month);
alter table losant_usage.usage_days add primary key (org_id, usage_date);
-- For incremental loads. Days that changed lately lie on few pages, so ranges of pages, which are small, are enough.
create index usage_days_changed on losant_usage.usage_days using brin (changed_at) with (pages_per_range = 16);

create table losant_usage.revisions (
  id bigint generated always as identity primary key,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  usage_date date not null,
  revision integer not null,
  old jsonb not null,
  new jsonb not null,
  was_final boolean not null,
  run_id uuid,
  reason text,
  changed_by text not null default session_user,
  changed_at timestamptz not null default clock_timestamp(),
  constraint revisions_cause check ((run_id is null) = (reason is not null))
);
create index revisions_cell on losant_usage.revisions (org_id, usage_date, stream);
create index revisions_changed_at on losant_usage.revisions (changed_at);
create index revisions_final on losant_usage.revisions (id) where was_final;
create index revisions_day on losant_usage.revisions (usage_date, changed_at);

create table losant_usage.waivers (
  id bigint generated always as identity primary key,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  usage_date date not null,
  reason text not null,
  waived_by text not null default session_user,
  waived_at timestamptz not null default clock_timestamp(),
  lifted_at timestamptz check (lifted_at >= waived_at),
  lifted_by_run uuid
);
create unique index waivers_current on losant_usage.waivers (usage_date, org_id, stream) where lifted_at is null;
create index waivers_cell on losant_usage.waivers (org_id, usage_date);

create table losant_usage.quarantine (
  id bigint generated always as identity primary key,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  first_day date not null,
  last_day date not null check (last_day >= first_day),
  reason text not null,
  detail text not null,
  body_gzip bytea,
  body_sha256 bytea not null,
  body_truncated boolean not null,
  run_id uuid not null,
  seen_at timestamptz not null default clock_timestamp()
);
create index quarantine_slice on losant_usage.quarantine (org_id, stream, first_day, last_day, id);

-- A day repeats what its cells are together, because almost every query is about days or months. A statement trigger
-- keeps the copy, once per statement and not per cell. Two transactions may change different cells of a day at the
-- same time, and neither sees the other's change. So the day rows are locked first, in key order, and the cells are
-- read by a second statement: in read committed it takes a new snapshot, and sees what was committed while this one
-- waited. In a single statement the second transaction would overwrite the day with a state from before the first.
-- The lateral joins force lookups by key: a session keeps plans that were made while the tables were empty, and such
-- a plan would read all organizations of a day for each of them.
create function losant_usage_internal.roll_up_days() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from changed_cells) then return null; end if;
  perform from (select distinct usage_date, org_id from changed_cells order by usage_date, org_id) as k
  cross join lateral (
    select from losant_usage.usage_days where usage_date = k.usage_date and org_id = k.org_id for update
  ) as d;
  update losant_usage.usage_days d set
    standing = c.standing, is_waiting = c.is_waiting, is_stored = c.is_stored,
    unreported_streams = c.unreported_streams
  from (select distinct usage_date, org_id from changed_cells) as k
  cross join lateral (
    select max(standing) as standing, bool_or(standing = 'waiting') as is_waiting, bool_and(is_stored) as is_stored,
      array_agg(stream order by stream) filter (where is_stored and not is_reported) as unreported_streams
    from losant_usage.coverage where usage_date = k.usage_date and org_id = k.org_id
      and stream in (select stream from losant_usage.metrics)
  ) as c
  where d.usage_date = k.usage_date and d.org_id = k.org_id and c.standing is not null
    and (d.standing, d.is_waiting, d.is_stored, d.unreported_streams)
      is distinct from (c.standing, c.is_waiting, c.is_stored, c.unreported_streams);
  return null;
end
$$;
create trigger roll_up_days after update on losant_usage.coverage referencing new table as changed_cells
  for each statement execute function losant_usage_internal.roll_up_days();

create function losant_usage_internal.touch_day() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  new.changed_at := clock_timestamp();
  return new;
end
$$;
create trigger touch_day before update on losant_usage.usage_days
  for each row execute function losant_usage_internal.touch_day();

-- Statements and revisions are append-only, for their owner too.
create function losant_usage_internal.reject_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'losant_usage.%: % is not allowed', tg_table_name, lower(tg_op) using hint = tg_argv[0];
end
$$;
create trigger reject_change before update or delete or truncate on losant_usage.revisions
  execute function losant_usage_internal.reject_change('the record of changes is append-only: '
    'losant-usage backfill --force reads days again and adds what differs');

-- The expected days of tracks through yesterday.
create view losant_usage_internal.expected_spans as
select t.org_id, t.stream, t.first_day, greatest(t.next_day, least(t.last_day, y.yesterday) + 1) - 1 as last_day,
  t.last_day is null as is_current
from losant_usage.tracks t cross join (select losant_usage_internal.today() - 1 as yesterday) as y
where t.first_day <= y.yesterday;

-- Expected cells of days that have ended without a row: there are none during a run, which creates the rows first.
create view losant_usage_internal.unrecorded_cells as
select t.org_id, t.stream, day::date as usage_date, losant_usage_internal.month_of(day::date) as month
from losant_usage.tracks t
cross join lateral generate_series(t.next_day::timestamp,
  least(t.last_day, losant_usage_internal.today() - 1)::timestamp, interval '1 day') as day
where t.next_day < losant_usage_internal.today() and (t.last_day is null or t.next_day <= t.last_day);

-- Every expected cell with its stored and its current standing. Both sides of the union have the same types: otherwise
-- the planner looks up no cell by its key. What is unrecorded is created by the next run, and due once its day ends.
create view losant_usage_internal.expected_cells as
select usage_date, month, org_id, stream, standing as stored_standing,
  losant_usage_internal.current_standing(standing, usage_date) as standing, reason, detail, is_stored, is_reported,
  revision, last_read_at, next_read_at, failed_reads, last_attempt_at, first_loaded_at,
  finalized_at, run_id, response_sha256
from losant_usage.coverage
union all
select usage_date, month, org_id, stream, 'waiting', losant_usage_internal.current_standing('waiting', usage_date),
  'never_read', null, false, false, 0, null, (usage_date + 1)::timestamp at time zone 'UTC', 0, null,
  null, null, null, null
from losant_usage_internal.unrecorded_cells;

-- The condition is that of an index.
create view losant_usage_internal.non_final_cells as
select usage_date, month, org_id, stream, standing, reason, detail, is_stored, failed_reads, next_read_at,
  last_attempt_at
from losant_usage_internal.expected_cells where stored_standing <> 'final';

-- Every expected day through yesterday: the rows that exist, and those that no run has created yet.
create view losant_usage_internal.expected_days as
select d.* from losant_usage.usage_days d
union all
select r.*
from (
  select usage_date, month, org_id, bool_or(stream in (select stream from losant_usage.metrics)) as is_waiting
  from losant_usage_internal.unrecorded_cells group by usage_date, month, org_id
) as u
join lateral jsonb_populate_record(null::losant_usage.usage_days,
  jsonb_build_object('usage_date', u.usage_date, 'month', u.month, 'org_id', u.org_id,
    'standing', case when u.is_waiting then 'waiting' end, 'is_waiting', u.is_waiting, 'is_stored', false)) as r
  -- Always true. A condition on the day or the organization of a row reaches the tracks through it.
  on r.usage_date = u.usage_date and r.org_id = u.org_id
where not exists (select from losant_usage.usage_days d where d.usage_date = u.usage_date and d.org_id = u.org_id);

-- The expected days of streams with metrics.
create view losant_usage_internal.org_days as
select * from losant_usage_internal.expected_days where standing is not null;

create view losant_usage.cells as
select org_id, stream, usage_date, month, standing, reason, detail, is_stored, is_reported, revision, last_read_at,
  next_read_at, failed_reads, last_attempt_at, first_loaded_at, finalized_at, run_id, response_sha256
from losant_usage_internal.expected_cells;

create view losant_usage.coverage_gaps as
select c.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, c.stream, c.usage_date,
  c.standing, c.reason, c.detail, c.failed_reads, c.next_read_at, c.last_attempt_at
from losant_usage_internal.non_final_cells c join losant_usage.organizations o on o.org_id = c.org_id
where losant_usage_internal.is_gap(c.standing);

comment on table losant_usage.tracks is 'The span of expected days by organization and stream, without holes. Every day from first_day up to next_day has a cell.';
comment on column losant_usage.tracks.next_day is 'First day without cells (UTC).';
comment on table losant_usage.coverage is 'The read state of every cell (organization, stream, usage day) that exists. Query the view cells instead: it has the standing as of now.';
comment on table losant_usage.usage_days is 'All stored numbers of an organization and day, one row. The numbers of a cell are stored together or not at all.';
comment on column losant_usage.usage_days.hours_all_bytes is 'Size of all payloads by UTC hour (bytes): 24 numbers; null if not stored.';
comment on column losant_usage.usage_days.hours_all_count is 'All payloads by UTC hour: 24 numbers; null if not stored.';
comment on column losant_usage.usage_days.hours_billable_count is 'Billable payloads by UTC hour: 24 numbers; null if not stored.';
comment on column losant_usage.usage_days.is_waiting is 'Whether a cell of the day is waiting; once it is late, the day is missing.';
comment on column losant_usage.usage_days.unreported_streams is 'Streams of which a stored zero is an omission; null if Losant has reported every stored number.';
comment on column losant_usage.usage_days.payload_sources is 'Payloads by type and source: {type: {source: count}}; null if not stored.';
comment on table losant_usage.revisions is 'Every change of a stored number; append-only. The first load is not a change.';
comment on column losant_usage.revisions.new is 'The same values after the change; null: not there.';
comment on column losant_usage.revisions.old is 'Values that changed, by column and key of usage_days, before the change; null: not there.';
comment on column losant_usage.revisions.changed_by is 'Database user whose transaction made the change.';
comment on column losant_usage.revisions.reason is 'Why a person replaced the numbers by zeros (waive --zero); null for a change by a run.';
comment on column losant_usage.revisions.run_id is 'Run that changed the numbers; null if a person did.';
comment on table losant_usage.waivers is 'Waivers, one row per cell; kept after they are lifted. Written by losant-usage waive.';
comment on column losant_usage.waivers.lifted_at is 'When a good read or another waiver ended it (UTC); null while it is in force.';
comment on column losant_usage.waivers.lifted_by_run is 'Run that lifted it; null while it is in force, or if another waiver ended it.';
comment on column losant_usage.waivers.waived_at is 'When the cell was waived (UTC).';
comment on column losant_usage.waivers.waived_by is 'Database user who waived the cell.';
comment on table losant_usage.quarantine is 'Invalid responses, which were not loaded; append-only. A response that equals the last one of its days is not stored again, nor another with the same problem within a day.';
comment on column losant_usage.quarantine.body_gzip is 'Response bodies as received, joined by line breaks, gzip; at most 256 Ki characters; null if there were none.';
comment on column losant_usage.quarantine.body_sha256 is 'SHA-256 over the bodies.';
comment on column losant_usage.quarantine.body_truncated is 'Whether the bodies were longer than what is stored.';
comment on column losant_usage.quarantine.first_day is 'First day (UTC).';
comment on column losant_usage.quarantine.last_day is 'Last day (UTC).';
comment on column losant_usage.quarantine.seen_at is 'When the response was received (UTC).';
comment on view losant_usage.cells is 'Every expected cell (organization, stream, usage day) through yesterday with its standing as of now. Group by standing or reason. Key: org_id, stream, usage_date. Source: coverage, tracks.';
comment on view losant_usage.coverage_gaps is 'Cells that are missing or in doubt, one row each. Key: org_id, stream, usage_date. Source: cells.';
