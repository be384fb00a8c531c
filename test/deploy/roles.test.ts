import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type Simulator, startSimulator } from '../../simulator/server.ts';
import { addDays } from '../../src/usage/day.ts';
import { CHOSEN } from '../dashboards/chosen.ts';
import { dashboards, fillIn, questions, sqlQueries } from '../dashboards/dashboards.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { runProgram } from '../support/program.ts';

const ROLES_SQL = readFileSync('deploy/postgres/roles.sql', 'utf8');
const ROLES = [
  'losant_usage_migrator',
  'losant_usage_writer',
  'losant_usage_closer',
  'losant_usage_reader',
] as const;
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
  for (const role of [ADMINISTRATOR, ...ROLES.toReversed()]) {
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

/** The SQLSTATE each statement fails with in one session, or null if it does not. */
async function refusals(role: Role, statements: readonly string[]): Promise<(string | null)[]> {
  const client = new pg.Client({ connectionString: urlOf(role) });
  await client.connect();
  const codes: (string | null)[] = [];
  for (const statement of statements) {
    const asked = client.query(statement).then(() => null);
    codes.push(await asked.catch((error: unknown) => (error as { code: string }).code));
  }
  await client.end();
  return codes;
}

const refusal = async (role: Role, statement: string) => (await refusals(role, [statement]))[0];

const NO_RIGHT = '42501';
const READ_ONLY = '25006';

test('the roles, an empty schema and the documented order: the migrator migrates, the writer exports, the closer closes', async () => {
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
  const refused = await program('losant_usage_writer', 'close', ...month);
  expect(refused.status).toBe(2);
  expect(refused.stderr).toContain('permission denied for');
  const shown = await program('losant_usage_reader', 'close', ...month, '--dry-run');
  expect(shown).toMatchObject({ status: 0, stderr: '' });
  expect(await program('losant_usage_closer', 'close', ...month)).toMatchObject({ status: 0, stderr: '' });
  expect(
    await queryOnce(urlOf('losant_usage_reader'), 'select closed_by, number from losant_usage.statements'),
  ).toEqual([{ closed_by: 'losant_usage_closer', number: 1 }]);
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
    ['replace a function', 'alter function losant_usage.refuse() rename to allow'],
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
    [
      'forge a statement',
      `insert into losant_usage.statements (statement_id, instance_id, period_month, number, kind, source, orgs, closed_at, manifest_sha256)
       select gen_random_uuid(), instance_id, '2030-01-01', 1, 'closing', 'calendar', 0, now(), sha256('') from losant_usage.instances`,
    ],
    [
      'forge a line of a statement',
      `insert into losant_usage.statement_lines select * from losant_usage.statement_lines`,
    ],
    [
      'forge a proof pack',
      `insert into losant_usage.statement_files select * from losant_usage.statement_files`,
    ],
    [
      'close a month',
      `select losant_usage.open_statement(instance_id, '2020-01-01', false, 'x', now()) from losant_usage.instances`,
    ],
    ['seal a statement', `select losant_usage.seal_statement(gen_random_uuid(), 'lines.csv', '')`],
    ['hold loads back', 'begin; lock table losant_usage.load_lock in share mode'],
    ['change a statement', 'update losant_usage.statements set orgs = 0'],
    ['change a line of a statement', 'update losant_usage.statement_lines set quantity = 0'],
    ['delete the lines of a statement', 'delete from losant_usage.statement_lines'],
    ['delete a file of a proof pack', 'delete from losant_usage.statement_files'],
    ['rewrite the months there are', 'delete from losant_usage.months'],
    ['say that the schema was another', 'delete from losant_usage.definitions'],
    ['waive in the name of another', `insert into losant_usage.waivers (waived_by) values ('cfo')`],
    ['take the migrator on', 'set role losant_usage_migrator'],
    ['take the closer on', 'set role losant_usage_closer'],
  ])('cannot %s', async (_, statement) => {
    expect(await refusal('losant_usage_writer', statement)).toBe(NO_RIGHT);
  });
});

