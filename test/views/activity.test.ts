/** Comparisons with earlier days: the function usage_compared and the view organization_activity; and limits. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { addDays } from '../../src/usage/day.ts';
import { useFreshLedger } from '../ledger/ledger.ts';
import { setPayloads } from '../ledger/payload-orgs.ts';

/** A Tuesday. */
const TODAY = '2026-11-24';
const ledger = useFreshLedger(`${TODAY}T12:00:00.000Z`);

/** Payloads by the age of the day; null for a day that is not stored. */
type Payloads = Readonly<Record<number, number | null>>;

async function addOrg(payloads: Payloads, createdOn: string | null = null): Promise<string> {
  const days = Object.entries(payloads).map(([age, quantity]) => ({ day: addDays(TODAY, -Number(age)), quantity }));
  const [first = '', ...later] = days.map(({ day }) => day).toSorted();
  const orgId = await ledger.createOrg({ createdOn });
  await ledger.expectDays({ from: first, to: later.at(-1) ?? first }, ['payload_totals'], orgId);
  await ledger.asProgram(setPayloads(orgId, days));
  return orgId;
}

describe('usage_compared', () => {
  const compare = (orgId: string, comparison: string, days: { from: string; to: string }) =>
    ledger.list(sql`
      select to_char(usage_date, 'MM-DD') as day, quantity, previous_date::text as previous_day, previous_quantity
      from losant_usage.usage_compared('payload_billable_count', ${days.from}, ${days.to}, ${comparison})
      where org_id = ${orgId} order by usage_date`);

  test('compares days with those before them, four weeks earlier, of the week before and of the year before', async () => {
    const orgId = await addOrg({ 1: 17, 2: 18 });
    for (const [comparison, previousDay] of [
      ['previous_days', '2026-11-20'],
      ['same_weekdays', '2026-11-15'],
      ['four_weeks', '2026-10-25'],
      ['previous_year', '2025-11-23'],
    ] as const) {
      const days = await compare(orgId, comparison, { from: '2026-11-22', to: '2026-11-23' });
      expect(days).toEqual([`11-22 18 ${previousDay} -`, `11-23 17 ${addDays(previousDay, 1)} -`]);
    }
  });

  test('rejects a comparison that does not exist', async () => {
    const orgId = await addOrg({ 1: 17 });
    const compareWith = (comparison: string) => compare(orgId, comparison, { from: '2026-11-23', to: '2026-11-23' });
    await expect(compareWith('previous_week')).rejects.toMatchObject({
      message: "comparison 'previous_week' is unknown",
      hint: 'pass previous_days, same_weekdays, four_weeks or previous_year',
    });
  });

  test('is null on a day that is not stored, and 0 before the organization was created', async () => {
    const orgId = await addOrg({ 1: 17, 2: null, 3: 4, 4: null }, '2026-11-20');
    expect(await compare(orgId, 'previous_days', { from: '2026-11-21', to: '2026-11-23' })).toEqual([
      '11-21 4 2026-11-18 0',
      '11-22 - 2026-11-19 0',
      '11-23 17 2026-11-20 -',
    ]);
  });

  test('is 0 after the organization was deleted', async () => {
    const orgId = await addOrg({ 3: 4, 4: 5 });
    await ledger.setOrg(orgId, sql`deleted_on = '2026-11-22'::date`);
    const days = await compare(orgId, 'previous_days', { from: '2026-11-22', to: '2026-11-23' });
    expect(days).toEqual(['11-22 0 2026-11-20 5', '11-23 0 2026-11-21 4']);
  });

  test('has no rows for a metric that does not exist or is not loaded, not even 0 before the organization was created', async () => {
    const orgId = await addOrg({ 1: 17, 2: 18 }, '2026-11-24');
    await ledger.expectDays({ from: '2026-11-22', to: '2026-11-23' }, ['notebook_minutes'], await ledger.createOrg());
    const compareMetric = (metric: string | null) =>
      ledger.list(sql`select quantity, previous_quantity
        from losant_usage.usage_compared(${metric}, '2026-11-22', '2026-11-23', 'previous_days')
        where org_id = ${orgId} order by usage_date`);
    expect(await compareMetric('payload_all_count')).toEqual(['18 0', '17 0']);
    const others = [await compareMetric('notebook_minutes'), await compareMetric('payload'), await compareMetric(null)];
    expect(others).toEqual([[], [], []]);
  });
});

