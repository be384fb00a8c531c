/** The types of the program against the schema that the migrations make. `npm run schema` writes the file anew. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import { createTestDatabase, type TestDatabase } from '../support/databases.ts';
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

test('the types of the program are those of the schema', async () => {
  await expect(await generateTypes(handle.db)).toMatchFileSnapshot('../../src/database/schema.ts');
});
