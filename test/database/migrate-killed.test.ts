/** A killed migration leaves nothing partial, and the next one completes the schema. */
import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { asOwner, createTestDatabase, openAs, queryOnce, type TestDatabase } from '../support/databases.ts';
import { spawnProgram, startProgram } from '../support/program.ts';
import { portOf, startWire, through } from '../support/wire.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase({ template: false });
});
afterEach(() => database.drop());

const tables = `select coalesce(json_agg(concat_ws(' ', n.nspname, c.relkind, c.relname)
  order by c.relname), '[]') as names
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'losant_usage' and c.relname not like 'migrations%'`;

/** Returns the relations of the schema, except the tables of kysely's Migrator. */
async function schemaOf(url: string): Promise<unknown> {
  return (await queryOnce(url, tables))[0]?.['names'];
}

const migrate = (url: string) => startProgram(['migrate', '--json'], { DATABASE_URL: url }).ended;

/** Kills `migrate` when it sends its nth packet; returns whether it got that far. */
async function killAt(nth: number): Promise<boolean> {
  await using wire = await startWire(portOf(database.url));
  const process = spawnProgram(['migrate'], { DATABASE_URL: through(wire, database.url) });
  wire.onSent = (sent) => {
    if (sent < nth) return 'pass';
    process.kill('SIGKILL');
    return 'drop';
  };
  return (await process.ended).signal === 'SIGKILL';
}

test('after `migrate` is killed while it creates the schema, the next one completes it', async () => {
  await using wire = await startWire(portOf(database.url));
  expect(await migrate(through(wire, database.url))).toMatchObject({ code: 0 });
  const [packets, complete] = [wire.sent, await schemaOf(database.url)];
  for (const share of [0.5, 1]) {
    const point = Math.max(2, Math.floor(packets * share));
    await database.drop();
    database = await createTestDatabase({ template: false });
    expect([point, await killAt(point)]).toEqual([point, true]);
    // Wait until the server has ended the session of the killed process.
    await expect.poll(() => queryOnce(database.url, SESSIONS)).toEqual([]);
    expect([[], complete]).toContainEqual(await schemaOf(database.url));
    expect([point, await migrate(database.url)]).toMatchObject([point, { code: 0 }]);
    expect(await schemaOf(database.url)).toEqual(complete);
  }
}, 240_000);

const ENDS = { SIGKILL: null, SIGINT: 130 } as const;
test.each(['SIGKILL', 'SIGINT'] as const)(
  'a `migrate` that waits for a lock leaves no session if %s ends it',
  async (signal) => {
    await using other = await openAs('migrator', database.url, { applicationName: 'another session' });
    await other.db.transaction().execute(async (trx) => {
      await sql`create table losant_usage.migrations ()`.execute(trx);
      const process = spawnProgram(['migrate'], { DATABASE_URL: database.url });
      await expect.poll(() => asOwner(database.url, `${SESSIONS} and wait_event_type = 'Lock'`), WAIT).toEqual([{}]);
      process.kill(signal);
      expect(await process.ended).toMatchObject({ code: ENDS[signal] });
      await expect.poll(() => queryOnce(database.url, SESSIONS), WAIT).toEqual([]);
    });
  },
  60_000,
);

const WAIT = { timeout: 20_000 };

const SESSIONS = `select from pg_stat_activity where datname = current_database()
  and application_name = 'losant-usage'`;
