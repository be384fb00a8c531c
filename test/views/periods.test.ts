/** Billing periods, and what is used in them. */
import { type RawBuilder, sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ledger, openLedger } from '../database/ledger.ts';
import { devices, trackedOrg } from './loads.ts';

let ledger: Ledger;

const ask = (query: RawBuilder<unknown>) => ledger.ask(query);

/** The period as Losant gave it at a moment: inclusive start, exclusive end. */
async function seePeriod(orgId: string, seenAt: string, start: string, end: string): Promise<void> {
  await ledger.ask(sql`update losant_usage.organization_history set valid_to = ${seenAt}
    where org_id = ${orgId} and valid_to is null`);
  await ledger.ask(sql`insert into losant_usage.organization_history
      (org_id, valid_from, instance_id, name, tags, limits, is_read_only, current_period_start, current_period_end)
    select org_id, ${seenAt}, instance_id, name, tags, limits, false, ${start}, ${end}
    from losant_usage.organizations where org_id = ${orgId}`);
}

const periodsOf = (orgId: string) =>
  ask(sql`select period_start, period_end, source from losant_usage.billing_periods
    where org_id = ${orgId} order by period_start`);

describe('calendar periods', () => {
  beforeAll(async () => {
    ledger = await openLedger('postgres');
  });
  afterAll(() => ledger.close());

  test('are the months from the first tracked day on, and hold what monthly_usage holds', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-08-30', to: '2026-09-02' });
    await ledger.load([devices(orgId, '2026-08-30', 4, 1, 17), devices(orgId, '2026-09-01', 2, 0, 19)]);
    expect((await periodsOf(orgId)).slice(0, 2)).toEqual([
      { period_start: '2026-08-01', period_end: '2026-08-31', source: 'calendar' },
      { period_start: '2026-09-01', period_end: '2026-09-30', source: 'calendar' },
    ]);
    expect(
      await ask(sql`select period_start, period_end, source, days_in_period, days_expected, days_stored, is_over,
          devices_created, devices_total, devices_total_on
        from losant_usage.period_usage where org_id = ${orgId} order by period_start`),
    ).toEqual([
      {
        period_start: '2026-08-01',
        period_end: '2026-08-31',
        source: 'calendar',
        days_in_period: 31,
        days_expected: 2,
        days_stored: 1,
        is_over: true,
        devices_created: 4,
        devices_total: 17,
        devices_total_on: '2026-08-30',
      },
      {
        period_start: '2026-09-01',
        period_end: '2026-09-30',
        source: 'calendar',
        days_in_period: 30,
        days_expected: 2,
        days_stored: 1,
        is_over: true,
        devices_created: 2,
        devices_total: 19,
        devices_total_on: '2026-09-01',
      },
    ]);
  });

  test('of an organization end with the month in which it was removed', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-06-20', to: '2026-06-30' });
    await ledger.ask(
      sql`update losant_usage.organizations set removed_at = '2026-07-03T10:00Z' where org_id = ${orgId}`,
    );
    expect(await periodsOf(orgId)).toEqual([
      { period_start: '2026-06-01', period_end: '2026-06-30', source: 'calendar' },
      { period_start: '2026-07-01', period_end: '2026-07-31', source: 'calendar' },
    ]);
  });
});

describe("an organization's own periods", () => {
  beforeAll(async () => {
    ledger = await openLedger('postgres');
    await ledger.ask(sql`update losant_usage.instances set billing_periods = 'losant'`);
  });
  afterAll(() => ledger.close());

  test('hold the days whose 00:00Z lies in them, and past ones are kept', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-08-01', to: '2026-10-31' });
    await seePeriod(orgId, '2026-08-20T00:00Z', '2026-08-10T06:30:00Z', '2026-09-10T06:30:00Z');
    await seePeriod(orgId, '2026-09-20T00:00Z', '2026-09-10T06:30:00Z', '2026-10-10T00:00:00Z');
    expect(await periodsOf(orgId)).toEqual([
      { period_start: '2026-08-11', period_end: '2026-09-10', source: 'losant' },
      { period_start: '2026-09-11', period_end: '2026-10-09', source: 'losant' },
    ]);
    expect(
      await ask(sql`select first_day, last_day, days from losant_usage.days_without_period
        where org_id = ${orgId} order by first_day`),
    ).toEqual([
      { first_day: '2026-08-01', last_day: '2026-08-10', days: 10 },
      { first_day: '2026-10-10', last_day: '2026-10-31', days: 22 },
    ]);
  });

  test('never share a day: a period ends where the next begins, and of two ends the newer counts', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-08-01', to: '2026-10-31' });
    await seePeriod(orgId, '2026-08-02T00:00Z', '2026-08-01T00:00Z', '2026-09-01T00:00Z');
    await seePeriod(orgId, '2026-08-03T00:00Z', '2026-08-01T00:00Z', '2026-11-01T00:00Z');
    await seePeriod(orgId, '2026-09-16T00:00Z', '2026-09-15T00:00Z', '2026-10-15T00:00Z');
    await seePeriod(orgId, '2026-09-17T00:00Z', '2026-12-01T00:00Z', '2026-12-01T00:00Z');
    expect(await periodsOf(orgId)).toEqual([
      { period_start: '2026-08-01', period_end: '2026-09-14', source: 'losant' },
      { period_start: '2026-09-15', period_end: '2026-10-14', source: 'losant' },
    ]);
  });

  test('sum their own days only, by the rules of months', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts'], { from: '2026-09-09', to: '2026-09-12' });
    const other = await trackedOrg(ledger, ['device_counts'], { from: '2026-09-11', to: '2026-09-11' });
    await seePeriod(orgId, '2026-08-20T00:00Z', '2026-08-11T00:00:00Z', '2026-09-11T00:00:00Z');
    await seePeriod(orgId, '2026-09-20T00:00Z', '2026-09-11T00:00:00Z', '2026-09-13T00:00:00Z');
    await ledger.load([
      devices(orgId, '2026-09-09', 1, 0, 11),
      devices(orgId, '2026-09-10', 2, 0, 13),
      devices(orgId, '2026-09-11', 4, 0, 17),
      devices(orgId, '2026-09-12', 8, 1, 12),
      devices(other, '2026-09-11', 100, 0, 100),
    ]);
    expect(
      await ask(sql`select period_start, period_end, days_in_period, days_expected, days_stored, is_fully_tracked, is_billable,
          devices_created, devices_total, devices_total_max, devices_total_avg
        from losant_usage.period_usage where org_id = ${orgId} order by period_start`),
    ).toEqual([
      {
        period_start: '2026-08-11',
        period_end: '2026-09-10',
        days_in_period: 31,
        days_expected: 2,
        days_stored: 2,
        is_fully_tracked: false,
        is_billable: false,
        devices_created: 3,
        devices_total: 13,
        devices_total_max: 13,
        devices_total_avg: '12.00',
      },
      {
        period_start: '2026-09-11',
        period_end: '2026-09-12',
        days_in_period: 2,
        days_expected: 2,
        days_stored: 2,
        is_fully_tracked: true,
        is_billable: true,
        devices_created: 12,
        devices_total: 12,
        devices_total_max: 17,
        devices_total_avg: '14.50',
      },
    ]);
  });
});
