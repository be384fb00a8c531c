/** Closing and adjusting a month by the command, as the writer: what is rejected, and what a statement contains. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { asOwner, asWriter } from '../support/databases.ts';
import { jsonOf, type Refusal, runProgram } from '../support/program.ts';
import { loginAs } from '../support/roles.ts';
import { DEVICES, useBooks } from './books.ts';

const books = useBooks();

/** Adds an organization whose third day is missing. */
const addOrgWithoutDay = async (month: string) => {
  const orgId = await books.addOrg({ from: `${month}-10`, to: `${month}-12` });
  await books.addCells({ orgId, from: `${month}-10`, to: `${month}-11` });
  await books.addCells({ orgId, from: `${month}-12`, standing: 'missing', numbers: null });
  return orgId;
};

const readStatements = (month: string) =>
  books.list(sql`select number, kind, reason, created_by, jsonb_array_length(blockers) from losant_usage.statements
    where month = ${`${month}-01`} order by number`);

describe('a month', () => {
  test('without blockers is closed once, with its sums and the last, highest and average level', async () => {
    const orgId = await books.addFinalOrg({ from: '2026-03-10', to: '2026-03-12' });
    await books.restate(orgId, '2026-03-11', { old: DEVICES, numbers: { ...DEVICES, devices_total: 21 } });
    const ended = await books.close('2026-03', '--json');
    expect(ended.code).toBe(0);
    expect(jsonOf(ended)).toMatchObject({
      month: '2026-03',
      statement: { kind: 'closing', month: '2026-03', orgs: 1, reason: null, blockers: null },
      blockers: [],
      totals: [
        { metric: 'devices_created', unit: 'devices', kind: 'flow', quantity: '12', orgs: 1 },
        { metric: 'devices_deleted', unit: 'devices', kind: 'flow', quantity: '3', orgs: 1 },
        { metric: 'devices_total', unit: 'devices', kind: 'level', quantity: '17', orgs: 1 },
      ],
    });
    expect(await books.lines('2026-03', orgId)).toEqual([
      '1 closing devices_created 12 - -',
      '1 closing devices_deleted 3 - -',
      '1 closing devices_total 17 21 18.33',
    ]);
    expect(await readStatements('2026-03')).toEqual(['1 closing - losant_usage_writer -']);
    const again = await books.close('2026-03');
    expect(again.code).toBe(2);
    expect(again.stderr).toMatch(/2026-03 was already closed on .* by losant_usage_writer/);
    expect(again.stderr).toContain('losant-usage close --month 2026-03 --adjust');
  });

  test('with blockers exits 3 and says what to do, and is closed with a reason, over its stored days', async () => {
    const orgId = await addOrgWithoutDay('2026-04');
    const blocked = await books.close('2026-04');
    expect([blocked.code, blocked.stdout.split('\n')]).toEqual([
      3,
      [
        '2026-04 is blocked:',
        '  missing: Acme; 1 day, 2026-04-12; device_counts; never_read',
        `    losant-usage waive --org ${orgId} --day 2026-04-12..2026-04-12 --stream device_counts --reason TEXT`,
        'To close it nevertheless:',
        '  losant-usage close --month 2026-04 --accept-blockers --reason TEXT',
        '',
      ],
    ]);
    expect(await readStatements('2026-04')).toEqual([]);
    expect((await books.close('2026-04', '--accept-blockers')).code).toBe(2);
    expect((await books.close('2026-04', '--reason', 'because')).code).toBe(2);
    expect((await books.accept('2026-04')).code).toBe(0);
    expect(await readStatements('2026-04')).toEqual(['2 closing agreed with the customer losant_usage_writer 1']);
    const lines = sql`select quantity, days_expected, days_stored, days_final from losant_usage.statement_lines
      where org_id = ${orgId} and metric = 'devices_created'`;
    expect(await books.list(lines)).toEqual(['8 3 2 2']);
    const blockers = sql`select b ->> 'org_id' = ${orgId} as is_org, b ->> 'cause' as cause, b ->> 'days' as days
      from losant_usage.statements s cross join jsonb_array_elements(s.blockers) as b where s.month = '2026-04-01'`;
    expect(await books.list(blockers)).toEqual(['true missing 1']);
  });

  test('without blockers has no reason, even if one was given', async () => {
    await books.addFinalOrg({ from: '2026-05-10', to: '2026-05-12' });
    expect((await books.accept('2026-05')).code).toBe(0);
    expect((await readStatements('2026-05')).join()).toMatch(/^\d+ closing - losant_usage_writer -$/);
  });

  test.each([
    ['that has not ended', ['2026-11', '--accept-blockers', '--reason', 'now'], '2026-11 has not ended (UTC)'],
    ['without anything to bill', ['2019-01'], '2019-01 has nothing to bill'],
    ['that is not closed', ['2019-02', '--adjust'], '2019-02 is not closed, so there is nothing to adjust'],
  ])('%s is rejected', async (_, [month = '', ...options], message) => {
    const ended = await books.close(month, ...options, '--json');
    expect([ended.code, jsonOf<Refusal>(ended).error.message]).toEqual([2, expect.stringContaining(message)]);
    expect(await readStatements(month)).toEqual([]);
  });

  test('is shown and not saved by a dry run of the reader, and closed by no reader', async () => {
    await books.addFinalOrg({ from: '2026-06-10', to: '2026-06-12' });
    const ready = await books.close('2026-06', '--dry-run');
    expect([ready.code, ready.stdout]).toEqual([0, expect.stringMatching(/devices_created +12 +devices +1 org/)]);
    await addOrgWithoutDay('2026-06');
    expect(await books.close('2026-06', '--dry-run')).toMatchObject({ code: 3 });
    const env = { DATABASE_URL: loginAs('reader', books.url) };
    expect((await runProgram(['close', '--month', '2026-06'], env)).code).toBe(2);
    expect(await readStatements('2026-06')).toEqual([]);
  });

  test('names customers as they were at its end', async () => {
    const orgId = await books.addFinalOrg({ from: '2026-07-10', to: '2026-07-12', customerId: 'first' });
    const change = (customer: string, at: string) => [
      sql`update losant_usage.organization_history set valid_to = ${at} where org_id = ${orgId} and valid_to is null`,
      sql`insert into losant_usage.organization_history (org_id, valid_from, name, customer_id, tags, limits)
        values (${orgId}, ${at}, 'Acme', ${customer}, '[]', '{}')`,
    ];
    await books.write(...change('second', '2026-07-31T23:59Z'), ...change('third', '2026-08-01T00:00Z'));
    await books.close('2026-07');
    const customers = sql`select distinct customer_id from losant_usage.statement_lines where org_id = ${orgId}`;
    expect(await books.list(customers)).toEqual(['second']);
  });
});

