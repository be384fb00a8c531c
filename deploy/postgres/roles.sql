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
--   losant_usage_writer     for run, worker, backfill and waive: reads and writes rows, changes no table
--   losant_usage_reader     for BI tools, status, gaps and explain: reads numbers and views, writes nothing

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
  -- An administrator who is no superuser has to belong to the role to create things in its name.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant losant_usage_migrator to %I', current_user);
  end if;
end
$$;

comment on role losant_usage_migrator is 'Owns schema losant_usage and changes its tables: losant-usage migrate.';
comment on role losant_usage_writer is 'Writes usage into schema losant_usage: losant-usage run, worker, backfill, waive.';
comment on role losant_usage_reader is 'Reads schema losant_usage: BI tools, losant-usage status, gaps, explain.';

-- A slip in a dashboard's SQL ends here already; the missing rights would stop it too.
alter role losant_usage_reader set default_transaction_read_only = on;
-- A month of many organizations is sorted and grouped in memory: about a quarter less work.
alter role losant_usage_reader set work_mem = '64MB';

create schema if not exists losant_usage authorization losant_usage_migrator;
grant usage on schema losant_usage to losant_usage_writer, losant_usage_reader;

-- Tables and views of later versions get these rights as the migrator creates them.
alter default privileges for role losant_usage_migrator in schema losant_usage
  grant select, insert, update, delete on tables to losant_usage_writer;
alter default privileges for role losant_usage_migrator in schema losant_usage
  grant select on tables to losant_usage_reader;

-- What exists already, if this runs after `migrate`.
grant select, insert, update, delete on all tables in schema losant_usage to losant_usage_writer;
grant select on all tables in schema losant_usage to losant_usage_reader;

-- What that gives too much: the writer must not write the record of changed numbers, which is only added to, by
-- triggers that act in the migrator's name; the reader sees neither the bodies of invalid answers nor hosts.
-- `migrate` does the same where it creates the tables.
do $$
begin
  if to_regprocedure('losant_usage.limit_rights()') is not null then
    perform losant_usage.limit_rights();
  end if;
end
$$;
