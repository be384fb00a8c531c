/** The gaps people see are those the plan works on. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addDays, dayAt, dayEndMs, HOUR_MS, type UsageDay } from '../../src/usage/day.ts';
import { readTrackPages } from '../../src/export/due.ts';
import { planPage } from '../../src/usage/plan.ts';
import { INSTANCE, type Ledger, openLedger, rowsOf } from '../database/ledger.ts';
import { at, policy } from '../usage/tracks.ts';

const STREAMS = ['device_counts', 'payload_sources'];

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger('postgres');
});

afterAll(() => ledger.close());

async function gapsAt(moment: string, orgId: string): Promise<object[]> {
  return await rowsOf(
    ledger.db,
    sql`select stream, usage_date, state, reason from losant_usage.coverage_gaps_at(${moment})
      where org_id = ${orgId} order by usage_date, stream`,
  );
}

async function promise(orgId: string, from: string, rest: { to?: string; expiredTo?: string } = {}) {
  await sql`insert into losant_usage.tracking (org_id, stream, tracked_from, tracked_to, expired_to)
    values (${orgId}, 'device_counts', ${from}, ${rest.to ?? null}, ${rest.expiredTo ?? null})`.execute(
    ledger.db,
  );
}

async function cell(orgId: string, day: string, state: string, error: string | null = null): Promise<void> {
  await sql`insert into losant_usage.coverage (usage_date, stream, org_id, state, error_code, error_message)
    values (${day}, 'device_counts', ${orgId}, ${state}, ${error}, ${error})`.execute(ledger.db);
}

describe('a gap', () => {
  test('is a promised number that was never asked for, from six hours after its day on', async () => {
    const orgId = await ledger.newOrg();
    await promise(orgId, '2026-11-20');
    expect(await gapsAt('2026-11-21T05:59:59.999Z', orgId)).toEqual([]);
    expect(await gapsAt('2026-11-21T06:00:00.000Z', orgId)).toEqual([
      {
        stream: 'device_counts',
        usage_date: '2026-11-20',
        state: 'never_read',
        reason: 'it was never asked for',
      },
    ]);
  });

  test('is a read that failed or was not believed, at once; absent only after six hours', async () => {
    const orgId = await ledger.newOrg();
    await promise(orgId, '2026-11-18');
    await cell(orgId, '2026-11-18', 'failed', 'server_error');
    await cell(orgId, '2026-11-19', 'quarantined', 'invalid_value');
    await cell(orgId, '2026-11-20', 'absent', 'absent');
    expect(await gapsAt('2026-11-21T00:00:00.000Z', orgId)).toMatchObject([
      { usage_date: '2026-11-18', state: 'failed', reason: 'server_error' },
      { usage_date: '2026-11-19', state: 'quarantined', reason: 'invalid_value' },
    ]);
    expect(await gapsAt('2026-11-21T06:00:00.000Z', orgId)).toHaveLength(3);
  });

  test('is neither what is held nor what is known to be missing', async () => {
    const orgId = await ledger.newOrg();
    await promise(orgId, '2026-11-18');
    for (const [day, state] of [
      ['2026-11-18', 'loaded'],
      ['2026-11-19', 'final'],
      ['2026-11-20', 'waived'],
      ['2026-11-21', 'unavailable'],
    ] as const)
      await cell(orgId, day, state, state);
    expect(await gapsAt('2026-11-22T12:00:00.000Z', orgId)).toEqual([]);
    expect(
      await rowsOf(
        ledger.db,
        sql`select usage_date, state from losant_usage.known_missing where org_id = ${orgId} order by usage_date`,
      ),
    ).toEqual([
      { usage_date: '2026-11-20', state: 'waived' },
      { usage_date: '2026-11-21', state: 'unavailable' },
    ]);
  });

  test('before the settled past counts only where the ledger says it is open', async () => {
    const orgId = await ledger.newOrg();
    await promise(orgId, '2026-06-01', { expiredTo: '2026-11-20', to: '2026-11-20' });
    await cell(orgId, '2026-07-01', 'failed', 'deleted_by_hand');
    expect((await gapsAt('2026-11-24T12:00:00.000Z', orgId)).map((row) => Object.values(row)[1])).toEqual([
      '2026-07-01',
      '2026-11-20',
    ]);
  });

  test('does not depend on the time zone of the session', async () => {
    const orgId = await ledger.newOrg();
    await promise(orgId, '2026-11-20');
    for (const zone of ['Pacific/Auckland', 'America/Los_Angeles']) {
      const counts = await ledger.db.transaction().execute(async (trx) => {
        await sql`select set_config('timezone', ${zone}, true)`.execute(trx);
        const rows: unknown[] = [];
        for (const moment of ['2026-11-21T05:59:59.999Z', '2026-11-21T06:00:00.000Z']) {
          const gaps = await sql`
            select from losant_usage.coverage_gaps_at(${moment}) where org_id = ${orgId}`.execute(trx);
          rows.push(gaps.rows.length);
        }
        return rows;
      });
      expect(counts).toEqual([0, 1]);
    }
  });
});

const NOW_DAY = '2026-11-24';
const states = ['loaded', 'final', 'absent', 'quarantined', 'failed', 'unavailable', 'waived'] as const;
const ago = fc.integer({ min: -1, max: 100 }).map((days) => addDays(NOW_DAY, -days));
const instant = fc.integer({ min: at('2026-08-01T00:00:00Z'), max: at('2026-11-25T00:00:00Z') });

const known = fc.record({
  day: fc.oneof(
    fc.integer({ min: 1, max: 8 }).map((days) => addDays(NOW_DAY, -days)),
    ago,
  ),
  state: fc.constantFrom(...states),
  verifiedAt: fc.option(instant),
  nextAttemptAt: fc.option(instant),
});

const orgs = fc.array(
  fc.record({
    removedOn: fc.option(ago, { freq: 4 }),
    tracks: fc.array(
      fc.record({
        trackedFrom: ago,
        trackedTo: fc.option(ago, { freq: 3 }),
        expiredTo: fc.option(ago, { freq: 3 }),
        cells: fc.uniqueArray(known, { maxLength: 12, selector: ({ day }) => day }),
      }),
      { minLength: 2, maxLength: 2 },
    ),
  }),
  { minLength: 1, maxLength: 2 },
);

type Org = typeof orgs extends fc.Arbitrary<infer T extends readonly unknown[]> ? T[number] : never;

/** Only days that are not over can be later than what is known of them; past what is settled nothing is open. */
function isPossible({ day, state }: { day: UsageDay; state: string }, expiredTo: UsageDay | null): boolean {
  return expiredTo === null || day >= expiredTo || !['failed', 'quarantined', 'absent'].includes(state);
}

