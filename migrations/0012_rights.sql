-- Rights of the roles of deploy/postgres/roles.sql, where they exist: what each may do is named here, and nothing else is
-- granted. The writer and the closer belong to the reader and may read all that it may. Views act with the rights of
-- their owner, functions with those of their caller: what these read is granted too.

create function losant_usage.grant_rights() returns void language plpgsql as $$
begin
  if exists (select from pg_roles where rolname = 'losant_usage_reader') then
    grant usage on schema losant_usage to losant_usage_reader;
    grant select on
      losant_usage.streams, losant_usage.metrics, losant_usage.months, losant_usage.definitions, losant_usage.instances,
      losant_usage.organizations, losant_usage.organization_history, losant_usage.organization_tags,
      losant_usage.tracking, losant_usage.tracked, losant_usage.coverage, losant_usage.waivers, losant_usage.cells, losant_usage.pruned_months,
      losant_usage.cell_counts, losant_usage.coverage_gaps, losant_usage.known_missing, losant_usage.freshness,
      losant_usage.usage_days, losant_usage.payload_sources, losant_usage.payload_hours, losant_usage.revisions, losant_usage.restatements,
      losant_usage.usage_movers, losant_usage.silent_organizations,
      losant_usage.device_counts, losant_usage.notebook_minutes, losant_usage.payload_totals,
      losant_usage.daily_usage, losant_usage.daily_usage_long, losant_usage.hourly_usage, losant_usage.device_continuity,
      losant_usage.monthly_usage, losant_usage.period_usage, losant_usage.usage_vs_limits, losant_usage.billing_periods,
      losant_usage.days_without_period, losant_usage.period_blockers,
      losant_usage.instance_totals, losant_usage.monthly_summaries, losant_usage.control_total_reads, losant_usage.reconciliation,
      losant_usage.statements, losant_usage.statement_lines, losant_usage.statement_sources,
      losant_usage.statement_blockers, losant_usage.statement_files, losant_usage.adjustments,
      losant_usage.meter_events, losant_usage.focus_usage
      to losant_usage_reader;
    -- Read by functions and by what finds the cells that are due.
    grant select on losant_usage.tracks, losant_usage.read_cells, losant_usage.unread_cells, losant_usage.rowless_days, losant_usage.org_rows,
      losant_usage.month_rows, losant_usage.own_period_rows, losant_usage.losant_periods to losant_usage_reader;
    -- Bodies may hold anything Losant or a proxy answered; hosts are nobody's business.
    grant select (org_id, stream, from_date, to_date, code, problem, body_truncated, times, first_seen_at, last_seen_at,
      resolved_days, resolved_at, run_id) on losant_usage.quarantine to losant_usage_reader;
    grant select (instance_id, shard_count, shard_index, run_id, since, until, epoch) on losant_usage.leases to losant_usage_reader;
    grant select (run_id, instance_id, kind, is_full, status, from_date, to_date, streams, started_at, heartbeat_at,
      finished_at, version, orgs, cells_planned, cells_loaded, cells_unchanged, cells_left_out, cells_failed,
      cells_quarantined, cells_unavailable, cells_restated, cells_restated_final, rows_inserted, rows_updated,
      rows_deleted, rows_unchanged, requests, failures, error) on losant_usage.runs to losant_usage_reader;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_writer') then
    grant usage on schema losant_usage to losant_usage_writer;
    grant select on losant_usage.quarantine, losant_usage.leases, losant_usage.runs to losant_usage_writer;
    grant insert, update on
      losant_usage.instances, losant_usage.organizations, losant_usage.organization_history, losant_usage.runs,
      losant_usage.tracking, losant_usage.coverage, losant_usage.quarantine, losant_usage.usage_days,
      losant_usage.instance_totals, losant_usage.monthly_summaries, losant_usage.control_total_reads to losant_usage_writer;
    grant insert, update, delete on losant_usage.payload_sources, losant_usage.payload_hours, losant_usage.leases to losant_usage_writer;
    -- Who waived is set by the database.
    grant insert (org_id, stream, usage_date, reason), update (lifted_at, lifted_by_run) on losant_usage.waivers
      to losant_usage_writer;
  end if;
  if exists (select from pg_roles where rolname = 'losant_usage_closer') then
    grant usage on schema losant_usage to losant_usage_closer;
    -- It writes no table: the functions do, with the rights of their owner, and say who closed, when and what.
    grant execute on function losant_usage.open_statement, losant_usage.seal_statement to losant_usage_closer;
    -- What LOCK TABLE asks for; the view cannot be written to.
    grant delete on losant_usage.load_lock to losant_usage_closer;
  end if;
