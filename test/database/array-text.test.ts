/** How arrays reach Postgres as parameters. */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { createDatabase } from '../../src/database/open.ts';
import { createTestDatabase, type TestDatabase } from '../support/databases.ts';

let database: TestDatabase;
let handle: DatabaseHandle;

beforeAll(async () => {
  database = await createTestDatabase({ template: false });
  handle = await createDatabase({ url: database.url, applicationName: 'array test', poolSize: 1 });
});

afterAll(async () => {
  await handle.close();
  await database.drop();
});

const TEXTS = [
  '',
  'plain',
  'NULL',
  'null',
  null,
  'a "quote"',
  'back\\slash',
  '\\"',
  '{1,2}',
  'a,b',
  ' spaces ',
  'tab\tand\nline',
  '$&',
  'ü 🛰',
];

test.each([
  ['text', TEXTS],
  ['bigint', [0, -1, null, 9_007_199_254_740_991]],
  ['boolean', [true, false, null]],
  ['text', []],
])('%s arrays arrive as they were sent', async (type, sent) => {
  const { rows } = await sql<{ json: unknown }>`
    select to_json(${sent}::${sql.raw(type)}[]) as json`.execute(handle.db);
  expect(rows).toEqual([{ json: sent }]);
});

test('arrays in arrays arrive as they were sent', async () => {
  const sent = [
    ['a', 'b"'],
    ['c', null],
  ];
  const { rows } = await sql<{ json: unknown }>`select to_json(${sent}::text[]) as json`.execute(handle.db);
  expect(rows).toEqual([{ json: sent }]);
});
