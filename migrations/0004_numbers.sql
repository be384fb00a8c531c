-- The numbers: one wide row per organization and day, payloads by source, and the record of every change.

create table losant_usage.usage_days (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  org_id text collate "C" not null check (org_id ~ '^[0-9a-f]{24}$'),
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
  primary key (usage_date, org_id),
  -- A cell's numbers are stored together or not at all.
  constraint device_counts_whole check (num_nulls(devices_created, devices_deleted, devices_total) in (0, 3)),
  constraint notebook_minutes_whole check (num_nulls(notebook_minutes, notebook_completed, notebook_canceled, notebook_errored, notebook_timeout) in (0, 5)),
  constraint payload_totals_whole check (num_nulls(payload_billable_count, payload_all_count, payload_all_bytes) in (0, 3))
) with (fillfactor = 90);
-- Days lie together on disk. The planner knows it of an index on the date alone, not of the primary key, and would
-- read the whole table for a month without it; it takes 7 bytes a row.
create index usage_days_date on losant_usage.usage_days (usage_date);
comment on table losant_usage.usage_days is 'The numbers, one row per organization and usage date that was ever asked for. NULL: not stored. Which of these days count is in tracked; the views take care of it.';
comment on column losant_usage.usage_days.usage_date is 'Usage date (UTC).';
comment on column losant_usage.usage_days.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.usage_days.devices_created is 'Devices created (devices, flow). NULL: not stored. Source: device_counts.created.';
comment on column losant_usage.usage_days.devices_deleted is 'Devices deleted (devices, flow). NULL: not stored. Source: device_counts.deleted.';
comment on column losant_usage.usage_days.devices_total is 'Devices at about the end of the day (devices, level). NULL: not stored. Source: device_counts.total.';
comment on column losant_usage.usage_days.notebook_minutes is 'Notebook execution time (minutes, flow). NULL: not stored. Source: notebook_minutes.minutes.';
comment on column losant_usage.usage_days.notebook_completed is 'Notebook executions that completed (executions, flow). NULL: not stored. Source: notebook_minutes.completed.';
comment on column losant_usage.usage_days.notebook_canceled is 'Notebook executions that were canceled (executions, flow). NULL: not stored. Source: notebook_minutes.canceled.';
comment on column losant_usage.usage_days.notebook_errored is 'Notebook executions that failed (executions, flow). NULL: not stored. Source: notebook_minutes.errored.';
comment on column losant_usage.usage_days.notebook_timeout is 'Notebook executions that ran out of time (executions, flow). NULL: not stored. Source: notebook_minutes.timeout.';
comment on column losant_usage.usage_days.payload_billable_count is 'Billable payloads (payloads, flow). NULL: not stored. Source: payload_totals.billable_count.';
comment on column losant_usage.usage_days.payload_all_count is 'All payloads, billable or not (payloads, flow). NULL: not stored. Source: payload_totals.all_count.';
comment on column losant_usage.usage_days.payload_all_bytes is 'Size of all payloads, billable or not (bytes, flow). NULL: not stored. Source: payload_totals.all_bytes.';
comment on column losant_usage.usage_days.payload_source_count is 'Payloads of all types and sources (payloads, flow). NULL: not stored. Source: payload_sources.count, summed over the day.';

create table losant_usage.payload_sources (
  usage_date date not null,
  org_id text collate "C" not null check (org_id ~ '^[0-9a-f]{24}$'),
  payload_type text collate "C" not null check (length(payload_type) <= 200),
  source text collate "C" not null check (length(source) <= 200),
  count bigint not null check (count between 0 and 9007199254740991),
  revision integer not null default 1,
  primary key (usage_date, org_id, payload_type, source)
);
comment on table losant_usage.payload_sources is 'Payloads per organization, UTC day, type and source. Source: Losant payloadCounts, one request per day.';
comment on column losant_usage.payload_sources.usage_date is 'Usage date (UTC).';
comment on column losant_usage.payload_sources.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.payload_sources.payload_type is 'Payload type as Losant names it, e.g. deviceState; an open list.';
comment on column losant_usage.payload_sources.source is 'Source as Losant names it, e.g. device.mqtt; an open list.';
comment on column losant_usage.payload_sources.count is 'Payloads of this type and source (count, flow).';
comment on column losant_usage.payload_sources.revision is 'Version of the cell that last changed the row: 1, 2, ….';