end
$$;
comment on function losant_usage.grant_rights is 'Grants the roles of deploy/postgres/roles.sql what they may do, where they exist.';
revoke execute on function losant_usage.grant_rights from public;

-- What the schema consists of, recorded when it was migrated, so that a view, function, trigger, index or constraint that
-- was dropped, disabled or replaced since is noticed before a number is wrong.
create function losant_usage.list_definitions() returns table (object text, definition text)
language sql stable set search_path = pg_catalog, pg_temp as $$
  select 'view ' || c.relname, pg_get_viewdef(c.oid) || ' ' || (
    select string_agg(a.attname, ',' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0)
  from pg_class c
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'v'
  union all
  select 'column ' || c.relname || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
    case when a.attnotnull then 'not null' end, pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity, ''))
  from pg_class c
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'r'
  union all
  select 'index ' || c.relname, pg_get_indexdef(c.oid) from pg_class c join pg_index i on i.indexrelid = c.oid
  where c.relnamespace = 'losant_usage'::regnamespace and i.indisvalid
  union all
  select 'constraint ' || n.conname || ' of ' || c.relname, pg_get_constraintdef(n.oid)
  from pg_constraint n join pg_class c on c.oid = n.conrelid
  where n.connamespace = 'losant_usage'::regnamespace and n.contype in ('p', 'u', 'f', 'c') and n.convalidated
  union all
  select 'trigger ' || t.tgname || ' of ' || c.relname, pg_get_triggerdef(t.oid)
  from pg_trigger t join pg_class c on c.oid = t.tgrelid
  where c.relnamespace = 'losant_usage'::regnamespace and not t.tgisinternal and t.tgenabled in ('O', 'A')
  union all
  select 'function ' || p.oid::regprocedure::text, case p.prokind when 'a' then '' else pg_get_functiondef(p.oid) end
  from pg_proc p where p.pronamespace = 'losant_usage'::regnamespace
  union all
  select 'type ' || t.typname, string_agg(e.enumlabel, ' ' order by e.enumsortorder)
  from pg_type t join pg_enum e on e.enumtypid = t.oid where t.typnamespace = 'losant_usage'::regnamespace group by t.typname
$$;
comment on function losant_usage.list_definitions is 'What this schema consists of now, as Postgres describes it; a trigger only while it is enabled.';

-- A view that a dump restores is described with other parentheses and with names for constants.
create function losant_usage.definition_core(definition text) returns text language sql immutable
set search_path = pg_catalog, pg_temp as $$
  select regexp_replace(definition, '[()\s]|\mAS (\w+|"[^"]+")', '', 'g')
$$;
comment on function losant_usage.definition_core is 'What of the definition of a view stays when a dump restores it.';

create table losant_usage.definitions (
  object text primary key,
  md5 text not null,
  core_md5 text not null,
  server_major integer not null
);
comment on table losant_usage.definitions is 'What this schema consisted of when it was migrated last. Written by migrations.';
comment on column losant_usage.definitions.object is 'A view, column, index, constraint, trigger, function or type by name; catalog is all of them as rows of the catalogs.';
comment on column losant_usage.definitions.md5 is 'MD5 of its definition as Postgres described it, or of catalog_state (hex).';
comment on column losant_usage.definitions.core_md5 is 'MD5 of what of it stays when a dump restores it, see definition_core (hex).';
comment on column losant_usage.definitions.server_major is 'Major version of the server that described it: another one may use other words.';

