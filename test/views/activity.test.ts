/** Comparisons with earlier days: the function usage_compared and the view organization_activity. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { addDays } from '../../src/usage/day.ts';
import { useFreshLedger } from '../ledger/ledger.ts';

/** A Tuesday. */
const TODAY = '2026-11-24';
const ledger = useFreshLedger(`${TODAY}T12:00:00.000Z`);

/** Adds an organization with billable payloads by the age of the day; null for a day that is not stored. */
async function addOrg(
  payloads: Readonly<Record<number, number | null>>,
  createdOn?: string,
): Promise<string> {
  const ages = Object.keys(payloads).map(Number);
  const oldest = addDays(TODAY, -Math.max(...ages));
  const orgId = await ledger.createOrg({ createdOn: createdOn ?? null });
  await ledger.expectDays(
    { from: oldest, to: addDays(TODAY, -Math.min(...ages)) },
    ['payload_totals'],
    orgId,
  );
  await ledger.asProgram(
    ...Object.entries(payloads).map(
      ([age, count]) => sql`update losant_usage.usage_days set payload_billable_count = ${count},
        payload_all_count = ${count}, payload_all_bytes = ${count}
        where org_id = ${orgId} and usage_date = ${TODAY}::date - ${age}::integer`,
    ),
  );
  return orgId;
}

describe('usage_compared', () => {
  const compare = (orgId: string, comparison: string, days: { from: string; to: string }) =>
    ledger.list(sql`
      select to_char(usage_date, 'MM-DD') as day, quantity, previous_date::text as previous_day, previous_quantity
      from losant_usage.usage_compared('payload_billable_count', ${days.from}, ${days.to}, ${comparison})
      where org_id = ${orgId} order by usage_date`);

  test.each([
    ['previous_days', '2026-11-20'],
    ['same_weekdays', '2026-11-15'],
    ['previous_year', '2025-11-23'],
  ])('compares two days with %s: the first with %s', async (comparison, previousDay) => {
    const orgId = await addOrg({ 1: 17, 2: 18 });
    const days = await compare(orgId, comparison, { from: '2026-11-22', to: '2026-11-23' });
    expect(days).toEqual([`11-22 18 ${previousDay} -`, `11-23 17 ${addDays(previousDay, 1)} -`]);
  });

  test('is null on a day that is not stored, and 0 before the organization was created', async () => {
    const orgId = await addOrg({ 1: 17, 2: null, 3: 4, 4: 5 }, '2026-11-20');
    expect(await compare(orgId, 'previous_days', { from: '2026-11-21', to: '2026-11-23' })).toEqual([
      '11-21 4 2026-11-18 0',
      '11-22 - 2026-11-19 0',
      '11-23 17 2026-11-20 5',
    ]);
  });
});

describe('organization_activity', () => {
  const activity = async (orgId: string) => {
    const [line] = await ledger.list(sql`
      select last_7_days_quantity, baseline_quantity, change_ratio, is_new, is_recently_deleted, is_silent,
        has_large_change
      from losant_usage.organization_activity where org_id = ${orgId}`);
    return line;
  };
  /** Returns the same payloads for each of the last 7 days, and other ones for the 28 days before. */
  const weeks = (last7Days: number, previousDays: number) =>
    Object.fromEntries(Array.from({ length: 35 }, (_, age) => [age + 1, age < 7 ? last7Days : previousDays]));

  test.each([
    ['usage as before', weeks(10, 10), '70 70.00 0.0000 false false false false'],
    ['half as much again', weeks(15, 10), '105 70.00 0.5000 false false false true'],
    ['half as much', weeks(5, 10), '35 70.00 -0.5000 false false false true'],
    ['a little more', weeks(14, 10), '98 70.00 0.4000 false false false false'],
    [
      'zeros for three days',
      { ...weeks(10, 10), 1: 0, 2: 0, 3: 0 },
      '40 70.00 -0.4286 false false true false',
    ],
    ['zeros for two days', { ...weeks(10, 10), 1: 0, 2: 0 }, '50 70.00 -0.2857 false false false false'],
    ['only zeros', weeks(0, 0), '0 0.00 - false false false false'],
    [
      'a day that is not stored, so it is not silent',
      { ...weeks(10, 10), 1: null, 2: 0, 3: 0 },
      '40 60.00 -0.3333 false false false false',
    ],
  ])('of an organization with %s', async (_, payloads, expected) => {
    expect(await activity(await addOrg(payloads))).toBe(expected);
  });

  test.each([
    ['2026-11-17', true],
    ['2026-11-16', false],
  ])('is_new of an organization that was created on %s: %s', async (createdOn, isNew) => {
    const line = await activity(await addOrg({ 1: 5 }, createdOn));
    expect(line?.split(' ')[3]).toBe(String(isNew));
  });
});
