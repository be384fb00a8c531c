/** Comparisons with earlier days: the function usage_compared and the view organization_activity. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { addDays } from '../../src/usage/day.ts';
import { useFreshLedger } from '../ledger/ledger.ts';

/** A Tuesday. */
const TODAY = '2026-11-24';
const ledger = useFreshLedger(`${TODAY}T12:00:00.000Z`);

/** Adds an organization with billable payloads by the age of the day; null for a day that is not stored. */
async function addOrg(payloads: Readonly<Record<number, number | null>>, createdOn?: string): Promise<string> {
  const ages = Object.keys(payloads).map(Number);
  const oldest = addDays(TODAY, -Math.max(...ages));
  const orgId = await ledger.createOrg({ createdOn: createdOn ?? null });
  await ledger.expectDays({ from: oldest, to: addDays(TODAY, -Math.min(...ages)) }, ['payload_totals'], orgId);
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
    ['four_weeks', '2026-10-25'],
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

  test('has no rows for a metric that does not exist, not even a 0 before the organization was created', async () => {
    await addOrg({ 1: 17, 2: 18 }, '2026-11-24');
    const compareMetric = (metric: string | null) =>
      ledger.list(sql`select quantity, previous_quantity
        from losant_usage.usage_compared(${metric}, '2026-11-22', '2026-11-23', 'previous_days') order by usage_date`);
    expect(await compareMetric('payload_all_count')).toEqual(['18 0', '17 0']);
    expect([await compareMetric('payload'), await compareMetric(null)]).toEqual([[], []]);
  });
});

describe('organization_activity', () => {
  const activity = async (orgId: string) => {
    const [line] = await ledger.list(sql`
      select compared_quantity, previous_quantity, change_ratio, is_new, is_recently_deleted, is_silent,
        has_large_change
      from losant_usage.organization_activity where org_id = ${orgId}`);
    return line;
  };
  /** Returns the same payloads for each day of November so far, and other ones for the days that it is compared with. */
  const months = (november: number, before: number, changes: Readonly<Record<number, number | null>> = {}) => ({
    ...Object.fromEntries(Array.from({ length: 23 }, (_, age) => [age + 1, november])),
    ...Object.fromEntries(Array.from({ length: 23 }, (_, age) => [age + 29, before])),
    ...changes,
  });

  test.each([
    ['usage as before', months(10, 10), '230 230 0.0000 false false false false'],
    ['half as much again', months(15, 10), '345 230 0.5000 false false false true'],
    ['half as much', months(5, 10), '115 230 -0.5000 false false false true'],
    ['a little more', months(14, 10), '322 230 0.4000 false false false false'],
    ['usage where there was none', months(10, 0), '230 0 - false false false true'],
    ['zeros for three days', months(10, 10, { 1: 0, 2: 0, 3: 0 }), '200 230 -0.1304 false false true false'],
    ['zeros for two days', months(10, 10, { 1: 0, 2: 0 }), '210 230 -0.0870 false false false false'],
    ['only zeros', months(0, 0), '0 0 - false false false false'],
    [
      'a day that is not stored, so it is not silent and leaves out the day before',
      months(10, 10, { 1: null, 2: 0, 3: 0 }),
      '200 220 -0.0909 false false false false',
    ],
    [
      'a day before that is not stored, so it leaves out the day after',
      months(10, 10, { 29: null }),
      '220 220 0.0000 false false false false',
    ],
  ])('of an organization with %s', async (_, payloads, expected) => {
    expect(await activity(await addOrg(payloads))).toBe(expected);
  });

  test('a change is not large if it is below half a percent of the instance', async () => {
    const small = await addOrg(months(20, 10));
    await addOrg(months(1_990, 1_990));
    expect(await activity(small)).toContain('1.0000 false false false true');
    await addOrg(months(1, 1));
    expect(await activity(small)).toContain('1.0000 false false false false');
  });

  test.each([
    ['2026-11-03T12:00:00.000Z', '-'],
    ['2026-11-04T12:00:00.000Z', '30'],
    ['2026-11-29T12:00:00.000Z', '280'],
    ['2026-11-30T12:00:00.000Z', '280'],
    ['2026-12-01T12:00:00.000Z', '280'],
    ['2026-12-02T12:00:00.000Z', '-'],
  ])('at %s the quantity of the month to date is %s', async (now, expected) => {
    const days = { from: '2026-10-01', to: '2026-12-10' };
    await ledger.setTime('2026-12-11T12:00:00.000Z');
    const orgId = await ledger.expectDays(days, ['payload_totals']);
    await ledger.asProgram(sql`update losant_usage.usage_days set payload_billable_count = 10, payload_all_count = 10,
      payload_all_bytes = 10`);
    await ledger.setTime(now);
    expect((await activity(orgId))?.split(' ')[0]).toBe(expected);
  });

  test.each([
    ['2026-11-17', true],
    ['2026-11-16', false],
  ])('is_new of an organization that was created on %s: %s', async (createdOn, isNew) => {
    const line = await activity(await addOrg({ 1: 5 }, createdOn));
    expect(line?.split(' ')[3]).toBe(String(isNew));
    expect(line?.split(' ')[6]).toBe('true');
  });
});

describe('usage_vs_limits', () => {
  const limitsOf = async (orgId: string, limits: object) => {
    await ledger.asProgram(
      sql`update losant_usage.organizations set limits = ${JSON.stringify(limits)}::text::jsonb where org_id = ${orgId}`,
    );
    return await ledger.list(sql`
      select limit_name, quantity, projected_quantity, exceeds_on, is_exceeded
      from losant_usage.usage_vs_limits where org_id = ${orgId} order by limit_name`);
  };
  /** Returns payloads of the days of November with these ages. */
  const days = (ages: readonly number[], payloads: number) => Object.fromEntries(ages.map((age) => [age, payloads]));

  test('a forecast counts weekdays that were never stored as the mean', async () => {
    // Saturday to Monday: 100 a day, for the 7 days that are left.
    const orgId = await addOrg(days([1, 2, 3], 100), '2026-11-21');
    expect(await limitsOf(orgId, { payload: 950 })).toEqual(['payload 300 1000 2026-11-30 false']);
  });

  test('a forecast counts days that are not stored as the mean', async () => {
    const orgId = await addOrg({ ...days([1, 3, 4], 100), 2: null }, '2026-11-20');
    expect(await limitsOf(orgId, { payload: 450 })).toEqual(['payload 300 1100 2026-11-24 false']);
  });

  test('below three stored days there is no forecast', async () => {
    const orgId = await addOrg({ 1: 100, 2: 100, 3: null }, '2026-11-21');
    expect(await limitsOf(orgId, { payload: 201 })).toEqual(['payload 200 - - false']);
  });

  test('every limit is judged, and a limit of 0 is exceeded by 1', async () => {
    const orgId = await addOrg(days([1, 2, 3], 100), '2026-11-21');
    await ledger.asProgram(
      sql`update losant_usage.usage_days set devices_created = 0, devices_deleted = 0, devices_total = 1
        where org_id = ${orgId}`,
    );
    expect(await limitsOf(orgId, { payload: 400, device: 0 })).toEqual([
      'device 1 1 - true',
      'payload 300 1000 2026-11-25 false',
    ]);
    expect(await limitsOf(orgId, { payload: 299, device: 1 })).toEqual([
      'device 1 1 - false',
      'payload 300 1000 - true',
    ]);
  });
});
