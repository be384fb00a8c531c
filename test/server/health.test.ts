import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { readFreshness } from '../../src/queries/freshness.ts';
import { type Health, readHealth } from '../../src/queries/health.ts';
import { INSTANCE, type Ledger, openLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger('postgres');
});
afterAll(async () => {
  await ledger.close();
});
beforeEach(async () => {
  await queryOnce(
    ledger.url,
    asProgram(`delete from losant_usage.coverage; delete from losant_usage.tracking;
      delete from losant_usage.runs; update losant_usage.organizations set removed_at = null`),
  );
});

/** Tracks a stream of the organization from so many days ago, up to others or without an end. */
async function track(orgId: string, from: number, to: number | null = null): Promise<void> {
  const until = to === null ? 'null' : `'${daysAgo(to - 1)}'`;
  await queryOnce(
    ledger.url,
    asProgram(`insert into losant_usage.tracking (org_id, stream, tracked_days)
      values ('${orgId}', 'device_counts', datemultirange(daterange('${daysAgo(from)}', ${until})))`),
  );
}

/** Settles the cell of so many days ago. */
async function settle(orgId: string, back: number, state: string): Promise<void> {
  const isHeld = ['loaded', 'final'].includes(state);
  await queryOnce(
    ledger.url,
    asProgram(`insert into losant_usage.coverage (usage_date, stream, org_id, state, reported, error_code)
      values ('${daysAgo(back)}', 'device_counts', '${orgId}', '${state}', ${isHeld}, ${isHeld ? 'null' : `'${state}'`})`),
  );
}

async function settleAll(orgId: string, backs: readonly number[], state: string): Promise<void> {
  for (const back of backs) await settle(orgId, back, state);
}

const read = async (): Promise<Health> => await readHealth(ledger.db, { nowMs: Date.now(), horizonDays: 90 });
const readInstance = async () => (await read()).instances[0];
const readStream = async () => (await readInstance())?.streams[0];

describe('a stream', () => {
  test('has the gaps that the view shows, whatever the states and what is tracked', async () => {
    const orgs = [await ledger.newOrg(), await ledger.newOrg(), await ledger.newOrg()];
    const [whole, left, removed] = orgs as [string, string, string];
    await track(whole, 12);
    await track(left, 12, 9);
    await track(removed, 12);
    await queryOnce(
      ledger.url,
      `update losant_usage.organizations set removed_at = now() - interval '8 days' where org_id = '${removed}'`,
    );
    const states = ['loaded', 'final', 'absent', 'quarantined', 'failed', 'unavailable', 'waived'];
    for (const [index, state] of states.entries()) await settle(whole, index + 2, state);
    const [view] = await queryOnce(
      ledger.url,
      'select count(*)::integer as gaps, min(usage_date)::text as oldest from losant_usage.coverage_gaps',
    );
    const stream = await readStream();
    expect(view?.['gaps']).toBeGreaterThan(10);
    expect({ gaps: stream?.gaps, oldest: stream?.oldestGap }).toEqual(view);
    expect(stream?.cells).toMatchObject({
      ...{ loaded: 1, final: 1, absent: 1, quarantined: 1, failed: 1, unavailable: 1, waived: 1 },
    });
    expect(stream?.knownMissing).toBe(2);
  });

  test('is complete up to the day before the first that lacks anything, in view, status and health alike', async () => {
    const org = await ledger.newOrg();
    await track(org, 5);
    await settleAll(org, [5, 4, 2, 1], 'loaded');
    const told = async () => [
      (await readStream())?.completeTo,
      (await readFreshness(ledger.db))[0]?.completeTo,
      (await queryOnce(ledger.url, 'select complete_to::text as day from losant_usage.freshness'))[0]?.[
        'day'
      ],
    ];
    expect(await told()).toEqual([daysAgo(4), daysAgo(4), daysAgo(4)]);
    await settle(org, 3, 'loaded');
    expect(await told()).toEqual([daysAgo(1), daysAgo(1), daysAgo(1)]);
  });

  test('of which even the first tracked day is missing is complete up to no day', async () => {
    const org = await ledger.newOrg();
    await track(org, 3);
    await settleAll(org, [2, 1], 'loaded');
    expect(await readStream()).toMatchObject({ completeTo: null, gaps: 1, oldestGap: daysAgo(3) });
    expect((await readFreshness(ledger.db))[0]?.completeTo).toBeNull();
  });

  test('tells for how many organizations the numbers reach yesterday', async () => {
    for (let number = 0; number < 3; number += 1) {
      const org = await ledger.newOrg();
      await track(org, 2);
      await settleAll(org, number === 0 ? [1] : [2, 1], 'loaded');
    }
    expect(await readStream()).toMatchObject({ orgsTracked: 3, orgsComplete: 2, gaps: 1 });
  });

  test('tells which gaps are numbers that are held', async () => {
    const org = await ledger.newOrg();
    await track(org, 3);
    await settleAll(org, [2, 1], 'loaded');
    await sql`update losant_usage.coverage set error_code = 'bucket_missing', error_message = 'left out'
      where usage_date = ${daysAgo(2)}::date`.execute(ledger.db);
    expect(await readStream()).toMatchObject({ gaps: 2, doubted: 1, oldestGap: daysAgo(3) });
  });

  test('tells of gaps that pass the horizon within a week', async () => {
    const org = await ledger.newOrg();
    await track(org, 91);
    await settleAll(
      org,
      Array.from({ length: 82 }, (_, back) => back + 1),
      'final',
    );
    // Missing are the days 83 to 91 ago; 83 days ago is lost in more than a week.
    expect(await readStream()).toMatchObject({ gaps: 9, expiring: 8 });
  });
});