create table losant_usage.payload_hours (
  usage_date date not null check (usage_date between '2015-01-01' and '2049-12-31'),
  org_id text collate "C" not null check (org_id ~ '^[0-9a-f]{24}$'),
  billable_counts bigint[] not null check (array_dims(billable_counts) = '[1:24]' and array_position(billable_counts, null) is null
    and 0 <= all (billable_counts) and 9007199254740991 >= all (billable_counts)),
  all_counts bigint[] not null check (array_dims(all_counts) = '[1:24]' and array_position(all_counts, null) is null
    and 0 <= all (all_counts) and 9007199254740991 >= all (all_counts)),
  all_bytes bigint[] not null check (array_dims(all_bytes) = '[1:24]' and array_position(all_bytes, null) is null
    and 0 <= all (all_bytes) and 9007199254740991 >= all (all_bytes)),
  primary key (usage_date, org_id)
);
comment on table losant_usage.payload_hours is 'Payloads per organization and UTC day, by hour: element 1 of an array is the hour from 00:00. Read hourly_usage: it has a row for each hour, and says what is missing. Source: Losant payloadCountsBreakdown by hour.';
comment on column losant_usage.payload_hours.usage_date is 'Usage date (UTC).';
comment on column losant_usage.payload_hours.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.payload_hours.billable_counts is 'Billable payloads by UTC hour (24 counts, flow).';
comment on column losant_usage.payload_hours.all_counts is 'All payloads, billable or not, by UTC hour (24 counts, flow).';
comment on column losant_usage.payload_hours.all_bytes is 'Size of all payloads, billable or not, by UTC hour (24 numbers of bytes, flow).';

create table losant_usage.revisions (
  id bigint generated always as identity primary key,
  stream text collate "C" not null,
  org_id text collate "C" not null,
  usage_date date not null,
  revision integer not null,
  key jsonb not null,
  old jsonb,
  new jsonb,
  run_id uuid,
  changed_by text not null,
  changed_at timestamptz not null,
  was_final boolean not null
);
create index revisions_cell on losant_usage.revisions (org_id, usage_date, stream);
create index revisions_changed_at on losant_usage.revisions (changed_at);
create index revisions_final on losant_usage.revisions (id) where was_final;
comment on table losant_usage.revisions is 'Every change of a number after its first load, old and new; append-only. Written by triggers.';
comment on column losant_usage.revisions.id is 'Order of the changes.';
comment on column losant_usage.revisions.stream is 'Stream.';
comment on column losant_usage.revisions.org_id is 'Losant organization id.';
comment on column losant_usage.revisions.usage_date is 'Usage date whose number changed (UTC).';
comment on column losant_usage.revisions.revision is 'Version of the cell that the change made.';
comment on column losant_usage.revisions.key is '{payload_type, source} for a row of payload_sources; {} for the other numbers of a cell.';
comment on column losant_usage.revisions.old is 'The numbers before, by source column (of payload_hours arrays by hour); null if none were stored.';
comment on column losant_usage.revisions.new is 'The numbers after, by source column (of payload_hours arrays by hour); null if none are stored.';
comment on column losant_usage.revisions.run_id is 'Run that made the change; null if it was made by hand.';
comment on column losant_usage.revisions.changed_by is 'Database user that made the change.';
comment on column losant_usage.revisions.changed_at is 'When the change was made (UTC).';
comment on column losant_usage.revisions.was_final is 'Whether the cell was final before the change.';
create trigger append_only before update or delete or truncate on losant_usage.revisions
  for each statement execute function losant_usage.refuse('the record of changes is only added to');
