-- The ledger: which days are tracked, what is held of each cell (organization, stream, usage date), what was
-- set aside as invalid, and what was waived.

create table losant_usage.tracking (
  org_id text collate "C" not null references losant_usage.organizations (org_id),
  stream text collate "C" not null references losant_usage.streams (stream),
  tracked_days datemultirange not null default '{}' check (not lower_inf(tracked_days)),
  read_days datemultirange not null default '{}',
  tracked_from date generated always as (lower(tracked_days)) stored,
  tracked_to date generated always as (upper(tracked_days) - 1) stored,
  has_holes boolean generated always as (
    isempty(tracked_days) or tracked_days <> datemultirange(range_merge(tracked_days))) stored,
  read_from date generated always as (lower(read_days)) stored,
  read_to date generated always as (upper(read_days) - 1) stored,
  unread_from date generated always as (lower(tracked_days - read_days)) stored,
  has_untracked boolean generated always as (not read_days <@ tracked_days) stored,
  primary key (org_id, stream)
) with (fillfactor = 80);
create index tracking_unread on losant_usage.tracking (unread_from, org_id);
comment on table losant_usage.tracking is 'For which usage dates a number is wanted, per organization and stream. Read the view tracked: it takes creation, removal and today into account.';
comment on column losant_usage.tracking.org_id is 'Losant organization id.';
comment on column losant_usage.tracking.stream is 'Stream.';
comment on column losant_usage.tracking.tracked_days is 'Usage dates that are tracked (UTC); without an upper bound while the organization is exported.';
comment on column losant_usage.tracking.read_days is 'Usage dates that have a row in coverage. Kept by triggers on coverage.';
comment on column losant_usage.tracking.tracked_from is 'First day of tracked_days; null if there is none.';
comment on column losant_usage.tracking.tracked_to is 'Last day of tracked_days; null if there is none, and while it goes on.';
comment on column losant_usage.tracking.has_holes is 'Whether tracked_days is not one range of days.';
comment on column losant_usage.tracking.read_from is 'First day of read_days; null if there is none.';
comment on column losant_usage.tracking.read_to is 'Last day of read_days; null if there is none.';
comment on column losant_usage.tracking.has_untracked is 'Whether a usage date was read that is not tracked.';
comment on column losant_usage.tracking.unread_from is 'First tracked usage date without a row in coverage; null if there is none.';