-- Whoever may use the schema may see whether it is as it was migrated.
grant select on losant_usage.definitions to public;

-- A row of a catalog gets another xmin whenever it is changed. To look at that takes a fifth of the time that Postgres
-- takes to describe everything, which is only done where something was touched, or a dump restored.
create function losant_usage.catalog_state() returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  with tables as (select oid, relname from pg_class where relnamespace = 'losant_usage'::regnamespace)
  select md5(string_agg(state, ' ' order by state collate "C")) from (
    select concat_ws(' ', 'relation', oid, relname) from tables
    union all select concat_ws(' ', 'rule', r.oid, r.xmin) from tables t join pg_rewrite r on r.ev_class = t.oid
    union all select concat_ws(' ', 'column', t.oid, a.attnum, a.xmin) from tables t join pg_attribute a on a.attrelid = t.oid
    union all select concat_ws(' ', 'default', d.oid, d.xmin) from tables t join pg_attrdef d on d.adrelid = t.oid
    union all select concat_ws(' ', 'index', t.oid, i.xmin) from tables t join pg_index i on i.indexrelid = t.oid
    union all select concat_ws(' ', 'trigger', g.oid, g.xmin) from tables t join pg_trigger g on g.tgrelid = t.oid
    union all select concat_ws(' ', 'constraint', oid, xmin) from pg_constraint where connamespace = 'losant_usage'::regnamespace
    union all select concat_ws(' ', 'function', oid, xmin) from pg_proc where pronamespace = 'losant_usage'::regnamespace
    union all select concat_ws(' ', 'label', e.oid, e.xmin) from pg_type t join pg_enum e on e.enumtypid = t.oid
      where t.typnamespace = 'losant_usage'::regnamespace
  ) as rows (state)
$$;
comment on function losant_usage.catalog_state is 'MD5 of which rows of the catalogs make up this schema, each with the transaction that wrote it.';

create function losant_usage.record_definitions() returns void language sql as $$
  delete from losant_usage.definitions;
  insert into losant_usage.definitions
  select object, md5(definition), md5(losant_usage.definition_core(definition)), current_setting('server_version_num')::integer / 10000 from losant_usage.list_definitions()
  union all
  select 'catalog', losant_usage.catalog_state(), '', current_setting('server_version_num')::integer / 10000
$$;
comment on function losant_usage.record_definitions is 'Records what the schema consists of: the last statement of every migration.';
revoke execute on function losant_usage.record_definitions from public;

create function losant_usage.changed_definitions() returns setof text language plpgsql stable as $$
begin
  if losant_usage.catalog_state() = (select md5 from losant_usage.definitions where object = 'catalog') then return; end if;
  return query
  select d.object from losant_usage.definitions d left join losant_usage.list_definitions() l on l.object = d.object
  where d.object <> 'catalog' and (l.object is null
    or (md5(l.definition) <> d.md5 and d.server_major = current_setting('server_version_num')::integer / 10000
      and (l.object not like 'view %' or md5(losant_usage.definition_core(l.definition)) <> d.core_md5)))
  union all
  select 'what table definitions says' where not exists (select from losant_usage.definitions)
  order by 1;
end
$$;
comment on function losant_usage.changed_definitions is 'What was dropped, disabled or replaced since the schema was migrated last.';

create trigger truncated before truncate on losant_usage.definitions for each statement
  execute function losant_usage.refuse('losant-usage migrate keeps it');
create trigger truncated before truncate on losant_usage.instance_totals for each statement
  execute function losant_usage.refuse('losant-usage prune removes old months');
create trigger truncated before truncate on losant_usage.monthly_summaries for each statement
  execute function losant_usage.refuse('losant-usage prune removes old months');
create trigger truncated before truncate on losant_usage.control_total_reads for each statement
  execute function losant_usage.refuse('losant-usage prune removes old months');

select losant_usage.grant_rights();
select losant_usage.record_definitions();
