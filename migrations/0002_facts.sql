-- The fact tables, and the record of every change to a number in them.

create table losant_usage.device_counts (
  usage_date date not null,
  org_id text not null check (org_id ~ '^[0-9a-f]{24}$'),
  created bigint not null check (created >= 0),
  deleted bigint not null check (deleted >= 0),
  total bigint not null check (total >= 0),
  run_id uuid,
  revision integer not null default 1,
  loaded_at timestamptz not null default now(),
  primary key (usage_date, org_id)
)
-- ;;
comment on table losant_usage.device_counts is 'Devices per organization and UTC day. Source: Losant deviceCounts.'
-- ;;
comment on column losant_usage.device_counts.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.device_counts.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.device_counts.created is 'Devices created that day (count, flow).'
-- ;;
comment on column losant_usage.device_counts.deleted is 'Devices deleted that day (count, flow).'
-- ;;
comment on column losant_usage.device_counts.total is 'Devices that exist at about the end of the day (count, a level: never sum it).'
-- ;;
comment on column losant_usage.device_counts.run_id is 'Run that last changed the row; null if it was changed by hand.'
-- ;;
comment on column losant_usage.device_counts.revision is 'Version of the cell that last changed the row: 1, 2, ….'
-- ;;
comment on column losant_usage.device_counts.loaded_at is 'When the row was last changed (UTC).'
-- ;;
create table losant_usage.notebook_minutes (
  usage_date date not null,
  org_id text not null check (org_id ~ '^[0-9a-f]{24}$'),
  minutes bigint not null check (minutes >= 0),
  completed bigint not null check (completed >= 0),
  canceled bigint not null check (canceled >= 0),
  errored bigint not null check (errored >= 0),
  timeout bigint not null check (timeout >= 0),
  run_id uuid,
  revision integer not null default 1,
  loaded_at timestamptz not null default now(),
  primary key (usage_date, org_id)
)
-- ;;
comment on table losant_usage.notebook_minutes is 'Notebook executions per organization and UTC day. Source: Losant notebookMinuteCounts.'
-- ;;
comment on column losant_usage.notebook_minutes.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.notebook_minutes.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.notebook_minutes.minutes is 'Execution time (minutes, flow).'
-- ;;
comment on column losant_usage.notebook_minutes.completed is 'Executions that completed (count, flow).'
-- ;;
comment on column losant_usage.notebook_minutes.canceled is 'Executions that were canceled (count, flow).'
-- ;;
comment on column losant_usage.notebook_minutes.errored is 'Executions that failed (count, flow).'
-- ;;
comment on column losant_usage.notebook_minutes.timeout is 'Executions that ran out of time (count, flow).'
-- ;;
comment on column losant_usage.notebook_minutes.run_id is 'Run that last changed the row; null if it was changed by hand.'
-- ;;
comment on column losant_usage.notebook_minutes.revision is 'Version of the cell that last changed the row: 1, 2, ….'
-- ;;
comment on column losant_usage.notebook_minutes.loaded_at is 'When the row was last changed (UTC).'
-- ;;
create table losant_usage.payload_totals (
  usage_date date not null,
  org_id text not null check (org_id ~ '^[0-9a-f]{24}$'),
  billable_count bigint not null check (billable_count >= 0),
  all_count bigint not null check (all_count >= 0),
  all_bytes bigint not null check (all_bytes >= 0),
  run_id uuid,
  revision integer not null default 1,
  loaded_at timestamptz not null default now(),
  primary key (usage_date, org_id)
)
-- ;;
comment on table losant_usage.payload_totals is 'Payloads per organization and UTC day. Source: Losant payloadCountsBreakdown by day.'
-- ;;
comment on column losant_usage.payload_totals.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.payload_totals.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.payload_totals.billable_count is 'Billable payloads (count, flow).'
-- ;;
comment on column losant_usage.payload_totals.all_count is 'All payloads, billable or not (count, flow).'
-- ;;
comment on column losant_usage.payload_totals.all_bytes is 'Size of all payloads, billable or not (bytes, flow).'
-- ;;
comment on column losant_usage.payload_totals.run_id is 'Run that last changed the row; null if it was changed by hand.'
-- ;;
comment on column losant_usage.payload_totals.revision is 'Version of the cell that last changed the row: 1, 2, ….'
-- ;;
comment on column losant_usage.payload_totals.loaded_at is 'When the row was last changed (UTC).'
-- ;;
create table losant_usage.payload_sources (
  usage_date date not null,
  org_id text not null check (org_id ~ '^[0-9a-f]{24}$'),
  payload_type text not null,
  source text not null,
  count bigint not null check (count >= 0),
  run_id uuid,
  revision integer not null default 1,
  loaded_at timestamptz not null default now(),
  primary key (usage_date, org_id, payload_type, source)
)
-- ;;
comment on table losant_usage.payload_sources is 'Payloads per organization, UTC day, type and source. Source: Losant payloadCounts, one request per day.'
-- ;;
comment on column losant_usage.payload_sources.usage_date is 'Usage date (UTC).'
-- ;;
comment on column losant_usage.payload_sources.org_id is 'Losant organization id, 24 lower-case hex characters.'
-- ;;
comment on column losant_usage.payload_sources.payload_type is 'Payload type as Losant names it, e.g. deviceState; an open list.'
-- ;;
comment on column losant_usage.payload_sources.source is 'Source as Losant names it, e.g. device.mqtt; an open list.'
-- ;;
comment on column losant_usage.payload_sources.count is 'Payloads of this type and source (count, flow).'
-- ;;
comment on column losant_usage.payload_sources.run_id is 'Run that last changed the row; null if it was changed by hand.'
-- ;;
comment on column losant_usage.payload_sources.revision is 'Version of the cell that last changed the row: 1, 2, ….'
-- ;;
comment on column losant_usage.payload_sources.loaded_at is 'When the row was last changed (UTC).'
-- ;;
create table losant_usage.revisions (
  id bigint generated always as identity primary key,
  stream text not null,
  org_id text not null,
  usage_date date not null,
  revision integer not null,
  key jsonb not null,
  old jsonb,
  new jsonb,
  run_id uuid,
  changed_by text not null,
  changed_at timestamptz not null
)
-- ;;
create index revisions_cell on losant_usage.revisions (org_id, usage_date, stream)
-- ;;
create index revisions_changed_at on losant_usage.revisions (changed_at)
-- ;;
comment on table losant_usage.revisions is 'Every change of a number after its first load, old and new; append-only. Written by triggers on the fact tables.'
-- ;;
comment on column losant_usage.revisions.id is 'Order of the changes.'
-- ;;
comment on column losant_usage.revisions.stream is 'Stream: the name of its table.'
-- ;;
comment on column losant_usage.revisions.org_id is 'Losant organization id.'
-- ;;
comment on column losant_usage.revisions.usage_date is 'Usage date whose number changed (UTC).'
-- ;;
comment on column losant_usage.revisions.revision is 'Version of the cell that the change made.'
-- ;;
comment on column losant_usage.revisions.key is 'The row''s key beyond date and organization: {} or {payload_type, source}.'
-- ;;
comment on column losant_usage.revisions.old is 'The usage columns before; null if the row was added.'
-- ;;
comment on column losant_usage.revisions.new is 'The usage columns after; null if the row was removed.'
-- ;;
comment on column losant_usage.revisions.run_id is 'Run that made the change; null if it was made by hand.'
-- ;;
comment on column losant_usage.revisions.changed_by is 'Database user that made the change.'
-- ;;
comment on column losant_usage.revisions.changed_at is 'When the change was made (UTC).'
-- ;;
create function losant_usage.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'losant_usage.% is append-only', tg_table_name;
end
$$
-- ;;
comment on function losant_usage.refuse_change is 'Keeps losant_usage.revisions append-only.'
-- ;;
create trigger append_only before update or delete or truncate on losant_usage.revisions
  for each statement execute function losant_usage.refuse_change()
