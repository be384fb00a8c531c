/** What the views say of numbers that changed, and of how far they reach. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { addTracking, openLedger, RUN_2, rowsOf, useLedger } from '../database/ledger.ts';
import { devices, sources, trackedOrg } from './loads.ts';

const ledger = useLedger();

const { ask } = ledger;

describe('restatements', () => {
  test('names every change by metric, with old, new and whether it was final', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-10-01', to: '2026-10-01' });
    const later = { sentAtMs: Date.parse('2026-11-23T12:00:00.000Z') };
    await ledger.load([devices(orgId, '2026-10-01', 4, 1, 17)]);
    await ledger.load([{ ...devices(orgId, '2026-10-01', 5, 1, 18), ...later }], RUN_2);
    expect(
      await ask(sql`select metric, old_quantity, new_quantity, difference, revision, was_final, by_hand, run_id
        from losant_usage.restatements where org_id = ${orgId} order by metric`),
    ).toEqual([
      {
        metric: 'devices_created',
        old_quantity: 4,
        new_quantity: 5,
        difference: 1,
        revision: 2,
        was_final: true,
        by_hand: false,
        run_id: RUN_2,
      },
      {
        metric: 'devices_total',
        old_quantity: 17,
        new_quantity: 18,
        difference: 1,
        revision: 2,
        was_final: true,
        by_hand: false,
        run_id: RUN_2,
      },
    ]);
  });

  test('tell sources that came and went from one that changed', async () => {
    const orgId = await trackedOrg(ledger, ['payload_sources'], { from: '2026-10-01', to: '2026-10-01' });
    const later = { sentAtMs: Date.parse('2026-11-23T12:00:00.000Z') };
    await ledger.load([sources(orgId, '2026-10-01', 5)]);
    await ledger.load([{ ...sources(orgId, '2026-10-01', 5, 6), ...later }], RUN_2);
    expect(
      await ask(sql`select payload_type, source, old_quantity, new_quantity, difference
        from losant_usage.restatements where org_id = ${orgId}`),
    ).toEqual([
      { payload_type: 'timer', source: 'source.1', old_quantity: null, new_quantity: 6, difference: 6 },
    ]);
  });
});

describe('device_continuity', () => {
  test('compares each total with the one of the day before', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-10-01', to: '2026-10-04' });
    await ledger.load([
      devices(orgId, '2026-10-01', 0, 0, 10),
      devices(orgId, '2026-10-02', 3, 1, 12),
      devices(orgId, '2026-10-03', 1, 0, 20),
    ]);
    expect(
      await ask(sql`select usage_date, expected_total, devices_total, difference
        from losant_usage.device_continuity where org_id = ${orgId} order by usage_date`),
    ).toEqual([
      { usage_date: '2026-10-02', expected_total: 12, devices_total: 12, difference: 0 },
      { usage_date: '2026-10-03', expected_total: 13, devices_total: 20, difference: 7 },
    ]);
  });
});

describe('usage_as_of', () => {
  const now = async () => {
    const [clock] = await ask(sql`select to_char(clock_timestamp(), 'YYYY-MM-DD HH24:MI:SS.USOF') as now`);
    return (clock as { now: string }).now;
  };
  const asOf = (moment: string, orgId: string) =>
    ask(sql`select devices_created, devices_deleted, devices_total, payload_source_count
      from losant_usage.usage_as_of(${moment}::timestamptz) where org_id = ${orgId}`);
  const known = (created: number, deleted: number, total: number, sourceCount: number | null) => ({
    devices_created: created,
    devices_deleted: deleted,
    devices_total: total,
    payload_source_count: sourceCount,
  });

  test('gives the numbers as they were known then, through every change', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts', 'payload_sources'], {
      from: '2026-10-01',
      to: '2026-10-01',
    });
    const before = await now();
    await ledger.load([devices(orgId, '2026-10-01', 4, 1, 17), sources(orgId, '2026-10-01', 5, 6)]);
    const first = await now();
    const later = { sentAtMs: Date.parse('2026-11-23T12:00:00.000Z') };
    await ledger.load([
      { ...devices(orgId, '2026-10-01', 5, 1, 18), ...later },
      { ...sources(orgId, '2026-10-01', 7), ...later },
    ]);
    const second = await now();
    await ledger.ask(sql`update losant_usage.usage_days set devices_total = 99 where org_id = ${orgId}`);
    await ledger.ask(sql`delete from losant_usage.payload_sources where org_id = ${orgId}`);
    const third = await now();
    expect(await asOf(before, orgId)).toEqual([]);
    expect(await asOf(first, orgId)).toEqual([known(4, 1, 17, 11)]);
    expect(await asOf(second, orgId)).toEqual([known(5, 1, 18, 7)]);
    expect(await asOf(third, orgId)).toEqual([known(5, 1, 99, null)]);
  });

  test('counts a source that was renamed by hand once, at every moment', async () => {
    const orgId = await trackedOrg(ledger, ['payload_sources'], { from: '2026-10-01', to: '2026-10-01' });
    await ledger.load([sources(orgId, '2026-10-01', 5, 6)]);
    const before = await now();
    await ledger.ask(sql`update losant_usage.payload_sources set source = 'renamed'
      where org_id = ${orgId} and source = 'source.0'`);
    const renamed = await now();
    const later = { sentAtMs: Date.parse('2027-11-23T12:00:00.000Z') };
    await ledger.load([{ ...sources(orgId, '2026-10-01', 5, 6), ...later }], RUN_2);
    const sum = { payload_source_count: 11 };
    expect(await asOf(before, orgId)).toMatchObject([sum]);
    expect(await asOf(renamed, orgId)).toMatchObject([sum]);
    expect(await asOf(await now(), orgId)).toMatchObject([sum]);
  });

  test('of now says what the daily view says, and 0 for a stored day without sources', async () => {
    const orgId = await trackedOrg(ledger, ['payload_sources'], { from: '2026-10-01', to: '2026-10-01' });
    await ledger.load([sources(orgId, '2026-10-01')]);
    const differing = await ask(sql`
      select d.usage_date from losant_usage.daily_usage d
      left join losant_usage.usage_as_of(clock_timestamp()) a using (org_id, usage_date)
      where d.streams_stored > 0
        and (a.is_final, a.devices_total, a.payload_source_count)
          is distinct from (d.is_final, d.devices_total, d.payload_source_count)`);
    expect(differing).toEqual([]);
    expect(await asOf(await now(), orgId)).toMatchObject([{ payload_source_count: 0 }]);
  });
});

describe('changes_since', () => {
  test('names what was first loaded and what was restated after a moment', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-10-01', to: '2026-10-02' });
    await ledger.load([devices(orgId, '2026-10-01', 4, 1, 17)]);
    const [clock] = await ask(sql`select clock_timestamp()::text as now`);
    const later = { sentAtMs: Date.parse('2026-11-23T12:00:00.000Z') };
    await ledger.load(
      [{ ...devices(orgId, '2026-10-01', 4, 1, 18), ...later }, devices(orgId, '2026-10-02', 0, 0, 18)],
      RUN_2,
    );
    expect(
      await ask(sql`select usage_date, metric, change, old_quantity, new_quantity
        from losant_usage.changes_since(${(clock as { now: string }).now}::timestamptz)
        where org_id = ${orgId} order by usage_date, metric`),
    ).toEqual([
      {
        usage_date: '2026-10-01',
        metric: 'devices_total',
        change: 'restated',
        old_quantity: 17,
        new_quantity: 18,
      },
      {
        usage_date: '2026-10-02',
        metric: 'devices_created',
        change: 'first_loaded',
        old_quantity: null,
        new_quantity: 0,
      },
      {
        usage_date: '2026-10-02',
        metric: 'devices_deleted',
        change: 'first_loaded',
        old_quantity: null,
        new_quantity: 0,
      },
      {
        usage_date: '2026-10-02',
        metric: 'devices_total',
        change: 'first_loaded',
        old_quantity: null,
        new_quantity: 18,
      },
    ]);
  });
});

test('freshness tells the newest day that was read, and up to where nothing is missing', async () => {
  const own = await openLedger('postgres');
  try {
    const orgId = await own.newOrg();
    await addTracking(own.db, orgId, { streams: ['device_counts'], days: '{[2026-10-01,2026-10-04)}' });
    const days = ['2026-10-01', '2026-10-03'];
    await own.load(days.map((day) => devices(orgId, day, 4, 1, 17)));
    expect(
      await rowsOf(
        own.db,
        sql`select stream, newest_day, complete_to, gaps, oldest_gap from losant_usage.freshness`,
      ),
    ).toEqual([
      {
        stream: 'device_counts',
        newest_day: '2026-10-03',
        complete_to: '2026-10-01',
        gaps: 1,
        oldest_gap: '2026-10-02',
      },
    ]);
  } finally {
    await own.close();
  }
});

test.each([
  ['the first tracked day is missing', ['2026-10-02', '2026-10-03'], null],
  ['nothing is missing', ['2026-10-01', '2026-10-02', '2026-10-03'], '2026-10-03'],
])('complete_to where %s: %s, %s', async (_, days, completeTo) => {
  const own = await openLedger('postgres');
  try {
    const orgId = await own.newOrg();
    await addTracking(own.db, orgId, { streams: ['device_counts'], days: '{[2026-10-01,2026-10-04)}' });
    await own.load(days.map((day) => devices(orgId, day, 4, 1, 17)));
    expect(await rowsOf(own.db, sql`select complete_to from losant_usage.freshness`)).toEqual([
      { complete_to: completeTo },
    ]);
  } finally {
    await own.close();
  }
});
