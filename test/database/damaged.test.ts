/** A schema that lost a part since it was migrated is noticed before a number changes off the record. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrateToHead, readSchemaState, requireSchema } from '../../src/database/migrate.ts';
import { createDatabase, type DatabaseHandle } from '../../src/database/open.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';

let database: TestDatabase;
let handle: DatabaseHandle;

beforeEach(async () => {
  database = await createTestDatabase();
  handle = await createDatabase({ url: database.url, applicationName: 'damage test', poolSize: 1 });
});

afterEach(async () => {
  await handle.close();
  await database.drop();
});

test('a schema as it was migrated lacks nothing', async () => {
  expect(await readSchemaState(handle)).toMatchObject({ state: 'at_head', missing: [] });
});

test.each([
  ['drop trigger record_update on losant_usage.usage_days', 'trigger record_update of usage_days'],
  [
    'alter table losant_usage.payload_sources disable trigger record_delete',
    'trigger record_delete of payload_sources',
  ],
  ['drop view losant_usage.freshness', 'table or view freshness'],
  ['alter table losant_usage.coverage drop constraint coverage_pkey', 'constraint coverage_pkey of coverage'],
  ['drop index losant_usage.coverage_due', 'index coverage_due'],
  ['drop function losant_usage.usage_as_of(timestamptz)', 'function usage_as_of'],
])('after %s neither a run nor migrate goes on', async (damage, missing) => {
  await queryOnce(database.url, damage);
  const found = await readSchemaState(handle);
  expect(found.state).toBe('damaged');
  expect(found.missing).toContain(missing);
  const refusal = { kind: 'database_mismatch', message: expect.stringContaining(missing) as string };
  await expect(requireSchema(handle, { createIfEmpty: true, autoMigrate: true })).rejects.toMatchObject(
    refusal,
  );
  await expect(migrateToHead(handle)).rejects.toMatchObject(refusal);
});