async function store(given: readonly Org[]): Promise<string[]> {
  const orgIds: string[] = [];
  for (const { removedOn, tracks } of given) {
    const orgId = await ledger.newOrg();
    orgIds.push(orgId);
    await sql`update losant_usage.organizations set removed_at = ${removedOn && `${removedOn}T15:00:00Z`}
      where org_id = ${orgId}`.execute(ledger.db);
    for (const [index, { trackedFrom, trackedTo, expiredTo, cells }] of tracks.entries()) {
      const stream = STREAMS[index];
      await sql`insert into losant_usage.tracking values
        (${orgId}, ${stream}, ${trackedFrom}, ${trackedTo}, ${expiredTo})`.execute(ledger.db);
      const rows = cells
        .filter((each) => isPossible(each, expiredTo))
        .map(({ day, state, verifiedAt, nextAttemptAt }) => ({
          usage_date: day,
          state,
          verified_at: verifiedAt === null ? null : new Date(verifiedAt).toISOString(),
          next_attempt_at: nextAttemptAt === null ? null : new Date(nextAttemptAt).toISOString(),
        }));
      await sql`insert into losant_usage.coverage (usage_date, stream, org_id, state, verified_at, next_attempt_at)
        select usage_date, ${stream}, ${orgId}, state, verified_at, next_attempt_at
        from json_to_recordset(${JSON.stringify(rows)}::text::json) as
          r (usage_date date, state text, verified_at timestamptz, next_attempt_at timestamptz)`.execute(
        ledger.db,
      );
    }
  }
  return orgIds;
}

/** Cells the plan knows to be not held: to be read, waiting or lost. */
async function openCells(orgIds: readonly string[], nowMs: number): Promise<string[]> {
  const scope = { instanceId: INSTANCE, streams: STREAMS, orgIds };
  const open: string[] = [];
  for await (const tracks of readTrackPages(ledger.db, scope, { nowMs, policy })) {
    const plan = planPage(tracks, { nowMs, policy });
    const stateOf = new Map(
      tracks.flatMap(({ orgId, stream, cells }) =>
        cells.map(({ day, state }) => [`${day} ${stream} ${orgId}`, state]),
      ),
    );
    const read = plan.slices.flatMap(({ orgId, stream, days }) =>
      days.filter(({ reason }) => reason !== 'checkpoint').map(({ day }) => ({ orgId, stream, day })),
    );
    const waiting = plan.waiting.filter(({ state }) => state !== 'loaded' && state !== 'final');
    for (const { day, stream, orgId } of [...read, ...waiting, ...plan.lost]) {
      const id = `${day} ${stream} ${orgId}`;
      const isOld = nowMs >= dayEndMs(day) + 6 * HOUR_MS;
      if (isOld || ['failed', 'quarantined'].includes(stateOf.get(id) ?? '')) open.push(id);
    }
  }
  return open.toSorted();
}

test('the gaps are the cells that the plan has still to get, or to give up, six hours old or failed', async () => {
  const moment = fc.integer({ min: at('2026-11-24T00:00:00Z'), max: at('2026-11-24T23:59:59.999Z') });
  let seen = 0;
  await fc.assert(
    fc.asyncProperty(orgs, moment, async (given, nowMs) => {
      expect(dayAt(nowMs)).toBe(NOW_DAY);
      const orgIds = await store(given);
      const gaps = await rowsOf(
        ledger.db,
        sql`select usage_date, stream, org_id from losant_usage.coverage_gaps_at(${new Date(nowMs).toISOString()})
          where org_id = any (${orgIds}::text[])`,
      );
      seen += gaps.length;
      expect(gaps.map((gap) => Object.values(gap).join(' ')).toSorted()).toEqual(
        await openCells(orgIds, nowMs),
      );
    }),
    { numRuns: 60 },
  );
  expect(seen).toBeGreaterThan(100);
});
