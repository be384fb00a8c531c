/** Months of usage, as an invoice reads them. */
import { type RawBuilder, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { waiveCells } from '../../src/ledger/waive.ts';
import { answer, FINAL, missing, row } from '../database/answers.ts';
import { addTracking, rowsOf, useLedger } from '../database/ledger.ts';
import { devices, sources, trackedOrg } from './loads.ts';

const ledger = useLedger();

const { ask } = ledger;

describe('monthly_usage', () => {
  test('sums flows over the days that are stored, never levels, and says how many days those are', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts', 'payload_sources'], {
      from: '2026-10-29',
      to: '2026-11-02',
    });
    await ledger.load([
      devices(orgId, '2026-10-29', 4, 1, 17),
      devices(orgId, '2026-10-30', 2, 0, 25),
      devices(orgId, '2026-11-01', 1, 0, 20),
      sources(orgId, '2026-10-29', 5, 6),
      sources(orgId, '2026-10-31', 7),
    ]);
    expect(
      await ask(sql`select month, devices_created, devices_total, devices_total_on, devices_total_max,
          payload_source_count, notebook_minutes, days_in_period, days_expected, days_stored, is_final
        from losant_usage.monthly_usage where org_id = ${orgId} order by month`),
    ).toEqual([
      {
        month: '2026-10-01',
        devices_created: 6,
        devices_total: 25,
        devices_total_on: '2026-10-30',
        devices_total_max: 25,
        payload_source_count: 18,
        notebook_minutes: null,
        days_in_period: 31,
        days_expected: 3,
        days_stored: 1,
        is_final: false,
      },
      {
        month: '2026-11-01',
        devices_created: 1,
        devices_total: 20,
        devices_total_on: '2026-11-01',
        devices_total_max: 20,
        payload_source_count: null,
        notebook_minutes: null,
        days_in_period: 30,
        days_expected: 2,
        days_stored: 0,
        is_final: false,
      },
    ]);
  });

  const flags = (orgId: string, month = '2026-10-01') =>
    ask(sql`select days_expected, days_stored, days_final, days_accepted, days_unavailable, days_unreported,
        days_untracked, is_over, is_fully_tracked, is_final, is_billable
      from losant_usage.monthly_usage where org_id = ${orgId} and month = ${month}`);
  const ready = {
    days_expected: 31,
    days_stored: 31,
    days_final: 31,
    days_accepted: 0,
    days_unavailable: 0,
    days_unreported: 0,
    days_untracked: 0,
    is_over: true,
    is_fully_tracked: true,
    is_final: true,
    is_billable: true,
  };
  const october = Array.from({ length: 31 }, (_, index) => `2026-10-${String(index + 1).padStart(2, '0')}`);
  const RANGE = { from: '2026-10-01', to: '2026-10-31' };

  test('is final and billable when every tracked number of every day is final', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], RANGE);
    const days = october.map((day) => devices(orgId, day, 4, 1, 17));
    await ledger.load(days.slice(0, 30));
    expect(await flags(orgId)).toEqual([
      { ...ready, days_stored: 30, days_final: 30, is_final: false, is_billable: false },
    ]);
    await ledger.load(days.slice(30));
    expect(await flags(orgId)).toEqual([ready]);
  });

  test('that is tracked from the 25th on is neither fully tracked nor billable, and an untracked day is not in the sum', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-10-25', to: '2026-10-31' });
    await ledger.load([...october.slice(24), '2026-10-01'].map((day) => devices(orgId, day, 4, 1, 17)));
    expect(await flags(orgId)).toEqual([
      {
        ...ready,
        days_expected: 7,
        days_stored: 7,
        days_final: 7,
        days_untracked: 1,
        is_fully_tracked: false,
        is_final: false,
        is_billable: false,
      },
    ]);
    expect(
      await ask(
        sql`select devices_created from losant_usage.monthly_usage where org_id = ${orgId} and month = '2026-10-01'`,
      ),
    ).toEqual([{ devices_created: 28 }]);
  });

  test('in which a stream is enabled, or one takes the place of another, is not fully tracked; the next one is', async () => {
    const late = { streams: ['notebook_minutes'], days: '{[2026-09-20,2026-10-31]}' };
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-09-01', to: '2026-10-31' });
    await addTracking(ledger.db, orgId, late);
    const other = await trackedOrg(ledger, ['device_counts'], { from: '2026-09-01', to: '2026-09-19' });
    await addTracking(ledger.db, other, late);
    for (const id of [orgId, other]) {
      expect(
        await ask(sql`select month, days_expected, is_fully_tracked from losant_usage.monthly_usage
          where org_id = ${id} order by month`),
      ).toEqual([
        { month: '2026-09-01', days_expected: 30, is_fully_tracked: false },
        { month: '2026-10-01', days_expected: 31, is_fully_tracked: true },
      ]);
    }
  });

  test('with a waived day is billable and not final', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], RANGE);
    await ledger.load(october.slice(1).map((day) => devices(orgId, day, 4, 1, 17)));
    await waiveCells(ledger.db, {
      orgId,
      stream: 'device_counts',
      range: { from: '2026-10-01', to: '2026-10-01' },
      reason: 'lost by the platform',
      asZero: false,
    });
    expect(await flags(orgId)).toEqual([
      { ...ready, days_stored: 30, days_final: 30, days_accepted: 1, is_final: false },
    ]);
  });

  test('counts the days that stand for zeros nobody reported, final once three answers have left them out', async () => {
    const orgId = await trackedOrg(ledger, ['notebook_minutes'], RANGE);
    const readAt = (sentAt: string) =>
      ledger.load(
        october.map((day) =>
          answer(missing, {
            orgId,
            day,
            stream: 'notebook_minutes',
            age: FINAL,
            sentAtMs: Date.parse(sentAt),
          }),
        ),
      );
    await readAt('2026-11-22T12:00:00Z');
    await readAt('2026-11-22T13:00:00Z');
    expect(await flags(orgId)).toEqual([
      { ...ready, days_final: 0, days_unreported: 31, is_final: false, is_billable: false },
    ]);
    await readAt('2026-11-22T14:00:00Z');
    expect(await flags(orgId)).toEqual([{ ...ready, days_unreported: 31 }]);
  });

  test('counts a day of which one number was left out beside others that were not', async () => {
    const orgId = await trackedOrg(ledger, ['payload_totals'], RANGE);
    const payloads = (day: string, missingColumns: readonly string[]) =>
      answer(
        { kind: 'values', facts: [row(missingColumns.length === 0 ? 5 : 0, 9, 900)], missingColumns },
        { orgId, day, stream: 'payload_totals', age: FINAL },
      );
    await ledger.load([
      ...october.slice(1).map((day) => payloads(day, [])),
      payloads('2026-10-01', ['billable_count']),
    ]);
    expect(await flags(orgId)).toEqual([
      { ...ready, days_final: 30, days_unreported: 1, is_final: false, is_billable: false },
    ]);
    expect(
      await ask(sql`select payload_billable_count, payload_all_count from losant_usage.monthly_usage
        where org_id = ${orgId}`),
    ).toEqual([{ payload_billable_count: 150, payload_all_count: 279 }]);
  });

  const plan = async (query: RawBuilder<unknown>) => {
    const rows = await ledger.db.transaction().execute(async (trx) => {
      // As with many rows, of which a test has few.
      await sql`set local enable_seqscan = off`.execute(trx);
      return await rowsOf(trx, sql`explain (costs off) ${query}`);
    });
    return rows.map((each) => (each as Record<string, string>)['QUERY PLAN']).join('\n');
  };

  test('looks at control totals only where is_billable is asked for', async () => {
    const sums = sql`select org_id, payload_billable_count, standing from losant_usage.monthly_usage where month = '2026-10-01'`;
    const billable = sql`select org_id, is_billable from losant_usage.monthly_usage where month = '2026-10-01'`;
    expect(await plan(sums)).not.toMatch(/instance_totals|monthly_summaries/);
    expect(await plan(billable)).toMatch(
      /instance_totals[^]*monthly_summaries|monthly_summaries[^]*instance_totals/,
    );
  });

  test('finds the days of one organization by their key', async () => {
    const orgId = '5d0000000000000000000001';
    const found = await plan(sql`select month, payload_billable_count from losant_usage.monthly_usage
      where org_id = ${sql.lit(orgId)} and month = '2026-10-01'`);
    expect(found).toMatch(
      /using usage_days_pkey on usage_days u\b.*\n.*Index Cond: .*org_id = '5d0000000000000000000001'/,
    );
  });
});
