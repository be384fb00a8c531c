/** The gaps people see are those of the one rule. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addDays, eachDay, earliestDay, latestDay } from '../../src/usage/day.ts';
import { isGapAge, lastCompleteDay, nextCheckpointMs } from '../../src/usage/policy.ts';
import { type Ledger, openLedger, rowsOf } from '../database/ledger.ts';
import { at, policy } from '../usage/tracks.ts';

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

async function track(orgId: string, from: string, to: string | null = null): Promise<void> {
  await sql`insert into losant_usage.tracking (org_id, stream, tracked_days)
    values (${orgId}, 'device_counts', datemultirange(daterange(${from}::date, ${to}::date + 1)))`.execute(
    ledger.db,
  );
}

async function cell(orgId: string, day: string, state: string, error: string | null = null): Promise<void> {
  await sql`insert into losant_usage.coverage (usage_date, stream, org_id, state, error_code, error_message)
    values (${day}, 'device_counts', ${orgId}, ${state}, ${error}, ${error})`.execute(ledger.db);
}

describe('a gap', () => {
  test('is a tracked number that was never read, from six hours after its day on', async () => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-20');
    expect(await gapsAt('2026-11-21T05:59:59.999Z', orgId)).toEqual([]);
    expect(await gapsAt('2026-11-21T06:00:00.000Z', orgId)).toEqual([
      {
        stream: 'device_counts',
        usage_date: '2026-11-20',
        state: 'never_read',
        reason: 'it was never read',
      },
    ]);
  });

  test('is a read that failed or was not believed, at once; absent only after six hours', async () => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-18');
    await cell(orgId, '2026-11-18', 'failed', 'server_error');
    await cell(orgId, '2026-11-19', 'quarantined', 'invalid_value');
    await cell(orgId, '2026-11-20', 'absent', 'absent');
    expect(await gapsAt('2026-11-21T00:00:00.000Z', orgId)).toMatchObject([
      { usage_date: '2026-11-18', standing: 'missing', reason: 'server_error' },
      { usage_date: '2026-11-19', standing: 'missing', reason: 'invalid_value' },
    ]);
    expect(await gapsAt('2026-11-21T06:00:00.000Z', orgId)).toHaveLength(3);
  });

  test('is neither what is held nor what is known to be missing', async () => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-18');
    for (const [day, state] of [
      ['2026-11-18', 'loaded'],
      ['2026-11-19', 'final'],
      ['2026-11-20', 'waived'],
      ['2026-11-21', 'unavailable'],
    ] as const)
      await cell(orgId, day, state, ['loaded', 'final'].includes(state) ? null : state);
    expect(await gapsAt('2026-11-22T12:00:00.000Z', orgId)).toEqual([]);
    expect(
      await rowsOf(
        ledger.db,
        sql`select usage_date, state from losant_usage.known_missing where org_id = ${orgId} order by usage_date`,
      ),
    ).toEqual([
      { usage_date: '2026-11-20', standing: 'accepted' },
      { usage_date: '2026-11-21', standing: 'unavailable' },
    ]);
  });

  test.each(['loaded', 'final'])('is a number that is %s and that Losant left out since', async (state) => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-18', '2026-11-19');
    await cell(orgId, '2026-11-18', state, 'bucket_missing');
    await cell(orgId, '2026-11-19', state, 'server_error');
    expect(await gapsAt('2026-11-22T12:00:00.000Z', orgId)).toMatchObject([
      { usage_date: '2026-11-18', state },
    ]);
  });

  test('is none where a number that Losant left out was waived: it is known to be missing', async () => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-18', '2026-11-18');
    await cell(orgId, '2026-11-18', 'loaded', 'waived');
    expect(await gapsAt('2026-11-22T12:00:00.000Z', orgId)).toEqual([]);
    const known = sql`select state from losant_usage.known_missing where org_id = ${orgId}`;
    expect(await rowsOf(ledger.db, known)).toEqual([{ standing: 'accepted' }]);
  });

  test('does not depend on the time zone of the session', async () => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-20');
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

const orgs = fc.array(
  fc.record({
    removedOn: fc.option(ago, { freq: 4 }),
    createdOn: fc.option(ago, { freq: 4 }),
    trackedFrom: ago,
    trackedTo: fc.option(ago, { freq: 3 }),
    cells: fc.uniqueArray(fc.record({ day: ago, state: fc.constantFrom(...states) }), {
      maxLength: 20,
      selector: ({ day }) => day,
    }),
  }),
  { minLength: 1, maxLength: 3 },
);

type Org = typeof orgs extends fc.Arbitrary<infer T extends readonly unknown[]> ? T[number] : never;

async function store({ removedOn, createdOn, trackedFrom, trackedTo, cells }: Org): Promise<string> {
  const orgId = await ledger.newOrg();
  await sql`update losant_usage.organizations set removed_at = ${removedOn && `${removedOn}T15:00:00Z`},
    created_at = ${createdOn && `${createdOn}T08:00:00Z`}, first_seen_at = '2027-01-01T00:00:00Z'
    where org_id = ${orgId}`.execute(ledger.db);
  await track(
    orgId,
    trackedFrom,
    trackedTo !== null && trackedTo < trackedFrom ? addDays(trackedFrom, -1) : trackedTo,
  );
  for (const { day, state } of cells) {
    await cell(orgId, day, state, ['loaded', 'final'].includes(state) ? null : state);
  }
  return orgId;
}

/** The rule in TypeScript: which cells of what was stored are gaps at a moment. */
function expectedGaps({ removedOn, createdOn, trackedFrom, trackedTo, cells }: Org, nowMs: number): string[] {
  const first = latestDay(trackedFrom, createdOn);
  const last = earliestDay(lastCompleteDay(nowMs), trackedTo, removedOn);
  if (first > last) return [];
  const stateOf = new Map(cells.map(({ day, state }) => [day, state]));
  return eachDay({ from: first, to: last }).flatMap((day) => {
    const state = stateOf.get(day);
    if (state === 'failed' || state === 'quarantined') return [`${day} ${state}`];
    if (state === 'absent' && isGapAge(day, nowMs)) return [`${day} absent`];
    return state === undefined && isGapAge(day, nowMs) ? [`${day} never_read`] : [];
  });
}

