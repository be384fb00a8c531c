/** Databases whose clock is the campaign's: the program refuses to load by another clock than the database's. */
import { createDatabase } from '../../src/database/connect/open.ts';
import { migrateToHead } from '../../src/database/migrate/migrate.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { cloneDatabase } from './clone.ts';

export interface WorldDatabase extends TestDatabase {
  /** From now on its clock is so many ms behind the real one, and runs on. */
  setBehind(ms: number): Promise<void>;
}

/** Schemas in which functions are looked for: `now()` is found before Postgres' own. */
const SEARCH_PATH = 'simulated, pg_catalog';

/**
 * A database with the schema at head whose `now()` and `clock_timestamp()` are
 * the test's, also in the schema's own triggers, views and defaults.
 */
export async function createWorldTemplate(): Promise<TestDatabase> {
  const database = await createTestDatabase({ template: false });
  const { url } = database;
  await queryOnce(
    url,
    `create schema simulated;
     create table simulated.clock (behind interval not null);
     insert into simulated.clock values ('0');
     create function simulated.now() returns timestamptz language sql stable
       as 'select pg_catalog.now() - behind from simulated.clock';
     create function simulated.clock_timestamp() returns timestamptz language sql volatile
       as 'select pg_catalog.clock_timestamp() - behind from simulated.clock'`,
  );
  await useSearchPath(database);
  const handle = await createDatabase({ url, applicationName: 'campaign', poolSize: 1 });
  try {
    await migrateToHead(handle);
  } finally {
    await handle.close();
  }
  await queryOnce(
    url,
    `do $$ declare f record; begin
       for f in select oid::regprocedure as name from pg_proc
         where pronamespace = 'losant_usage'::regnamespace and proconfig::text like '%search_path%'
       loop execute format('alter function %s set search_path = ${SEARCH_PATH}, pg_temp', f.name); end loop;
     end $$`,
  );
  return database;
}

/** A copy of the template, with the real time at first. */
export async function createWorldDatabase(template: TestDatabase): Promise<WorldDatabase> {
  const database = await cloneDatabase(template.name);
  await useSearchPath(database);
  return {
    ...database,
    setBehind: async (ms) => {
      await queryOnce(database.url, `update simulated.clock set behind = interval '1 ms' * ${ms}`);
    },
  };
}

/** A setting of the database itself, which a copy does not take along. */
async function useSearchPath({ url, name }: TestDatabase): Promise<void> {
  await queryOnce(url, `alter database ${name} set search_path = ${SEARCH_PATH}, public`);
}
