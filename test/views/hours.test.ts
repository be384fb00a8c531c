/** Payloads by hour: each hour, and the days of time zones. */
import { sql } from 'kysely';
import { beforeAll, describe, expect, test } from 'vitest';
import { FINAL, missing } from '../database/answers.ts';
import { addTracking, rowsOf, useLedger } from '../database/ledger.ts';
import { devices, hours } from './loads.ts';

const ledger = useLedger();
let orgId: string;
let other: string;

const { ask } = ledger;

/** Three days around each change of clocks in Europe/Berlin and America/New_York in 2026. */
const CHANGES = ['2026-03-07', '2026-03-28', '2026-10-24', '2026-10-31'];

beforeAll(async () => {
  orgId = await ledger.newOrg();
  const ranges = CHANGES.map((day) => `[${day},${addTo(day, 3)})`);
  await addTracking(ledger.db, orgId, { streams: ['payload_hours'], days: `{${ranges.join(',')}}` });
  const days = CHANGES.flatMap((day) => [day, addTo(day, 1), addTo(day, 2)]);
  await ledger.load(days.map((day) => hours(orgId, day, (hour) => [hour, 100, 1_000_000_000 + hour])));
  other = await ledger.newOrg();
  await addTracking(ledger.db, other, { streams: ['payload_hours'], days: '{[2026-06-01,2026-06-05)}' });
  await ledger.load([
    hours(other, '2026-06-01', () => [1, 1, 1]),
    hours(other, '2026-06-02', () => [1, 1, 1]),
    hours(other, '2026-06-04', () => [1, 1, 1]),
  ]);
});

function addTo(day: string, count: number): string {
  return new Date(Date.parse(day) + count * 86_400_000).toISOString().slice(0, 10);
}

const daysIn = (zone: string, org = orgId) =>
  ask(sql`select local_date, hours, hours_stored, payload_all_count as payloads
    from losant_usage.local_daily_usage(${zone}) where org_id = ${org} order by local_date`);

describe('hourly_usage', () => {
  test('has a row for each hour of a tracked day, null where the day is not stored', async () => {
    const rows = await ask(sql`
      select usage_date, count(*) as hours, count(payload_all_count) as stored,
        min(hour) at time zone 'UTC' as first, max(hour) at time zone 'UTC' as last, min(standing::text) as standing
      from losant_usage.hourly_usage where org_id = ${other} group by 1 order by 1`);
    const day = (usage_date: string, stored: number, standing: string) => ({
      ...{ usage_date, hours: 24, stored, standing },
      first: `${usage_date} 00:00:00`,
      last: `${usage_date} 23:00:00`,
    });
    expect(rows).toEqual([
      day('2026-06-01', 24, 'stored'),
      day('2026-06-02', 24, 'stored'),
      day('2026-06-03', 0, 'missing'),
      day('2026-06-04', 24, 'stored'),
    ]);
  });

  test('has the numbers of the hour', async () => {
    expect(
      await ask(sql`select usage_date, payload_billable_count, payload_all_count, payload_all_bytes, is_reported, is_final
        from losant_usage.hourly_usage where org_id = ${orgId} and hour = '2026-10-25 05:00Z'`),
    ).toEqual([
      {
        usage_date: '2026-10-25',
        payload_billable_count: 5,
        payload_all_count: 100,
        payload_all_bytes: 1_000_000_005,
        is_reported: true,
        is_final: false,
      },
    ]);
  });
});