create trigger by_hand before insert on losant_usage.revisions for each statement
  when (losant_usage.is_by_hand() and pg_trigger_depth() = 0)
  execute function losant_usage.refuse('a change of the numbers is put on record by itself');
create trigger truncated before truncate on losant_usage.usage_days for each statement
  execute function losant_usage.refuse('losant-usage prune removes old months');
create trigger truncated before truncate on losant_usage.payload_sources for each statement
  execute function losant_usage.refuse('losant-usage prune removes old months');
create trigger truncated before truncate on losant_usage.payload_hours for each statement
  execute function losant_usage.refuse('losant-usage prune removes old months');

create function losant_usage.loaded_at(cell losant_usage.coverage) returns timestamptz
language sql stable parallel safe as $$
  select case when cell.revision = 1 then cell.first_loaded_at else coalesce((
    select max(r.changed_at) from losant_usage.revisions r
    where r.org_id = cell.org_id and r.usage_date = cell.usage_date and r.stream = cell.stream
  ), cell.first_loaded_at) end
$$;
comment on function losant_usage.loaded_at is 'When the numbers of a cell were last changed (UTC).';

create view losant_usage.device_counts as
select u.usage_date, u.org_id, c.revision, c.run_id, losant_usage.loaded_at(c) as loaded_at,
  u.devices_created as created, u.devices_deleted as deleted, u.devices_total as total
from losant_usage.usage_days u
join losant_usage.coverage c on c.usage_date = u.usage_date and c.org_id = u.org_id and c.stream = 'device_counts'
where u.devices_created is not null;
comment on view losant_usage.device_counts is 'Devices. Source: Losant deviceCounts. One row per organization and UTC day that is stored.';
comment on column losant_usage.device_counts.usage_date is 'Usage date (UTC).';
comment on column losant_usage.device_counts.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.device_counts.revision is 'Version of the numbers: 1, 2, ….';
comment on column losant_usage.device_counts.run_id is 'Run that last read the numbers; null if they were changed by hand since.';
comment on column losant_usage.device_counts.loaded_at is 'When the numbers were last changed (UTC).';
comment on column losant_usage.device_counts.created is 'Devices created (devices, flow).';
comment on column losant_usage.device_counts.deleted is 'Devices deleted (devices, flow).';
comment on column losant_usage.device_counts.total is 'Devices at about the end of the day (devices, level).';

create view losant_usage.notebook_minutes as
select u.usage_date, u.org_id, c.revision, c.run_id, losant_usage.loaded_at(c) as loaded_at,
  u.notebook_minutes as minutes, u.notebook_completed as completed, u.notebook_canceled as canceled,
  u.notebook_errored as errored, u.notebook_timeout as timeout
from losant_usage.usage_days u
join losant_usage.coverage c on c.usage_date = u.usage_date and c.org_id = u.org_id and c.stream = 'notebook_minutes'
where u.notebook_minutes is not null;
comment on view losant_usage.notebook_minutes is 'Notebook executions. Source: Losant notebookMinuteCounts. One row per organization and UTC day that is stored.';
comment on column losant_usage.notebook_minutes.usage_date is 'Usage date (UTC).';
comment on column losant_usage.notebook_minutes.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.notebook_minutes.revision is 'Version of the numbers: 1, 2, ….';
comment on column losant_usage.notebook_minutes.run_id is 'Run that last read the numbers; null if they were changed by hand since.';
comment on column losant_usage.notebook_minutes.loaded_at is 'When the numbers were last changed (UTC).';
comment on column losant_usage.notebook_minutes.minutes is 'Notebook execution time (minutes, flow).';
comment on column losant_usage.notebook_minutes.completed is 'Notebook executions that completed (executions, flow).';
comment on column losant_usage.notebook_minutes.canceled is 'Notebook executions that were canceled (executions, flow).';
comment on column losant_usage.notebook_minutes.errored is 'Notebook executions that failed (executions, flow).';
comment on column losant_usage.notebook_minutes.timeout is 'Notebook executions that ran out of time (executions, flow).';