describe('organization_activity', () => {
  const activity = async (...orgIds: readonly string[]) =>
    await ledger.list(sql`
      select compared_quantity, previous_quantity, change_ratio, is_new, is_recently_deleted, is_silent,
        has_large_change
      from losant_usage.organization_activity a
      join unnest(${orgIds}::text[]) with ordinality as o (org_id, position) on o.org_id = a.org_id
      order by o.position`);
  /** Returns the same payloads for each day of November so far, and other ones for the days that it is compared with. */
  const months = (november: number, before: number, changes: Payloads = {}): Payloads => ({
    ...Object.fromEntries(Array.from({ length: 23 }, (_, age) => [age + 1, november])),
    ...Object.fromEntries(Array.from({ length: 23 }, (_, age) => [age + 29, before])),
    ...changes,
  });

  const CASES: readonly (readonly [what: string, Payloads, expected: string])[] = [
    ['usage as before', months(10, 10), '230 230 0.0000 false false false false'],
    ['half as much again', months(15, 10), '345 230 0.5000 false false false true'],
    ['half as much', months(5, 10), '115 230 -0.5000 false false false true'],
    ['a little more', months(14, 10), '322 230 0.4000 false false false false'],
    ['usage where there was none', months(10, 0), '230 0 - false false false true'],
    ['zeros for three days', months(10, 10, { 1: 0, 2: 0, 3: 0 }), '200 230 -0.1304 false false true false'],
    ['zeros for two days', months(10, 10, { 1: 0, 2: 0 }), '210 230 -0.0870 false false false false'],
    ['only zeros', months(0, 0), '0 0 - false false false false'],
    // A day that is not stored is no silent one, and is excluded with the day that it is compared with.
    ['a day not stored', months(10, 10, { 1: null, 2: 0, 3: 0 }), '200 220 -0.0909 false false false false'],
    ['a day before that is not stored', months(10, 10, { 29: null }), '220 220 0.0000 false false false false'],
  ];

  test('compares the month to date, and tells what changed much and who is silent', async () => {
    const orgIds: string[] = [];
    for (const [, payloads] of CASES) orgIds.push(await addOrg(payloads));
    const lines = await activity(...orgIds);
    const compared = CASES.map(([what, payloads], index) => [what, payloads, lines[index]]);
    expect(compared).toEqual(CASES);
  });

  test('a change is not large if it is below half a percent of the instance', async () => {
    const small = await addOrg(months(20, 10));
    await addOrg(months(1_990, 1_990));
    expect((await activity(small))[0]).toContain('1.0000 false false false true');
    await addOrg(months(1, 1));
    expect((await activity(small))[0]).toContain('1.0000 false false false false');
  });

  test('the month to date begins on the fourth day, and has 28 days at most', async () => {
    await ledger.setTime('2026-12-11T12:00:00.000Z');
    const orgId = await ledger.expectDays({ from: '2026-10-01', to: '2026-12-10' }, ['payload_totals']);
    await ledger.asProgram(sql`update losant_usage.usage_days set payload_billable_count = 10, payload_all_count = 10,
      payload_all_bytes = 10`);
    for (const [day, quantity] of [
      ['2026-11-03', '-'],
      ['2026-11-04', '30'],
      ['2026-11-29', '280'],
      ['2026-11-30', '280'],
      ['2026-12-01', '280'],
      ['2026-12-02', '-'],
    ] as const) {
      await ledger.setTime(`${day}T12:00:00.000Z`);
      expect([day, (await activity(orgId))[0]?.split(' ')[0]]).toEqual([day, quantity]);
    }
  });

  test('on the first of a month, the month to date is the one that ended', async () => {
    await ledger.setTime('2026-11-01T12:00:00.000Z');
    const orgId = await addOrg({ 25: 7, 27: 7, 55: 1_000 });
    const month = sql`select month, payload_billable_count, days_not_stored from losant_usage.organization_activity
      where org_id = ${orgId}`;
    expect(await ledger.list(month)).toEqual(['2026-10-01 14 28']);
  });

  test('devices are those of the last three days', async () => {
    const orgId = await addOrg({ 1: 5, 2: 5, 3: 5, 4: 5 });
    const devices = sql`select devices_total from losant_usage.organization_activity where org_id = ${orgId}`;
    const setDevices = (day: string) =>
      sql`update losant_usage.usage_days set devices_total = 7, devices_created = 0, devices_deleted = 0
        where org_id = ${orgId} and usage_date = ${day}::date`;
    await ledger.asProgram(setDevices('2026-11-20'));
    expect(await ledger.list(devices)).toEqual(['-']);
    await ledger.asProgram(setDevices('2026-11-21'));
    expect(await ledger.list(devices)).toEqual(['7']);
  });

  test('an organization is new or deleted for a week, and its first usage is a large change', async () => {
    const lines = await activity(await addOrg({ 1: 5 }, '2026-11-17'), await addOrg({ 1: 5 }, '2026-11-16'));
    expect(lines).toEqual(['5 0 - true false false true', '5 0 - false false false true']);
    const deletedOn = async (day: string) => {
      const orgId = await addOrg({ 1: 0 });
      await ledger.setOrg(orgId, sql`deleted_on = ${day}::date`);
      return (await activity(orgId))[0];
    };
    expect(await deletedOn('2026-11-17')).toBe('- - - false true false true');
    expect(await deletedOn('2026-11-16')).toBe('- - - false false false false');
    const withoutDays = await ledger.createOrg({ createdOn: TODAY });
    expect(await activity(withoutDays)).toEqual(['- - - true false false true']);
  });
});

