import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readLedger } from '../../src/database/write/coverage.ts';
import { at } from './answers.ts';
import { type Ledger, openLedger } from './ledger.ts';

describe.each(['postgres', 'embedded'] as const)('the ledger of the %s database', (kind) => {
  let ledger: Ledger;
  let orgId: string;

  beforeAll(async () => {
    ledger = await openLedger(kind);
    orgId = await ledger.newOrg();
    await sql`
      insert into losant_usage.coverage (usage_date, stream, org_id, state, verified_at, next_attempt_at)
      select d::date, 'device_counts', ${orgId}, 'final', '2026-11-24T00:15:00Z', null
      from generate_series(date '2026-10-01', date '2026-10-30', interval '1 day') d
      union all values
        (date '2026-11-01', 'device_counts', ${orgId}, 'loaded', timestamptz '2026-11-24T00:15:00.123Z', null),
        (date '2026-11-02', 'device_counts', ${orgId}, 'loaded', null, null),
        (date '2026-11-03', 'device_counts', ${orgId}, 'failed', null, timestamptz '2026-11-24T02:15:00.456Z'),
        (date '2026-11-04', 'device_counts', ${orgId}, 'absent', timestamptz '2026-11-24T00:15:00Z', null),
        (date '2026-11-05', 'payload_sources', ${orgId}, 'waived', null, null),
        (date '2026-11-06', 'notebook_minutes', ${orgId}, 'final', timestamptz '2026-11-24T00:15:00Z', null)`.execute(
      ledger.db,
    );
  });

  afterAll(() => ledger.close());

  const read = (days: readonly { day: string; checkpointMs: number | null }[], streams = ['device_counts']) =>
    readLedger(ledger.db, { orgIds: [orgId], streams, days });

  test('gives held days as ranges and everything else one by one', async () => {
    const days = Array.from({ length: 35 }, (_, index) => ({
      day: new Date(at('2026-10-01T00:00:00Z') + index * 86_400_000).toISOString().slice(0, 10),
      checkpointMs: at('2026-11-24T00:00:00Z'),
    }));
    const [part, ...others] = await read(days);
    expect(others).toEqual([]);
    expect(part?.orgId).toBe(orgId);
    expect(part?.settled).toEqual([
      { from: '2026-10-01', to: '2026-10-30' },
      { from: '2026-11-01', to: '2026-11-01' },
    ]);
    expect(part?.cells.toSorted((a, b) => (a.day < b.day ? -1 : 1))).toEqual([
      { day: '2026-11-02', state: 'loaded', verifiedAtMs: null, nextAttemptAtMs: null },
      {
        day: '2026-11-03',
        state: 'failed',
        verifiedAtMs: null,
        nextAttemptAtMs: at('2026-11-24T02:15:00.456Z'),
      },
      { day: '2026-11-04', state: 'absent', verifiedAtMs: at('2026-11-24T00:15:00Z'), nextAttemptAtMs: null },
    ]);
  });

  test.each([
    ['at the time it was verified', '2026-11-24T00:15:00.123Z', true],
    ['a millisecond later', '2026-11-24T00:15:00.124Z', false],
  ])('a held day with a checkpoint %s: settled %s', async (_, checkpoint, isSettled) => {
    const [part] = await read([{ day: '2026-11-01', checkpointMs: at(checkpoint) }]);
    const cell = {
      day: '2026-11-01',
      state: 'loaded',
      verifiedAtMs: at('2026-11-24T00:15:00.123Z'),
      nextAttemptAtMs: null,
    };
    expect(part).toMatchObject(
      isSettled
        ? { settled: [{ from: '2026-11-01', to: '2026-11-01' }], cells: [] }
        : { settled: [], cells: [cell] },
    );
  });

  test('a held day without a checkpoint is settled though nobody knows when it was verified', async () => {
    expect(await read([{ day: '2026-11-02', checkpointMs: null }])).toMatchObject([
      { settled: [{ from: '2026-11-02', to: '2026-11-02' }], cells: [] },
    ]);
  });

  test('gives nothing of streams and days that were not asked for', async () => {
    expect(await read([{ day: '2026-11-05', checkpointMs: null }])).toEqual([]);
    expect(await read([{ day: '2026-11-05', checkpointMs: null }], ['payload_sources'])).toMatchObject([
      { stream: 'payload_sources', settled: [], cells: [{ day: '2026-11-05', state: 'waived' }] },
    ]);
  });
});
