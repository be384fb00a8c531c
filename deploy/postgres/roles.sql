-- Roles for losant-usage. An administrator (a superuser, or an owner of the database who can create roles) runs this
-- once in the database, before the first `losant-usage migrate`. Running it again only restores missing privileges.
-- From Postgres 16 on, that takes a superuser, or the creator of the roles, who can grant others the admin option:
--
--   psql -X -v ON_ERROR_STOP=1 --single-transaction -d billing -f deploy/postgres/roles.sql
--
-- It sets no passwords, so that none ends up in a file or log. Give each role a password with psql's \password, e.g.
-- \password losant_usage_writer. Until then nobody can log in as that role.

-- An administrator's session calls nothing that others may have created in the schema public.
set local search_path = pg_catalog, pg_temp;

do $$
declare
  name text;
begin
  foreach name in array array['losant_usage_migrator', 'losant_usage_writer', 'losant_usage_reader'] loop
    if not exists (select from pg_roles where rolname = name) then
      execute format('create role %I login', name);
    end if;
    execute format('grant connect on database %I to %I', current_database(), name);
  end loop;
  -- An administrator who is not a superuser must be a member of the role to create objects in its name.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant losant_usage_migrator to %I', current_user);
  end if;
end
$$;

comment on role losant_usage_migrator is 'Owns schema losant_usage and migrates it: losant-usage migrate.';
comment on role losant_usage_writer is
  'Writes to schema losant_usage: losant-usage run, worker, backfill, waive, close, org delete, check.';
comment on role losant_usage_reader is
  'Reads schema losant_usage: BI tools, dry runs, and the commands of losant-usage that need no other role.';

-- The writer can read what the reader can; the reader's settings below do not apply to it.
grant losant_usage_reader to losant_usage_writer;

-- This stops mistakes in dashboard SQL early; missing privileges would stop them too.
alter role losant_usage_reader set default_transaction_read_only = on;
-- Sorting and grouping a month of many organizations in memory takes about a quarter less work.
alter role losant_usage_reader set work_mem = '64MB';
alter role losant_usage_writer set work_mem = '64MB';
-- The views have many parts: to compile a query takes seconds, and saves less.
alter role losant_usage_reader set jit = off;
-- current_date, date_trunc of a usage day and instants without a zone are in UTC, unless a tool sets its own time zone.
alter role losant_usage_reader set timezone = 'UTC';

create schema if not exists losant_usage authorization losant_usage_migrator;
create schema if not exists losant_usage_internal authorization losant_usage_migrator;

-- The rest is the owner's to grant, and calls a function of the owner. Another owner than the migrator, which could not
-- `migrate`, is rejected; the administrator is only warned, because what exists goes on working as before.
do $$
declare
  other_owner text;
begin
  select r.rolname into other_owner
  from pg_namespace n
  left join pg_class c on c.relnamespace = n.oid and c.relname = 'migrations'
  join pg_roles r on r.oid in (n.nspowner, c.relowner)
  where n.nspname in ('losant_usage', 'losant_usage_internal') and r.rolname <> 'losant_usage_migrator'
  order by r.rolname = current_user limit 1;
  if other_owner = current_user then
    raise warning 'schema losant_usage or its tables belong to %, not to losant_usage_migrator', other_owner
      using hint = 'Restore the dump again without --no-owner, or migrate as this role.';
  elsif other_owner is not null then
    raise 'schema losant_usage or its tables belong to %, not to losant_usage_migrator', other_owner
      using hint = 'Restore the dump again without --no-owner, or use another database.';
  end if;
  execute format('set local role %I', coalesce(other_owner, 'losant_usage_migrator'));
end
$$;
grant usage on schema losant_usage to losant_usage_writer, losant_usage_reader;

-- Postgres lets every role execute a new function. Functions of the migrator are an exception.
alter default privileges for role losant_usage_migrator revoke execute on functions from public;

-- Privileges on tables, views and functions are listed in the schema itself (migrations/0010_rights.sql), and `migrate`
-- grants them; no privilege is granted by default. This block is for roles created after `migrate`.
do $$
begin
  if to_regprocedure('losant_usage.grant_rights()') is not null then
    perform losant_usage.grant_rights();
  end if;
end
$$;
reset role;