describe('usage_vs_limits', () => {
  const limitsOf = async (orgId: string, limits: object) => {
    await ledger.setOrg(orgId, sql`limits = ${JSON.stringify(limits)}::text::jsonb`);
    return await ledger.list(sql`
      select limit_name, quantity, projected_quantity, exceeds_on, is_exceeded
      from losant_usage.usage_vs_limits where org_id = ${orgId} order by limit_name`);
  };
  /** Saturday to Monday: 100 a day, for the 7 days that are left. */
  const THREE_DAYS = { 1: 100, 2: 100, 3: 100 };

  test('a forecast counts as the mean what was never stored: weekdays, and days; below three days there is none', async () => {
    const weekdays = await addOrg(THREE_DAYS, '2026-11-21');
    expect(await limitsOf(weekdays, { payload: 950 })).toEqual(['payload 300 1000 2026-11-30 false']);
    const days = await addOrg({ 1: 100, 2: null, 3: 100, 4: 100 }, '2026-11-20');
    expect(await limitsOf(days, { payload: 450 })).toEqual(['payload 300 1100 2026-11-24 false']);
    const twoDays = await addOrg({ 1: 100, 2: 100, 3: null }, '2026-11-21');
    expect(await limitsOf(twoDays, { payload: 201 })).toEqual(['payload 200 - - false']);
  });

  test('a forecast is the sum of the weekdays that are left, each as in the last 28 days', async () => {
    // From Monday, the day before today, backward: 100 on each Monday, to 700 on each Sunday, and more before that.
    const ofWeekday = (age: number) => (age > 28 ? 1_000_000 : 100 * (7 - ((age + 5) % 7)));
    const ages = Array.from({ length: 35 }, (_, index) => index + 1);
    // What is not stored before the month counts for nothing.
    const orgId = await addOrg({ ...Object.fromEntries(ages.map((age) => [age, ofWeekday(age)])), 25: null });
    await ledger.asProgram(sql`update losant_usage.usage_days set notebook_minutes = payload_billable_count,
        notebook_completed = 0, notebook_canceled = 0, notebook_errored = 0, notebook_timeout = 0
      where payload_billable_count is not null`);
    // Tuesday and Wednesday reach the limit, and Thursday exceeds it.
    const [minutes, payloads] = await limitsOf(orgId, { payload: 9_700, notebookMinutesPerMonth: 12_000 });
    expect([minutes, payloads]).toEqual([
      'notebookMinutesPerMonth 9200 12000 - false',
      'payload 9200 12000 2026-11-26 false',
    ]);
  });

  test('on the last day of a month only that day is ahead, and on the first of the next none is', async () => {
    const orgId = await addOrg({ 1: 100, 2: null, 3: 100, 4: 100 });
    await ledger.setTime('2026-11-30T12:00:00.000Z');
    expect(await limitsOf(orgId, { payload: 450 })).toEqual(['payload 300 500 2026-11-30 false']);
    await ledger.setTime('2026-12-01T12:00:00.000Z');
    expect(await limitsOf(orgId, { payload: 450 })).toEqual(['payload 300 400 - false']);
  });

  test('a month of which nothing is stored yet has a forecast, but a level has none', async () => {
    const orgId = await addOrg({ 23: null, 24: 100, 25: 100, 26: 100 }, '2026-10-29');
    await ledger.setTime('2026-11-02T12:00:00.000Z');
    const forecast = 'payload - 3000 2026-11-10 -';
    expect(await limitsOf(orgId, { payload: 950, device: 1 })).toEqual(['device - - - -', forecast]);
    await ledger.setOrg(orgId, sql`deleted_on = '2026-11-02'`);
    expect(await limitsOf(orgId, { payload: 950 })).toEqual(['payload - - - -']);
  });

  test('its days are those on which its number is stored, or every number if its stream is not loaded', async () => {
    const limits = { device: 9, notebookMinutesPerMonth: 9, payload: 9, seats: 9 };
    const orgId = await addOrg({ 1: 100, 2: null, 3: 100, 4: 100 });
    await ledger.setOrg(orgId, sql`limits = ${JSON.stringify(limits)}::text::jsonb`);
    await ledger.asProgram(sql`update losant_usage.usage_days set notebook_minutes = 5, notebook_completed = 1,
      notebook_canceled = 0, notebook_errored = 0, notebook_timeout = 0
      where usage_date <> '2026-11-22'`);
    await ledger.asProgram(sql`update losant_usage.usage_days set is_stored = usage_date = '2026-11-21'`);
    const days = sql`select limit_name, days_in_month, days_expected, days_stored
      from losant_usage.usage_vs_limits where org_id = ${orgId} order by limit_name`;
    const expected = ['device 30 4 1', 'notebookMinutesPerMonth 30 4 3', 'payload 30 4 3', 'seats 30 4 1'];
    expect(await ledger.list(days)).toEqual(expected);
  });

  test('there is no share of a limit that is not above 0, and a negative one limits nothing', async () => {
    const orgId = await addOrg(THREE_DAYS, '2026-11-21');
    expect(await limitsOf(orgId, { payload: -1 })).toEqual(['payload 300 1000 - false']);
    const sharesOf = async (limit: number) => {
      await ledger.setOrg(orgId, sql`limits = ${JSON.stringify({ payload: limit })}::text::jsonb`);
      return await ledger.list(sql`select share, projected_share from losant_usage.usage_vs_limits
        where org_id = ${orgId}`);
    };
    expect([await sharesOf(-1), await sharesOf(0), await sharesOf(400)]).toEqual([['- -'], ['- -'], ['0.7500 2.5000']]);
  });

  test('every limit counts, and a limit of 0 is exceeded by 1', async () => {
    const orgId = await addOrg(THREE_DAYS, '2026-11-21');
    await ledger.asProgram(sql`update losant_usage.usage_days set devices_total = 1, devices_created = 0,
      devices_deleted = 0`);
    const overDevices = ['device 1 1 - true', 'payload 300 1000 2026-11-25 false'];
    expect(await limitsOf(orgId, { payload: 400, device: 0 })).toEqual(overDevices);
    const reached = ['device 1 1 - false', 'payload 300 1000 2026-11-24 false'];
    expect(await limitsOf(orgId, { payload: 300, device: 1 })).toEqual(reached);
    const overPayloads = ['device 1 1 - false', 'payload 300 1000 - true'];
    expect(await limitsOf(orgId, { payload: 299, device: 1 })).toEqual(overPayloads);
  });
});
