/** Closing by the periods that Losant has for each organization. */
import { sql } from 'kysely';
import { afterEach, expect, test } from 'vitest';
import { devices } from '../views/loads.ts';
import { type Books, openBooks, whyNot } from './books.ts';

let books: Books;

afterEach(() => books.close());

const linesOf = (orgId: string) =>
  books.ask(sql`select period_start, period_end, quantity, days_in_period, days_stored
    from losant_usage.statement_lines where org_id = ${orgId} and metric = 'devices_created' order by period_start`);

async function seePeriods(orgId: string, ...starts: readonly string[]): Promise<void> {
  for (const [index, start] of starts.slice(0, -1).entries()) {
    // Of all versions but the last it is known when another was seen.
    const seen = starts[index + 2] === undefined ? null : (starts[index + 1] ?? null);
    await books.ledger.ask(sql`insert into losant_usage.organization_history
        (org_id, valid_from, valid_to, instance_id, name, tags, limits, is_read_only, current_period_start, current_period_end)
      select org_id, ${start}, ${seen}, instance_id, name, tags, limits, false, ${start}, ${starts[index + 1]}
      from losant_usage.organizations where org_id = ${orgId}`);
  }
}

test('a month closes the periods that end in it, and refuses days that lie in no known one', async () => {
  books = await openBooks();
  await books.ledger.ask(sql`update losant_usage.instances set billing_periods = 'losant'`);
  const orgId = await books.orgOf({ from: '2026-07-30', to: '2026-08-14' });
  await seePeriods(orgId, '2026-08-03T00:00Z', '2026-08-10T06:00Z', '2026-08-20T00:00Z');

  // 30 and 31 July came before the first period that was seen.
  const july = await books.closeMonth('2026-07', { source: 'losant' });
  expect(whyNot(july)).toEqual(['2 days in no known billing period']);
  const august = await books.closeMonth('2026-08', { source: 'losant' });
  expect(whyNot(august)).toEqual(['2 days in no known billing period']);
  expect(await books.closeMonth('2026-08', { source: 'losant', reason: 'billed by hand' })).toMatchObject({
    kind: 'closed',
    statement: { source: 'losant', orgs: 1 },
  });
  // A day belongs to the period that holds its 00:00Z: the 10th to the first.
  expect(await linesOf(orgId)).toEqual([
    { period_start: '2026-08-03', period_end: '2026-08-10', quantity: 32, days_in_period: 8, days_stored: 8 },
    { period_start: '2026-08-11', period_end: '2026-08-19', quantity: 16, days_in_period: 9, days_stored: 4 },
  ]);
  expect((await books.verifyMonth('2026-08')).problems).toEqual([]);
});

test('no day is billed twice when the periods are changed between two months', async () => {
  books = await openBooks();
  const orgId = await books.orgOf({ from: '2026-08-20', to: '2026-09-05' });
  expect((await books.closeMonth('2026-08')).kind).toBe('closed');
  await books.ledger.ask(sql`update losant_usage.instances set billing_periods = 'losant'`);
  await seePeriods(orgId, '2026-08-15T00:00Z', '2026-09-15T00:00Z');
  const refused = await books.closeMonth('2026-09', { source: 'losant' });
  expect([refused.kind, whyNot(refused)]).toEqual(['refused', ['17 days billed with another month']]);
  expect(
    await books.closeMonth('2026-09', { source: 'losant', reason: 'from here on by periods of Losant' }),
  ).toMatchObject({ kind: 'closed', blockers: [{ orgId, from: '2026-08-15', to: '2026-09-14' }] });
  expect(await linesOf(orgId)).toEqual([
    {
      period_start: '2026-08-01',
      period_end: '2026-08-31',
      quantity: 48,
      days_in_period: 31,
      days_stored: 12,
    },
    {
      period_start: '2026-09-01',
      period_end: '2026-09-14',
      quantity: 20,
      days_in_period: 14,
      days_stored: 5,
    },
  ]);
  expect((await books.verifyMonth('2026-09')).problems).toEqual([]);
});

test('a period that was billed is adjusted as it was billed, though Losant has another since', async () => {
  books = await openBooks();
  await books.ledger.ask(sql`update losant_usage.instances set billing_periods = 'losant'`);
  const orgId = await books.orgOf({ from: '2026-08-03', to: '2026-08-14' });
  await seePeriods(orgId, '2026-08-03T00:00Z', '2026-08-10T00:00Z', '2026-08-20T00:00Z');
  expect((await books.closeMonth('2026-08', { source: 'losant' })).kind).toBe('closed');
  await books.ledger.ask(sql`update losant_usage.organization_history set current_period_start = '2026-08-07T00:00Z'
    where org_id = ${orgId} and current_period_start = '2026-08-10T00:00Z'`);
  expect(await books.closeMonth('2026-08', { source: 'losant', isAdjustment: true })).toEqual({
    kind: 'unchanged',
  });
  await books.ledger.load([
    { ...devices(orgId, '2026-08-08', 5, 1, 17), sentAtMs: Date.parse('2026-11-22T13:00:00Z') },
  ]);
  expect(await books.closeMonth('2026-08', { source: 'losant', isAdjustment: true })).toMatchObject({
    kind: 'closed',
    bills: [{ orgId, from: '2026-08-03', to: '2026-08-09', quantities: { devices_created: '1' } }],
  });
  // Of a billed period that is no longer one of the organization, what is missing blocks as ever.
  await books.ledger.ask(sql`update losant_usage.usage_days set devices_created = null, devices_deleted = null, devices_total = null
    where org_id = ${orgId} and usage_date = '2026-08-12'`);
  const refused = await books.closeMonth('2026-08', { source: 'losant', isAdjustment: true });
  expect(refused.kind).toBe('refused');
  expect(new Set(whyNot(refused))).toEqual(new Set(['1 day changed by hand (device_counts)']));
});
