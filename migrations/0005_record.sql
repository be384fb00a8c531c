-- The record of changes, kept by triggers, and what a change by hand does to the ledger.

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
  was_final boolean not null,
  is_held boolean not null
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
comment on column losant_usage.revisions.key is 'The row''s key beyond date and organization: {} or {payload_type, source}.';
comment on column losant_usage.revisions.old is 'The numbers before, by source column; null if none were held.';
comment on column losant_usage.revisions.new is 'The numbers after, by source column; null if none are held.';
comment on column losant_usage.revisions.run_id is 'Run that made the change; null if it was made by hand.';
comment on column losant_usage.revisions.changed_by is 'Database user that made the change.';
comment on column losant_usage.revisions.changed_at is 'When the change was made (UTC).';
comment on column losant_usage.revisions.was_final is 'Whether the cell was final before the change.';
comment on column losant_usage.revisions.is_held is 'Whether the cell holds numbers after the change, be it no row at all.';

create function losant_usage.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'losant_usage.% is append-only', tg_table_name;
end
$$;
comment on function losant_usage.refuse_change is 'Keeps a table append-only.';
create trigger append_only before update or delete or truncate on losant_usage.revisions
  for each statement execute function losant_usage.refuse_change();

-- What happened to one cell in one statement, for the functions below.
create type losant_usage.cell_change as (
  usage_date date, org_id text, stream text, key jsonb, old jsonb, new jsonb, is_held boolean
);
comment on type losant_usage.cell_change is 'A changed number of a cell, old and new, and whether the cell holds numbers afterwards.';