test('the gaps of the view are those of the rule, on random ledgers at random moments', async () => {
  const moment = fc.integer({ min: at('2026-11-24T00:00:00Z'), max: at('2026-11-24T23:59:59.999Z') });
  let seen = 0;
  await fc.assert(
    fc.asyncProperty(orgs, moment, async (given, nowMs) => {
      for (const org of given) {
        const orgId = await store(org);
        const gaps = await rowsOf(
          ledger.db,
          sql`select usage_date, state from losant_usage.coverage_gaps_at(${new Date(nowMs).toISOString()})
            where org_id = ${orgId} order by usage_date`,
        );
        seen += gaps.length;
        expect(gaps.map((gap) => Object.values(gap).join(' '))).toEqual(expectedGaps(org, nowMs));
      }
    }),
    { numRuns: 60 },
  );
  expect(seen).toBeGreaterThan(100);
});

test('the rules of age and of the next read are the same in SQL and in TypeScript', async () => {
  const instant = fc.integer({ min: at('2026-10-01T00:00:00Z'), max: at('2027-01-31T00:00:00Z') });
  const hours = fc.uniqueArray(fc.integer({ min: 0, max: 800 }), { minLength: 1, maxLength: 7 });
  await fc.assert(
    fc.asyncProperty(ago, fc.option(instant), hours, async (day, ms, readAtHours) => {
      const instantText = ms === null ? null : new Date(ms).toISOString();
      const [rule] = await rowsOf(
        ledger.db,
        sql`select ${day}::date < losant_usage.gap_before(${instantText}::timestamptz) as old,
          losant_usage.next_checkpoint(${day}::date, ${instantText}::timestamptz, ${readAtHours}::integer[]) as next`,
      );
      const nextMs = nextCheckpointMs(day, ms, { ...policy, readAtHours });
      expect(rule).toEqual({
        old: ms === null ? null : isGapAge(day, ms),
        next: nextMs === null ? null : new Date(nextMs).toISOString(),
      });
    }),
    { numRuns: 300 },
  );
});
