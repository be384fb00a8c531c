import { cpSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { migrateToHead, readSchemaState, requireSchema } from '../../src/database/migrate.ts';
import {
  asAdministrator,
  asOwner,
  createTestDatabase,
  openAs,
  queryOnce,
  type TestDatabase,
} from '../support/databases.ts';
import { createTestFolder } from '../support/folders.ts';
import { containing } from '../support/texts.ts';

const FIRST = `-- A comment; with a semicolon, and a 'quote.
do $$ begin
  if to_regnamespace('losant_usage') is null then create schema losant_usage; end if;
end $$;
grant select on losant_usage.migrations to losant_usage_reader;
create table losant_usage.first (value bigint not null);
comment on table losant_usage.first is 'It''s; fine.';
create function losant_usage.twice(value bigint) returns bigint language plpgsql as $$
begin
  return value * 2;
end $$;
-- The last part holds only a comment.
`;
const SECOND = `alter table losant_usage.first add column note text;
insert into losant_usage.first (value, note) values (losant_usage.twice(21), 'second');
`;

let folder: string;
let database: TestDatabase;
let handle: DatabaseHandle;

beforeEach(async () => {
  folder = createTestFolder();
  writeAll({ '0001_first': FIRST });
  database = await createTestDatabase({ template: false });
  handle = await open(database.url);
});

afterEach(async () => {
  await handle.close();
  await database.drop();
});

function write(name: string, text: string): void {
  writeFileSync(join(folder, `${name}.sql`), text);
}

/** Makes these the only files of the folder. */
function writeAll(files: Readonly<Record<string, string>>): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
  for (const [name, text] of Object.entries(files)) write(name, text);
}

function open(url: string, options = {}): Promise<DatabaseHandle> {
  return openAs('migrator', url, options);
}

/** The number of tables and views in the schema besides those of kysely's Migrator. */
async function leftovers(): Promise<number> {
  const tables = `select from pg_class
    where relnamespace = to_regnamespace('losant_usage') and relname not like 'migrations%'`;
  return (await queryOnce(database.url, tables)).length;
}

describe('migrating', () => {
  test('brings an empty database to head, and does nothing the second time', async () => {
    write('0002_second', SECOND);
    const all = ['0001_first', '0002_second'];
    const state = () => readSchemaState(handle, folder);
    expect(await state()).toMatchObject({ state: 'empty', applied: [], pending: all });
    expect(await migrateToHead(handle, folder)).toEqual(all);
    expect(await migrateToHead(handle, folder)).toEqual([]);
    expect(await state()).toMatchObject({ state: 'at_head', applied: all, pending: [] });
    const rows = await asOwner(database.url, 'select * from losant_usage.first');
    expect(rows).toEqual([{ value: '42', note: 'second' }]);
  });

  test('leaves nothing behind when a migration fails, and names the file', async () => {
    write('0002_wrong', 'create table losant_usage.second ();\nselect * from losant_usage.nowhere;\n');
    const message = 'Migration 0002_wrong: relation "losant_usage.nowhere" does not exist';
    await expect(migrateToHead(handle, folder)).rejects.toThrow(message);
    expect(await leftovers()).toBe(0);
    expect(await readSchemaState(handle, folder)).toMatchObject({ state: 'empty' });
  });

  test('is tried again after a deadlock, such as with a worker that has not been stopped', async () => {
    await asOwner(database.url, 'create sequence public.attempts');
    const isFirst = `nextval('public.attempts') = 1`;
    write('0002_meets', `do $$ begin if ${isFirst} then raise deadlock_detected; end if; end $$;\n`);
    expect(await migrateToHead(handle, folder)).toEqual(['0001_first', '0002_meets']);
  });

  test('in two processes at once succeeds in both, and applies each migration once', async () => {
    write('0002_slow', 'select pg_sleep(0.3)\n');
    await using other = await open(database.url);
    const applied = await Promise.all([migrateToHead(handle, folder), migrateToHead(other, folder)]);
    expect(applied.toSorted((a, b) => a.length - b.length)).toEqual([[], ['0001_first', '0002_slow']]);
  });

  test('is not bound by the statement timeout', async () => {
    write('0002_slow', 'select pg_sleep(0.3)\n');
    await using hasty = await open(database.url, { statementTimeoutMs: 200 });
    expect(await migrateToHead(hasty, folder)).toEqual(['0001_first', '0002_slow']);
  });

  test('ignores converted line ends', async () => {
    await migrateToHead(handle, folder);
    write('0001_first', FIRST.replaceAll('\n', '\r\n'));
    expect(await readSchemaState(handle, folder)).toMatchObject({ state: 'at_head' });
  });
});

