/**
 * Each role of deploy/postgres/roles.sql can do its work, and an error tells any other user which role a command needs.
 * As on a managed server, an administrator who is not a superuser creates the roles. test/schema checks that they can
 * do nothing else.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { usePlatform } from '../simulator/platform.ts';
import { disconnect, makeFastFolder, queryOnce, withDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { OwnPostgres } from '../support/own-postgres.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { containing } from '../support/texts.ts';
import { settingsOf } from '../worker/process.ts';

const ROLES_SQL = readFileSync('deploy/postgres/roles.sql', 'utf8');
const ROLES = ['losant_usage_migrator', 'losant_usage_writer', 'losant_usage_reader'] as const;
const [ADMINISTRATOR, STRANGER, ANNA] = ['administrator', 'stranger', 'anna'] as const;
type User = (typeof ROLES)[number] | typeof ADMINISTRATOR | typeof STRANGER | typeof ANNA;
const PASSWORD = 'for-this-test-only';

const platform = usePlatform({ orgs: 3, now: Date.now });
let server: OwnPostgres;

beforeAll(async () => {
  server = await OwnPostgres.start(makeFastFolder('losant-usage-roles-'), {
    // Each connection verifies its password anew.
    initdbFlags: ['--no-sync', '--set=scram_iterations=1'],
  });
  await queryOnce(server.url, `create role ${ADMINISTRATOR} login createrole password '${PASSWORD}'`);
  await queryOnce(server.url, `create role ${STRANGER} login password '${PASSWORD}'`);
  await queryOnce(server.url, `create database billing owner ${ADMINISTRATOR}`);
  await queryOnce(urlOf(ADMINISTRATOR), ROLES_SQL);
  for (const role of ROLES) await queryOnce(server.url, `alter role ${role} password '${PASSWORD}'`);
});

afterAll(async () => {
  await disconnect(server.url);
  await disconnect(urlOf(ADMINISTRATOR));
  await server.stop();
});

function urlOf(username: User): string {
  return Object.assign(new URL(withDatabase(server.url, 'billing')), { username, password: PASSWORD }).href;
}

/** A month that has ended, and that Losant has. */
const MONTH = daysAgo(35).slice(0, 7);

async function program(user: User, ...args: readonly string[]) {
  return await runProgram(args, settingsOf(platform, { url: urlOf(user) }));
}

test('the migrator migrates, the writer loads and the reader reads, in the documented order', async () => {
  const tooEarly = await program('losant_usage_writer', 'run');
  expect(tooEarly.code).toBe(2);
  expect(tooEarly.stderr).toContain('run `losant-usage migrate` as losant_usage_migrator');
  expect(await program('losant_usage_migrator', 'migrate')).toMatchObject({ code: 0 });
  expect(await program('losant_usage_reader', 'run', '--dry-run')).toMatchObject({ code: 0 });
  expect(await program('losant_usage_writer', 'run')).toMatchObject({ code: 0 });
  const backfill = ['backfill', '--from', daysAgo(4)];
  expect(await program('losant_usage_reader', ...backfill, '--dry-run')).toMatchObject({ code: 0 });
  expect(await program('losant_usage_writer', ...backfill)).toMatchObject({ code: 0 });
  expect(await program('losant_usage_reader', 'run', '--dry-run')).toMatchObject({ code: 0 });
  for (const command of ['status', 'gaps', 'reconcile', 'close']) {
    expect(await program('losant_usage_reader', command)).toMatchObject({ code: 0, stderr: '' });
  }
});

test("a reader's sessions write nothing, do not compile queries, and have the days of UTC", async () => {
  const settings = `select name, setting from pg_settings where source = 'user' order by name collate "C"`;
  expect(await queryOnce(urlOf('losant_usage_reader'), settings)).toEqual([
    { name: 'TimeZone', setting: 'UTC' },
    { name: 'default_transaction_read_only', setting: 'on' },
    { name: 'jit', setting: 'off' },
    { name: 'work_mem', setting: '65536' },
  ]);
});

test('a statement is created by the person who is a member of the writer', async () => {
  await queryOnce(urlOf(ADMINISTRATOR), `create role anna login in role losant_usage_writer password '${PASSWORD}'`);
  await program('losant_usage_writer', 'backfill', '--from', `${MONTH}-28`);
  const acceptance = ['--accept-blockers', '--reason', 'only its last days'];
  const closed = await program(ANNA, 'close', '--month', MONTH, ...acceptance, '--json');
  expect([closed.code, jsonOf(closed)]).toMatchObject([0, { statement: { createdBy: 'anna' } }]);
});

const WAIVE = ['waive', '--org', '0'.repeat(24), '--day', daysAgo(1), '--reason', 'x'];
const CLOSE = ['close', '--month', MONTH];

