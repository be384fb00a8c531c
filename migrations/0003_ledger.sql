-- The ledger: a row for every cell (organization, stream, usage date) that is wanted, one row with all numbers of an
-- organization's day, and the record of what changed, was set aside, or was accepted by a person.

-- From where rows are still to be made: all of next_day to the earlier of to_day and yesterday. Every day from first_day
-- up to next_day has its row.
create table losant_usage.tracks (
  org_id text collate "C" not null,
  stream text collate "C" not null,
  first_day date not null check (first_day between '2015-01-01' and '2049-12-31'),
  next_day date not null check (next_day >= first_day and next_day <= '2050-01-01'),
  to_day date,
  primary key (org_id, stream)
);
create index tracks_unfilled on losant_usage.tracks (next_day) where to_day is null or next_day <= to_day;

-- No foreign keys: only fill and backfills insert here, out of a join with organizations.
create table losant_usage.coverage (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  month date not null generated always as (date_trunc('month', usage_date::timestamp)::date) stored,
  standing losant_usage.standing not null default 'waiting',
  is_stored boolean not null default false,
  is_reported boolean not null default false,
  silences smallint not null default 0 check (silences between 0 and 3),
  revision integer not null default 0,
  attempts integer not null default 0,
  verified_at timestamptz,
  next_read_at timestamptz,
  attempted_at timestamptz,
  first_loaded_at timestamptz,
  finalized_at timestamptz,
  run_id uuid,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  reason text collate "C",
  message text,
  response_sha256 bytea check (octet_length(response_sha256) = 32),
  -- Room for the new versions of a load: a page that it splits stays half empty for good.
  primary key (usage_date, org_id, stream) with (fillfactor = 80),
  constraint coverage_is_stored check (case standing when 'accepted' then true when 'unavailable' then true
    else is_stored = (standing in ('final', 'stored', 'in_doubt')) end),
  constraint coverage_reason check (standing in ('final', 'stored') or reason is not null),
  constraint coverage_first_load check (not is_stored or (first_loaded_at is not null and revision > 0)),
  constraint coverage_final check (standing <> 'final' or (finalized_at is not null and verified_at is not null))
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
create index coverage_due on losant_usage.coverage (org_id, next_read_at) where next_read_at is not null;
-- What waits is in the other: every row waits once, and would widen the index that has what is counted.
create index coverage_open on losant_usage.coverage (org_id, month) include (usage_date, standing, is_stored, is_reported, stream)
  where standing <> 'waiting' and (standing <> 'final' or not is_reported);
create index coverage_failing on losant_usage.coverage (usage_date) where attempts > 0;
create index coverage_trouble on losant_usage.coverage (org_id, month)
  where standing in ('accepted', 'waiting', 'unavailable', 'in_doubt', 'missing');

-- Numbers of a cell are stored together or not at all; null: not stored. What the day's cells are together stands in the
-- row, because most of what is read are days and months: it begins with its first row of coverage, as waiting, and
-- settle_days keeps it.
create table losant_usage.usage_days (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  month date not null generated always as (date_trunc('month', usage_date::timestamp)::date) stored,
  standing losant_usage.standing not null default 'waiting',
  is_waiting boolean not null default true,
  is_stored boolean not null default false,
  is_reported boolean not null default true,
  org_id text collate "C" not null,
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
  primary key (usage_date, org_id),
  constraint device_counts_whole check (num_nulls(devices_created, devices_deleted, devices_total) in (0, 3)),
  constraint notebook_minutes_whole check (num_nulls(notebook_minutes, notebook_completed, notebook_canceled,
    notebook_errored, notebook_timeout) in (0, 5)),
  constraint payload_totals_whole check (num_nulls(payload_billable_count, payload_all_count, payload_all_bytes) in (0, 3)),
  constraint payload_sources_whole check (num_nulls(payload_source_count, payload_sources) in (0, 2)),
  constraint payload_hours_whole check (num_nulls(hours_billable_count, hours_all_count, hours_all_bytes) in (0, 3))
);
create index usage_days_org on losant_usage.usage_days (org_id, usage_date);
-- Days lie together on disk. The planner knows it of an index on the day or the month alone, not of the primary key, and
-- would read the whole table for a month without them; each takes 7 bytes a row.
create index usage_days_date on losant_usage.usage_days (usage_date);
create index usage_days_month on losant_usage.usage_days (month);

create table losant_usage.revisions (
  id bigint generated always as identity primary key,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  usage_date date not null,
  revision integer not null,
  old jsonb not null,
  new jsonb not null,
  was_final boolean not null,
  run_id uuid not null,
  changed_at timestamptz not null default clock_timestamp()
);
create index revisions_cell on losant_usage.revisions (org_id, usage_date, stream);
create index revisions_changed_at on losant_usage.revisions (changed_at);
create index revisions_final on losant_usage.revisions (id) where was_final;

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
  from_date date not null,
  to_date date not null check (to_date >= from_date),
  code text not null,
  problem text not null,
  body_gzip bytea,
  body_sha256 bytea not null,
  body_truncated boolean not null,
  run_id uuid not null,
  seen_at timestamptz not null default clock_timestamp()
);
create index quarantine_slice on losant_usage.quarantine (org_id, stream, from_date, to_date, id);