-- The one place that writes revisions. A change by hand makes the cell's next revision and shows in the ledger:
-- what was added or removed is read again while Losant has the day.
create function losant_usage.record_changes(changes losant_usage.cell_change[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if losant_usage.is_by_hand() then
    insert into losant_usage.coverage as c
      (usage_date, stream, org_id, state, revision, first_loaded_at, next_read_at, error_code, error_message)
    select usage_date, stream, org_id,
      case when is_held then 'loaded' else 'failed' end, 1, now(), now(),
      -- What was added or removed is read again; what was only changed is read at its next checkpoint.
      'changed_by_hand', case when is_reopened then 'its numbers were added or removed by hand' end
    from (
      select usage_date, stream, org_id, is_held, bool_or(old is null or new is null) as is_reopened
      from unnest(changes) group by usage_date, stream, org_id, is_held
    ) as cell
    order by usage_date, stream, org_id
    on conflict (usage_date, stream, org_id) do update set
      revision = c.revision + 1,
      state = case when excluded.state = 'failed' then 'failed'
        when c.state in ('loaded', 'final') then c.state else 'loaded' end,
      first_loaded_at = coalesce(c.first_loaded_at, now()),
      run_id = null,
      verified_at = case when excluded.error_message is null then c.verified_at end,
      next_read_at = case when excluded.error_message is null then c.next_read_at else now() end,
      error_code = case when excluded.state = 'failed' then 'deleted_by_hand'
        when excluded.error_message is not null then 'changed_by_hand' else c.error_code end,
      error_message = case when excluded.state = 'failed' then 'its numbers were deleted by hand'
        else coalesce(excluded.error_message, c.error_message) end;
  end if;
  insert into losant_usage.revisions
    (stream, org_id, usage_date, revision, key, old, new, run_id, changed_by, changed_at, was_final, is_held)
  select change.stream, change.org_id, change.usage_date, c.revision, change.key, change.old, change.new,
    losant_usage.current_run(), session_user, clock_timestamp(), coalesce(c.finalized_at < now(), false),
    c.state in ('loaded', 'final')
  from unnest(changes) as change
  join losant_usage.coverage c
    on c.usage_date = change.usage_date and c.stream = change.stream and c.org_id = change.org_id
  -- A first load is no change.
  where losant_usage.is_by_hand() or change.old is not null or c.revision > 1
  order by change.usage_date, change.org_id, change.stream, change.key::text collate "C";
end
$$;
comment on function losant_usage.record_changes is 'Writes changes of numbers to revisions; a change by hand also gets the cell''s next revision in coverage.';
revoke execute on function losant_usage.record_changes from public;

-- usage_days: the functions are built, one for each kind of statement, as each sees other transition tables.
create function losant_usage.build_record() returns void language plpgsql as $build$
declare
  body constant text := $body$
    create or replace function losant_usage.%1$I() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as $fn$
    declare
      changes losant_usage.cell_change[];
    begin
      with pairs as materialized (%2$s),
      cells as (%3$s)
      select array_agg(row(c.usage_date, c.org_id, c.stream, '{}'::jsonb, c.old, c.new, c.new is not null)::losant_usage.cell_change)
      into changes from cells c;
      if changes is not null then perform losant_usage.record_changes(changes); end if;
      %4$s
      return null;
    end
    $fn$
  $body$;
  columns_old constant text := losant_usage.per_metric('o.%1$I as o_%1$s', ', ');
  columns_new constant text := losant_usage.per_metric('n.%1$I as n_%1$s', ', ');
  nulls_old constant text := losant_usage.per_metric('null::bigint as o_%1$s', ', ');
  nulls_new constant text := losant_usage.per_metric('null::bigint as n_%1$s', ', ');
  cells text;
  guard text;
begin
  select string_agg(format($arm$
      select usage_date, org_id, %1$L::text as stream,
        case when o_%2$s is not null then jsonb_build_object(%3$s) end as old,
        case when n_%2$s is not null then jsonb_build_object(%4$s) end as new
      from pairs where row(%5$s) is distinct from row(%6$s) %7$s
    $arm$, s.stream,
    (select m.metric from losant_usage.metrics m where m.stream = s.stream order by m.position limit 1),
    losant_usage.per_metric('''%2$s'', o_%1$s', ', ', s.stream),
    losant_usage.per_metric('''%2$s'', n_%1$s', ', ', s.stream),
    losant_usage.per_metric('o_%1$s', ', ', s.stream),
    losant_usage.per_metric('n_%1$s', ', ', s.stream),
    -- A stream with a table of its own is on record by its rows, unless it was read without any.
    case when s.detail_table is not null then (
      select 'and not losant_usage.is_by_hand() and ' || string_agg(
        format('coalesce(o_%1$s, 0) = 0 and coalesce(n_%1$s, 0) = 0', m.metric), ' and ')
      from losant_usage.metrics m where m.stream = s.stream) end), ' union all ' order by s.position)
  into cells from losant_usage.streams s;
  -- The sum over a stream's own table follows that table alone.
  select coalesce(string_agg(format($guard$
      if pg_trigger_depth() = 1 and losant_usage.is_by_hand() and exists (
        select from old_rows o join new_rows n using (usage_date, org_id) where o.%1$I is distinct from n.%1$I) then
        raise exception 'usage_days.%1$s is the sum of losant_usage.%2$s: change that table';
      end if;
    $guard$, m.metric, s.detail_table), ''), '')
  into guard from losant_usage.streams s join losant_usage.metrics m using (stream) where s.detail_table is not null;
  execute format(body, 'record_usage_insert',
    format('select n.usage_date, n.org_id, %s, %s from new_rows n', nulls_old, columns_new), cells, '');
  execute format(body, 'record_usage_update',
    format('select usage_date, org_id, %s, %s from old_rows o full join new_rows n using (usage_date, org_id)', columns_old, columns_new),
    cells, $key$
      if losant_usage.is_by_hand() and exists (
        select from old_rows o where not exists (
          select from new_rows n where n.usage_date = o.usage_date and n.org_id = o.org_id)) then
        raise exception 'the key of a row in losant_usage.usage_days cannot change: delete it and insert another';
      end if;
      $key$ || guard);
  execute format(body, 'record_usage_delete',
    format('select o.usage_date, o.org_id, %s, %s from old_rows o', columns_old, nulls_new), cells,
    -- A row of numbers stays as long as the ledger has the day.
    format('if losant_usage.is_by_hand() then
      insert into losant_usage.usage_days (usage_date, org_id, %1$s)
      select o.usage_date, o.org_id, %2$s from old_rows o
      where exists (select from losant_usage.coverage c where c.usage_date = o.usage_date and c.org_id = o.org_id)
      order by o.usage_date, o.org_id on conflict do nothing;
    end if;', coalesce(nullif((
        select string_agg(format('%I', m.metric), ', ' order by m.position) from losant_usage.metrics m
        join losant_usage.streams s using (stream) where s.detail_table is not null), ''), 'usage_date'),
      (select string_agg(format('o.%I', m.metric), ', ' order by m.position) from losant_usage.metrics m
        join losant_usage.streams s using (stream) where s.detail_table is not null)));
  execute $c$ comment on function losant_usage.record_usage_insert is 'Statement trigger of usage_days: puts rows added by hand on record.' $c$;
  execute $c$ comment on function losant_usage.record_usage_update is 'Statement trigger of usage_days: puts changed numbers on record.' $c$;
  execute $c$ comment on function losant_usage.record_usage_delete is 'Statement trigger of usage_days: puts removed numbers on record.' $c$;