test.for<readonly [User, readonly string[], requiredRole: (typeof ROLES)[number]]>([
  ['losant_usage_reader', ['run'], 'losant_usage_writer'],
  ['losant_usage_reader', ['backfill', '--from', daysAgo(2)], 'losant_usage_writer'],
  ['losant_usage_reader', ['worker'], 'losant_usage_writer'],
  ['losant_usage_reader', WAIVE, 'losant_usage_writer'],
  ['losant_usage_reader', CLOSE, 'losant_usage_writer'],
  ['losant_usage_reader', ['migrate'], 'losant_usage_migrator'],
  ['losant_usage_writer', ['migrate'], 'losant_usage_migrator'],
  [STRANGER, ['run'], 'losant_usage_writer'],
  [STRANGER, ['status'], 'losant_usage_reader'],
  [STRANGER, ['gaps'], 'losant_usage_reader'],
])('the error of %s for %j names the role that it needs, %s', async ([user, args, requiredRole]) => {
  const { code, stdout, stderr } = await program(user, ...args);
  const roles = (stdout + stderr).match(/losant_usage_(?:migrator|writer|reader)/g) ?? [];
  expect({ code, roles: roles.filter((role) => role !== user) }).toEqual({ code: 2, roles: [requiredRole] });
});

test('running roles.sql again restores lost privileges', async () => {
  await queryOnce(urlOf('losant_usage_migrator'), 'revoke all on losant_usage.freshness from losant_usage_reader');
  const ended = await program('losant_usage_reader', 'status');
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('if the user has it, run deploy/postgres/roles.sql again');
  await queryOnce(urlOf(ADMINISTRATOR), ROLES_SQL);
  expect(await program('losant_usage_reader', 'status')).toMatchObject({ code: 0 });
});

const TRAP = `language plpgsql as $$ begin raise exception 'called as %', current_user; end $$`;

test('an administrator calls no functions that others have created in the schema public', async () => {
  await queryOnce(urlOf(ADMINISTRATOR), `grant create on schema public to ${STRANGER}`);
  await queryOnce(urlOf(STRANGER), `create function public.format(text, name) returns text ${TRAP}`);
  await queryOnce(urlOf(ADMINISTRATOR), ROLES_SQL);
  expect(await program('losant_usage_reader', 'status')).toMatchObject({ code: 0 });
});

/** Creates a database that is dropped after the test. */
async function createOtherDatabase(): Promise<string> {
  await queryOnce(server.url, 'create database other');
  const url = withDatabase(server.url, 'other');
  onTestFinished(async () => {
    await disconnect(url);
    await queryOnce(server.url, 'drop database other');
  });
  return url;
}

test('a function of the migrator does not execute with the privileges of the administrator', async () => {
  const url = await createOtherDatabase();
  await queryOnce(url, ROLES_SQL);
  const create = `create function losant_usage.grant_rights() returns void ${TRAP}`;
  await queryOnce(url, `set local role losant_usage_migrator; ${create}`);
  await expect(queryOnce(url, ROLES_SQL)).rejects.toThrow('called as losant_usage_migrator');
});

test.each([
  ['the schema', `create schema losant_usage authorization ${STRANGER}`],
  [
    'the tables',
    `create schema losant_usage authorization losant_usage_migrator; create table losant_usage.migrations ();
     alter table losant_usage.migrations owner to ${STRANGER}`,
  ],
])('roles.sql takes over nothing if another role owns %s, as after a restore without owners', async (_, statements) => {
  const url = await createOtherDatabase();
  await queryOnce(url, statements);
  const message = `schema losant_usage or its tables belong to ${STRANGER}, not to losant_usage_migrator`;
  await expect(queryOnce(url, ROLES_SQL)).rejects.toMatchObject({ message, hint: containing('without --no-owner') });
});

test('roles.sql only warns an administrator who has migrated the database, and gives the roles their privileges', async () => {
  const url = await createOtherDatabase();
  expect(await runProgram(['migrate'], { DATABASE_URL: url })).toMatchObject({ code: 0 });
  await queryOnce(url, ROLES_SQL);
  const reads = `select has_table_privilege('losant_usage_reader', 'losant_usage.daily_usage', 'select') as reads`;
  expect(await queryOnce(url, reads)).toEqual([{ reads: true }]);
});

// It removes what the tests above need.
test('the documented statements uninstall, for an administrator who is not a superuser', async () => {
  const install = readFileSync('docs/install.md', 'utf8');
  const statements = /## Uninstall\n[^`]*```sql\n([^`]*)```/.exec(install)?.[1] ?? '';
  for (const role of ROLES) await disconnect(urlOf(role));
  await queryOnce(urlOf(ADMINISTRATOR), statements);
  const rest = `select nspname as name from pg_namespace where nspname like 'losant%'
    union all select rolname from pg_roles where rolname like 'losant%'`;
  expect(await queryOnce(urlOf(ADMINISTRATOR), rest)).toEqual([]);
});