-- Writes into a day what its cells are together. Its row is locked first: the statement after sees what another
-- transaction has changed in other cells of the day meanwhile. A session keeps its plans: one that was made while nothing
-- is there would read all organizations of a day for each of them.
create function losant_usage_internal.settle_days() returns trigger language plpgsql as $$
begin
  if not exists (select from changed) then return null; end if;
  perform from (select distinct usage_date, org_id from changed order by usage_date, org_id) as k
  cross join lateral (
    select from losant_usage.usage_days where usage_date = k.usage_date and org_id = k.org_id for update
  ) as d;
  update losant_usage.usage_days d set
    standing = c.standing, is_waiting = c.is_waiting, is_stored = c.is_stored, is_reported = c.is_reported
  from (select distinct usage_date, org_id from changed) as k
  cross join lateral (
    select max(standing) as standing, bool_or(standing = 'waiting') as is_waiting, bool_and(is_stored) as is_stored,
      bool_and(is_reported or not is_stored) as is_reported
    from losant_usage.coverage where usage_date = k.usage_date and org_id = k.org_id
  ) as c
  where d.usage_date = k.usage_date and d.org_id = k.org_id and c.standing is not null
    and (d.standing, d.is_waiting, d.is_stored, d.is_reported) <> (c.standing, c.is_waiting, c.is_stored, c.is_reported);
  return null;
end
$$;
create trigger updated after update on losant_usage.coverage referencing new table as changed
  for each statement execute function losant_usage_internal.settle_days();

-- The ledger says what the program read and decided. A statement by hand would make it say something else.
create trigger by_hand before insert or update or delete or truncate on losant_usage.tracks
  execute function losant_usage_internal.refuse('LOSANT_ORG_IDS and STREAMS say what is exported; losant-usage backfill adds days before');
create trigger by_hand before insert or update or delete or truncate on losant_usage.coverage
  execute function losant_usage_internal.refuse('losant-usage backfill --force reads days again, losant-usage waive accepts them as they stand');
create trigger by_hand before insert or update or delete or truncate on losant_usage.usage_days
  execute function losant_usage_internal.refuse('losant-usage backfill --force reads days again, losant-usage waive accepts them as they stand');
create trigger append_only before insert or update or delete or truncate on losant_usage.revisions
  execute function losant_usage_internal.refuse('the record of changes is append-only: losant-usage backfill --force reads days again and adds what differs');
create trigger by_hand before insert or update or delete or truncate on losant_usage.waivers
  execute function losant_usage_internal.refuse('losant-usage waive accepts a cell; the next good read lifts it');
create trigger append_only before insert or update or delete or truncate on losant_usage.quarantine
  execute function losant_usage_internal.refuse('what was set aside stays on record, put there by the load that does it');

