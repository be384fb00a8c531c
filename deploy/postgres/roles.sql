-- Roles for losant-usage, in the database it writes to. Run once by an administrator (a superuser, or an
-- owner of the database who may create roles), before the first `losant-usage migrate`; running it again
-- changes nothing and repairs rights that were lost:
--
--   psql -X -v ON_ERROR_STOP=1 --single-transaction -d billing -f deploy/postgres/roles.sql
--
-- It sets no passwords, so that none stands in a file or a log: give each role its own with psql's
-- \password, e.g. \password losant_usage_writer. Until then nobody can log in with it.
--
--   losant_usage_migrator   owns the schema: for `losant-usage migrate`, and nothing else
--   losant_usage_writer     for run, worker, backfill and waive: writes what was collected, changes no table
--   losant_usage_closer     for close: writes statements, reads what the reader does, and changes no number
--   losant_usage_reader     for BI tools, status, gaps and explain: reads numbers and views, writes nothing

do $$
declare
  name text;
begin
  foreach name in array array['losant_usage_migrator', 'losant_usage_writer', 'losant_usage_closer', 'losant_usage_reader'] loop
    if not exists (select from pg_roles where rolname = name) then
      execute format('create role %I login', name);
    end if;
    execute format('grant connect on database %I to %I', current_database(), name);
  end loop;
  -- An administrator who is no superuser has to belong to the role to create things in its name.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant losant_usage_migrator to %I', current_user);
  end if;
end
$$;

comment on role losant_usage_migrator is 'Owns schema losant_usage and changes its tables: losant-usage migrate.';
comment on role losant_usage_writer is 'Writes usage into schema losant_usage: losant-usage run, worker, backfill, waive.';
comment on role losant_usage_closer is 'Closes billing periods in schema losant_usage: losant-usage close.';
comment on role losant_usage_reader is 'Reads schema losant_usage: BI tools, losant-usage status, gaps, explain.';

-- Both may read all that the reader may; its settings below are not theirs.
grant losant_usage_reader to losant_usage_writer, losant_usage_closer;

-- A slip in a dashboard's SQL ends here already; the missing rights would stop it too.
alter role losant_usage_reader set default_transaction_read_only = on;
-- A month of many organizations is sorted and grouped in memory: about a quarter less work.
alter role losant_usage_reader set work_mem = '64MB';
alter role losant_usage_closer set work_mem = '64MB';

create schema if not exists losant_usage authorization losant_usage_migrator;
create schema if not exists losant_usage_internal authorization losant_usage_migrator;
grant usage on schema losant_usage to losant_usage_writer, losant_usage_closer, losant_usage_reader;

-- Postgres lets everybody execute a new function: not those of the migrator.
alter default privileges for role losant_usage_migrator revoke execute on functions from public;

-- What each may do with which table, view and function is named in the schema itself (migrations/0010_rights.sql), and
-- `migrate` grants it: nothing is granted on what comes later. This is for roles that are made after `migrate`.
do $$
begin
  if to_regprocedure('losant_usage.grant_rights()') is not null then
    perform losant_usage.grant_rights();
  end if;
end
$$;
