/**
 * What each role has to execute, as far as Postgres knows it: a function inside a view, a check, a generated column or the
 * condition of a trigger is executed with the rights of whoever reads or writes, and so is one that is inlined.
 */
export const DERIVED = `
  with recursive roles as (
    select oid, rolname from pg_roles where rolname in ('losant_usage_reader', 'losant_usage_writer', 'losant_usage_closer')
  ),
  schemas as (
    select oid from pg_namespace where nspname in ('losant_usage', 'losant_usage_internal')
  ),
  -- Every use of a function or a view by a view, a body in SQL, or the writing of a table.
  uses as (
    select 'read' as how, r.ev_class as user_id, d.refclassid, d.refobjid
    from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
    where d.refobjid <> r.ev_class
    union
    select 'call', p.oid, d.refclassid, d.refobjid
    from pg_proc p join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
    where p.prosqlbody is not null and not p.prosecdef
    union
    select 'write', c.conrelid, d.refclassid, d.refobjid
    from pg_constraint c join pg_depend d on d.classid = 'pg_constraint'::regclass and d.objid = c.oid
    union
    select 'write', a.adrelid, d.refclassid, d.refobjid
    from pg_attrdef a join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid
    union
    select 'write', i.indrelid, d.refclassid, d.refobjid
    from pg_index i join pg_depend d on d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
    union
    -- The function of a trigger is fired without a right to it.
    select 'write', t.tgrelid, d.refclassid, d.refobjid
    from pg_trigger t join pg_depend d on d.classid = 'pg_trigger'::regclass and d.objid = t.oid
    where d.refobjid <> t.tgfoid
  ),
  reached as (
    select r.rolname, 'read' as how, c.oid from roles r cross join pg_class c
    where c.relnamespace in (select oid from schemas) and c.relkind in ('r', 'v') and has_any_column_privilege(r.oid, c.oid, 'select')
    union
    select r.rolname, 'write', c.oid from roles r cross join pg_class c
    where c.relnamespace in (select oid from schemas) and c.relkind = 'r'
      and has_any_column_privilege(r.oid, c.oid, 'insert, update')
    union
    select r.rolname, 'call', p.oid from roles r cross join pg_proc p
    where p.pronamespace in (select oid from schemas) and has_function_privilege(r.oid, p.oid, 'execute')
    union
    select e.rolname, case u.refclassid when 'pg_proc'::regclass then 'call' else 'read' end, u.refobjid
    from reached e join uses u on u.user_id = e.oid and u.how = e.how
    where u.refclassid in ('pg_proc'::regclass, 'pg_class'::regclass)
  )
  select replace(e.rolname, 'losant_usage_', '') as role, array_agg(distinct p.oid::regproc::text) as functions
  from reached e join pg_proc p on e.how = 'call' and p.oid = e.oid and p.pronamespace in (select oid from schemas)
  where exists (select from uses u where u.refclassid = 'pg_proc'::regclass and u.refobjid = p.oid)
  group by 1`;