-- What is over and has no row yet: empty while something runs, because a run makes the rows first.
create view losant_usage_internal.unfilled as
select t.org_id, t.stream, day::date as usage_date, losant_usage_internal.month_of(day::date) as month
from losant_usage.tracks t
cross join lateral generate_series(t.next_day::timestamp,
  least(t.to_day, losant_usage_internal.today() - 1)::timestamp, interval '1 day') as day
where t.next_day < losant_usage_internal.today() and (t.to_day is null or t.next_day <= t.to_day);

-- Every wanted cell, with the standing that is stored and that of now. The types of both sides are the same, or else the
-- planner looks up no cell by its key.
create view losant_usage_internal.wanted_cells as
select usage_date, month, org_id, stream, standing as stored_standing, losant_usage_internal.as_of_now(standing, usage_date) as standing,
  reason, message, is_stored, is_reported, silences, revision, verified_at, next_read_at, attempts, attempted_at, first_loaded_at,
  finalized_at, run_id, response_sha256
from losant_usage.coverage
union all
select usage_date, month, org_id, stream, 'waiting', losant_usage_internal.as_of_now('waiting', usage_date),
  'never_read', null, false, false, 0::smallint, 0, null, null, 0, null, null, null, null, null
from losant_usage_internal.unfilled;

-- Cells that are not final or that Losant never named, and those without a number to rely on: each has its index.
create view losant_usage_internal.open_cells as
select usage_date, month, org_id, stream, losant_usage_internal.as_of_now(standing, usage_date) as standing, is_stored, is_reported,
  attempts, reason, message
from losant_usage.coverage where standing <> 'waiting' and (standing <> 'final' or not is_reported)
union all
select usage_date, month, org_id, stream, losant_usage_internal.as_of_now(standing, usage_date), is_stored, is_reported,
  attempts, reason, message
from losant_usage.coverage where standing = 'waiting'
union all
select usage_date, month, org_id, stream, losant_usage_internal.as_of_now('waiting', usage_date), false, false, 0, 'never_read', null
from losant_usage_internal.unfilled;

create view losant_usage_internal.lacking_cells as
select usage_date, month, org_id, stream, standing, reason, message, attempts, next_read_at, attempted_at
from losant_usage_internal.wanted_cells where stored_standing in ('waiting', 'unavailable', 'in_doubt', 'missing');

-- Every wanted day up to yesterday: the rows there are, and those that no run has made yet.
create view losant_usage_internal.org_days as
select d.* from losant_usage.usage_days d
union all
select r.*
from (select distinct u.usage_date, u.month, u.org_id from losant_usage_internal.unfilled u) as u
cross join lateral jsonb_populate_record(null::losant_usage.usage_days,
  jsonb_build_object('usage_date', u.usage_date, 'month', u.month, 'org_id', u.org_id, 'standing', 'waiting',
    'is_waiting', true, 'is_stored', false, 'is_reported', true)) as r
where not exists (select from losant_usage.usage_days d where d.usage_date = u.usage_date and d.org_id = u.org_id);

-- By way of the day, which is found by organization and by date; a cell by its date alone.
create view losant_usage.cells as
select o.instance_id, d.org_id, c.stream, d.usage_date, c.standing, c.reason, c.message, c.is_stored, c.is_reported, c.silences, c.revision,
  c.verified_at, c.next_read_at, c.attempts, c.attempted_at, c.first_loaded_at, c.finalized_at, c.run_id, c.response_sha256
from losant_usage_internal.org_days d
join losant_usage_internal.wanted_cells c on c.usage_date = d.usage_date and c.org_id = d.org_id
join losant_usage.organizations o on o.org_id = d.org_id;

create view losant_usage.coverage_gaps as
select o.instance_id, c.org_id, o.name as org_name, o.referral_id, o.plan_id, o.customer_id, c.stream, c.usage_date,
  c.standing, c.reason, c.message, c.attempts, c.next_read_at, c.attempted_at
from losant_usage_internal.lacking_cells c join losant_usage.organizations o on o.org_id = c.org_id
where c.standing in ('in_doubt', 'missing');

