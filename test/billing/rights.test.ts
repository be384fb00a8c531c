/** Only the closer can close a month, and only through the closing functions. */
import { beforeAll, describe, expect, test } from 'vitest';
import { queryOnce } from '../support/databases.ts';
import { jsonOf, runProgram } from '../support/program.ts';
import { loginAs, type Role } from '../support/roles.ts';
import { INSTANCE, useBooks } from './books.ts';

const books = useBooks();

let orgId: string;

beforeAll(async () => {
  orgId = await books.addFinalOrg({ from: '2026-03-10', to: '2026-03-12' });
  await books.addCells({ orgId, from: '2026-04-10', to: '2026-04-12' });
  await books.close('2026-03');
});

const REFUSED = new RegExp(
  [
    'permission denied',
    'cannot (delete|insert|update)',
    'must have its proof pack',
    'belongs to another statement',
    'is sealed or does not exist',
    'does not match the files',
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
  'insert into losant_usage_internal.closing_lock values (true)',
  'insert into losant_usage_internal.ledger_lock values (true)',
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
    // The reader's transactions are read-only by default, which a forger changes.
    const forger = `${loginAs(role, books.url)}?options=-c%20default_transaction_read_only%3Doff`;
    for (const forgery of FORGERIES) await expect(queryOnce(forger, forgery)).rejects.toThrow(REFUSED);
    expect(await statements()).toEqual(before);
  });

  test.each(['share', 'share row exclusive', 'access exclusive'])(
    'is created without the right to lock the ledger in %s mode',
    async (mode) => {
      const lock = `begin; lock table losant_usage_internal.ledger_lock in ${mode} mode; commit`;
      await expect(queryOnce(loginAs('closer', books.url), lock)).rejects.toThrow('permission denied');
      const ofTables = 'begin; lock table losant_usage.coverage in row exclusive mode; commit';
      await expect(queryOnce(loginAs('closer', books.url), ofTables)).rejects.toThrow('permission denied');
    },
  );

  // Guarantee (Billing): Only the closer role can create statements, and each has the name of the database user who
  // closed.
  test('is drafted by the reader and created by the closer, with the name of the database user', async () => {
    const asRole = async (role: Role, ...args: readonly string[]) => {
      const database = { DATABASE_URL: loginAs(role, books.url) };
      const ended = await runProgram(['close', '--instance', INSTANCE, '--json', ...args], database);
      return [ended.code, jsonOf(ended)];
    };
    const april = ['--month', '2026-04'];
    const adjust = [...april, '--adjust'];
    const draft = { instanceId: INSTANCE, outcome: 'dry_run', blockersHash: null, lineCount: 3 };
    expect(await asRole('reader', ...april, '--dry-run')).toMatchObject([0, { instances: [draft] }]);
    for (const role of ['reader', 'writer'] as const) expect(await asRole(role, ...april)).toMatchObject([2, {}]);
    const statement = { outcome: 'closed', kind: 'closing', number: 2, closedBy: 'losant_usage_closer' };
    expect(await asRole('closer', ...april)).toMatchObject([0, { instances: [statement] }]);
    await books.restate(orgId, '2026-04-11', { old: { devices_created: 4 }, numbers: { devices_created: 6 } });
    const lines = [{ metric: 'devices_created', quantity: '2' }];
    const preview = { outcome: 'dry_run', lines };
    expect(await asRole('reader', ...adjust, '--dry-run')).toMatchObject([0, { instances: [preview] }]);
    expect(await asRole('closer', ...adjust)).toMatchObject([0, { instances: [{ number: 3, lines }] }]);
    for (const role of ['reader', 'writer'] as const)
      expect(await asRole(role)).toMatchObject([0, { months: [{}, { state: 'closed' }, { state: 'closed' }] }]);
  });
});
