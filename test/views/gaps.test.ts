/** The gaps people see are those of the one rule, at any moment. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addDays, eachDay, earliestDay, latestDay } from '../../src/usage/day.ts';
import { isLate, lastCompleteDay, nextCheckpointMs } from '../../src/usage/policy.ts';
import { isGap, standings } from '../../src/usage/standing.ts';
import { addCells, addTracking, type GivenCell, type Ledger, openLedger } from '../database/ledger.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { at, policy } from '../usage/tracks.ts';

let clock: ClockDatabase;
let ledger: Ledger;

beforeAll(async () => {
  clock = await createClockDatabase();
  ledger = await openLedger('postgres', clock);
});

afterAll(() => ledger.close());

async function gapsAt(moment: string, orgId: string): Promise<object[]> {
  await clock.stopClock(at(moment));
  return await ledger.ask(sql`select stream, usage_date, standing, reason from losant_usage.coverage_gaps
      where org_id = ${orgId} order by usage_date, stream`);
}

const track = (orgId: string, from: string, to: string | null = null) =>
  addTracking(ledger.db, orgId, {
    streams: ['device_counts'],
    days: `{[${from},${to === null ? '' : addDays(to, 1)})}`,
  });
const leftOut = { standing: 'missing', reason: 'left_out' } as const;

describe('a gap', () => {
  test('is a tracked number that was never read, from six hours after its day on', async () => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-20');
    expect(await gapsAt('2026-11-21T05:59:59.999Z', orgId)).toEqual([]);
    expect(await gapsAt('2026-11-21T06:00:00.000Z', orgId)).toEqual([
      { stream: 'device_counts', usage_date: '2026-11-20', standing: 'missing', reason: 'never_read' },
    ]);
  });

  test('is a read that failed or was not believed, at once; one that was left out only after six hours', async () => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-18');
    await addCells(ledger.db, orgId, [
      { day: '2026-11-18', standing: 'missing', reason: 'server_error' },
      { day: '2026-11-19', standing: 'missing', reason: 'invalid_value' },
      { day: '2026-11-20', ...leftOut },
    ]);
    expect(await gapsAt('2026-11-21T00:00:00.000Z', orgId)).toMatchObject([
      { usage_date: '2026-11-18', standing: 'missing', reason: 'server_error' },
      { usage_date: '2026-11-19', standing: 'missing', reason: 'invalid_value' },
    ]);
    const waiting = sql`select usage_date from losant_usage.cells where org_id = ${orgId} and standing = 'waiting'`;
    expect(await ledger.ask(waiting)).toEqual([{ usage_date: '2026-11-20' }]);
    expect(await gapsAt('2026-11-21T06:00:00.000Z', orgId)).toHaveLength(3);
    expect(await ledger.ask(waiting)).toEqual([]);
  });

  test('does not depend on the time zone of the session', async () => {
    const orgId = await ledger.newOrg();
    await track(orgId, '2026-11-20');
    for (const zone of ['Pacific/Auckland', 'America/Los_Angeles']) {
      const counts: unknown[] = [];
      for (const moment of ['2026-11-21T05:59:59.999Z', '2026-11-21T06:00:00.000Z']) {
        await clock.stopClock(at(moment));
        await ledger.db.transaction().execute(async (trx) => {
          await sql`select set_config('timezone', ${zone}, true)`.execute(trx);
          const gaps = sql`select from losant_usage.coverage_gaps where org_id = ${orgId}`;
          counts.push((await gaps.execute(trx)).rows.length);
        });
      }
      expect(counts).toEqual([0, 1]);
    }
  });
});

const NOW_DAY = '2026-11-24';
const given: readonly Omit<GivenCell, 'day'>[] = [
  { standing: 'stored' },
  { standing: 'final' },
  { standing: 'in_doubt', reason: 'left_out' },
  { standing: 'in_doubt', reason: 'changed_by_hand' },
  leftOut,
  { standing: 'missing', reason: 'unconfirmed' },
  { standing: 'missing', reason: 'contradicted' },
  { standing: 'missing', reason: 'invalid_value' },
  { standing: 'missing', reason: 'server_error' },
  { standing: 'unavailable', reason: 'left_out' },
  { standing: 'accepted', reason: 'waived' },
];
const ago = fc.integer({ min: -1, max: 100 }).map((days) => addDays(NOW_DAY, -days));

const orgs = fc.array(
  fc.record({
    removedOn: fc.option(ago, { freq: 4 }),
    createdOn: fc.option(ago, { freq: 4 }),
    trackedFrom: ago,
    trackedTo: fc.option(ago, { freq: 3 }),
    cells: fc.uniqueArray(fc.record({ day: ago, cell: fc.constantFrom(...given) }), {
      maxLength: 20,
      selector: ({ day }) => day,
    }),
  }),
  { minLength: 1, maxLength: 3 },
);

type Org = typeof orgs extends fc.Arbitrary<infer T extends readonly unknown[]> ? T[number] : never;

async function store({ removedOn, createdOn, trackedFrom, trackedTo, cells }: Org): Promise<string> {
  const orgId = await ledger.newOrg();
  await ledger.db
    .updateTable('organizations')
    .set({ removed_at: removedOn && `${removedOn}T15:00:00Z`, created_on: createdOn })
    .where('org_id', '=', orgId)
    .execute();
  const isEmpty = trackedTo !== null && trackedTo < trackedFrom;
  await track(orgId, trackedFrom, isEmpty ? addDays(trackedFrom, -1) : trackedTo);
  await addCells(
    ledger.db,
    orgId,
    cells.map(({ day, cell }) => ({ day, ...cell })),
  );
  return orgId;
}

/** The rule in TypeScript: which cells of what was stored are gaps at a moment. */
function expectedGaps({ removedOn, createdOn, trackedFrom, trackedTo, cells }: Org, nowMs: number): string[] {
  const first = latestDay(trackedFrom, createdOn);
  const last = earliestDay(lastCompleteDay(nowMs), trackedTo, removedOn);
  if (first > last) return [];
  const cellOf = new Map(cells.map(({ day, cell }) => [day, cell]));
  return eachDay({ from: first, to: last }).flatMap((day) => {
    const { standing, reason = '' } = cellOf.get(day) ?? { standing: 'missing', reason: 'never_read' };
    const mayWait = ['never_read', 'left_out', 'unconfirmed', 'contradicted'].includes(reason);
    const isWaiting = standing === 'missing' && mayWait && !isLate(day, nowMs);
    return isGap(standing) && !isWaiting ? [`${day} ${standing}`] : [];
  });
}

