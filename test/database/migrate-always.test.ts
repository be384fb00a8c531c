/** The repeatable migration: the rights and comments that are applied after every migration, and when they change. */
import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { migrateToHead, readSchemaState, requireSchema } from '../../src/database/migrate.ts';
import { createTestDatabase, openAs, queryOnce, type TestDatabase } from '../support/databases.ts';

let folder: string;
let database: TestDatabase;
let handle: DatabaseHandle;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'losant-usage-always-'));
  cpSync('migrations', folder, { recursive: true });
  database = await createTestDatabase();
  handle = await open();
});

afterEach(async () => {
  await handle.close();
  await database.drop();
  rmSync(folder, { recursive: true });
});

const open = () => openAs('migrator', database.url);
const change = (text: string) => appendFileSync(join(folder, 'always.sql'), text);
const addMigration = (text: string) => writeFileSync(join(folder, '0099_next.sql'), text);
const commentOf = async (column: string) => {
  const [row] = await queryOnce(
    database.url,
    `select col_description(attrelid, attnum) as comment from pg_attribute
     where attrelid = 'losant_usage.organizations'::regclass and attname = '${column}'`,
  );
  return row?.['comment'];
};

test('a changed always.sql is applied, alone and once', async () => {
  expect(await readSchemaState(handle, folder)).toMatchObject({ state: 'at_head', pending: [] });
  change(`comment on column losant_usage.organizations.name is 'Name, in the new words.';\n`);
  expect(await readSchemaState(handle, folder)).toMatchObject({
    state: 'behind',
    pending: ['always'],
    unknown: [],
  });
  const started = requireSchema(handle, { createIfEmpty: true, autoMigrate: false }, folder);
  await expect(started).rejects.toMatchObject({
    kind: 'database_too_old',
    message: expect.stringMatching(/is older than this program: it lacks always$/) as unknown,
    hint: 'run `losant-usage migrate` as losant_usage_migrator',
  });
  expect(await migrateToHead(handle, folder)).toEqual(['always']);
  expect(await commentOf('name')).toBe('Name, in the new words.');
  expect(await migrateToHead(handle, folder)).toEqual([]);
  expect(await readSchemaState(handle, folder)).toMatchObject({ state: 'at_head', pending: [] });
});

test('an always.sql that two processes apply at the same time is applied by one of them', async () => {
  change('select pg_sleep(0.3);\n');
  const other = await open();
  const applied = await Promise.all([migrateToHead(handle, folder), migrateToHead(other, folder)]);
  await other.close();
  expect(applied).toHaveLength(2);
  expect(applied).toContainEqual(['always']);
  expect(applied).toContainEqual([]);
});

test('an unchanged always.sql is applied after a migration, for what that created', async () => {
  addMigration('alter table losant_usage.organizations add column payload_all_count bigint;\n');
  expect(await migrateToHead(handle, folder)).toEqual(['0099_next', 'always']);
  expect(await commentOf('payload_all_count')).toBe(
    'All payloads, billable or not (payloads, flow); null if not stored.',
  );
});

test('a column without a comment fails the migration, by its name, and leaves nothing behind', async () => {
  addMigration('alter table losant_usage.organizations add column cost_center text;\n');
  const before = await readSchemaState(handle, folder);
  expect(before).toMatchObject({ state: 'behind', pending: ['0099_next', 'always'] });
  await expect(migrateToHead(handle, folder)).rejects.toThrow(
    'Migration always: column losant_usage.organizations.cost_center has no comment',
  );
  expect(await commentOf('cost_center')).toBeUndefined();
  expect(await readSchemaState(handle, folder)).toEqual(before);
});

test('an always.sql that fails keeps the rights and comments of the last one', async () => {
  change(`comment on column losant_usage.organizations.name is 'Lost.';\nselect * from losant_usage.nowhere;\n`);
  await expect(migrateToHead(handle, folder)).rejects.toThrow(
    'Migration always: relation "losant_usage.nowhere" does not exist',
  );
  expect(await commentOf('name')).toBe('Name as last seen.');
  expect(await readSchemaState(handle, folder)).toMatchObject({ state: 'behind', pending: ['always'] });
});
