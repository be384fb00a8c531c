import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase } from '../../src/database/open.ts';
import { spellSslMode } from '../../src/database/postgres.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase({ template: false });
});
afterAll(() => database.drop());

/** What a session has for the setting where the database's default is `usual`. */
async function settingOf(name: string, usual: string): Promise<string | undefined> {
  await queryOnce(database.url, `alter database ${database.name} set ${name} = '${usual}'`);
  const handle = await createDatabase({ url: database.url, applicationName: 'session test', poolSize: 1 });
  try {
    const { rows } = await sql<{ setting: string }>`select current_setting(${name}) as setting`.execute(
      handle.db,
    );
    return rows[0]?.setting;
  } finally {
    await handle.close();
    await queryOnce(database.url, `alter database ${database.name} reset ${name}`);
  }
}

describe('a session relies on no default of the server', () => {
  test.each([
    ['array_nulls', 'off', 'on'],
    ['timezone', 'Pacific/Auckland', 'UTC'],
    ['statement_timeout', '5s', '1min'],
    ['synchronous_commit', 'off', 'on'],
    ['synchronous_commit', 'remote_apply', 'remote_apply'],
  ])('%s = %s becomes %s', async (name, usual, setting) => {
    expect(await settingOf(name, usual)).toBe(setting);
  });
});

test.each([
  ['without a query', 'postgres://u:p@h:5432/n', 'postgres://u:p@h:5432/n'],
  ['with verify-full', 'postgres://h/n?sslmode=verify-full', 'postgres://h/n?sslmode=verify-full'],
  ['with require', 'postgres://h/n?sslmode=require', 'postgres://h/n?sslmode=verify-full'],
  [
    'with require among others',
    'postgres://h/n?a=b&sslmode=require&sslrootcert=/ca.pem',
    'postgres://h/n?a=b&sslmode=verify-full&sslrootcert=/ca.pem',
  ],
  ['with prefer', 'postgres://h/n?sslmode=prefer', 'postgres://h/n?sslmode=verify-full'],
  ['with verify-ca', 'postgres://h/n?sslmode=verify-ca', 'postgres://h/n?sslmode=verify-full'],
  ['with disable', 'postgres://h/n?sslmode=disable', 'postgres://h/n?sslmode=disable'],
  ['with no-verify', 'postgres://h/n?sslmode=no-verify', 'postgres://h/n?sslmode=no-verify'],
  [
    "with libpq's meaning",
    'postgres://h/n?sslmode=require&uselibpqcompat=true',
    'postgres://h/n?sslmode=require&uselibpqcompat=true',
  ],
  [
    'with the word elsewhere',
    'postgres://h/n?application_name=sslmode=require',
    'postgres://h/n?application_name=sslmode=require',
  ],
])('a URL %s', (_what, url, spelled) => {
  expect(spellSslMode(url)).toBe(spelled);
});