-- ;;
-- The program names its run in the setting losant_usage.run_id for the transaction;
-- without it a change is one by hand.
create function losant_usage.is_by_hand() returns boolean language sql stable as $$
  select coalesce(current_setting('losant_usage.run_id', true), '') = ''
$$
-- ;;
comment on function losant_usage.is_by_hand is 'Whether the current transaction is not one of the program''s loads.'
-- ;;
-- A change by hand makes the cell's next revision and shows in the ledger: a number
-- that was added or removed is due to be read again while Losant still has the day.
create function losant_usage.number_change_by_hand() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  changed record := case when tg_op = 'DELETE' then old else new end;
  cell_revision integer;
begin
  if tg_op = 'UPDATE' and (new.usage_date, new.org_id) is distinct from (old.usage_date, old.org_id) then
    raise exception 'the key of a row in losant_usage.% cannot change: delete it and insert another', tg_table_name;
  end if;
  insert into losant_usage.coverage as c (usage_date, stream, org_id, state, revision, first_loaded_at)
  values (changed.usage_date, tg_table_name, changed.org_id, 'loaded', 1, now())
  on conflict (usage_date, stream, org_id) do update set
    revision = c.revision + 1,
    state = case when c.state in ('loaded', 'final') then c.state else 'loaded' end,
    first_loaded_at = coalesce(c.first_loaded_at, now()),
    verified_at = case when tg_op = 'UPDATE' then c.verified_at end
  returning c.revision into cell_revision;
  if tg_op = 'DELETE' then
    return old;
  end if;
  new.revision := cell_revision;
  new.run_id := null;
  new.loaded_at := now();
  return new;
end
$$
-- ;;
comment on function losant_usage.number_change_by_hand is 'Before trigger of the fact tables: a change by hand gets the cell''s next revision and shows in coverage.'
-- ;;
create function losant_usage.record_revision() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  not_usage text[] := array['usage_date', 'org_id', 'payload_type', 'source', 'run_id', 'revision', 'loaded_at'];
  changed record := case when tg_op = 'DELETE' then old else new end;
  whole jsonb := to_jsonb(changed);
