/** Closing by the periods that Losant has for each organization. */
import { sql } from 'kysely';
import { afterEach, expect, test } from 'vitest';
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
    await sql`insert into losant_usage.organization_history
        (org_id, valid_from, valid_to, instance_id, name, tags, limits, is_read_only, current_period_start, current_period_end)
      select org_id, ${start}, ${seen}, instance_id, name, tags, limits, false, ${start}, ${starts[index + 1]}
      from losant_usage.organizations where org_id = ${orgId}`.execute(books.ledger.db);
  }
}

test('a month closes the periods that end in it, and refuses days that lie in no known one', async () => {
  books = await openBooks();
  await sql`update losant_usage.instances set billing_periods = 'losant'`.execute(books.ledger.db);
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
  await sql`update losant_usage.instances set billing_periods = 'losant'`.execute(books.ledger.db);
  await seePeriods(orgId, '2026-08-15T00:00Z', '2026-09-15T00:00Z');
  await expect(books.closeMonth('2026-09', { source: 'losant' })).rejects.toThrow(
    `the period 2026-08-15 to 2026-09-14 of organization ${orgId} has days of 2026-08, which is closed`,
  );
});
