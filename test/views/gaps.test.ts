/** The standing of every cell is that of the one rule, and gaps are those that are in doubt or missing. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, type DatabaseHandle } from '../../src/database/open.ts';
import { addDays, eachDay, earliestDay, latestDay } from '../../src/usage/day.ts';
import { isLate, lastCompleteDay, nextCheckpointMs } from '../../src/usage/policy.ts';
import { isGap, STANDINGS, type Standing, standings } from '../../src/usage/standing.ts';
import { rowsOf } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCell } from '../support/cells.ts';
import { type ClockDatabase, createClockDatabase } from '../support/clock-database.ts';
import { queryOnce } from '../support/databases.ts';

const INSTANCE = '5c0000000000000000000001';
const STREAM = 'device_counts';
const at = (instant: string) => Date.parse(instant);

let clock: ClockDatabase;
let handle: DatabaseHandle;
let orgs = 0;

beforeAll(async () => {
  clock = await createClockDatabase();
  handle = await createDatabase({ url: clock.url, applicationName: 'gaps test', poolSize: 2 });
  await queryOnce(
    clock.url,
    `insert into losant_usage.instances (instance_id, api_url, tracked_from)
      values ('${INSTANCE}', 'https://api.example.com', '2026-11-01')`,
  );
});

afterAll(async () => {
  await handle.close();
  await clock.drop();
});

async function newOrg(): Promise<string> {
  orgs += 1;
  const orgId = `5d${String(orgs).padStart(22, '0')}`;
  await queryOnce(
    clock.url,
    `insert into losant_usage.organizations (org_id, instance_id, name, first_seen_at, last_seen_at)
      values ('${orgId}', '${INSTANCE}', 'Acme', '2026-11-01', '2026-11-01')`,
  );
  return orgId;
}

async function track(orgId: string, from: string, to: string | null = null): Promise<void> {
  const until = to === null ? 'null' : `date '${to}' + 1`;
  await queryOnce(
    clock.url,
    asProgram(`insert into losant_usage.tracking (org_id, stream, tracked_days)
      values ('${orgId}', '${STREAM}', datemultirange(daterange('${from}', ${until})))`),
  );
}

async function cell(orgId: string, day: string, standing: string, reason?: string): Promise<void> {
  const options = reason === undefined ? {} : { reason };
  await queryOnce(clock.url, asProgram(addCell({ day, stream: STREAM, orgId }, standing, options)));
}

async function readAt(view: 'cells' | 'coverage_gaps' | 'known_missing', moment: string, orgId: string) {
  await clock.stopClock(at(moment));
  const rows = await rowsOf(
    handle.db,
    sql`select usage_date, standing, reason from ${sql.table(`losant_usage.${view}`)}
      where org_id = ${orgId} order by usage_date`,
  );
  return rows.map((row) => Object.values(row).join(' '));
}

describe('a gap', () => {
  test('is a tracked number that was never read, from six hours after its day on', async () => {
    const orgId = await newOrg();
    await track(orgId, '2026-11-20');
    expect(await readAt('cells', '2026-11-21T05:59:59.999Z', orgId)).toEqual([
      '2026-11-20 waiting never_read',
    ]);
    expect(await readAt('coverage_gaps', '2026-11-21T05:59:59.999Z', orgId)).toEqual([]);
    expect(await readAt('coverage_gaps', '2026-11-21T06:00:00.000Z', orgId)).toEqual([
      '2026-11-20 missing never_read',
    ]);
  });

  test('is a read that failed or was not believed, at once; left out only after six hours', async () => {
    const orgId = await newOrg();
    await track(orgId, '2026-11-18');
    await cell(orgId, '2026-11-18', 'missing', 'server_error');
    await cell(orgId, '2026-11-19', 'missing', 'invalid_value');
    await cell(orgId, '2026-11-20', 'missing', 'left_out');
    expect(await readAt('coverage_gaps', '2026-11-21T00:00:00.000Z', orgId)).toEqual([
      '2026-11-18 missing server_error',
      '2026-11-19 missing invalid_value',
    ]);
    expect(await readAt('coverage_gaps', '2026-11-21T06:00:00.000Z', orgId)).toHaveLength(3);
  });

  test('is neither what is stored nor what is known to be missing', async () => {
    const orgId = await newOrg();
    await track(orgId, '2026-11-18');
    await cell(orgId, '2026-11-18', 'stored');
    await cell(orgId, '2026-11-19', 'final');
    await cell(orgId, '2026-11-20', 'accepted', 'waived');
    await cell(orgId, '2026-11-21', 'unavailable', 'past_horizon');
    expect(await readAt('coverage_gaps', '2026-11-22T12:00:00.000Z', orgId)).toEqual([]);
    expect(await readAt('known_missing', '2026-11-22T12:00:00.000Z', orgId)).toEqual([
      '2026-11-20 accepted waived',
      '2026-11-21 unavailable past_horizon',
    ]);
  });

  test('is a number that is stored and in doubt, and not one whose newest read failed', async () => {
    const orgId = await newOrg();
    await track(orgId, '2026-11-18', '2026-11-19');
    await cell(orgId, '2026-11-18', 'in_doubt', 'left_out');
    await cell(orgId, '2026-11-19', 'final', 'server_error');
    expect(await readAt('coverage_gaps', '2026-11-22T12:00:00.000Z', orgId)).toEqual([
      '2026-11-18 in_doubt left_out',
    ]);
  });

  test('does not depend on the time zone of the session', async () => {
    const orgId = await newOrg();
    await track(orgId, '2026-11-20');
    for (const zone of ['Pacific/Auckland', 'America/Los_Angeles']) {
      const counts: number[] = [];
      for (const moment of ['2026-11-21T05:59:59.999Z', '2026-11-21T06:00:00.000Z']) {
        await clock.stopClock(at(moment));
        const rows = await handle.db.transaction().execute(async (trx) => {
          await sql`select set_config('timezone', ${zone}, true)`.execute(trx);
          return await rowsOf(
            trx,
            sql`select stream from losant_usage.coverage_gaps where org_id = ${orgId}`,
          );
        });
        counts.push(rows.length);
      }
      expect(counts).toEqual([0, 1]);
    }
  });
});

const NOW_DAY = '2026-11-24';
const ago = fc.integer({ min: -1, max: 100 }).map((days) => addDays(NOW_DAY, -days));
const kinds = [
  ['final', undefined],
  ['accepted', 'waived'],
  ['stored', undefined],
  ['unavailable', 'past_horizon'],
  ['in_doubt', 'changed_by_hand'],
  ['missing', 'server_error'],
  ['missing', 'left_out'],
] as const;

const organizations = fc.array(
  fc.record({
    removedOn: fc.option(ago, { freq: 4 }),
    createdOn: fc.option(ago, { freq: 4 }),
    trackedFrom: ago,
    trackedTo: fc.option(ago, { freq: 3 }),
    cells: fc.uniqueArray(fc.record({ day: ago, kind: fc.constantFrom(...kinds) }), {
      maxLength: 20,
      selector: ({ day }) => day,
    }),
  }),
  { minLength: 1, maxLength: 3 },
);

type Org = typeof organizations extends fc.Arbitrary<infer T extends readonly unknown[]> ? T[number] : never;

async function store({ removedOn, createdOn, trackedFrom, trackedTo, cells }: Org): Promise<string> {
  const orgId = await newOrg();
  await sql`update losant_usage.organizations set removed_at = ${removedOn && `${removedOn}T15:00:00Z`},
    created_on = ${createdOn} where org_id = ${orgId}`.execute(handle.db);
  const isEmpty = trackedTo !== null && trackedTo < trackedFrom;
  await track(orgId, trackedFrom, isEmpty ? addDays(trackedFrom, -1) : trackedTo);
  const statements = cells.map(({ day, kind: [standing, reason] }) =>
    addCell({ day, stream: STREAM, orgId }, standing, reason === undefined ? {} : { reason }),
  );
  await queryOnce(clock.url, asProgram(statements.join('')));
  return orgId;
}

/** The rule in TypeScript: the standing of each tracked cell of what was stored, at a moment. */
function expectedCells(
  { removedOn, createdOn, trackedFrom, trackedTo, cells }: Org,
  nowMs: number,
): string[] {
  const first = latestDay(trackedFrom, createdOn);
  const last = earliestDay(lastCompleteDay(nowMs), trackedTo, removedOn);
  if (first > last) return [];
  const kindOf = new Map(cells.map(({ day, kind }) => [day, kind]));
  return eachDay({ from: first, to: last }).map((day) => {
    const [standing, reason] = kindOf.get(day) ?? ['missing', 'never_read'];
    const isYoung = !isLate(day, nowMs) && ['left_out', 'never_read'].includes(reason ?? '');
    return `${day} ${isYoung ? 'waiting' : standing}`;
  });
}

