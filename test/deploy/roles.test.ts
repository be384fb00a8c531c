import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type Simulator, startSimulator } from '../../simulator/server.ts';
import { addDays } from '../../src/usage/day.ts';
import { CHOSEN } from '../dashboards/chosen.ts';
import { dashboards, fillIn, questions, sqlQueries } from '../dashboards/dashboards.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { runProgram } from '../support/program.ts';

const ROLES_SQL = readFileSync('deploy/postgres/roles.sql', 'utf8');
const ROLES = ['losant_usage_migrator', 'losant_usage_writer', 'losant_usage_reader'] as const;
type Role = (typeof ROLES)[number];
const PASSWORD = 'for-this-test-only';

/** Owns the database and may create roles, but is no superuser, as on a managed server. */
const ADMINISTRATOR = 'losant_usage_test_administrator';

/** SQLSTATE of a role that objects depend on. */
const STILL_NAMED = '2BP01';

let database: TestDatabase;
let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ orgs: 3 });
  database = await createTestDatabase({ template: false });
  await dropRoles();
  await queryOnce(database.url, `create role ${ADMINISTRATOR} login createrole password '${PASSWORD}'`);
  await queryOnce(database.url, `alter database ${database.name} owner to ${ADMINISTRATOR}`);
  await queryOnce(urlOf(ADMINISTRATOR), ROLES_SQL);
  for (const role of ROLES) await queryOnce(database.url, `alter role ${role} password '${PASSWORD}'`);
});

afterAll(async () => {
  await simulator.close();
  await database.drop();
  await dropRoles();
});

/** A role stays as long as a database that another test has migrated meanwhile names it. */
async function dropRoles(): Promise<void> {
  for (const role of [ADMINISTRATOR, ...ROLES]) {
    await queryOnce(inject('postgresAdminUrl'), `drop role if exists ${role}`).catch((error: unknown) => {
      if ((error as { code: string }).code !== STILL_NAMED) throw error;
    });
  }
}

function urlOf(role: Role | typeof ADMINISTRATOR): string {
  const url = new URL(database.url);
  url.username = role;
  url.password = PASSWORD;
  return url.href;
}

/** The program with the role's database URL and the simulator's settings. */
async function program(role: Role, ...args: readonly string[]) {
  const { code, stdout, stderr } = await runProgram(args, {
    LOSANT_API_URL: simulator.url,
    LOSANT_INSTANCE_ID: simulator.instanceId,
    LOSANT_API_TOKEN: simulator.token,
    DATABASE_URL: urlOf(role),
    REQUESTS_PER_SECOND: '2000',
  });
  return { status: code, stdout, stderr };
}