create view losant_usage.payload_totals as
select u.usage_date, u.org_id, c.revision, c.run_id, losant_usage.loaded_at(c) as loaded_at,
  u.payload_billable_count as billable_count, u.payload_all_count as all_count, u.payload_all_bytes as all_bytes
from losant_usage.usage_days u
join losant_usage.coverage c on c.usage_date = u.usage_date and c.org_id = u.org_id and c.stream = 'payload_totals'
where u.payload_billable_count is not null;
comment on view losant_usage.payload_totals is 'Payloads. Source: Losant payloadCountsBreakdown by day. One row per organization and UTC day that is stored.';
comment on column losant_usage.payload_totals.usage_date is 'Usage date (UTC).';
comment on column losant_usage.payload_totals.org_id is 'Losant organization id, 24 lower-case hex characters.';
comment on column losant_usage.payload_totals.revision is 'Version of the numbers: 1, 2, ….';
comment on column losant_usage.payload_totals.run_id is 'Run that last read the numbers; null if they were changed by hand since.';
comment on column losant_usage.payload_totals.loaded_at is 'When the numbers were last changed (UTC).';
comment on column losant_usage.payload_totals.billable_count is 'Billable payloads (payloads, flow).';
comment on column losant_usage.payload_totals.all_count is 'All payloads, billable or not (payloads, flow).';
comment on column losant_usage.payload_totals.all_bytes is 'Size of all payloads, billable or not (bytes, flow).';

create type losant_usage.cell_change as (
  stream text, org_id text, usage_date date, key jsonb, old jsonb, new jsonb
);
comment on type losant_usage.cell_change is 'The numbers of a cell, or of one row of a stream with further keys, before and after a change.';

create function losant_usage.row_key(row_value jsonb, key_columns text[]) returns jsonb language sql immutable as $$
  select coalesce(jsonb_object_agg(k, row_value -> k), '{}') from unnest(key_columns) as k where row_value ? k
$$;
comment on function losant_usage.row_key is 'The key of a row beyond usage date and organization. The hours of a day have none: they are in one row.';

create function losant_usage.cell_changes(table_name text, old_row jsonb, new_row jsonb)
returns setof losant_usage.cell_change language sql stable as $$
  -- A row of usage_days has numbers of several streams, named as metrics.
  select s.stream, coalesce(new_row, old_row) ->> 'org_id', (coalesce(new_row, old_row) ->> 'usage_date')::date,
    '{}'::jsonb, n.old, n.new
  from losant_usage.streams s cross join lateral (
    select nullif(jsonb_strip_nulls(jsonb_object_agg(m.source_column, old_row -> m.metric)), '{}') as old,
      nullif(jsonb_strip_nulls(jsonb_object_agg(m.source_column, new_row -> m.metric)), '{}') as new
    from losant_usage.metrics m where m.stream = s.stream
  ) as n
  where table_name = 'usage_days' and n.old is distinct from n.new
  union all
  -- A row of a stream's own table has its numbers, beside its key and revision.
  select s.stream, coalesce(new_row, old_row) ->> 'org_id', (coalesce(new_row, old_row) ->> 'usage_date')::date,
    losant_usage.row_key(coalesce(new_row, old_row), s.key_columns), n.old, n.new
  from losant_usage.streams s cross join lateral (
    select old_row - k.not_numbers as old, new_row - k.not_numbers as new
    from (select array['usage_date', 'org_id', 'revision'] || s.key_columns as not_numbers) as k
  ) as n
  where table_name = s.stream and n.old is distinct from n.new
$$;
comment on function losant_usage.cell_changes is 'What a changed row of usage_days, or of the table of a stream, means for each stream.';