describe('the closer', () => {
  test.each([
    ['change a number', 'update losant_usage.usage_days set devices_total = 0'],
    ['change the ledger', `update losant_usage.coverage set standing = 'final'`],
    ['waive a day', `insert into losant_usage.waivers (reason) values ('none')`],
    ['change a setting', `update losant_usage.instances set control_totals = 'show'`],
    ['change a statement', 'update losant_usage.statements set orgs = 0'],
    ['write a line', `insert into losant_usage.statement_lines select * from losant_usage.statement_lines`],
    ['write a statement', `insert into losant_usage.statements select * from losant_usage.statements`],
    ['write through the lock', 'delete from losant_usage.coverage'],
    ['delete a statement', 'delete from losant_usage.statements'],
    ['change a line of a statement', 'update losant_usage.statement_lines set quantity = 0'],
    ['delete a file of a proof pack', 'delete from losant_usage.statement_files'],
    ['close in the name of another', `insert into losant_usage.statements (closed_by) values ('cfo')`],
    ['see the bodies of invalid answers', 'select body_gzip from losant_usage.quarantine'],
    ['take the writer on', 'set role losant_usage_writer'],
  ])('cannot %s', async (_, statement) => {
    expect(await refusal('losant_usage_closer', statement)).toBe(NO_RIGHT);
  });

  test('reads what is behind a statement', async () => {
    for (const view of [
      'period_blockers',
      'monthly_usage',
      'reconciliation',
      'adjustments',
      'statement_files',
    ]) {
      const read = `select * from losant_usage.${view} limit 1`;
      expect([view, await refusal('losant_usage_closer', read)]).toEqual([view, null]);
    }
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
  test('reads all that is granted, and nothing of a later version that does not name it', async () => {
    const later = `create view losant_usage.of_a_later_version as select count(*) as cells from losant_usage.coverage`;
    await queryOnce(urlOf('losant_usage_migrator'), later);
    const relations = await queryOnce(
      database.url,
      `select relname, has_table_privilege('losant_usage_reader', oid, 'select') as may from pg_class
       where relnamespace = 'losant_usage'::regnamespace and relkind in ('r', 'v', 'm') order by relname`,
    );
    const withheld = relations.filter(({ may }) => may !== true).map(({ relname }) => relname);
    expect(withheld).toEqual([
      'contradicted_days',
      'instance_days',
      'leases',
      'load_lock',
      'of_a_later_version',
      'org_tracks',
      'quarantine',
      'runs',
      'summary_differences',
      'total_differences',
    ]);
    const granted = relations.filter(({ may }) => may === true).map(({ relname }) => String(relname));
    const read = [...granted, 'usage_as_of(now())'].map(
      (name) => `select * from losant_usage.${name} limit 1`,
    );
    expect(await refusals('losant_usage_reader', read)).toEqual(read.map(() => null));
    await queryOnce(urlOf('losant_usage_migrator'), 'drop view losant_usage.of_a_later_version');
  });

  test.each([
    ['the bodies of invalid answers', 'select body_gzip from losant_usage.quarantine'],
    ['the host that exports', 'select host from losant_usage.leases'],
    ['the host of a run', 'select host from losant_usage.runs'],
  ])('does not see %s', async (_, statement) => {
    expect(await refusal('losant_usage_reader', statement)).toBe(NO_RIGHT);
  });

  test.each([
    'select org_id, stream, from_date, to_date, code, problem, resolved_at from losant_usage.quarantine',
    'select instance_id, name, listed_at, list_problem from losant_usage.instances',
    'select shard_index, shard_count, since from losant_usage.leases',
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
    // Rights are checked before anything is read.
    const explained = asked.map(({ sql }) => `explain ${sql}`);
    const found = await refusals('losant_usage_reader', explained);
    expect(asked.filter((_, index) => found[index] !== null).map(({ name }) => name)).toEqual([]);
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
    // What the writer changed by hand above is in doubt.
    expect(await program('losant_usage_reader', 'status')).toMatchObject({ status: 3, stderr: '' });
    expect(await program('losant_usage_reader', 'gaps')).toMatchObject({ status: 3, stderr: '' });
    const [org] = await queryOnce(database.url, 'select org_id from losant_usage.organizations limit 1');
    const explained = ['explain', '--org', String(org?.['org_id']), '--day', '2026-11-03'];
    expect(await program('losant_usage_reader', ...explained)).toMatchObject({ status: 0, stderr: '' });
    const run = await program('losant_usage_reader', 'run');
    expect(run).toMatchObject({ status: 2, stdout: '' });
    expect(run.stderr).toContain('Transactions of the user losant_usage_reader on ');
  });
});

/** Each right that a role has on an object of the schema, by itself, by another role or because everybody has it. */
const RIGHTS = `
  select r.rolname || ': ' || object || ': ' || string_agg(right_name, ', ' order by place) as line
  from pg_roles r cross join lateral (
    select 'table ' || c.relname as object, p.name as right_name, p.place
    from pg_class c, unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger'])
      with ordinality as p (name, place)
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v')
      and has_table_privilege(r.oid, c.oid, p.name)
    union all
    select 'table ' || c.relname, p.name || ' (' || string_agg(a.attname, ', ' order by a.attnum) || ')', p.place
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped,
      unnest(array['select', 'insert', 'update', 'references']) with ordinality as p (name, place)
    where c.relnamespace = 'losant_usage'::regnamespace and c.relkind in ('r', 'v')
      and not has_table_privilege(r.oid, c.oid, p.name) and has_column_privilege(r.oid, c.oid, a.attnum, p.name)
    group by c.relname, p.name, p.place
    union all
    select 'function ' || f.oid::regprocedure::text, 'execute', 1 from pg_proc f
    where f.pronamespace = 'losant_usage'::regnamespace and has_function_privilege(r.oid, f.oid, 'execute')
    union all
    select 'schema', p.name, p.place from unnest(array['usage', 'create']) with ordinality as p (name, place)
    where has_schema_privilege(r.oid, 'losant_usage', p.name)
  ) as each
  where r.rolname in ('losant_usage_writer', 'losant_usage_closer', 'losant_usage_reader')
  group by r.rolname, object order by r.rolname, object collate "C"`;

test('every right of every role is one that was meant', async () => {
  const rows = await queryOnce(database.url, RIGHTS);
  const text = rows.map(({ line }) => `${String(line)}\n`).join('');
  await expect(text).toMatchFileSnapshot('rights.txt');
});

test('running the file again changes no right', async () => {
  const rights = `select relname, relacl::text from pg_class where relnamespace = 'losant_usage'::regnamespace
    union all select 'schema', nspacl::text from pg_namespace where nspname = 'losant_usage' order by 1`;
  const before = await queryOnce(database.url, rights);
  await queryOnce(urlOf(ADMINISTRATOR), ROLES_SQL);
  expect(await queryOnce(database.url, rights)).toEqual(before);
});

test('old months are removed by the migrator alone; what would go, the reader may ask', async () => {
  const before = ['--before', `${daysAgo(6).slice(0, 7)}-01`];
  const refused = await program('losant_usage_writer', 'prune', ...before);
  expect(refused).toMatchObject({ status: 2, stdout: '' });
  expect(refused.stderr).toContain('The user losant_usage_writer may not remove numbers');
  expect(refused.stderr).toContain('use the role that owns the tables (losant_usage_migrator)');
  // The only month has numbers that are not final.
  expect(await program('losant_usage_reader', 'prune', ...before, '--dry-run')).toMatchObject({ status: 3 });
  expect(await program('losant_usage_migrator', 'prune', ...before)).toMatchObject({ status: 3 });
});