/** The SQLSTATE a statement fails with, or null if it does not. */
async function refusal(role: Role, statement: string): Promise<string | null> {
  try {
    await queryOnce(urlOf(role), statement);
    return null;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const NO_RIGHT = '42501';
const READ_ONLY = '25006';

test('the roles, an empty schema and the documented order: the migrator migrates, the writer exports', async () => {
  const early = await program('losant_usage_writer', 'run');
  expect(early.status).toBe(2);
  expect(early.stderr).toContain('The tables do not exist yet, and this user may not create them');
  expect(early.stderr).toContain('run `losant-usage migrate` as the migrator');

  expect(await program('losant_usage_migrator', 'migrate')).toMatchObject({ status: 0 });
  const run = await program('losant_usage_writer', 'run', '--json');
  expect({ status: run.status, stderr: run.status === 0 ? '' : run.stderr }).toEqual({
    status: 0,
    stderr: '',
  });
  // The last day of a month that is over, and five of the next one, all of them over as well.
  const first = `${daysAgo(6).slice(0, 7)}-01`;
  const [before, fifth] = [addDays(first, -1), addDays(first, 4)];
  const days = ['--from', before, '--to', fifth];
  expect(await program('losant_usage_writer', 'backfill', ...days)).toMatchObject({ status: 0 });
  const [held] = await queryOnce(
    urlOf('losant_usage_reader'),
    `select count(*)::int as rows from losant_usage.device_counts where usage_date between '${first}' and '${fifth}'`,
  );
  expect(held).toEqual({ rows: 15 });
  const month = ['--period', before.slice(0, 7), '--incomplete', 'collected since its last day'];
  expect(await program('losant_usage_writer', 'close', ...month)).toMatchObject({ status: 0, stderr: '' });
});

test('what the writer changes is on record with its name, though it may not write that record itself', async () => {
  await queryOnce(
    urlOf('losant_usage_writer'),
    `update losant_usage.usage_days set devices_total = devices_total + 1`,
  );
  const rows = await queryOnce(
    urlOf('losant_usage_reader'),
    `select distinct changed_by, run_id from losant_usage.revisions`,
  );
  expect(rows).toEqual([{ changed_by: 'losant_usage_writer', run_id: null }]);
});

describe('the writer', () => {
  test.each([
    ['create a table', 'create table losant_usage.mine (id int)'],
    ['create a table in public', 'create table public.mine (id int)'],
    ['drop a table', 'drop table losant_usage.coverage'],
    ['alter a table', 'alter table losant_usage.coverage add column mine int'],
    ['switch a trigger off', 'alter table losant_usage.revisions disable trigger append_only'],
    ['switch all triggers off', `set session_replication_role = replica`],
    ['replace a function', 'alter function losant_usage.refuse_change() rename to allow_change'],
    ['truncate a table', 'truncate losant_usage.usage_days'],
    [
      'forge a revision',
      `insert into losant_usage.revisions (stream, org_id, usage_date, revision, key, changed_by, changed_at)
       values ('device_counts', '5d0000000000000000000001', '2026-11-23', 2, '{}', 'somebody', now())`,
    ],
    ['update a revision', 'update losant_usage.revisions set old = null'],
    ['delete a revision', 'delete from losant_usage.revisions'],
    ['truncate the revisions', 'truncate losant_usage.revisions'],
    ['forge a migration', `insert into losant_usage.migrations (name, sha256) values ('9999', '')`],
    ['forget a migration', 'delete from losant_usage.migrations'],
    ['invent a metric', `update losant_usage.metrics set unit = 'pieces'`],
    ['rewrite a waiver', `update losant_usage.waivers set reason = 'another'`],
    ['delete a waiver', 'delete from losant_usage.waivers'],
    ['change a statement', 'update losant_usage.statements set orgs = 0'],
    ['change a line of a statement', 'update losant_usage.statement_lines set quantity = 0'],
    ['delete the lines of a statement', 'delete from losant_usage.statement_lines'],
    ['delete a file of a proof pack', 'delete from losant_usage.statement_files'],
    ['take the migrator on', 'set role losant_usage_migrator'],
  ])('cannot %s', async (_, statement) => {
    expect(await refusal('losant_usage_writer', statement)).toBe(NO_RIGHT);
  });
});

test('check names a right on the numbers that the writer lacks', async () => {
  const right = 'update on losant_usage.usage_days';
  await queryOnce(urlOf('losant_usage_migrator'), `revoke ${right} from losant_usage_writer`);
  try {
    const { status, stdout } = await program('losant_usage_writer', 'check');
    expect(stdout).toContain('it lacks update on usage_days');
    expect(status).not.toBe(0);
  } finally {
    await queryOnce(urlOf('losant_usage_migrator'), `grant ${right} to losant_usage_writer`);
  }
});

describe('the reader', () => {
  test('reads every table and view there is, four of them in part, and those of a later version', async () => {
    const later = `create view losant_usage.of_a_later_version as select count(*) as cells from losant_usage.coverage`;
    await queryOnce(urlOf('losant_usage_migrator'), later);
    const relations = await queryOnce(
      database.url,
      `select relname, has_table_privilege('losant_usage_reader', oid, 'select') as may from pg_class
       where relnamespace = 'losant_usage'::regnamespace and relkind in ('r', 'v', 'm') order by relname`,
    );
    const inPart = ['instances', 'quarantine', 'runs', 'shard_leases'];
    expect(relations.filter(({ may }) => may !== true).map(({ relname }) => relname)).toEqual(inPart);
    expect(relations.length).toBeGreaterThan(12);
    for (const { relname } of relations.filter(({ may }) => may === true)) {
      const read = `select * from losant_usage.${String(relname)} limit 1`;
      expect([relname, await refusal('losant_usage_reader', read)]).toEqual([relname, null]);
    }
    const asOf = 'select * from losant_usage.usage_as_of(now()) limit 1';
    expect(await refusal('losant_usage_reader', asOf)).toBe(null);
    await queryOnce(urlOf('losant_usage_migrator'), 'drop view losant_usage.of_a_later_version');
  });

  test.each([
    ['the bodies of invalid answers', 'select body_gzip from losant_usage.quarantine'],
    ['the host that exports', 'select lease_host from losant_usage.instances'],
    ['the host that exports a shard', 'select lease_host from losant_usage.shard_leases'],
    ['the host of a run', 'select host from losant_usage.runs'],
  ])('does not see %s', async (_, statement) => {
    expect(await refusal('losant_usage_reader', statement)).toBe(NO_RIGHT);
  });

  test.each([
    'select org_id, stream, from_date, to_date, code, problem, resolved_at from losant_usage.quarantine',
    'select instance_id, name, listed_at, list_problem from losant_usage.instances',
    'select shard_index, shard_count, lease_since from losant_usage.shard_leases',
    'select run_id, kind, status, started_at, failures, error from losant_usage.runs',
  ])('sees what stands beside it: %s', async (statement) => {
    expect(await refusal('losant_usage_reader', statement)).toBe(null);
  });

  test('may ask every question of the dashboards and of docs/sql', async () => {
    const ofPanels = dashboards
      .flatMap(sqlQueries)
      .map(({ name, sql }) => ({ name, sql: fillIn(sql, CHOSEN) }));
    const asked = [...ofPanels, ...questions];
    expect(asked.length).toBeGreaterThan(50);
    for (const { name, sql } of asked) {
      // Rights are checked before anything is read.
      expect([name, await refusal('losant_usage_reader', `explain ${sql}`)]).toEqual([name, null]);
    }
  });

  test.each([
    ['a number', 'update losant_usage.usage_days set devices_total = 0'],
    ['the ledger', 'delete from losant_usage.coverage'],
    ['a revision', 'delete from losant_usage.revisions'],
    ['the tracking', `insert into losant_usage.tracking (org_id, stream) values ('a', 'b')`],
    ['a table', 'create table losant_usage.mine (id int)'],
  ])('cannot write %s, not even in a session it made writable', async (_, statement) => {
    expect(await refusal('losant_usage_reader', statement)).toBe(READ_ONLY);
    const writable = `begin read write; ${statement}`;
    expect(await refusal('losant_usage_reader', writable)).toBe(NO_RIGHT);
  });

  test('runs the commands that only read, and is refused by those that write', async () => {
    expect(await program('losant_usage_reader', 'migrate', '--dry-run')).toMatchObject({
      status: 0,
      stdout: expect.stringContaining('is up to date') as string,
    });
    expect(await program('losant_usage_reader', 'run', '--dry-run')).toMatchObject({ status: 0 });
    expect(await program('losant_usage_reader', 'status')).toMatchObject({ status: 0, stderr: '' });
    expect(await program('losant_usage_reader', 'gaps')).toMatchObject({ status: 0, stderr: '' });
    const [org] = await queryOnce(database.url, 'select org_id from losant_usage.organizations limit 1');
    const explained = ['explain', '--org', String(org?.['org_id']), '--day', '2026-11-03'];
    expect(await program('losant_usage_reader', ...explained)).toMatchObject({ status: 0, stderr: '' });
    const run = await program('losant_usage_reader', 'run');
    expect(run).toMatchObject({ status: 2, stdout: '' });
    expect(run.stderr).toContain('Transactions of the user losant_usage_reader on ');
  });
});

test('running the file again changes no right', async () => {
  const rights = `select relname, relacl::text from pg_class where relnamespace = 'losant_usage'::regnamespace
    union all select 'schema', nspacl::text from pg_namespace where nspname = 'losant_usage' order by 1`;
  const before = await queryOnce(database.url, rights);
  await queryOnce(urlOf(ADMINISTRATOR), ROLES_SQL);
  expect(await queryOnce(database.url, rights)).toEqual(before);
});
