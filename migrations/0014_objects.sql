-- What the schema consists of, recorded when it was migrated, so that a trigger, view, key or index that was
-- dropped since is noticed before a number changes off the record.

create function losant_usage.list_objects() returns setof text language sql stable as $$
  select 'table or view ' || c.relname from pg_class c
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v')
  union all
  select 'column ' || c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
  where c.relnamespace = 'losant_usage'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
  union all
  select 'index ' || c.relname from pg_class c join pg_index i on i.indexrelid = c.oid
  where c.relnamespace = 'losant_usage'::regnamespace and i.indisvalid
  union all
  select 'constraint ' || n.conname || ' of ' || c.relname from pg_constraint n join pg_class c on c.oid = n.conrelid
  where n.connamespace = 'losant_usage'::regnamespace and n.contype in ('p', 'u', 'f', 'c')
  union all
  select 'trigger ' || t.tgname || ' of ' || c.relname from pg_trigger t join pg_class c on c.oid = t.tgrelid
  where c.relnamespace = 'losant_usage'::regnamespace and not t.tgisinternal and t.tgenabled in ('O', 'A')
  union all
  select 'function ' || p.proname from pg_proc p where p.pronamespace = 'losant_usage'::regnamespace
$$;
comment on function losant_usage.list_objects is 'What this schema consists of now, in words; a trigger only while it is enabled.';

create table losant_usage.objects (
  object text primary key
);
comment on table losant_usage.objects is 'What this schema consisted of when it was migrated last. Written by migrations.';
comment on column losant_usage.objects.object is 'A table, view, column, index, constraint, trigger or function, in words.';

create function losant_usage.record_objects() returns void language sql as $$
  delete from losant_usage.objects;
  insert into losant_usage.objects select distinct object from losant_usage.list_objects() as object;
$$;
comment on function losant_usage.record_objects is 'Records what the schema consists of: the last statement of every migration.';
revoke execute on function losant_usage.record_objects from public;
do $$ begin perform losant_usage.record_objects(); end $$;