test('the cells of the view are those of the rule, on random ledgers at random moments', async () => {
  const moment = fc.integer({ min: at('2026-11-24T00:00:00Z'), max: at('2026-11-24T23:59:59.999Z') });
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(organizations, moment, async (given, nowMs) => {
      for (const org of given) {
        const orgId = await store(org);
        const instant = new Date(nowMs).toISOString();
        const cells = (await readAt('cells', instant, orgId)).map((text) =>
          text.split(' ').slice(0, 2).join(' '),
        );
        expect(cells).toEqual(expectedCells(org, nowMs));
        const gaps = cells.filter((text) => isGap(text.split(' ')[1] as Standing));
        expect(await readAt('coverage_gaps', instant, orgId)).toHaveLength(gaps.length);
        for (const text of cells) seen.add(text.split(' ')[1] ?? '');
      }
    }),
    { numRuns: 40 },
  );
  expect([...seen].toSorted()).toEqual([...standings].toSorted());
});

test('standings have one order and one list of words, in SQL and in TypeScript', async () => {
  const rows = await queryOnce(
    clock.url,
    'select unnest(enum_range(null::losant_usage.standing))::text as standing',
  );
  expect(rows.map((row) => row['standing'])).toEqual(Object.keys(STANDINGS));
});

test('the rules of age and of the next read are the same in SQL and in TypeScript', async () => {
  const instant = fc.integer({ min: at('2026-10-01T00:00:00Z'), max: at('2027-01-31T00:00:00Z') });
  const hours = fc.uniqueArray(fc.integer({ min: 0, max: 800 }), { minLength: 1, maxLength: 7 });
  await fc.assert(
    fc.asyncProperty(ago, fc.option(instant), hours, async (day, ms, readAtHours) => {
      const instantText = ms === null ? null : new Date(ms).toISOString();
      const [rule] = await rowsOf(
        handle.db,
        sql`select ${day}::date < losant_usage.late_before(${instantText}::timestamptz) as late,
          losant_usage.next_checkpoint(${day}::date, ${instantText}::timestamptz, ${readAtHours}::integer[]) as next`,
      );
      const policy = { readAtHours, finalAtHours: 72, horizonDays: 90 };
      const nextMs = nextCheckpointMs(day, ms, policy);
      expect(rule).toEqual({
        late: ms === null ? null : isLate(day, ms),
        next: nextMs === null ? null : new Date(nextMs).toISOString(),
      });
    }),
    { numRuns: 200 },
  );
});
