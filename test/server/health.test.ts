import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { foldStreams, readHealth } from '../../src/database/read/health.ts';
import { isGapAge } from '../../src/usage/policy.ts';
import { INSTANCE, type Ledger, openLedger } from '../database/ledger.ts';

const at = (instant: string) => ({ nowMs: Date.parse(instant), horizonDays: 90, isOverdue: isGapAge });

describe('a stream', () => {
  const day = (usageDay: string, states: Record<string, number>) =>
    Object.entries(states).map(([state, count]) => ({
      ...{ instanceId: INSTANCE, stream: 'device_counts', day: usageDay, count },
      state: state as 'promised' | 'loaded',
    }));

  test('counts as gaps what failed at once, and what is missing or absent from six hours on', () => {
    const counts = [
      ...day('2026-11-22', { promised: 5, loaded: 1, absent: 1, quarantined: 1, waived: 1, unavailable: 1 }),
      ...day('2026-11-23', { promised: 4, loaded: 1, absent: 1, failed: 1 }),
    ];
    const [before] = foldStreams(counts, at('2026-11-24T05:59:59Z'));
    expect(before).toMatchObject({ gaps: 3, oldestGap: '2026-11-22', completeTo: null });
    const [after] = foldStreams(counts, at('2026-11-24T06:00:00Z'));
    expect(after).toMatchObject({ gaps: 5, oldestGap: '2026-11-22' });
    expect(after?.cells).toMatchObject({ loaded: 2, missing: 1, waived: 1, unavailable: 1 });
  });

  test('tells of gaps that pass the horizon within a week', () => {
    const counts = [...day('2026-09-01', { promised: 2 }), ...day('2026-09-02', { promised: 3 })];
    // The horizon is 2026-08-26; a week later it is 2026-09-02, so 2026-09-01 is lost by then.
    expect(foldStreams(counts, at('2026-11-24T10:00:00Z'))).toMatchObject([{ gaps: 5, expiring: 2 }]);
    expect(foldStreams(counts, at('2026-11-25T10:00:00Z'))).toMatchObject([{ gaps: 5, expiring: 5 }]);
  });

  test('is complete up to the newest day that lacks nothing', () => {
    const counts = [...day('2026-11-22', { promised: 1, waived: 1 }), ...day('2026-11-23', { promised: 1 })];
    const [stream] = foldStreams(counts, at('2026-11-24T01:00:00Z'));
    expect(stream).toMatchObject({ gaps: 0, completeTo: '2026-11-22' });
  });
});

describe('the ledger', () => {
  let ledger: Ledger;
  beforeAll(async () => {
    ledger = await openLedger('postgres');
  });
  afterAll(async () => {
    await ledger.close();
  });

  test('has the gaps that the view coverage_gaps shows, whatever the states and promises', async () => {
    const { db } = ledger;
    const orgs = [await ledger.newOrg(), await ledger.newOrg(), await ledger.newOrg(), await ledger.newOrg()];
    const [whole, left, removed, expired] = orgs as [string, string, string, string];
    const promises = [
      [whole, -12, null, null],
      [left, -12, -9, null],
      [removed, -12, null, null],
      [expired, -95, null, -6],
    ] as const;
    for (const [org, from, to, expiredTo] of promises) {
      await sql`insert into losant_usage.tracking (org_id, stream, tracked_from, tracked_to, expired_to)
        values (${org}, 'device_counts', (now() at time zone 'UTC')::date + ${from}::integer,
          (now() at time zone 'UTC')::date + ${to}::integer, (now() at time zone 'UTC')::date + ${expiredTo}::integer)`.execute(
        db,
      );
    }
    await sql`update losant_usage.organizations set removed_at = now() - interval '8 days' where org_id = ${removed}`.execute(
      db,
    );
    const states = ['loaded', 'final', 'absent', 'quarantined', 'failed', 'unavailable', 'waived'];
    for (const [index, state] of states.entries()) {
      await sql`insert into losant_usage.coverage (usage_date, stream, org_id, state)
        values ((now() at time zone 'UTC')::date - ${index + 2}::integer, 'device_counts', ${whole}, ${state})`.execute(
        db,
      );
    }
    const { rows } = await sql<{ gaps: number; oldest: string }>`
      select count(*)::integer as gaps, min(usage_date) as oldest from losant_usage.coverage_gaps`.execute(
      db,
    );
    const { instances } = await readHealth(db, { ...at('2026-01-01'), nowMs: Date.now() });
    const [stream] = instances[0]?.streams ?? [];
    expect(rows[0]?.gaps).toBeGreaterThan(10);
    expect({ gaps: stream?.gaps, oldest: stream?.oldestGap }).toEqual(rows[0]);
  });
});
