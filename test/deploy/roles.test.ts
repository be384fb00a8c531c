/**
 * The roles of deploy/postgres/roles.sql, made by an administrator who is no superuser, as on a managed server: each does
 * what it is for. That a role may do nothing else stands in test/schema.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { dashboards, fillIn, questions, sqlQueries } from '../dashboards/dashboards.ts';
import { usePlatform } from '../simulator/platform.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { runProgram } from '../support/program.ts';
import { settingsOf } from '../worker/process.ts';

const ROLES_SQL = readFileSync('deploy/postgres/roles.sql', 'utf8');
const ROLES = [
  'losant_usage_migrator',
  'losant_usage_writer',
  'losant_usage_closer',
  'losant_usage_reader',
] as const;
const ADMINISTRATOR = 'losant_usage_test_administrator';
type Role = (typeof ROLES)[number] | typeof ADMINISTRATOR;
const PASSWORD = 'for-this-test-only';

/** SQLSTATE of a role that objects depend on. */
const STILL_NAMED = '2BP01';

const platform = usePlatform({ orgs: 3, now: Date.now });
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase({ template: false });
  await dropRoles();
  await queryOnce(database.url, `create role ${ADMINISTRATOR} login createrole password '${PASSWORD}'`);
  await queryOnce(database.url, `alter database ${database.name} owner to ${ADMINISTRATOR}`);
  await queryOnce(urlOf(ADMINISTRATOR), ROLES_SQL);
  for (const role of ROLES) await queryOnce(database.url, `alter role ${role} password '${PASSWORD}'`);
});

afterAll(async () => {
  await database.drop();
  await dropRoles();
});

/** Drops the roles. One stays as long as a database that another test has migrated meanwhile names it. */
async function dropRoles(): Promise<void> {
  for (const role of [ADMINISTRATOR, ...ROLES.toReversed()]) {
    await queryOnce(inject('postgresAdminUrl'), `drop role if exists ${role}`).catch((error: unknown) => {
      if ((error as { code: string }).code !== STILL_NAMED) throw error;
    });
  }
}

function urlOf(role: Role): string {
  const url = new URL(database.url);
  url.username = role;
  url.password = PASSWORD;
  return url.href;
}

/** Runs the program with the role's database URL and the simulator's settings. */
async function program(role: Role, ...args: readonly string[]) {
  return await runProgram(args, settingsOf(platform, { url: urlOf(role) }));
}

test('the migrator migrates, the writer exports, the closer and the reader look, in the documented order', async () => {
  const early = await program('losant_usage_writer', 'run');
  expect(early.code).toBe(2);
  expect(early.stderr).toContain('run `losant-usage migrate` as the migrator');
  expect(await program('losant_usage_migrator', 'migrate')).toMatchObject({ code: 0 });
  expect(await program('losant_usage_reader', 'run', '--dry-run')).toMatchObject({ code: 0 });
  expect(await program('losant_usage_writer', 'run')).toMatchObject({ code: 0 });
  expect(await program('losant_usage_writer', 'backfill', '--from', daysAgo(4))).toMatchObject({ code: 0 });
  for (const command of ['status', 'gaps', 'reconcile', 'close']) {
    expect(await program('losant_usage_reader', command)).toMatchObject({ code: 0, stderr: '' });
  }
  expect(await program('losant_usage_closer', 'close')).toMatchObject({ code: 0, stderr: '' });
});

test.each([
  ['losant_usage_reader', 'run', 'Transactions of the user losant_usage_reader'],
  ['losant_usage_closer', 'run', 'permission denied'],
  ['losant_usage_writer', 'migrate', 'grant the missing right'],
] as const)('the role %s that calls %s is told so', async (role, command, said) => {
  const { stdout, stderr } = await program(role, command);
  expect(stdout + stderr).toContain(said);
});

test('the reader may ask every question of the dashboards and of docs/sql', async () => {
  const ofPanels = dashboards.flatMap(sqlQueries).map(({ name, sql }) => ({ name, sql: fillIn(sql) }));
  const asked = [...ofPanels, ...questions];
  expect(asked.length).toBeGreaterThan(40);
  for (const { name, sql } of asked) {
    // Rights are checked before anything is read.
    const refused = await queryOnce(urlOf('losant_usage_reader'), `explain ${sql}`).then(
      () => null,
      (error: unknown) => String(error),
    );
    expect([name, refused]).toEqual([name, null]);
  }
});
