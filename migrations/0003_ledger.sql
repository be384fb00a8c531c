-- The ledger: which days are tracked, the standing of each cell (organization, stream, usage date) that was read,
-- what was set aside as invalid, and what a person accepted.

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
  days_read integer generated always as (losant_usage.count_days(read_days)) stored,
  unread_from date generated always as (lower(tracked_days - read_days)) stored,
  has_untracked boolean generated always as (not read_days <@ tracked_days) stored,
  primary key (org_id, stream)
) with (fillfactor = 80);
create index tracking_unread on losant_usage.tracking (unread_from, org_id);
create index tracking_hours on losant_usage.tracking (tracked_from) where stream = 'payload_hours';
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
comment on column losant_usage.tracking.days_read is 'Days of read_days (count).';
comment on column losant_usage.tracking.unread_from is 'First tracked usage date without a row in coverage; null if there is none.';
comment on column losant_usage.tracking.has_untracked is 'Whether a usage date was read that is not tracked.';

create table losant_usage.coverage (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  standing losant_usage.standing not null check (standing <> 'waiting'),
  is_stored boolean not null,
  is_reported boolean not null default false,
  omissions smallint not null default 0 check (omissions between 0 and 3),
  revision integer not null default 0,
  attempts integer not null default 0,
  verified_at timestamptz,
  next_read_at timestamptz,
  attempted_at timestamptz,
  first_loaded_at timestamptz,
  finalized_at timestamptz,
  run_id uuid,
  stream text collate "C" not null references losant_usage.streams (stream),
  org_id text collate "C" not null references losant_usage.organizations (org_id),
  reason text collate "C",
  message text,
  response_sha256 bytea check (octet_length(response_sha256) = 32),
  primary key (usage_date, stream, org_id),
  constraint coverage_is_stored check (
    case standing when 'accepted' then true else is_stored = (standing in ('final', 'stored', 'in_doubt')) end),
  constraint coverage_reason check (standing in ('final', 'stored') or reason is not null),
  constraint coverage_first_load check (not is_stored or (first_loaded_at is not null and revision > 0)),
  constraint coverage_final check (standing <> 'final' or (finalized_at is not null and verified_at is not null))
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
create index coverage_due on losant_usage.coverage (next_read_at, org_id) where next_read_at is not null;
create index coverage_open on losant_usage.coverage (usage_date, org_id) where standing <> 'final' or not is_reported;
create index coverage_trouble on losant_usage.coverage (usage_date, org_id)
  where standing in ('accepted', 'unavailable', 'in_doubt', 'missing');
create index coverage_first_loaded on losant_usage.coverage (usage_date, first_loaded_at);
comment on table losant_usage.coverage is 'The ledger: the standing of each cell (organization, stream, usage date) that was ever read. Read the view cells: it has the cells that were never read, and only what is tracked.';
comment on column losant_usage.coverage.usage_date is 'Usage date (UTC).';
comment on column losant_usage.coverage.standing is 'Whether the cell is all right, see the type standing. A cell that is missing because Losant left it out is waiting in cells as long as it is not late.';
comment on column losant_usage.coverage.is_stored is 'Whether its numbers are stored; of an accepted cell they may or may not be.';
comment on column losant_usage.coverage.is_reported is 'Whether Losant has ever named this number; false where zeros stand for a day it left out.';
comment on column losant_usage.coverage.omissions is 'How many answers, at least an hour apart, have left out zeros that are stored and that nothing confirms (count, at most 3).';
comment on column losant_usage.coverage.revision is 'Version of the cell''s numbers: 0 none yet, 1 the first, one more with each change.';
comment on column losant_usage.coverage.attempts is 'Failed reads since the last accepted one (count).';
comment on column losant_usage.coverage.verified_at is 'When the first request of the newest accepted answer was sent (UTC, database clock).';
comment on column losant_usage.coverage.next_read_at is 'When it is read next (UTC): the next checkpoint, or the retry after a failure; null if it is not read again.';
comment on column losant_usage.coverage.attempted_at is 'When the newest request was sent, accepted or not (UTC, database clock).';
comment on column losant_usage.coverage.first_loaded_at is 'When the cell''s first numbers were stored (UTC).';
comment on column losant_usage.coverage.finalized_at is 'When the cell became final (UTC).';
comment on column losant_usage.coverage.run_id is 'Run that last wrote this row; null if it was changed by hand.';
comment on column losant_usage.coverage.stream is 'Stream.';
comment on column losant_usage.coverage.org_id is 'Losant organization id.';
comment on column losant_usage.coverage.reason is 'Why it is not all right, or what was wrong with its newest read, as one code to group by, e.g. server_error, left_out, contradicted, changed_by_hand, past_horizon, waived; null if nothing.';
comment on column losant_usage.coverage.message is 'The same for people, with what the code leaves out; of an accepted cell the reason that was given.';
comment on column losant_usage.coverage.response_sha256 is 'SHA-256 over the response bodies of the newest accepted answer, in request order.';

create table losant_usage.waivers (
  id bigint generated always as identity primary key,
  org_id text collate "C" not null,
  stream text collate "C" not null,
  usage_date date not null,
  reason text not null,
  waived_by text not null default session_user,
  waived_at timestamptz not null default clock_timestamp(),
  lifted_at timestamptz check (lifted_at >= waived_at),
  lifted_by_run uuid,
  foreign key (usage_date, stream, org_id) references losant_usage.coverage (usage_date, stream, org_id)
);
create unique index waivers_current on losant_usage.waivers (usage_date, stream, org_id) where lifted_at is null;
create index waivers_cell on losant_usage.waivers (usage_date, org_id);
comment on table losant_usage.waivers is 'Cells that a person accepted as they stand, one row per cell and waiver; kept after it is lifted. Written by losant-usage waive.';
comment on column losant_usage.waivers.id is 'Order of the waivers.';
comment on column losant_usage.waivers.org_id is 'Losant organization id.';
comment on column losant_usage.waivers.stream is 'Stream.';
comment on column losant_usage.waivers.usage_date is 'Usage date that was accepted (UTC).';
comment on column losant_usage.waivers.reason is 'Why, as it was given.';
comment on column losant_usage.waivers.waived_by is 'Database user that waived it.';
comment on column losant_usage.waivers.waived_at is 'When it was waived (UTC).';
comment on column losant_usage.waivers.lifted_at is 'When it ended (UTC): a good read came, or another waiver; null while it is in force.';
comment on column losant_usage.waivers.lifted_by_run is 'Run that lifted it; null while it holds, and if another waiver did.';

create table losant_usage.quarantine (
  org_id text collate "C" not null references losant_usage.organizations (org_id),
  stream text collate "C" not null references losant_usage.streams (stream),
  from_date date not null,
  to_date date not null check (to_date >= from_date),
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
comment on column losant_usage.quarantine.code is 'What was wrong, as one code.';
comment on column losant_usage.quarantine.problem is 'What was wrong, for people.';
comment on column losant_usage.quarantine.body_gzip is 'The bodies as received, joined by line breaks, gzip; up to 256 Ki characters.';
comment on column losant_usage.quarantine.body_truncated is 'Whether the bodies were longer than what is kept.';
comment on column losant_usage.quarantine.times is 'How often it was seen (count).';
comment on column losant_usage.quarantine.first_seen_at is 'When it was first seen (UTC).';
comment on column losant_usage.quarantine.last_seen_at is 'When it was last seen (UTC).';
comment on column losant_usage.quarantine.resolved_days is 'Usage dates of the answer for which a good answer came since.';
comment on column losant_usage.quarantine.resolved_at is 'When the last of its days had a good answer (UTC); null until then.';
comment on column losant_usage.quarantine.run_id is 'Run that last saw it.';

create function losant_usage.late_before(moment timestamptz) returns date language sql immutable parallel safe as $$
  select (moment at time zone 'UTC' - interval '6 hours')::date
$$;
comment on function losant_usage.late_before is 'Usage dates before this one (UTC) ended at least six hours before the moment: what is not stored of them is late. The program has the same rule, and a test holds the two together.';

create function losant_usage.next_checkpoint(usage_date date, verified_at timestamptz, read_at_hours integer[])
returns timestamptz language sql immutable parallel safe as $$
  select min(checkpoint) from (
    select ((usage_date + 1)::timestamp + hours * interval '1 hour') at time zone 'UTC' as checkpoint
    from unnest(read_at_hours) as hours
  ) as c where verified_at is null or checkpoint > verified_at
$$;
comment on function losant_usage.next_checkpoint is 'When a day is read next (UTC): the first checkpoint after the accepted read; null after the last one. The program has the same rule, and a test holds the two together.';

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

-- The ledger says what the program read and decided. A statement by hand would make it say something else.
create trigger by_hand before insert or update or delete on losant_usage.coverage for each statement
  when (losant_usage.is_by_hand() and pg_trigger_depth() = 0)
  execute function losant_usage.refuse('losant-usage backfill --force reads days again, losant-usage waive accepts them as they stand, losant-usage prune removes old months');
create trigger by_hand before insert or update or delete on losant_usage.tracking for each statement
  when (losant_usage.is_by_hand() and pg_trigger_depth() = 0)
  execute function losant_usage.refuse('losant-usage backfill tracks days; LOSANT_ORG_IDS and STREAMS say what is tracked from now on');
create trigger by_hand before insert or update or delete on losant_usage.waivers for each statement
  when (losant_usage.is_by_hand() and pg_trigger_depth() = 0)
  execute function losant_usage.refuse('losant-usage waive accepts a cell; the next good read lifts it');
create trigger truncated before truncate on losant_usage.coverage for each statement
  execute function losant_usage.refuse('losant-usage prune removes old months');
create trigger truncated before truncate on losant_usage.tracking for each statement
  execute function losant_usage.refuse('LOSANT_ORG_IDS and STREAMS say what is tracked from now on');
create trigger truncated before truncate on losant_usage.waivers for each statement
  execute function losant_usage.refuse('waivers stay on record');
create trigger truncated before truncate on losant_usage.quarantine for each statement
  execute function losant_usage.refuse('what was set aside stays on record');

-- Months whose days were removed because they were old. What refers to them says so, and takes no day for missing.
create table losant_usage.pruned_months (
  instance_id text collate "C" not null references losant_usage.instances (instance_id),
  month date not null references losant_usage.months (month),
  pruned_at timestamptz not null default clock_timestamp(),
  pruned_by text not null default session_user,
  primary key (instance_id, month)
);
comment on table losant_usage.pruned_months is 'Months whose numbers and ledger were removed, one row per instance and month; append-only. Written by losant-usage prune.';
comment on column losant_usage.pruned_months.instance_id is 'Losant instance id.';
comment on column losant_usage.pruned_months.month is 'First day of the month (UTC).';
comment on column losant_usage.pruned_months.pruned_at is 'When its days were removed (UTC).';
comment on column losant_usage.pruned_months.pruned_by is 'Database user that removed them.';
create trigger append_only before update or delete or truncate on losant_usage.pruned_months
  for each statement execute function losant_usage.refuse('what was removed stays on record');
create trigger by_hand before insert on losant_usage.pruned_months for each statement
  when (losant_usage.is_by_hand())
  execute function losant_usage.refuse('losant-usage prune removes old months');

create function losant_usage.is_pruned(of_instance text, first_day date, last_day date) returns boolean
language sql stable parallel safe as $$
  select exists (
    select from losant_usage.pruned_months p join losant_usage.months m on m.month = p.month
    where p.instance_id = of_instance and p.month <= last_day and m.next_month > first_day)
$$;
comment on function losant_usage.is_pruned is 'Whether a day of the instance, from the first to the last, is in a month whose numbers were removed: what is not there is then not missing.';

create view losant_usage.tracks as
select o.instance_id, k.org_id, k.stream, k.tracked_days, k.read_days, k.days_read, k.read_from, k.read_to,
  greatest(k.tracked_from, o.created_on) as from_day, least(k.tracked_to, o.removed_on) as end_day,
  k.has_holes, k.has_untracked, k.unread_from
from losant_usage.tracking k join losant_usage.organizations o on o.org_id = k.org_id;
comment on view losant_usage.tracks is 'Building block of tracked, not for use by others: it may change.';

create view losant_usage.tracked as
select instance_id, org_id, stream, days, lower(days) as first_day, upper(days) - 1 as last_day,
  days - read_days as unread_days, read_days, days_read, from_day, to_day, has_holes,
  has_untracked or coalesce(read_from < from_day, false) or coalesce(read_to > to_day, false) as has_untracked,
  unread_from
from (
  select *, tracked_days * datemultirange(daterange(from_day, greatest(from_day, to_day + 1))) as days
  from (select *, least(end_day, (now() at time zone 'UTC')::date - 1) as to_day from losant_usage.tracks) as bounds
) as t;
comment on view losant_usage.tracked is 'The usage dates for which a number is wanted, per organization and stream: creation, removal and yesterday taken into account. Everything that speaks of gaps, months or coverage reads it. Source: tracking, organizations.';
comment on column losant_usage.tracked.instance_id is 'Losant instance id.';
comment on column losant_usage.tracked.org_id is 'Losant organization id.';
comment on column losant_usage.tracked.stream is 'Stream.';
comment on column losant_usage.tracked.days is 'Tracked usage dates up to yesterday (UTC).';
comment on column losant_usage.tracked.first_day is 'First tracked usage date (UTC); null if there is none.';
comment on column losant_usage.tracked.last_day is 'Last tracked usage date (UTC); null if there is none.';
comment on column losant_usage.tracked.unread_days is 'Tracked usage dates that were never read.';
comment on column losant_usage.tracked.read_days is 'Usage dates that have a row in coverage, tracked or not.';
comment on column losant_usage.tracked.days_read is 'Days of read_days (count).';
comment on column losant_usage.tracked.from_day is 'No usage date before this one is tracked (UTC); null if none ever was and its creation date is not known. With to_day and has_holes it tells without days which are.';
comment on column losant_usage.tracked.to_day is 'No usage date after this one is tracked (UTC).';
comment on column losant_usage.tracked.has_holes is 'Whether some usage dates from from_day to to_day may not be tracked.';
comment on column losant_usage.tracked.has_untracked is 'Whether a usage date was read that is not tracked.';
comment on column losant_usage.tracked.unread_from is 'No tracked usage date before this one was left unread; found by index. Null if every one was read.';

create function losant_usage.is_waiting(standing losant_usage.standing, reason text, usage_date date) returns boolean
language sql stable parallel safe as $$
  select standing = 'missing' and reason in ('left_out', 'unconfirmed', 'contradicted')
    and usage_date >= losant_usage.late_before(now())
$$;
comment on function losant_usage.is_waiting is 'Whether a cell of the ledger is missing only because Losant left it out so far, and not late yet: it is waiting.';

create function losant_usage.unread_standing(usage_date date) returns losant_usage.standing
language sql stable parallel safe as $$
  select case when usage_date < losant_usage.late_before(now()) then 'missing' else 'waiting' end::losant_usage.standing
$$;
comment on function losant_usage.unread_standing is 'The standing of a tracked cell that was never read.';

-- In two arms each, so that a question for some standings uses the index of these: what Losant left out is missing
-- once it is late, and what was never read as well. The days come from a function, so that one organization's cells
-- can be found by key, day by day.
create view losant_usage.read_cells as
select t.instance_id, c.org_id, c.stream, c.usage_date, c.standing, c.reason, c.message, c.is_stored, c.is_reported,
  c.revision, c.verified_at, c.next_read_at, c.attempts, c.attempted_at, c.run_id, c.response_sha256
from losant_usage.days_between((select min(usage_date) from losant_usage.coverage), (now() at time zone 'UTC')::date - 1) as day
join losant_usage.coverage c on c.usage_date = day
join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream
where not losant_usage.is_waiting(c.standing, c.reason, c.usage_date)
  and c.usage_date between t.from_day and t.to_day and (not t.has_holes or c.usage_date <@ t.days)
union all
select t.instance_id, c.org_id, c.stream, c.usage_date, 'waiting', c.reason, c.message, c.is_stored, c.is_reported,
  c.revision, c.verified_at, c.next_read_at, c.attempts, c.attempted_at, c.run_id, c.response_sha256
from losant_usage.days_between(losant_usage.late_before(now()), (now() at time zone 'UTC')::date - 1) as day
join losant_usage.coverage c on c.usage_date = day
join losant_usage.tracked t on t.org_id = c.org_id and t.stream = c.stream
where losant_usage.is_waiting(c.standing, c.reason, c.usage_date)
  and c.usage_date between t.from_day and t.to_day and (not t.has_holes or c.usage_date <@ t.days);
comment on view losant_usage.read_cells is 'The part of cells that was ever read; a building block, not for use by others.';

create view losant_usage.unread_cells as
select t.instance_id, t.org_id, t.stream, day as usage_date, 'missing'::losant_usage.standing as standing
from losant_usage.tracked t
cross join lateral losant_usage.each_day(t.unread_days * datemultirange(daterange(null, losant_usage.late_before(now())))) as day
where t.unread_from < losant_usage.late_before(now())
union all
select t.instance_id, t.org_id, t.stream, day, 'waiting'
from losant_usage.tracked t
cross join lateral losant_usage.each_day(t.unread_days * datemultirange(daterange(losant_usage.late_before(now()), null))) as day
where t.unread_from < (now() at time zone 'UTC')::date;
comment on view losant_usage.unread_cells is 'The part of cells that was never read; a building block, not for use by others.';

create view losant_usage.cells as
select * from losant_usage.read_cells
union all
select instance_id, org_id, stream, usage_date, standing, 'never_read', 'it was never read', false, false, 0, null, null, 0, null, null, null
from losant_usage.unread_cells;
comment on view losant_usage.cells is 'Every tracked cell (organization, stream, usage date) up to yesterday with its standing, also those that were never read: the one answer to whether a number is all right. Group by standing or reason. Source: coverage, tracked.';
comment on column losant_usage.cells.instance_id is 'Losant instance id.';
comment on column losant_usage.cells.org_id is 'Losant organization id.';
comment on column losant_usage.cells.stream is 'Stream.';
comment on column losant_usage.cells.usage_date is 'Usage date (UTC).';
comment on column losant_usage.cells.standing is 'final, accepted, stored, waiting, unavailable, in_doubt or missing, see the type standing; in_doubt and missing are gaps.';
comment on column losant_usage.cells.reason is 'Why it is not all right, or what was wrong with its newest read, as one code; null if nothing.';
comment on column losant_usage.cells.message is 'The same for people; of an accepted cell the reason that was given; null if there is none.';
comment on column losant_usage.cells.is_stored is 'Whether its numbers are stored.';
comment on column losant_usage.cells.is_reported is 'Whether Losant has ever named this number.';
comment on column losant_usage.cells.revision is 'Version of its numbers; 0 if there is none.';
comment on column losant_usage.cells.verified_at is 'When the newest accepted answer was asked for (UTC); null if there is none.';
comment on column losant_usage.cells.next_read_at is 'When it is read next (UTC); null: with the next run if it was never read, otherwise not again.';
comment on column losant_usage.cells.attempts is 'Failed reads since the last accepted one (count).';
comment on column losant_usage.cells.attempted_at is 'When the newest request was sent (UTC); null if none was.';
comment on column losant_usage.cells.run_id is 'Run whose answer was accepted; null if there is none, or its numbers were changed by hand.';
comment on column losant_usage.cells.response_sha256 is 'SHA-256 of that answer: of the bodies in the order of the requests; null if there is none.';
