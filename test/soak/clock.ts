import { createDatabase } from '../../src/database/connect/open.ts';
import { migrateToHead } from '../../src/database/migrate/migrate.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';

export interface ClockDatabase extends TestDatabase {
  /** Sets the clock that the program and its views see. */
  setClock(nowMs: number): Promise<void>;
}

/**
 * A database with the schema at head whose `now()` and `clock_timestamp()` are
 * the test's: they stand in a schema that is searched before Postgres' own.
 * Functions with a search path of their own keep the real clock; they only stamp
 * the record of changes.
 */
export async function createClockDatabase(nowMs: number): Promise<ClockDatabase> {
  const database = await createTestDatabase({ template: false });
  const { url, name } = database;
  await queryOnce(
    url,
    `create schema simulated;
     create table simulated.clock (at timestamptz not null);
     insert into simulated.clock values ('${new Date(nowMs).toISOString()}');
     create function simulated.now() returns timestamptz language sql stable as 'select at from simulated.clock';
     create function simulated.clock_timestamp() returns timestamptz language sql volatile as 'select at from simulated.clock';
     alter database ${name} set search_path = simulated, pg_catalog, public`,
  );
  const handle = await createDatabase({ url, applicationName: 'soak', poolSize: 1 });
  try {
    await migrateToHead(handle);
  } finally {
    await handle.close();
  }
  return {
    ...database,
    setClock: async (ms) => {
      await queryOnce(url, `update simulated.clock set at = '${new Date(ms).toISOString()}'`);
    },
  };
}
