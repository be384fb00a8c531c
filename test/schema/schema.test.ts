/**
 * What the migrations make, as Postgres 18 describes it, and as the program's types have it. `npm run schema` writes
 * both files anew.
 */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest';
import { createDatabase, type DatabaseHandle } from '../../src/database/open.ts';
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