create table losant_usage.coverage (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  reported boolean not null default false,
  revision integer not null default 0,
  verified_at timestamptz,
  next_read_at timestamptz,
  attempted_at timestamptz,
  first_loaded_at timestamptz,
  finalized_at timestamptz,
  attempts integer not null default 0,
  run_id uuid,
  stream text collate "C" not null,
  org_id text collate "C" not null references losant_usage.organizations (org_id),
  state text not null check (state in ('loaded', 'final', 'absent', 'quarantined', 'failed', 'unavailable', 'waived')),
  error_code text,
  error_message text,
  response_sha256 bytea,
  primary key (usage_date, stream, org_id),
  constraint coverage_reason check (state in ('loaded', 'final') or error_code is not null)
) with (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
create index coverage_due on losant_usage.coverage (next_read_at, org_id) where next_read_at is not null;
create index coverage_open on losant_usage.coverage (usage_date, org_id) where state <> 'final' or not reported;
create index coverage_trouble on losant_usage.coverage (usage_date, org_id) where error_code is not null;
create index coverage_first_loaded on losant_usage.coverage (usage_date, first_loaded_at);
comment on table losant_usage.coverage is 'The ledger: what is held of each cell (organization, stream, usage date). A cell without a row was never settled.';
comment on column losant_usage.coverage.usage_date is 'Usage date (UTC).';
comment on column losant_usage.coverage.reported is 'Whether Losant has ever named this number; false where zeros stand for a day it left out.';
comment on column losant_usage.coverage.revision is 'Which version of the cell''s numbers is held: 0 nothing, 1 the first, more after each change.';
comment on column losant_usage.coverage.verified_at is 'When the first request of the newest accepted answer was sent (UTC, database clock).';
comment on column losant_usage.coverage.next_read_at is 'When it is read next (UTC): the next checkpoint, or the retry after a failure; null if it is not read again.';
comment on column losant_usage.coverage.attempted_at is 'When the newest request was sent, accepted or not (UTC, database clock).';
comment on column losant_usage.coverage.first_loaded_at is 'When the cell first held numbers (UTC).';
comment on column losant_usage.coverage.finalized_at is 'When the cell became final (UTC).';
comment on column losant_usage.coverage.attempts is 'Failed reads since the last accepted one (count).';
comment on column losant_usage.coverage.run_id is 'Run that last wrote this row; null if it was changed by hand.';
comment on column losant_usage.coverage.stream is 'Stream.';
comment on column losant_usage.coverage.org_id is 'Losant organization id.';
comment on column losant_usage.coverage.state is 'What is held: loaded, final (read late enough that no change is expected), absent (Losant has no number yet), quarantined (the answer was invalid), failed (no answer), unavailable (no longer available), waived (accepted as missing).';
comment on column losant_usage.coverage.error_code is 'What was wrong with the newest read, in one word; null if nothing. For a waived cell: waived.';
comment on column losant_usage.coverage.error_message is 'What was wrong with the newest read, for people; for a waived cell the reason given.';
comment on column losant_usage.coverage.response_sha256 is 'SHA-256 over the response bodies of the newest accepted answer, in request order.';

create table losant_usage.waivers (
  id bigint generated always as identity primary key,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  usage_date date not null,
  reason text not null,
  waived_by text not null default session_user,
  waived_at timestamptz not null default clock_timestamp(),
  lifted_at timestamptz,
  lifted_by_run uuid
);
create unique index waivers_current on losant_usage.waivers (usage_date, stream, org_id) where lifted_at is null;
create index waivers_cell on losant_usage.waivers (usage_date, org_id);
comment on table losant_usage.waivers is 'Missing numbers that somebody accepted as known missing, one row per cell and waiver; kept after it is lifted.';
comment on column losant_usage.waivers.id is 'Order of the waivers.';
comment on column losant_usage.waivers.org_id is 'Losant organization id.';
comment on column losant_usage.waivers.stream is 'Stream.';
comment on column losant_usage.waivers.usage_date is 'Usage date that is accepted as missing (UTC).';
comment on column losant_usage.waivers.reason is 'Why, as it was given.';
comment on column losant_usage.waivers.waived_by is 'Database user that waived it.';
comment on column losant_usage.waivers.waived_at is 'When it was waived (UTC).';
comment on column losant_usage.waivers.lifted_at is 'Until when it held (UTC): when the number came after all; null while it holds.';
comment on column losant_usage.waivers.lifted_by_run is 'Run that brought the number; null while it holds.';

create table losant_usage.quarantine (
  org_id text collate "C" not null,
  stream text collate "C" not null,
  from_date date not null,
  to_date date not null,
  code text not null,
  problem text not null,
  body_gzip bytea,
  body_truncated boolean not null default false,
  times integer not null default 1,
  first_seen_at timestamptz not null,
  last_seen_at timestamptz not null,
  resolved_days datemultirange not null default '{}',
  resolved_at timestamptz,
  run_id uuid,
  primary key (org_id, stream, from_date, to_date)
);
create index quarantine_unresolved on losant_usage.quarantine (last_seen_at) where resolved_at is null;
comment on table losant_usage.quarantine is 'Answers that were invalid and set aside, one row per organization, stream and window of days.';
comment on column losant_usage.quarantine.org_id is 'Losant organization id.';
comment on column losant_usage.quarantine.stream is 'Stream.';
comment on column losant_usage.quarantine.from_date is 'First usage date of the answer (UTC).';
comment on column losant_usage.quarantine.to_date is 'Last usage date of the answer (UTC).';
comment on column losant_usage.quarantine.code is 'What was wrong, in one word.';
comment on column losant_usage.quarantine.problem is 'What was wrong, for people.';
comment on column losant_usage.quarantine.body_gzip is 'The bodies as received, joined by line breaks, gzip; up to 256 Ki characters.';
comment on column losant_usage.quarantine.body_truncated is 'Whether the bodies were longer than what is kept.';
comment on column losant_usage.quarantine.times is 'How often it was seen (count).';
comment on column losant_usage.quarantine.first_seen_at is 'When it was first seen (UTC).';
comment on column losant_usage.quarantine.last_seen_at is 'When it was last seen (UTC).';
comment on column losant_usage.quarantine.resolved_days is 'Usage dates of the answer for which a good answer came since.';
comment on column losant_usage.quarantine.resolved_at is 'When the last of its days had a good answer (UTC); null until then.';
comment on column losant_usage.quarantine.run_id is 'Run that last saw it.';

-- The program says so in a setting of its transaction; without it a change is one by hand.
create function losant_usage.is_by_hand() returns boolean language sql stable parallel safe as $$
  select coalesce(current_setting('losant_usage.program', true), '') = ''
$$;
comment on function losant_usage.is_by_hand is 'Whether the current transaction is not one of the program''s.';
create function losant_usage.current_run() returns uuid language sql stable parallel safe as $$
  select nullif(current_setting('losant_usage.run_id', true), '')::uuid
$$;
comment on function losant_usage.current_run is 'The run the current transaction belongs to; null outside a run.';

-- One rule for the age of a gap; the program has the same one, and a test holds them together.
create function losant_usage.gap_before(moment timestamptz) returns date language sql immutable parallel safe as $$
  select (moment at time zone 'UTC' - interval '6 hours')::date
$$;
comment on function losant_usage.gap_before is 'Usage dates before this one (UTC) ended at least six hours before the moment: what is not held of them is a gap.';

-- One rule for the next read; the program has the same one, and a test holds them together.
create function losant_usage.next_checkpoint(usage_date date, verified_at timestamptz, read_at_hours integer[])
returns timestamptz language sql immutable parallel safe as $$
  select min(checkpoint) from (
    select ((usage_date + 1)::timestamp + hours * interval '1 hour') at time zone 'UTC' as checkpoint
    from unnest(read_at_hours) as hours
  ) as c where verified_at is null or checkpoint > verified_at
$$;
comment on function losant_usage.next_checkpoint is 'When a day is read next (UTC): the first checkpoint after the accepted read; null after the last one.';

create function losant_usage.keep_read_days() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off set enable_seqscan = off as $$
begin
  -- Locked in key order, after the rows of coverage: the order of every writer. By key, whatever the
  -- statistics of a table that was just filled make the planner think.
  perform from (select distinct c.org_id, c.stream from changed c order by c.org_id, c.stream) as c
  cross join lateral (
    select from losant_usage.tracking t where t.org_id = c.org_id and t.stream = c.stream for update
  ) as t;
  update losant_usage.tracking t
  set read_days = case tg_op when 'INSERT' then t.read_days + c.days else t.read_days - c.days end
  from (
    select org_id, stream, range_agg(daterange(usage_date, usage_date + 1)) as days
    from changed group by org_id, stream
  ) as c
  where t.org_id = c.org_id and t.stream = c.stream;
  return null;
end
$$;
comment on function losant_usage.keep_read_days is 'Statement trigger of coverage: keeps tracking.read_days.';
create trigger keep_read_days_insert after insert on losant_usage.coverage
  referencing new table as changed for each statement execute function losant_usage.keep_read_days();
create trigger keep_read_days_delete after delete on losant_usage.coverage
  referencing old table as changed for each statement execute function losant_usage.keep_read_days();

-- A track that comes later than its cells (by hand, or a restored table) learns what was read.
create function losant_usage.init_read_days() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  new.read_days := coalesce((
    select range_agg(daterange(c.usage_date, c.usage_date + 1)) from losant_usage.coverage c
    where c.org_id = new.org_id and c.stream = new.stream), '{}');
  return new;
end
$$;
comment on function losant_usage.init_read_days is 'Row trigger of tracking: a row added by hand learns which days were read.';
create trigger init_read_days before insert on losant_usage.tracking
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.init_read_days();