end
$build$;
comment on function losant_usage.build_record is 'Builds the triggers'' functions of usage_days from streams and metrics.';
do $$
begin
  perform losant_usage.build_streams();
  perform losant_usage.build_record();
end
$$;

-- A load inserts a row of numbers for cells it has just put into coverage: nothing to record.
create trigger record_insert after insert on losant_usage.usage_days
  referencing new table as new_rows for each statement
  when (losant_usage.is_by_hand() and pg_trigger_depth() = 0) execute function losant_usage.record_usage_insert();
create trigger record_update after update on losant_usage.usage_days
  referencing old table as old_rows new table as new_rows for each statement
  execute function losant_usage.record_usage_update();
create trigger record_delete after delete on losant_usage.usage_days
  referencing old table as old_rows for each statement
  when (losant_usage.is_by_hand()) execute function losant_usage.record_usage_delete();

-- Tables of numbers by further keys. Whether a cell still holds rows is looked up once for each cell: a look-up for
-- each of its rows would go through all that were deleted, each time.
create function losant_usage.record_detail() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  changes losant_usage.cell_change[];
  metric_name text := (select m.metric from losant_usage.metrics m where m.stream = tg_table_name);
begin
  if tg_op = 'INSERT' then
    select array_agg(row(n.usage_date, n.org_id, tg_table_name,
      jsonb_build_object('payload_type', n.payload_type, 'source', n.source),
      null, jsonb_build_object('count', n.count), true)::losant_usage.cell_change)
    into changes from new_rows n;
  elsif tg_op = 'DELETE' then
    with cells as materialized (
      select c.usage_date, c.org_id, exists (
        select from losant_usage.payload_sources p
        where p.usage_date = c.usage_date and p.org_id = c.org_id) as is_held
      from (select distinct usage_date, org_id from old_rows) as c
    )
    select array_agg(row(o.usage_date, o.org_id, tg_table_name,
      jsonb_build_object('payload_type', o.payload_type, 'source', o.source),
      jsonb_build_object('count', o.count), null, c.is_held)::losant_usage.cell_change)
    into changes from old_rows o join cells c on c.usage_date = o.usage_date and c.org_id = o.org_id;
  else
    with cells as materialized (
      select c.usage_date, c.org_id, exists (
        select from losant_usage.payload_sources p
        where p.usage_date = c.usage_date and p.org_id = c.org_id) as is_held
      from (select usage_date, org_id from old_rows union select usage_date, org_id from new_rows) as c
    )
    select array_agg(row(usage_date, org_id, tg_table_name,
      jsonb_build_object('payload_type', payload_type, 'source', source),
      case when o.count is not null then jsonb_build_object('count', o.count) end,
      case when n.count is not null then jsonb_build_object('count', n.count) end, c.is_held)::losant_usage.cell_change)
    into changes
    from old_rows o full join new_rows n using (usage_date, org_id, payload_type, source)
    join cells c using (usage_date, org_id)
    where o.count is distinct from n.count;
  end if;
  if changes is null then return null; end if;
  perform losant_usage.record_changes(changes);
  if losant_usage.is_by_hand() then
    execute format($sum$
      insert into losant_usage.usage_days as u (usage_date, org_id, %1$I)
      select cell.usage_date, cell.org_id, case when cell.is_held then coalesce((
        select sum(d.count) from losant_usage.%2$I d
        where d.usage_date = cell.usage_date and d.org_id = cell.org_id), 0) end
      from (select distinct usage_date, org_id, is_held from unnest($1)) as cell
      order by cell.usage_date, cell.org_id
      on conflict (usage_date, org_id) do update set %1$I = excluded.%1$I
      $sum$, metric_name, tg_table_name) using changes;
  end if;
  return null;