-- One trigger for every table of numbers; its arguments are the keys beyond usage_date and org_id. A change by hand
-- makes the cell's next revision and is read again: what is stored then is in doubt, what was removed is missing.
create function losant_usage.record_changes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  changes losant_usage.cell_change[];
  is_by_hand constant boolean := losant_usage.is_by_hand();
  -- A trigger on the way to its own sum, or to the rows below it, only adds to the record.
  is_outermost constant boolean := pg_trigger_depth() = 1;
  is_detail constant boolean := tg_table_name <> 'usage_days';
begin
  if tg_op = 'INSERT' then
    select array_agg(c) into changes from new_rows n
    cross join lateral losant_usage.cell_changes(tg_table_name, null, to_jsonb(n)) as c;
  elsif tg_op = 'DELETE' then
    select array_agg(c) into changes from old_rows o
    cross join lateral losant_usage.cell_changes(tg_table_name, to_jsonb(o), null) as c;
  else
    if is_by_hand and not is_detail and exists (
      select from old_rows o
      where not exists (select from new_rows n where n.usage_date = o.usage_date and n.org_id = o.org_id)) then
      raise exception 'losant_usage.usage_days: the key of a row cannot change' using hint = 'change the numbers of both days';
    end if;
    select array_agg(c) into changes
    from (select r.usage_date, r.org_id, to_jsonb(r) as value, losant_usage.row_key(to_jsonb(r), tg_argv) as key from old_rows r) as o
    full join (select r.usage_date, r.org_id, to_jsonb(r) as value, losant_usage.row_key(to_jsonb(r), tg_argv) as key from new_rows r) as n
      on n.usage_date = o.usage_date and n.org_id = o.org_id and n.key = o.key
    cross join lateral losant_usage.cell_changes(tg_table_name, o.value, n.value) as c;
  end if;
  -- A day that the ledger has keeps its row, also after a row without numbers was deleted by hand.
  if is_by_hand and is_outermost and not is_detail and tg_op = 'DELETE' then
    insert into losant_usage.usage_days (usage_date, org_id)
    select distinct usage_date, org_id from old_rows order by usage_date, org_id on conflict do nothing;
  end if;
  if changes is null then return null; end if;
  if is_by_hand and is_outermost then
    if not is_detail and exists (
      select from unnest(changes) c join losant_usage.streams s on s.stream = c.stream
      where s.key_columns <> '{}' and c.new is not null) then
      raise exception 'losant_usage.usage_days: a sum over the rows of another table is refused' using hint = 'change the rows of that table: the sum follows them';
    end if;
    -- Losant has named nothing of it: what an earlier answer said of the cell is no longer so.
    insert into losant_usage.coverage as c
      (usage_date, stream, org_id, standing, is_stored, revision, first_loaded_at, next_read_at, reason, message)
    select usage_date, stream, org_id,
      case when is_stored then 'in_doubt' else 'missing' end::losant_usage.standing, is_stored, 1,
      clock_timestamp(), clock_timestamp(), 'changed_by_hand',
      case when is_stored then 'its numbers were changed by hand' else 'its numbers were removed by hand' end
    from (
      select distinct k.usage_date, k.stream, k.org_id, case when k.key <> '{}' then exists (
          select from losant_usage.payload_sources p where p.usage_date = k.usage_date and p.org_id = k.org_id)
        else k.new is not null end as is_stored
      from unnest(changes) as k
    ) as cell
    order by usage_date, stream, org_id
    on conflict (usage_date, stream, org_id) do update set
      standing = excluded.standing, is_stored = excluded.is_stored, is_reported = false, revision = c.revision + 1,
      first_loaded_at = coalesce(c.first_loaded_at, excluded.first_loaded_at), next_read_at = excluded.next_read_at,
      verified_at = null, response_sha256 = null, attempts = 0, omissions = 0, run_id = null,
      reason = excluded.reason, message = excluded.message;
    update losant_usage.waivers w set lifted_at = clock_timestamp() from unnest(changes) as k
    where w.usage_date = k.usage_date and w.stream = k.stream and w.org_id = k.org_id and w.lifted_at is null;
  end if;
  -- A first load is no change.
  insert into losant_usage.revisions
    (stream, org_id, usage_date, revision, key, old, new, run_id, changed_by, changed_at, was_final)
  select n.stream, n.org_id, n.usage_date, c.revision, n.key, n.old, n.new,
    losant_usage.current_run(), session_user, clock_timestamp(),
    c.finalized_at is not null and (is_by_hand or c.finalized_at < losant_usage.locked_at())
  from unnest(changes) as n
  join losant_usage.coverage c on c.usage_date = n.usage_date and c.stream = n.stream and c.org_id = n.org_id
  where is_by_hand or n.old is not null or c.revision > 1
  order by n.usage_date, n.org_id, n.stream, n.key::text collate "C";
  if not (is_by_hand and is_outermost) then return null; end if;
  if tg_table_name = 'payload_hours' then
    -- The views have a day by its row of usage_days.
    insert into losant_usage.usage_days (usage_date, org_id)
    select distinct k.usage_date, k.org_id from unnest(changes) as k order by k.usage_date, k.org_id on conflict do nothing;
  elsif is_detail then
    -- A row is of the version of the cell that it is in now: one that came from another day may have had a later one.
    update losant_usage.payload_sources p set revision = c.revision
    from unnest(changes) as k
    join losant_usage.coverage c on c.usage_date = k.usage_date and c.org_id = k.org_id and c.stream = k.stream
    where k.new is not null and p.usage_date = k.usage_date and p.org_id = k.org_id
      and p.payload_type = k.key ->> 'payload_type' and p.source = k.key ->> 'source';
    insert into losant_usage.usage_days as u (usage_date, org_id, payload_source_count)
    select k.usage_date, k.org_id, (
      select sum(p.count) from losant_usage.payload_sources p where p.usage_date = k.usage_date and p.org_id = k.org_id)
    from (select distinct usage_date, org_id from unnest(changes)) as k order by k.usage_date, k.org_id
    on conflict (usage_date, org_id) do update set payload_source_count = excluded.payload_source_count;
  elsif tg_op <> 'INSERT' then
    delete from losant_usage.payload_sources p using unnest(changes) as k
    where k.stream = 'payload_sources' and k.new is null and p.usage_date = k.usage_date and p.org_id = k.org_id;
  end if;
  return null;
