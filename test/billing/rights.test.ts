/** Only the closer can close a month, and only through the closing functions. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { queryOnce } from '../support/databases.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { INSTANCE, useBooks } from './books.ts';

const books = useBooks();
type Role = 'reader' | 'writer' | 'closer';
const users = new Map<Role, string>();

beforeAll(async () => {
  const orgId = await books.addOrg({ from: '2026-03-10', to: '2026-03-12' });
  await books.addCells({ orgId, from: '2026-03-10', to: '2026-03-12' });
  await books.addCells({ orgId, from: '2026-04-10', to: '2026-04-12' });
  await books.close('2026-03');
  for (const role of ['reader', 'writer', 'closer'] as const) users.set(role, await createUser(role));
});

afterAll(async () => {
  for (const name of users.values()) await queryOnce(books.url, `drop owned by ${name}; drop role ${name}`);
});

/** Creates a user with the rights of a role of deploy/postgres/roles.sql, and of the reader. */
async function createUser(role: Role): Promise<string> {
  const { url } = books;
  const name = `losant_usage_books_${role}_${randomBytes(4).toString('hex')}`;
  await queryOnce(url, `create role ${name} login password 'for-this-test-only'`);
  await queryOnce(url, `grant usage on schema simulated to ${name}`);
  const [rights] = await queryOnce(
    url,
    `select prosrc from pg_proc where oid = 'losant_usage.grant_rights'::regproc`,
  );
  const granted = String(rights?.['prosrc'])
    .replaceAll('losant_usage_reader', name)
    .replaceAll(`losant_usage_${role}`, name)
    .replaceAll(/'losant_usage_(writer|closer)'/g, `'losant_usage_nobody'`);
  await queryOnce(url, `do $do$${granted}$do$`);
  return name;
}

function urlOf(role: Role): string {
  const url = new URL(books.url);
  url.username = users.get(role) ?? '';
  url.password = 'for-this-test-only';
  return url.href;
}

/** The errors of Postgres, the triggers and the closing functions. */
const REFUSED = new RegExp(
  [
    'permission denied',
    'cannot (delete|insert|update)',
    'must have its proof pack',
    'belongs to another statement',
    'is sealed or does not exist',
    'violates check constraint',
    'is not allowed',
  ].join('|'),
);

/** What a forger tries: most roles have no privilege, and the closing functions check their arguments. */
const FORGERIES: readonly string[] = [
  `insert into losant_usage.statements (statement_id, instance_id, month, number, kind, orgs, rules, reconciliation,
    closed_at, closed_by)
    select gen_random_uuid(), instance_id, '2030-01-01', 99, 'closing', 0, '{}', '[]', now(),
      'cfo' from losant_usage.instances`,
  'insert into losant_usage.statement_lines select * from losant_usage.statement_lines',
  'insert into losant_usage.statement_files select * from losant_usage.statement_files',
  'insert into losant_usage.statement_blockers select * from losant_usage.statement_blockers',
  'update losant_usage.statement_lines set quantity = 0',
  'delete from losant_usage.statements',
  'truncate losant_usage.statement_files',
  'delete from losant_usage.months',
  'delete from losant_usage_internal.closing_lock',
  'delete from losant_usage_internal.ledger_lock',
  'update losant_usage.instance_totals set quantity = 0',
  'update losant_usage.instances set list_problem = null',
  `update losant_usage.organizations set deleted_on = '2026-01-01'`,
  `begin isolation level repeatable read; select losant_usage.begin_statement('${INSTANCE}', '2026-04-01',
    false, null, null, now()); commit`,
  `begin isolation level repeatable read; select losant_usage.add_pack_file(
    (losant_usage.begin_statement('${INSTANCE}', '2026-04-01', false, null, null, now())
      ->> 'id')::uuid, '../../evil.txt', '')`,
  `begin isolation level repeatable read; select losant_usage.add_pack_file(
    (losant_usage.begin_statement('${INSTANCE}', '2026-04-01', false, null, null, now())
      ->> 'id')::uuid, 'manifest.json', '{"statement": {}}')`,
  `select losant_usage.add_pack_file(statement_id, 'lines.csv', '') from losant_usage.statements`,
  `select losant_usage.add_pack_file(gen_random_uuid(), 'lines.csv', '')`,
];

describe('a statement', () => {
  test.for(['reader', 'writer', 'closer'] as const)('cannot be forged by the %s', async (role) => {
    const statements = () =>
      queryOnce(books.url, 'select statement_id, number, manifest_sha256 from losant_usage.statements');
    const before = await statements();
    for (const forgery of FORGERIES) {
      const client = new pg.Client({ connectionString: urlOf(role) });
      await client.connect();
      await expect(client.query(forgery)).rejects.toThrow(REFUSED);
      await client.end();
    }
    expect(await statements()).toEqual(before);
  });

  // Guarantee (Billing): Only the closer role can create statements, and each has the name of the database user who
  // closed.
  test('is drafted by the reader and created by the closer, with the name of the database user', async () => {
    const asRole = async (role: Role, ...args: readonly string[]) =>
      await runProgram(['close', '--month', '2026-04', '--instance', INSTANCE, '--json', ...args], {
        DATABASE_URL: urlOf(role),
      });
    const draft = await asRole('reader', '--dry-run');
    expect([draft.code, draft.stderr]).toEqual([0, '']);
    const drafted = { instanceId: INSTANCE, outcome: 'dry_run', blockersHash: null, lineCount: 3 };
    expect(jsonOf(draft)).toMatchObject({ instances: [drafted] });
    expect((await asRole('reader')).code).toBe(2);
    expect((await asRole('writer')).code).toBe(2);
    const closed = await asRole('closer');
    const statement = { outcome: 'closed', kind: 'closing', number: 2, closedBy: users.get('closer') };
    expect([closed.code, jsonOf(closed)]).toMatchObject([0, { instances: [statement] }]);
    expect((await books.verifyMonth('2026-04')).problems).toEqual([]);
  });
});