describe('days of a time zone have 23 or 25 hours where its clocks change', () => {
  test.each([
    ['Europe/Berlin', '2026-03-29', 23],
    ['Europe/Berlin', '2026-10-25', 25],
    ['Europe/Berlin', '2026-03-08', 24],
    ['America/New_York', '2026-03-08', 23],
    ['America/New_York', '2026-11-01', 25],
    ['America/New_York', '2026-10-25', 24],
    // Clocks go back at 01:00 to 00:00, so that the first hour of the day comes twice.
    ['America/Havana', '2026-11-01', 25],
    // They go on at midnight, so that the day begins at 01:00.
    ['America/Havana', '2026-03-08', 23],
  ])('%s on %s: %i', async (zone, day, count) => {
    const found = (await daysIn(zone)).find((row) => 'local_date' in row && row.local_date === day);
    expect(found).toEqual({ local_date: day, hours: count, hours_stored: count, payloads: count * 100 });
  });

  test('and add up the hours from local midnight to local midnight', async () => {
    const [day] =
      await ask(sql`select payload_billable_count, payload_all_bytes, standing, is_reported, is_final
      from losant_usage.local_daily_usage('Europe/Berlin') where org_id = ${orgId} and local_date = '2026-10-25'`);
    // From 22:00 UTC of the 24th to 23:00 UTC of the 25th.
    const sum = 22 + 23 + (22 * 23) / 2;
    expect(day).toEqual({
      payload_billable_count: sum,
      payload_all_bytes: 25_000_000_000 + sum,
      standing: 'stored',
      is_reported: true,
      is_final: false,
    });
  });

  test('a day of which an hour is not stored or not tracked is null, and not less', async () => {
    expect(await daysIn('Europe/Berlin', other)).toEqual([
      { local_date: '2026-06-01', hours: 24, hours_stored: 22, payloads: null },
      { local_date: '2026-06-02', hours: 24, hours_stored: 24, payloads: 24 },
      { local_date: '2026-06-03', hours: 24, hours_stored: 2, payloads: null },
      { local_date: '2026-06-04', hours: 24, hours_stored: 22, payloads: null },
      { local_date: '2026-06-05', hours: 24, hours_stored: 2, payloads: null },
    ]);
  });

  test('in UTC they are the UTC days', async () => {
    expect(await daysIn('UTC', other)).toEqual([
      { local_date: '2026-06-01', hours: 24, hours_stored: 24, payloads: 24 },
      { local_date: '2026-06-02', hours: 24, hours_stored: 24, payloads: 24 },
      { local_date: '2026-06-03', hours: 24, hours_stored: 0, payloads: null },
      { local_date: '2026-06-04', hours: 24, hours_stored: 24, payloads: 24 },
    ]);
  });

  test('whatever the time zone of the session', async () => {
    const answers = ['UTC', 'Asia/Kolkata', 'America/Los_Angeles'].map(
      async (zone) =>
        await ledger.db.transaction().execute(async (trx) => {
          await sql`select set_config('timezone', ${zone}, true)`.execute(trx);
          return await rowsOf(
            trx,
            sql`select * from losant_usage.local_daily_usage('America/New_York') order by 2, 7`,
          );
        }),
    );
    const [utc, ...others] = await Promise.all(answers);
    for (const each of others) expect(each).toEqual(utc);
  });
});

describe('a time zone that is off by a part of an hour is refused', () => {
  test.each([
    'Asia/Kolkata',
    'Asia/Kathmandu',
    'America/St_Johns',
    'Pacific/Chatham',
    // By half an hour in its winter only.
    'Australia/Lord_Howe',
  ])('%s', async (zone) => {
    await expect(daysIn(zone)).rejects.toThrow(
      new RegExp(`^the time zone ${zone} is off UTC by a part of an hour \\(on \\d{4}-\\d\\d-\\d\\d\\)`),
    );
  });

  test('and one that nobody knows, and none', async () => {
    await expect(daysIn('Europe/Atlantis')).rejects.toThrow('time zone "Europe/Atlantis" not recognized');
    await expect(ask(sql`select * from losant_usage.local_daily_usage(null)`)).rejects.toThrow(
      'the time zone is null',
    );
  });
});