end
$$;
comment on function losant_usage.record_detail is 'Statement trigger of a stream''s own table: puts changed numbers on record and keeps the sum in usage_days.';
-- A load says with losant_usage.program = 'first' that its cells are new.
create trigger record_insert after insert on losant_usage.payload_sources
  referencing new table as new_rows for each statement
  when (coalesce(current_setting('losant_usage.program', true), '') <> 'first')
  execute function losant_usage.record_detail();
create trigger record_update after update on losant_usage.payload_sources
  referencing old table as old_rows new table as new_rows for each statement
  execute function losant_usage.record_detail();
create trigger record_delete after delete on losant_usage.payload_sources
  referencing old table as old_rows for each statement execute function losant_usage.record_detail();

-- Truncating is deleting every row: on record, and read again.
create function losant_usage.delete_before_truncate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  execute format('delete from losant_usage.%I', tg_table_name);
  return null;
end
$$;
comment on function losant_usage.delete_before_truncate is 'Statement trigger: a truncated table of numbers is treated like one whose rows were deleted.';
create function losant_usage.restore_after_truncate() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  detail record;
begin
  insert into losant_usage.usage_days (usage_date, org_id)
  select distinct usage_date, org_id from losant_usage.coverage on conflict do nothing;
  -- Sums over tables that still have their rows.
  for detail in select m.metric, m.stream, s.detail_table from losant_usage.metrics m
    join losant_usage.streams s using (stream) where s.detail_table is not null loop
    execute format($sum$
      update losant_usage.usage_days u set %1$I = coalesce((
        select sum(d.count) from losant_usage.%2$I d where d.usage_date = u.usage_date and d.org_id = u.org_id), 0)
      from losant_usage.coverage c
      where c.usage_date = u.usage_date and c.org_id = u.org_id and c.stream = %3$L and c.state in ('loaded', 'final')
      $sum$, detail.metric, detail.detail_table, detail.stream);
  end loop;
  return null;
end
$$;
comment on function losant_usage.restore_after_truncate is 'Statement trigger of usage_days: a row stays for each day the ledger has.';
create trigger delete_before_truncate before truncate on losant_usage.usage_days
  for each statement execute function losant_usage.delete_before_truncate();
create trigger restore_after_truncate after truncate on losant_usage.usage_days
  for each statement execute function losant_usage.restore_after_truncate();
create trigger delete_before_truncate before truncate on losant_usage.payload_sources
  for each statement execute function losant_usage.delete_before_truncate();