describe('a database that is not at head', () => {
  type Program = Readonly<{ requireSchema: typeof requireSchema }>;
  test('is newer than a program that goes on after its package was replaced', async () => {
    const files = ['package.json', 'migrations', 'src'];
    for (const each of files) cpSync(each, join(folder, each), { recursive: true });
    symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
    const program = (await import(join(folder, 'src/database/migrate.ts'))) as Program;
    const filled = await createTestDatabase();
    onTestFinished(() => filled.drop());
    await using migrator = await open(filled.url);
    await program.requireSchema(migrator);
    write('migrations/0099_next', 'select;\n');
    await migrateToHead(migrator, join(folder, 'migrations'));
    const rejection = { kind: 'database_too_new', message: containing('it has 0099_next') };
    await expect(program.requireSchema(migrator)).rejects.toMatchObject(rejection);
  });

  type Files = Readonly<Record<string, string>>;
  const ONE = { '0001_first': FIRST };
  const TWO = { ...ONE, '0002_second': SECOND };
  const CHANGED = { ...ONE, '0002_second': `${SECOND}create table losant_usage.later ();\n` };

  test('is too old if it is empty', async () => {
    const requireOwnSchema = async () => await requireSchema(handle, await readSchemaState(handle, folder));
    const rejection = { kind: 'database_too_old', hint: 'run `losant-usage migrate` as losant_usage_migrator' };
    await expect(requireOwnSchema()).rejects.toMatchObject(rejection);
    expect(await leftovers()).toBe(0);
    await migrateToHead(handle, folder);
    await requireOwnSchema();
  });

  test.for<readonly [what: string, applied: Files, files: Files, state: 'ahead' | 'other', unknown: string]>([
    ['is newer than the program', TWO, ONE, 'ahead', '0002_second'],
    ['was created before the first release', { '0000_earlier': FIRST }, ONE, 'other', '0000_earlier'],
    ['was created by a file that has changed', TWO, CHANGED, 'other', '0002_second'],
  ])('is left unchanged if it %s', async ([, applied, files, state, unknown]) => {
    writeAll(applied);
    await migrateToHead(handle, folder);
    writeAll(files);
    const schemaState = await readSchemaState(handle, folder);
    expect(schemaState).toMatchObject({ state, unknown: [unknown] });
    const [kind, says] = {
      ahead: ['database_too_new', `it has ${unknown}`],
      other: ['database_mismatch', `was created by different migrations than this program's: ${unknown}`],
    }[state];
    const rejection = { kind, message: containing(says ?? '') };
    await expect(migrateToHead(handle, folder)).rejects.toMatchObject(rejection);
    await expect(requireSchema(handle, schemaState)).rejects.toMatchObject(rejection);
  });
});

test('a database whose first migration failed has no tables yet, whoever asks', async () => {
  writeAll({ '0001_first': 'select 1 / 0;\n' });
  await expect(migrateToHead(handle, folder)).rejects.toThrow('division by zero');
  for (const role of ['migrator', 'writer', 'reader'] as const) {
    await using other = await openAs(role, database.url);
    const hint = 'run `losant-usage migrate` as losant_usage_migrator';
    const schemaState = await readSchemaState(other, folder);
    await expect(requireSchema(other, schemaState)).rejects.toMatchObject({ kind: 'database_too_old', hint });
  }
});

test('only the migrator migrates in the schemas that were created for it, even if it does not own the database', async () => {
  await asAdministrator(`alter database ${database.name} owner to postgres`);
  await asAdministrator(`grant connect on database ${database.name} to losant_usage_migrator`);
  await using writer = await openAs('writer', database.url);
  const message = containing('permission denied for');
  const rejection = { kind: 'database_rejected', message };
  await expect(migrateToHead(writer, folder)).rejects.toMatchObject(rejection);
  expect(await migrateToHead(handle, folder)).toEqual(['0001_first']);
  expect(await readSchemaState(writer, folder)).toMatchObject({ state: 'at_head' });
  await asOwner(database.url, 'revoke usage on schema losant_usage from losant_usage_writer, losant_usage_reader');
  await expect(readSchemaState(writer, folder)).rejects.toThrow('permission denied for schema losant_usage');
});