test('without a month, months are listed with the next command', async () => {
  const { code, stdout } = await runProgram(['close'], { DATABASE_URL: books.url });
  expect(code).toBe(0);
  expect(stdout).toMatch(/2026-11 +in_progress/);
  expect(stdout).toMatch(/2026-06 +blocked +missing: 1 organization +losant-usage close --month 2026-06 --dry-run/);
  expect(stdout).toMatch(/2026-03 +closed/);
});

describe('an adjustment', () => {
  const restated = { ...DEVICES, devices_created: 9 };

  test('bills each difference once, also of numbers that are not settled', async () => {
    const orgId = await books.addFinalOrg({ from: '2026-08-10', to: '2026-08-12' });
    await books.addFinalOrg({ from: '2026-08-10', to: '2026-08-12' });
    await books.close('2026-08');
    const unchanged = await books.close('2026-08', '--adjust');
    expect([unchanged.code, unchanged.stdout]).toEqual([0, 'Nothing of 2026-08 has changed since it was billed.\n']);
    await books.restate(orgId, '2026-08-11', { old: DEVICES, numbers: restated });
    await books.setStanding(orgId, '2026-08-11', 'in_doubt');
    const adjustments = sql`select metric, billed_quantity, quantity, difference, cause from losant_usage.adjustments
      where month = '2026-08-01'`;
    expect(await books.list(adjustments)).toEqual(['devices_created 12 17 5 restated']);
    const preview = jsonOf(await books.close('2026-08', '--adjust', '--dry-run', '--json'));
    expect(preview).toMatchObject({ totals: [{ metric: 'devices_created', quantity: '5', orgs: 1 }] });
    expect((await books.close('2026-08', '--adjust')).stdout).toMatch(/^Adjusted 2026-08: statement \d+, 1 organ/);
    expect((await books.lines('2026-08', orgId)).slice(3)).toEqual([
      expect.stringMatching(/^\d+ adjustment devices_created 5 - -$/),
    ]);
    expect((await books.close('2026-08', '--adjust')).stdout).toContain('Nothing of 2026-08 has changed');
  });

  test('bills numbers and organizations that were first loaded after the closing', async () => {
    const orgId = await addOrgWithoutDay('2026-09');
    await books.accept('2026-09');
    await books.fill(orgId, '2026-09-12', 'device_counts', DEVICES);
    const lateOrgId = await books.addOrg({ from: '2026-09-30' });
    await books.addCells({ orgId: lateOrgId, from: '2026-09-30', isLate: true });
    const causes = sql`select distinct cause from losant_usage.adjustments where month = '2026-09-01'`;
    expect(await books.list(causes)).toEqual(['first_loaded']);
    await books.close('2026-09', '--adjust');
    expect((await books.lines('2026-09', orgId)).slice(3).map((line) => line.replace(/^\d+ /, ''))).toEqual([
      'adjustment devices_created 4 - -',
      'adjustment devices_deleted 1 - -',
    ]);
    expect((await books.lines('2026-09', lateOrgId)).map((line) => line.replace(/^\d+ /, ''))).toEqual([
      'adjustment devices_created 4 - -',
      'adjustment devices_deleted 1 - -',
      'adjustment devices_total 17 17 17.00',
    ]);
  });

  test('of a level of which only the maximum changed is 0, with the maximum', async () => {
    const orgId = await books.addFinalOrg({ from: '2026-02-10', to: '2026-02-12' });
    await books.close('2026-02');
    await books.restate(orgId, '2026-02-11', { old: DEVICES, numbers: { ...DEVICES, devices_total: 20 } });
    await books.close('2026-02', '--adjust');
    expect((await books.lines('2026-02', orgId)).at(-1)).toMatch(/adjustment devices_total 0 20 18.00$/);
    expect(await books.list(sql`select * from losant_usage.adjustments where month = '2026-02-01'`)).toEqual([]);
  });
});

test('what is recorded cannot be changed, not even by the owner', async () => {
  for (const table of ['statements', 'statement_lines', 'revisions']) {
    for (const change of [`update ${table} set month = month`, `delete from ${table}`, `truncate ${table} cascade`]) {
      const statement = change.replace(table, `losant_usage.${table}`).replace('month = month', 'reason = reason');
      const runnable = table === 'statement_lines' ? statement.replaceAll('reason', 'unit') : statement;
      await expect(asOwner(books.url, runnable)).rejects.toThrow(/is not allowed/);
      await expect(asWriter(books.url, runnable)).rejects.toThrow(/permission denied/);
    }
  }
  const forged = `insert into losant_usage.statements (number, month, kind, created_by)
    values (99, '2020-01-01', 'closing', 'cfo')`;
  await expect(asWriter(books.url, forged)).rejects.toThrow(/permission denied/);
});