describe('an instance', () => {
  async function addRun(kind: string, isFull: boolean, status: string): Promise<void> {
    await queryOnce(
      ledger.url,
      `insert into losant_usage.runs
         (run_id, instance_id, kind, is_full, status, streams, started_at, heartbeat_at, finished_at, host, version)
       values (gen_random_uuid(), '${INSTANCE}', '${kind}', ${isFull}, '${status}', '{}',
         now() - interval '1 hour', now(), now(), 'host', '0.1.0')`,
    );
  }

  test('was last complete after any run of everything, by command too, and not after a part', async () => {
    expect(await readInstance()).toMatchObject({ lastCompleteRunAt: null, hasRun: false });
    await addRun('manual', false, 'complete');
    await addRun('scheduled', true, 'partial');
    expect(await readInstance()).toMatchObject({ lastCompleteRunAt: null, hasRun: true });
    await addRun('manual', true, 'complete');
    expect((await readInstance())?.lastCompleteRunAt).toMatch(/^\d{4}-/);
  });

  test('counts the final numbers that Losant restated, whatever process found them, and none changed by hand', async () => {
    const org = await ledger.newOrg();
    const addRevision = async (wasFinal: boolean, ago: string, runId: string | null) =>
      await queryOnce(
        ledger.url,
        `insert into losant_usage.revisions
           (stream, org_id, usage_date, revision, key, old, new, run_id, changed_by, changed_at, was_final, is_held)
         values ('device_counts', '${org}', '${daysAgo(9)}', 2, '{}', '{}', '{}',
           ${runId === null ? 'null' : `'${runId}'`}, 'someone', now() - interval '${ago}', ${wasFinal}, true)`,
      );
    const run = '00000000-0000-4000-8000-000000000001';
    await addRevision(true, '1 hour', run);
    await addRevision(true, '40 days', run);
    await addRevision(false, '1 hour', run);
    await addRevision(true, '1 hour', null);
    expect(await readInstance()).toMatchObject({ restatedFinal: 2, restatedFinal30Days: 1 });
  });
});
