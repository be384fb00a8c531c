/** What pages and files read of statements: totals, and what each customer is billed. */
import { sql } from 'kysely';
import { beforeAll, expect, test } from 'vitest';
import { readAdjustments, readMonthBlockers, readMonths } from '../../src/billing/months.ts';
import {
  readCustomerLines,
  readCustomers,
  readDraftTotals,
  readStatements,
  readStatementTotals,
} from '../../src/billing/statements.ts';
import { DEVICES, useBooks } from './books.ts';

const MONTH = '2026-03';
const books = useBooks();
let [firstId, secondId, lonelyId] = ['', '', ''];

beforeAll(async () => {
  const days = { from: '2026-03-10', to: '2026-03-12' };
  firstId = await books.addFinalOrg({ ...days, name: 'Beta', customerId: 'C-1' });
  secondId = await books.addFinalOrg({ ...days, name: 'Alpha', customerId: 'C-1' });
  lonelyId = await books.addFinalOrg({ ...days, name: 'Lonely_%' });
  await books.close(MONTH);
  await books.restate(firstId, '2026-03-11', { old: DEVICES, numbers: { ...DEVICES, devices_created: 9 } });
  await books.close(MONTH, '--adjust');
  await books.restate(secondId, '2026-03-11', { old: DEVICES, numbers: { ...DEVICES, devices_created: 1 } });
});

test('statements are read in order, with their totals by metric', async () => {
  const { db } = books.reader;
  const statements = await readStatements(db, MONTH);
  expect(statements).toMatchObject([
    { number: 1, month: MONTH, kind: 'closing', orgs: 3, reason: null, blockers: null },
    { number: 2, month: MONTH, kind: 'adjustment', orgs: 1 },
  ]);
  expect(await readStatementTotals(db, statements[0]?.statementId ?? '')).toEqual([
    { metric: 'devices_created', unit: 'devices', kind: 'flow', quantity: '36', orgs: 3 },
    { metric: 'devices_deleted', unit: 'devices', kind: 'flow', quantity: '9', orgs: 3 },
    { metric: 'devices_total', unit: 'devices', kind: 'level', quantity: '51', orgs: 3 },
  ]);
  expect(await readDraftTotals(db, { month: MONTH, isAdjustment: true })).toMatchObject([{ quantity: '-3', orgs: 1 }]);
});

test.each([
  [{}, ['C-1 2 Alpha, Beta', 'LONELY 1 Lonely_%']],
  [{ limit: 1, offset: 1 }, ['LONELY 1 Lonely_%']],
  [{ search: 'BET' }, ['C-1 2 Alpha, Beta']],
  [{ search: 'c-1' }, ['C-1 2 Alpha, Beta']],
  [{ search: 'y_%' }, ['LONELY 1 Lonely_%']],
  [{ search: 'A%a' }, []],
])('customers are listed by name: %j', async (page, expected) => {
  const customers = await readCustomers(books.reader.db, MONTH, { limit: 10, ...page });
  const lines = customers.map(({ key, orgs, orgNames }) => `${key.replace(lonelyId, 'LONELY')} ${orgs} ${orgNames}`);
  expect(lines).toEqual(expected);
});

test('a customer is billed by every statement, for all its organizations', async () => {
  const lines = await readCustomerLines(books.reader.db, MONTH, 'C-1');
  expect(lines.map(({ number, orgName, metric, quantity }) => `${number} ${orgName} ${metric} ${quantity}`)).toEqual([
    '1 Alpha devices_created 12',
    '1 Alpha devices_deleted 3',
    '1 Alpha devices_total 17',
    '1 Beta devices_created 12',
    '1 Beta devices_deleted 3',
    '1 Beta devices_total 17',
    '2 Beta devices_created 5',
  ]);
  expect(await readCustomerLines(books.reader.db, MONTH, lonelyId)).toHaveLength(3);
});

test('months, blockers and adjustments are read up to a limit', async () => {
  const { db } = books.reader;
  expect((await readMonths(db)).find(({ month }) => month === MONTH)).toMatchObject({
    state: 'needs_adjustment',
    hasEnded: true,
    orgsToAdjust: 1,
    linesToAdjust: 1,
    statements: 2,
  });
  expect(await readAdjustments(db, MONTH, 1)).toMatchObject([
    { orgId: secondId, metric: 'devices_created', billedQuantity: 12, quantity: 9, difference: -3, cause: 'restated' },
  ]);
  await books.write(sql`update losant_usage.instance set list_problem = 'page 2 failed'`);
  const blockers = await readMonthBlockers(db, '2026-11', 1);
  expect(blockers).toMatchObject([{ orgId: null, remedy: expect.any(String) as string }]);
});
