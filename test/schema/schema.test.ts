/**
 * What the migrations make, as Postgres 18 describes it, and as the program's types have it. `npm run schema` writes
 * both files anew.
 */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import { createTestDatabase, type TestDatabase } from '../support/databases.ts';
import { describeSchema } from './describe.ts';
import { generateTypes } from './types.ts';

let database: TestDatabase;
let handle: DatabaseHandle;

beforeAll(async () => {
  database = await createTestDatabase();
  handle = await createDatabase({ url: database.url, applicationName: 'schema test', poolSize: 2 });
});

afterAll(async () => {
  await handle.close();
  await database.drop();
});

/** The server that is started for tests; one that TEST_DATABASE_URL names may use other words. */
async function requireMajor(context: TestContext): Promise<void> {
  const { rows } = await sql<{ major: string }>`
    select split_part(current_setting('server_version'), '.', 1) as major`.execute(handle.db);
  context.skip(rows[0]?.major !== '18', 'another version of Postgres');
}

test('the schema is as it is described', async (context) => {
  await requireMajor(context);
  await expect(await describeSchema(handle.db)).toMatchFileSnapshot('schema.sql');
});

test('the types of the program are those of the schema', async () => {
  await expect(await generateTypes(handle.db)).toMatchFileSnapshot('../../src/database/schema.ts');
});

test('a view that a dump restores is the same to the program as the one that was migrated', async () => {
  const { rows } = await sql<{ view: string; made: string }>`
    select relname as view, pg_get_viewdef(oid) as made from pg_class
    where relnamespace = 'losant_usage'::regnamespace and relkind = 'v' order by 1`.execute(handle.db);
  expect(rows.length).toBeGreaterThan(30);
  const trx = await handle.db.startTransaction().execute();
  try {
    for (const { view, made } of rows) {
      await sql`create or replace view ${sql.table(`losant_usage.${view}`)} as ${sql.raw(made)}`.execute(trx);
    }
    const changed = await sql`select losant_usage.changed_definitions() as object`.execute(trx);
    expect(changed.rows).toEqual([]);
    await sql`create or replace view losant_usage.tracks as
      ${sql.raw(rows.find(({ view }) => view === 'tracks')?.made.replace('k.has_holes', 'false AS has_holes') ?? '')}`.execute(
      trx,
    );
    const replaced = await sql`select losant_usage.changed_definitions() as object`.execute(trx);
    expect(replaced.rows).toEqual([{ object: 'view tracks' }]);
  } finally {
    await trx.rollback().execute();
  }
});