end
$$;
comment on function losant_usage.record_changes is 'Statement trigger of the tables of numbers: puts every change on record, and a change by hand in the ledger.';

-- A load whose cells are all new says so with losant_usage.program = 'first': there is nothing to record. Nor is there
-- of a month that is removed as a whole ('prune'), whose rows as an array would be gigabytes.
create trigger record_insert after insert on losant_usage.usage_days
  referencing new table as new_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'first')
  execute function losant_usage.record_changes();
create trigger record_update after update on losant_usage.usage_days
  referencing old table as old_rows new table as new_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'first')
  execute function losant_usage.record_changes();
create trigger record_delete after delete on losant_usage.usage_days
  referencing old table as old_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'prune')
  execute function losant_usage.record_changes();
create trigger record_insert after insert on losant_usage.payload_sources
  referencing new table as new_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'first')
  execute function losant_usage.record_changes('payload_type', 'source');
create trigger record_update after update on losant_usage.payload_sources
  referencing old table as old_rows new table as new_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'first')
  execute function losant_usage.record_changes('payload_type', 'source');
create trigger record_delete after delete on losant_usage.payload_sources
  referencing old table as old_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'prune')
  execute function losant_usage.record_changes('payload_type', 'source');
create trigger record_insert after insert on losant_usage.payload_hours
  referencing new table as new_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'first')
  execute function losant_usage.record_changes();
create trigger record_update after update on losant_usage.payload_hours
  referencing old table as old_rows new table as new_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'first')
  execute function losant_usage.record_changes();
create trigger record_delete after delete on losant_usage.payload_hours
  referencing old table as old_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'prune')
  execute function losant_usage.record_changes();