comment on table losant_usage.tracks is 'From where rows of an organizations stream are still to be made. Every day from first_day up to next_day has its row.';
comment on column losant_usage.tracks.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.tracks.stream is 'Stream, see streams.';
comment on column losant_usage.tracks.first_day is 'First day of the rows (UTC); a backfill goes on backwards from here.';
comment on column losant_usage.tracks.next_day is 'First day that has no row yet (UTC).';
comment on column losant_usage.tracks.to_day is 'Last day that is wanted (UTC); null: it goes on.';
comment on table losant_usage.coverage is 'The ledger: a row for every cell (organization, stream, usage date) that is wanted and over. Read the view cells: what is waiting and late is missing there.';
comment on column losant_usage.coverage.usage_date is 'Usage date (UTC).';
comment on column losant_usage.coverage.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.coverage.standing is 'What the newest answer or a person decided; as of now in the view cells.';
comment on column losant_usage.coverage.is_stored is 'Whether its numbers are stored.';
comment on column losant_usage.coverage.is_reported is 'Whether Losant has named its numbers; false where zeros stand for what it left out.';
comment on column losant_usage.coverage.silences is 'Answers, at least an hour apart, that left out zeros which are stored and which nothing confirms (count, at most 3).';
comment on column losant_usage.coverage.revision is 'Version of its numbers: 0 none yet, 1 the first, one more with each change.';
comment on column losant_usage.coverage.attempts is 'Failed reads since the last accepted one (count).';
comment on column losant_usage.coverage.verified_at is 'When the first request of the newest accepted answer was sent (UTC, database clock); null if there is none.';
comment on column losant_usage.coverage.next_read_at is 'When it is read next (UTC); null if it is not read again.';
comment on column losant_usage.coverage.attempted_at is 'When the newest request was sent, accepted or not (UTC, database clock); null if none was.';
comment on column losant_usage.coverage.first_loaded_at is 'When its first numbers were stored (UTC); null if none are.';
comment on column losant_usage.coverage.finalized_at is 'When it first became final (UTC); null if it never was.';
comment on column losant_usage.coverage.run_id is 'Run that wrote it last; null if none has.';
comment on column losant_usage.coverage.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.coverage.stream is 'Stream, see streams.';
comment on column losant_usage.coverage.reason is 'Why it is not all right, or what was wrong with its newest read, as one code to group by; null if nothing.';
comment on column losant_usage.coverage.message is 'The same for people, with what the code leaves out; null if there is nothing to add.';
comment on column losant_usage.coverage.response_sha256 is 'SHA-256 over the bodies of the newest accepted answer, in the order of the requests; null if there is none.';
comment on table losant_usage.usage_days is 'Everything that is stored about an organizations day, one row. A cells numbers are stored whole or not at all.';
comment on column losant_usage.usage_days.usage_date is 'Usage date (UTC).';
comment on column losant_usage.usage_days.month is 'First day of the calendar month (UTC).';
comment on column losant_usage.usage_days.standing is 'Standing of the worst cell of the day, as of the last change of one: daily_usage says what it is now.';
comment on column losant_usage.usage_days.is_waiting is 'Whether a cell of the day is waiting: once it is late, the day is missing.';
comment on column losant_usage.usage_days.is_stored is 'Whether every cell of the day is stored.';
comment on column losant_usage.usage_days.is_reported is 'Whether Losant has named every number that is stored.';
comment on column losant_usage.usage_days.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.usage_days.devices_created is 'Devices created (devices, flow); null: not stored.';
comment on column losant_usage.usage_days.devices_deleted is 'Devices deleted (devices, flow); null: not stored.';
comment on column losant_usage.usage_days.devices_total is 'Devices at about the end of the day (devices, level); null: not stored.';
comment on column losant_usage.usage_days.notebook_minutes is 'Notebook execution time (minutes, flow); null: not stored.';
comment on column losant_usage.usage_days.notebook_completed is 'Notebook executions that completed (executions, flow); null: not stored.';
comment on column losant_usage.usage_days.notebook_canceled is 'Notebook executions that were canceled (executions, flow); null: not stored.';
comment on column losant_usage.usage_days.notebook_errored is 'Notebook executions that failed (executions, flow); null: not stored.';
comment on column losant_usage.usage_days.notebook_timeout is 'Notebook executions that ran out of time (executions, flow); null: not stored.';
comment on column losant_usage.usage_days.payload_billable_count is 'Billable payloads (payloads, flow); null: not stored.';
comment on column losant_usage.usage_days.payload_all_count is 'All payloads, billable or not (payloads, flow); null: not stored.';
comment on column losant_usage.usage_days.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow); null: not stored.';
comment on column losant_usage.usage_days.payload_source_count is 'Payloads of all types and sources (payloads, flow); null: not stored.';
comment on column losant_usage.usage_days.payload_sources is 'Payloads by type and source: {type: {source: count}}; null: not stored.';
comment on column losant_usage.usage_days.hours_billable_count is 'Billable payloads by UTC hour, 24 numbers; null: not stored.';
comment on column losant_usage.usage_days.hours_all_count is 'All payloads by UTC hour, 24 numbers; null: not stored.';
comment on column losant_usage.usage_days.hours_all_bytes is 'Size of all payloads by UTC hour (bytes), 24 numbers; null: not stored.';
comment on table losant_usage.revisions is 'The record of every change of a stored number; append-only. A first load is no change.';
comment on column losant_usage.revisions.id is 'Order of the changes.';
comment on column losant_usage.revisions.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.revisions.stream is 'Stream, see streams.';
comment on column losant_usage.revisions.usage_date is 'Usage date (UTC).';
comment on column losant_usage.revisions.revision is 'Version of the cells numbers that the change made.';
comment on column losant_usage.revisions.old is 'The columns and keys of usage_days that differ, as they were; null: it was not there.';
comment on column losant_usage.revisions.new is 'The same as they are since; null: it is not there.';
comment on column losant_usage.revisions.was_final is 'Whether the cell was final before.';
comment on column losant_usage.revisions.run_id is 'Run that changed it.';
comment on column losant_usage.revisions.changed_at is 'When it was changed (UTC).';
comment on table losant_usage.waivers is 'Cells that a person accepted as they stand, one row per cell and waiver; kept after it is lifted. Written by losant-usage waive.';
comment on column losant_usage.waivers.id is 'Order of the waivers.';
comment on column losant_usage.waivers.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.waivers.stream is 'Stream, see streams.';
comment on column losant_usage.waivers.usage_date is 'Usage date (UTC).';
comment on column losant_usage.waivers.reason is 'Why, as it was given.';
comment on column losant_usage.waivers.waived_by is 'Database user that waived it.';
comment on column losant_usage.waivers.waived_at is 'When it was waived (UTC).';
comment on column losant_usage.waivers.lifted_at is 'When it ended (UTC): a good read came, or another waiver; null while it is in force.';
comment on column losant_usage.waivers.lifted_by_run is 'Run that lifted it; null while it holds, and if another waiver did.';
comment on table losant_usage.quarantine is 'Answers that were invalid and set aside; append-only. An answer equal to the newest of its window is not kept again.';
comment on column losant_usage.quarantine.id is 'Order of the answers.';
comment on column losant_usage.quarantine.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.quarantine.stream is 'Stream, see streams.';
comment on column losant_usage.quarantine.from_date is 'First usage date of the answer (UTC).';
comment on column losant_usage.quarantine.to_date is 'Last usage date of the answer (UTC).';
comment on column losant_usage.quarantine.code is 'What was wrong: invalid_value, unplaceable_body or database_refused.';
comment on column losant_usage.quarantine.problem is 'What was wrong, for people.';
comment on column losant_usage.quarantine.body_gzip is 'The bodies as received, joined by line breaks, gzip; up to 256 Ki characters; null if none came.';
comment on column losant_usage.quarantine.body_sha256 is 'SHA-256 over the bodies.';
comment on column losant_usage.quarantine.body_truncated is 'Whether the bodies were longer than what is kept.';
comment on column losant_usage.quarantine.run_id is 'Run that saw it.';
comment on column losant_usage.quarantine.seen_at is 'When it was seen (UTC).';
comment on view losant_usage.cells is 'Every wanted cell (organization, stream, usage date) up to yesterday with its standing as of now: the one answer to whether a number is all right. Group by standing or reason. Source: coverage, tracks.';
comment on column losant_usage.cells.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.cells.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.cells.stream is 'Stream, see streams.';
comment on column losant_usage.cells.usage_date is 'Usage date (UTC).';
comment on column losant_usage.cells.standing is 'Standing as of now: final, accepted, stored, waiting, unavailable, in_doubt or missing, see the type standing.';
comment on column losant_usage.cells.reason is 'Why it is not all right, or what was wrong with its newest read, as one code to group by; null if nothing.';
comment on column losant_usage.cells.message is 'The same for people, with what the code leaves out; null if there is nothing to add.';
comment on column losant_usage.cells.is_stored is 'Whether its numbers are stored.';
comment on column losant_usage.cells.is_reported is 'Whether Losant has named every number that is stored; false where zeros stand for what it left out.';
comment on column losant_usage.cells.silences is 'Answers, at least an hour apart, that left out zeros which are stored and which nothing confirms (count, at most 3).';
comment on column losant_usage.cells.revision is 'Version of its numbers: 0 none yet, 1 the first, one more with each change.';
comment on column losant_usage.cells.verified_at is 'When the first request of the newest accepted answer was sent (UTC, database clock); null if there is none.';
comment on column losant_usage.cells.next_read_at is 'When it is read next (UTC); null if it is not read again.';
comment on column losant_usage.cells.attempts is 'Failed reads since the last accepted one (count).';
comment on column losant_usage.cells.attempted_at is 'When the newest request was sent, accepted or not (UTC, database clock); null if none was.';
comment on column losant_usage.cells.first_loaded_at is 'When its first numbers were stored (UTC); null if none are.';
comment on column losant_usage.cells.finalized_at is 'When it first became final (UTC); null if it never was.';
comment on column losant_usage.cells.run_id is 'Run that wrote it last; null if none has.';
comment on column losant_usage.cells.response_sha256 is 'SHA-256 over the bodies of the newest accepted answer, in the order of the requests; null if there is none.';
comment on view losant_usage.coverage_gaps is 'What is in doubt or missing, one row per cell. Source: cells.';
comment on column losant_usage.coverage_gaps.instance_id is 'Losant instance id, 24 lower-case hex characters.';
comment on column losant_usage.coverage_gaps.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.coverage_gaps.org_name is 'Name of the organization as last seen.';
comment on column losant_usage.coverage_gaps.referral_id is 'Referral id of the organization as last seen, the place for your own customer number; null if it has none.';
comment on column losant_usage.coverage_gaps.plan_id is 'Billing plan id of the organization as last seen; null if it has none.';
comment on column losant_usage.coverage_gaps.customer_id is 'Customer id of the organization as last seen; null if it has none.';
comment on column losant_usage.coverage_gaps.stream is 'Stream, see streams.';
comment on column losant_usage.coverage_gaps.usage_date is 'Usage date (UTC).';
comment on column losant_usage.coverage_gaps.standing is 'Standing as of now: final, accepted, stored, waiting, unavailable, in_doubt or missing, see the type standing.';
comment on column losant_usage.coverage_gaps.reason is 'Why, as one code to group by.';
comment on column losant_usage.coverage_gaps.message is 'The same for people, with what the code leaves out; null if there is nothing to add.';
comment on column losant_usage.coverage_gaps.attempts is 'Failed reads since the last accepted one (count).';
comment on column losant_usage.coverage_gaps.next_read_at is 'When it is read next (UTC); null if it is not read again.';
comment on column losant_usage.coverage_gaps.attempted_at is 'When the newest request was sent, accepted or not (UTC, database clock); null if none was.';
