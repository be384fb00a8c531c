/**
 * Each role of deploy/postgres/roles.sql can do its work. As on a managed server, an administrator who is not a
 * superuser creates them. test/schema checks that they can do nothing else.
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

/** The SQLSTATE for a role that objects depend on. */
const DEPENDENT_OBJECTS = '2BP01';

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

/** Drops the roles. A role stays if a database that another test has migrated in the meantime depends on it. */
async function dropRoles(): Promise<void> {
  for (const role of [ADMINISTRATOR, ...ROLES.toReversed()]) {
    await queryOnce(inject('postgresAdminUrl'), `drop role if exists ${role}`).catch((error: unknown) => {
      if ((error as { code: string }).code !== DEPENDENT_OBJECTS) throw error;
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

test('the migrator migrates, the writer loads, the closer and the reader read, in the documented order', async () => {
  const tooEarly = await program('losant_usage_writer', 'run');
  expect(tooEarly.code).toBe(2);
  expect(tooEarly.stderr).toContain('run `losant-usage migrate` as losant_usage_migrator');
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
  ['losant_usage_reader', 'run', 'User losant_usage_reader is read-only'],
  ['losant_usage_closer', 'run', 'permission denied'],
  ['losant_usage_writer', 'migrate', 'permission denied for table migrations_lock'],
] as const)('the role %s cannot %s, and the error says why', async (role, command, message) => {
  const { stdout, stderr } = await program(role, command);
  expect(stdout + stderr).toContain(message);
});

test('the reader may run every query of the dashboards and of docs/sql', async () => {
  const panelQueries = dashboards.flatMap(sqlQueries).map(({ name, sql }) => ({ name, sql: fillIn(sql) }));
  const queries = [...panelQueries, ...questions];
  expect(queries.length).toBeGreaterThan(40);
  for (const { name, sql } of queries) {
    // Postgres checks privileges before it reads anything.
    const problem = await queryOnce(urlOf('losant_usage_reader'), `explain ${sql}`).then(
      () => null,
      (error: unknown) => String(error),
    );
    expect([name, problem]).toEqual([name, null]);
  }
});