test('a stored day is 24 numbers of each kind, none of them missing or negative', async () => {
  const insert = (counts: string) =>
    ask(sql`insert into losant_usage.payload_hours (usage_date, org_id, billable_counts, all_counts, all_bytes)
      select '2026-09-01', ${orgId}, array_fill(1::bigint, '{24}'), array_fill(1::bigint, '{24}'), ${counts}::bigint[]`);
  const numbers = (change: (values: (number | null)[]) => void) => {
    const given: (number | null)[] = Array.from({ length: 24 }, () => 1);
    change(given);
    return `{${given.map((value) => value ?? 'NULL').join(',')}}`;
  };
  await expect(insert(numbers((given) => given.pop()))).rejects.toThrow('payload_hours_all_bytes_check');
  await expect(insert(numbers((given) => given.push(1)))).rejects.toThrow('payload_hours_all_bytes_check');
  await expect(insert(numbers((given) => (given[3] = null)))).rejects.toThrow(
    'payload_hours_all_bytes_check',
  );
  await expect(insert(numbers((given) => (given[3] = -1)))).rejects.toThrow('payload_hours_all_bytes_check');
  await expect(insert(`[0:23]=${numbers(() => undefined)}`)).rejects.toThrow('payload_hours_all_bytes_check');
});

describe('days and months of which hours are tracked', () => {
  const OCTOBER = Array.from({ length: 31 }, (_, index) => addTo('2026-10-01', index));
  const monthOf = async (org: string) =>
    (
      await ask(sql`select days_expected, days_stored, days_unreported, is_fully_tracked, standing::text
        from losant_usage.monthly_usage where org_id = ${org} and month = '2026-10-01'`)
    )[0];

  test('count hours among their streams, and for no number of the month', async () => {
    const org = await ledger.newOrg();
    await addTracking(ledger.db, org, { streams: ['device_counts'], days: '{[2026-10-01,2026-11-01)}' });
    await addTracking(ledger.db, org, { streams: ['payload_hours'], days: '{[2026-10-15,2026-11-01)}' });
    await ledger.load(OCTOBER.map((day) => devices(org, day, 1, 0, 5)));
    const named = OCTOBER.slice(14).map((day) => hours(org, day, () => [0, 0, 0]));
    // Losant has named none of them.
    await ledger.load(named.slice(1).map((each) => ({ ...each, outcome: missing })));
    expect(
      await ask(sql`select usage_date, streams_expected, streams_stored, is_reported, standing::text
        from losant_usage.daily_usage where org_id = ${org} and usage_date between '2026-10-14' and '2026-10-16'
        order by usage_date`),
    ).toEqual([
      {
        usage_date: '2026-10-14',
        streams_expected: 1,
        streams_stored: 1,
        is_reported: true,
        standing: 'final',
      },
      {
        usage_date: '2026-10-15',
        streams_expected: 2,
        streams_stored: 1,
        is_reported: true,
        standing: 'missing',
      },
      {
        usage_date: '2026-10-16',
        streams_expected: 2,
        streams_stored: 2,
        is_reported: true,
        standing: 'stored',
      },
    ]);
    expect(await monthOf(org)).toEqual({
      ...{ days_expected: 31, days_stored: 30, days_unreported: 0 },
      ...{ is_fully_tracked: true, standing: 'missing' },
    });
  });

  test('are there also where hours alone are tracked', async () => {
    const org = await ledger.newOrg();
    await addTracking(ledger.db, org, { streams: ['payload_hours'], days: '{[2026-10-01,2026-11-01)}' });
    await ledger.load(OCTOBER.map((day) => ({ ...hours(org, day, () => [1, 1, 1]), age: FINAL })));
    expect(
      await ask(sql`select streams_expected, streams_stored, payload_all_count, standing::text
        from losant_usage.daily_usage where org_id = ${org} and usage_date = '2026-10-02'`),
    ).toEqual([{ streams_expected: 1, streams_stored: 1, payload_all_count: null, standing: 'final' }]);
    expect(await monthOf(org)).toEqual({
      ...{ days_expected: 31, days_stored: 31, days_unreported: 0 },
      ...{ is_fully_tracked: true, standing: 'final' },
    });
  });
});
