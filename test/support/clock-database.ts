/**
 * Databases whose clock is set by the test, because the program refuses to load by another clock than the database's.
 */

import { randomBytes } from 'node:crypto';
import {
  createSchema,
  createTestDatabase,
  disconnect,
  queryOnce,
  TEMPLATE,
  type TestDatabase,
  withDatabase,
} from './databases.ts';

export interface ClockDatabase extends TestDatabase {
  /** Stops the database's clock at this time. */
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
    as 'select coalesce(stopped_at, pg_catalog.clock_timestamp() - behind) from simulated.clock'`;

/** Makes functions with a search path of their own use the test's clock. */
const USE_IN_FUNCTIONS = `
  do $$ declare f record; begin
    for f in select oid::regprocedure as name from pg_proc
      where pronamespace in ('losant_usage'::regnamespace, 'losant_usage_internal'::regnamespace)
        and proconfig::text like '%search_path%'
    loop execute format('alter function %s set search_path = ${SEARCH_PATH}, pg_temp', f.name); end loop;
  end $$`;

/** This is a setting of the database itself, which neither a copy nor a dump includes. */
async function useClock(url: string, name: string): Promise<void> {
  await queryOnce(url, `alter database ${name} set search_path = ${SEARCH_PATH}, public`);
  await disconnect(url);
}

/** The statement that stops a clock. */
export function stopClockAt(ms: number): string {
  return `update simulated.clock set stopped_at = '${new Date(ms).toISOString()}', behind = '0'`;
}

/** A database with the schema at head and a clock, to copy. */
const CLOCK_TEMPLATE = `${TEMPLATE}_clock`;

/** Makes the template for all test files: a schema takes a second to make, a copy 25 ms. */
export async function makeClockTemplate(adminUrl: string): Promise<void> {
  const url = withDatabase(adminUrl, CLOCK_TEMPLATE);
  await queryOnce(adminUrl, `create database ${CLOCK_TEMPLATE}`);
  await queryOnce(url, CLOCK);
  await useClock(url, CLOCK_TEMPLATE);
  await createSchema(url);
  await queryOnce(url, USE_IN_FUNCTIONS);
  await disconnect(url);
}

/**
 * Creates a database with the schema at head whose `now()` and `clock_timestamp()` are the test's,
 * also in the schema's own triggers, views and defaults; or a copy of one.
 */
export async function createClockDatabase(copied?: ClockDatabase): Promise<ClockDatabase> {
  const database = await createTestDatabase({ template: copied?.name ?? CLOCK_TEMPLATE });
  const { url, name } = database;
  await useClock(url, name);
  const admin = (statement: string) => queryOnce(withDatabase(url, 'postgres'), statement);
  const endSessions = () =>
    admin(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`);
  let standby: string | null = null;
  const dropStandby = async () => {
    if (standby) await admin(`drop database ${standby} with (force)`);
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
      const copy = `losant_usage_test_${randomBytes(6).toString('hex')}`;
      await endSessions();
      await admin(`create database ${copy} template ${name} strategy file_copy`);
      await admin(`alter database ${copy} set search_path = ${SEARCH_PATH}, public`);
      standby = copy;
      return withDatabase(url, copy);
    },
    failOver: async () => {
      if (!standby) return false;
      await disconnect(withDatabase(url, standby));
      await endSessions();
      await admin(`drop database ${name} with (force)`);
      await admin(`alter database ${standby} rename to ${name}`);
      standby = null;
      return true;
    },
    stopClock: async (atMs) => void (await queryOnce(url, stopClockAt(atMs))),
    setBehind: async (ms) => {
      await queryOnce(url, `update simulated.clock set stopped_at = null, behind = interval '1 ms' * ${ms}`);
    },
  };
}