begin
  insert into losant_usage.revisions
    (stream, org_id, usage_date, revision, key, old, new, run_id, changed_by, changed_at)
  select
    tg_table_name, changed.org_id, changed.usage_date,
    case when tg_op = 'DELETE' then
      (select c.revision from losant_usage.coverage c
       where c.usage_date = changed.usage_date and c.stream = tg_table_name and c.org_id = changed.org_id)
    else changed.revision end,
    case when whole ? 'payload_type'
      then jsonb_build_object('payload_type', whole -> 'payload_type', 'source', whole -> 'source')
      else '{}' end,
    case when tg_op <> 'INSERT' then to_jsonb(old) - not_usage end,
    case when tg_op <> 'DELETE' then to_jsonb(new) - not_usage end,
    case when not losant_usage.is_by_hand() then current_setting('losant_usage.run_id')::uuid end,
    session_user, clock_timestamp();
  return null;
end
$$
-- ;;
comment on function losant_usage.record_revision is 'After trigger of the fact tables: writes the change to losant_usage.revisions.'
-- ;;
create function losant_usage.reopen_emptied_cell() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  rows_left boolean;
begin
  execute format('select exists (select from losant_usage.%I where usage_date = $1 and org_id = $2)', tg_table_name)
    into rows_left using old.usage_date, old.org_id;
  if not rows_left then
    update losant_usage.coverage c
    set state = 'failed', error_code = 'deleted_by_hand', error_message = 'its rows were deleted by hand'
    where c.usage_date = old.usage_date and c.stream = tg_table_name and c.org_id = old.org_id;
    update losant_usage.tracking t set expired_to = least(t.expired_to, old.usage_date)
    where t.org_id = old.org_id and t.stream = tg_table_name and t.expired_to is not null;
  end if;
  return null;
end
$$
-- ;;
comment on function losant_usage.reopen_emptied_cell is 'After trigger of the fact tables: a cell whose rows were deleted by hand is missing again, not silently covered.'
-- ;;
create trigger by_hand before insert or update or delete on losant_usage.device_counts
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.number_change_by_hand()
-- ;;
create trigger record_insert after insert on losant_usage.device_counts
  for each row when (new.revision > 1 or new.run_id is null) execute function losant_usage.record_revision()
-- ;;
create trigger record_update after update on losant_usage.device_counts
  for each row when (row(old.created, old.deleted, old.total) is distinct from row(new.created, new.deleted, new.total)) execute function losant_usage.record_revision()
-- ;;
create trigger record_delete after delete on losant_usage.device_counts
  for each row execute function losant_usage.record_revision()
-- ;;
create trigger reopen_emptied_cell after delete on losant_usage.device_counts
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.reopen_emptied_cell()
-- ;;
create trigger by_hand before insert or update or delete on losant_usage.notebook_minutes
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.number_change_by_hand()
-- ;;
create trigger record_insert after insert on losant_usage.notebook_minutes
  for each row when (new.revision > 1 or new.run_id is null) execute function losant_usage.record_revision()
-- ;;
create trigger record_update after update on losant_usage.notebook_minutes
  for each row when (row(old.minutes, old.completed, old.canceled, old.errored, old.timeout) is distinct from row(new.minutes, new.completed, new.canceled, new.errored, new.timeout)) execute function losant_usage.record_revision()
-- ;;
create trigger record_delete after delete on losant_usage.notebook_minutes
  for each row execute function losant_usage.record_revision()
-- ;;
create trigger reopen_emptied_cell after delete on losant_usage.notebook_minutes
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.reopen_emptied_cell()
-- ;;
create trigger by_hand before insert or update or delete on losant_usage.payload_totals
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.number_change_by_hand()
-- ;;
create trigger record_insert after insert on losant_usage.payload_totals
  for each row when (new.revision > 1 or new.run_id is null) execute function losant_usage.record_revision()
-- ;;
create trigger record_update after update on losant_usage.payload_totals
  for each row when (row(old.billable_count, old.all_count, old.all_bytes) is distinct from row(new.billable_count, new.all_count, new.all_bytes)) execute function losant_usage.record_revision()
-- ;;
create trigger record_delete after delete on losant_usage.payload_totals
  for each row execute function losant_usage.record_revision()
-- ;;
create trigger reopen_emptied_cell after delete on losant_usage.payload_totals
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.reopen_emptied_cell()
-- ;;
create trigger by_hand before insert or update or delete on losant_usage.payload_sources
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.number_change_by_hand()
-- ;;
create trigger record_insert after insert on losant_usage.payload_sources
  for each row when (new.revision > 1 or new.run_id is null) execute function losant_usage.record_revision()
-- ;;
create trigger record_update after update on losant_usage.payload_sources
  for each row when (row(old.count) is distinct from row(new.count)) execute function losant_usage.record_revision()
-- ;;
create trigger record_delete after delete on losant_usage.payload_sources
  for each row execute function losant_usage.record_revision()
-- ;;
create trigger reopen_emptied_cell after delete on losant_usage.payload_sources
  for each row when (losant_usage.is_by_hand()) execute function losant_usage.reopen_emptied_cell()
