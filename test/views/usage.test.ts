/** What the views say of numbers that are stored, not stored, or zero. */
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { answer, failed, missing } from '../database/answers.ts';
import { useLedger } from '../database/ledger.ts';
import { devices, sources, trackedOrg } from './loads.ts';

const ledger = useLedger();

const { ask } = ledger;

describe('daily_usage', () => {
  test('has a row for every tracked day, with null where a number is not stored', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts', 'payload_sources'], {
      from: '2026-10-01',
      to: '2026-10-03',
    });
    await ledger.load([
      devices(orgId, '2026-10-01', 4, 1, 17),
      sources(orgId, '2026-10-01', 5, 6),
      answer(failed, { orgId, day: '2026-10-02' }),
    ]);
    expect(
      await ask(sql`select usage_date, devices_created, devices_total, payload_source_count, notebook_minutes,
          payload_billable_count, streams_expected, streams_stored, is_reported, is_final
        from losant_usage.daily_usage where org_id = ${orgId} order by usage_date`),
    ).toEqual([
      {
        usage_date: '2026-10-01',
        devices_created: 4,
        devices_total: 17,
        payload_source_count: 11,
        notebook_minutes: null,
        payload_billable_count: null,
        streams_expected: 2,
        streams_stored: 2,
        is_reported: true,
        is_final: false,
      },
      ...['2026-10-02', '2026-10-03'].map((day) => ({
        usage_date: day,
        devices_created: null,
        devices_total: null,
        payload_source_count: null,
        notebook_minutes: null,
        payload_billable_count: null,
        streams_expected: 2,
        streams_stored: 0,
        is_reported: null,
        is_final: false,
      })),
    ]);
  });

  test('counts a day without any source as 0 once it is stored, and tells zeros nobody reported', async () => {
    const orgId = await trackedOrg(ledger, ['payload_sources'], { from: '2026-10-01', to: '2026-10-02' });
    await ledger.load([
      sources(orgId, '2026-10-01'),
      answer(missing, { orgId, day: '2026-10-02', stream: 'payload_sources' }),
    ]);
    expect(
      await ask(sql`select payload_source_count, is_reported from losant_usage.daily_usage
        where org_id = ${orgId} order by usage_date`),
    ).toEqual([
      { payload_source_count: 0, is_reported: true },
      { payload_source_count: 0, is_reported: false },
    ]);
  });

  test('ends with the day an organization was found deleted, and never shows today', async () => {
    const gone = await trackedOrg(ledger, ['device_counts'], { from: '2026-10-01', to: '2026-10-31' });
    await ledger.ask(sql`update losant_usage.organizations set removed_at = '2026-10-03T15:00:00Z'
      where org_id = ${gone}`);
    const going = await trackedOrg(ledger, ['device_counts'], { from: '2026-11-01', to: '2099-12-31' });
    expect(
      await ask(sql`select max(usage_date) as last from losant_usage.daily_usage where org_id = ${gone}`),
    ).toEqual([{ last: '2026-10-03' }]);
    expect(
      await ask(sql`select max(usage_date) = (now() at time zone 'UTC')::date - 1 as "endsYesterday"
        from losant_usage.daily_usage where org_id = ${going}`),
    ).toEqual([{ endsYesterday: true }]);
  });
});

describe('daily_usage_long', () => {
  test('has a row per tracked metric, with unit and kind, and null where it is not stored', async () => {
    const orgId = await trackedOrg(ledger, ['device_counts', 'payload_sources'], {
      from: '2026-10-01',
      to: '2026-10-01',
    });
    await ledger.load([devices(orgId, '2026-10-01', 4, 1, 17)]);
    expect(
      await ask(sql`select metric, unit, kind, quantity, is_reported, is_final from losant_usage.daily_usage_long
        where org_id = ${orgId} order by metric`),
    ).toEqual([
      {
        metric: 'devices_created',
        unit: 'devices',
        kind: 'flow',
        quantity: 4,
        is_reported: true,
        is_final: true,
      },
      {
        metric: 'devices_deleted',
        unit: 'devices',
        kind: 'flow',
        quantity: 1,
        is_reported: true,
        is_final: true,
      },
      {
        metric: 'devices_total',
        unit: 'devices',
        kind: 'level',
        quantity: 17,
        is_reported: true,
        is_final: true,
      },
      {
        metric: 'payload_source_count',
        unit: 'payloads',
        kind: 'flow',
        quantity: null,
        is_reported: null,
        is_final: false,
      },
    ]);
  });

  test('says the same as the wide view, for every metric', async () => {
    const differing = await ask(sql`
      select l.metric from losant_usage.daily_usage_long l
      join losant_usage.daily_usage d using (org_id, usage_date)
      where l.quantity is distinct from (to_jsonb(d) ->> l.metric)::bigint`);
    expect(differing).toEqual([]);
    expect(await ask(sql`select count(*) > 20 as any from losant_usage.daily_usage_long`)).toEqual([
      { any: true },
    ]);
  });
});