-- The ledger itself, changed by hand: the cell is read again, and is a gap until then.
create function losant_usage.reopen_changed_coverage() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'UPDATE' then
    if exists (select from old_rows o full join new_rows n using (usage_date, stream, org_id)
               where o.state is null or n.state is null) then
      raise exception 'the key of a row in losant_usage.coverage cannot change: delete it and insert another';
    end if;
    -- What is held follows the numbers, and what is final the age of a read: neither can be written in.
    update losant_usage.coverage c set next_read_at = now(), attempts = 0, run_id = null,
      state = case when o.state in ('loaded', 'final') or n.state in ('loaded', 'final') then o.state else n.state end,
      error_code = 'changed_by_hand', error_message = 'its ledger row was changed by hand'
    from old_rows o join new_rows n using (usage_date, stream, org_id)
    where c.usage_date = n.usage_date and c.stream = n.stream and c.org_id = n.org_id
      and (o.state, o.reported, o.revision, o.verified_at, o.first_loaded_at, o.finalized_at, o.response_sha256)
        is distinct from (n.state, n.reported, n.revision, n.verified_at, n.first_loaded_at, n.finalized_at, n.response_sha256);
  elsif tg_op = 'DELETE' then
    insert into losant_usage.coverage
      (usage_date, stream, org_id, state, reported, revision, first_loaded_at, next_read_at, error_code, error_message)
    select usage_date, stream, org_id, case when state = 'final' then 'loaded' else state end, reported, revision,
      first_loaded_at, now(), 'changed_by_hand', 'its ledger row was deleted by hand'
    from old_rows order by usage_date, stream, org_id;
  else
    insert into losant_usage.usage_days (usage_date, org_id)
    select distinct usage_date, org_id from new_rows order by usage_date, org_id on conflict do nothing;
  end if;
  return null;
end
$$;
comment on function losant_usage.reopen_changed_coverage is 'Statement trigger of coverage: a row changed or deleted by hand is read again.';
create trigger reopen_inserted after insert on losant_usage.coverage
  referencing new table as new_rows for each statement
  when (losant_usage.is_by_hand() and pg_trigger_depth() = 0) execute function losant_usage.reopen_changed_coverage();
create trigger reopen_updated after update on losant_usage.coverage
  referencing old table as old_rows new table as new_rows for each statement
  when (losant_usage.is_by_hand() and pg_trigger_depth() = 0) execute function losant_usage.reopen_changed_coverage();
create trigger reopen_deleted after delete on losant_usage.coverage
  referencing old table as old_rows for each statement
  when (losant_usage.is_by_hand()) execute function losant_usage.reopen_changed_coverage();

-- After a truncate of the ledger it is put together again from what is held, and from what is on record as deleted
-- by hand; the rest was never read.
create function losant_usage.rebuild_coverage() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  s record;
begin
  update losant_usage.tracking set read_days = '{}' where read_days <> '{}';
  for s in select each.stream, (
      select m.metric from losant_usage.metrics m where m.stream = each.stream order by m.position limit 1) as metric
    from losant_usage.streams each order by each.stream loop
    execute format($rebuild$
      insert into losant_usage.coverage
        (usage_date, stream, org_id, state, revision, first_loaded_at, next_read_at, error_code, error_message)
      select u.usage_date, %1$L, u.org_id, 'loaded', coalesce((
          select max(r.revision) from losant_usage.revisions r
          where r.org_id = u.org_id and r.usage_date = u.usage_date and r.stream = %1$L), 1),
        now(), now(), 'changed_by_hand', 'its ledger row was deleted by hand'
      from losant_usage.usage_days u join losant_usage.organizations o using (org_id) where u.%2$I is not null
      order by u.usage_date, u.org_id
      $rebuild$, s.stream, s.metric);
  end loop;
  insert into losant_usage.coverage
    (usage_date, stream, org_id, state, revision, first_loaded_at, next_read_at, error_code, error_message)
  select u.usage_date, r.stream, u.org_id, 'failed', r.revision, now(), now(),
    'deleted_by_hand', 'its numbers were deleted by hand'
  from losant_usage.usage_days u
  join losant_usage.organizations o using (org_id)
  join lateral (
    select distinct on (r.stream) r.stream, r.revision, r.is_held from losant_usage.revisions r
    where r.org_id = u.org_id and r.usage_date = u.usage_date order by r.stream, r.id desc
  ) as r on not r.is_held
  order by u.usage_date, r.stream, u.org_id on conflict do nothing;
  delete from losant_usage.usage_days u where not exists (
    select from losant_usage.coverage c where c.usage_date = u.usage_date and c.org_id = u.org_id);
  return null;
end
$$;
comment on function losant_usage.rebuild_coverage is 'Statement trigger of coverage: after a truncate every cell that is held is read again.';
create trigger rebuild_after_truncate after truncate on losant_usage.coverage
  for each statement execute function losant_usage.rebuild_coverage();
