/**
 * Databases whose clock is set by the test, because the program refuses to load by another clock than the database's.
 */

import {
  asAdministrator,
  asOwner,
  copyDatabase,
  createDatabaseName,
  createSchema,
  createTestDatabase,
  disconnect,
  dropDatabase,
  TEMPLATE,
  type TestDatabase,
  urlOf,
} from './databases.ts';

export interface ClockDatabase extends TestDatabase {
  stopClock(atMs: number): Promise<void>;
  /** Sets the database's clock this many ms behind the real one, from where it runs on. */
  setBehind(ms: number): Promise<void>;
  /** Copies the database, as a standby has it that hears nothing from then on, and returns the URL of the copy. */
  makeStandby(): Promise<string>;
  /** Puts the copy in the place of the database: what was committed since is lost. Returns false without a copy. */
  failOver(): Promise<boolean>;
}

/** The schemas in which functions are looked for, so that `now()` is found before Postgres' own. */
const SEARCH_PATH = 'simulated, pg_catalog';

const CLOCK = `
  create schema simulated;
  grant usage on schema simulated to public;
  create table simulated.clock (stopped_at timestamptz, behind interval not null);
  insert into simulated.clock values (null, '0');
  grant select on simulated.clock to public;
  create function simulated.now() returns timestamptz language sql stable
    as 'select coalesce(stopped_at, pg_catalog.now() - behind) from simulated.clock';
  create function simulated.clock_timestamp() returns timestamptz language sql volatile
    as 'select coalesce(stopped_at, pg_catalog.clock_timestamp() - behind) from simulated.clock';
  grant execute on all functions in schema simulated to public`;

/** Makes functions with a search path of their own use the test's clock. */
const USE_IN_FUNCTIONS = `
  do $$ declare f record; begin
    for f in select oid::regprocedure as name from pg_proc
      where pronamespace in ('losant_usage'::regnamespace, 'losant_usage_internal'::regnamespace)
        and proconfig::text like '%search_path%'
    loop execute format('alter function %s set search_path = ${SEARCH_PATH}, pg_temp', f.name); end loop;
  end $$`;

/** Returns the statement for a setting of the database itself, which neither a copy nor a dump includes. */
const useClock = (name: string) => `alter database ${name} set search_path = ${SEARCH_PATH}, public`;

export function stopClockAt(ms: number): string {
  return `update simulated.clock set stopped_at = '${new Date(ms).toISOString()}', behind = '0'`;
}

/** A database with the schema at head and a clock, to copy. */
export const CLOCK_TEMPLATE = `${TEMPLATE}_clock`;

/** Creates the clock and the schema in an empty database. The URL is its owner's. */
export async function createClockSchema(url: string): Promise<void> {
  await asOwner(url, CLOCK);
  await asOwner(url, useClock(CLOCK_TEMPLATE));
  await disconnect(url);
  await createSchema(url);
  await asOwner(url, USE_IN_FUNCTIONS);
}

/**
 * Creates a database with the schema at head whose `now()` and `clock_timestamp()` are the test's,
 * also in the schema's own triggers, views and defaults; or a copy of one. Only the owner can set the clock.
 */
export async function createClockDatabase(copied?: ClockDatabase): Promise<ClockDatabase> {
  const database = await createTestDatabase({ template: copied?.name ?? CLOCK_TEMPLATE });
  const { url, name } = database;
  await asAdministrator(useClock(name));
  const endSessions = () =>
    asAdministrator(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
  let standby: string | null = null;
  const dropStandby = async () => {
    if (standby) await dropDatabase(standby);
    standby = null;
  };
  return {
    ...database,
    drop: async () => {
      await dropStandby();
      await database.drop();
    },
    makeStandby: async () => {
      await dropStandby();
      const copy = createDatabaseName();
      await endSessions();
      await copyDatabase(copy, name);
      await asAdministrator(useClock(copy));
      standby = copy;
      return urlOf(copy);
    },
    failOver: async () => {
      if (!standby) return false;
      await disconnect(urlOf(standby));
      await endSessions();
      await asAdministrator(`drop database ${name} with (force)`);
      await asAdministrator(`alter database ${standby} rename to ${name}`);
      standby = null;
      return true;
    },
    stopClock: async (atMs) => void (await asOwner(url, stopClockAt(atMs))),
    setBehind: async (ms) => {
      await asOwner(url, `update simulated.clock set stopped_at = null, behind = interval '1 ms' * ${ms}`);
    },
  };
}