test('the gaps of the view are those of the rule, on random ledgers at random moments', async () => {
  const moment = fc.integer({ min: at('2026-11-24T00:00:00Z'), max: at('2026-11-24T23:59:59.999Z') });
  let seen = 0;
  await fc.assert(
    fc.asyncProperty(orgs, moment, async (several, nowMs) => {
      for (const org of several) {
        const orgId = await store(org);
        const gaps = await gapsAt(new Date(nowMs).toISOString(), orgId);
        seen += gaps.length;
        const shown = gaps.map((gap) => `${Object.values(gap)[1]} ${Object.values(gap)[2]}`);
        expect(shown).toEqual(expectedGaps(org, nowMs));
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
      const [rule] =
        await ledger.ask(sql`select ${day}::date < losant_usage.late_before(${instantText}::timestamptz) as old,
          losant_usage.next_checkpoint(${day}::date, ${instantText}::timestamptz, ${readAtHours}::integer[]) as next`);
      const nextMs = nextCheckpointMs(day, ms, { ...policy, readAtHours });
      expect(rule).toEqual({
        old: ms === null ? null : isLate(day, ms),
        next: nextMs === null ? null : new Date(nextMs).toISOString(),
      });
    }),
    { numRuns: 300 },
  );
});

test('standings have the same order in SQL and in TypeScript', async () => {
  const order = sql`select unnest(enum_range(null::losant_usage.standing))::text as standing`;
  expect(await ledger.ask(order)).toEqual(standings.map((standing) => ({ standing })));
});
