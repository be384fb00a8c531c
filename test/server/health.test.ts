import { beforeEach, describe, expect, test } from 'vitest';
import { readChangeList } from '../../src/queries/changes.ts';
import { changesShownSince, type Health, readHealth } from '../../src/queries/health.ts';
import { INSTANCE, useLedger } from '../database/ledger.ts';
import { asProgram } from '../support/by-hand.ts';
import { addCell } from '../support/cells.ts';
import { queryOnce } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';

const ledger = useLedger();

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

/** Adds the cells of so many days ago. */
async function add(
  orgId: string,
  backs: readonly number[],
  standing: string,
  reason?: string,
): Promise<void> {
  const cells = backs.map((back) =>
    addCell({ day: daysAgo(back), stream: 'device_counts', orgId }, standing, reason ? { reason } : {}),
  );
  await queryOnce(ledger.url, asProgram(cells.join('')));
}

const read = async (): Promise<Health> => await readHealth(ledger.db, { nowMs: Date.now(), horizonDays: 90 });
const readInstance = async () => (await read()).instances[0];
const readStream = async () => (await readInstance())?.streams[0];

describe('a stream', () => {
  test('has every standing that the view of cells shows, and its gaps', async () => {
    const orgs = [await ledger.newOrg(), await ledger.newOrg(), await ledger.newOrg()];
    const [tracked, left, removed] = orgs as [string, string, string];
    await track(tracked, 12);
    await track(left, 12, 9);
    await track(removed, 12);
    await queryOnce(
      ledger.url,
      `update losant_usage.organizations set removed_at = now() - interval '8 days' where org_id = '${removed}'`,
    );
    await add(tracked, [2], 'stored');
    await add(tracked, [3, 4], 'final');
    await add(tracked, [5], 'in_doubt', 'left_out');
    await add(tracked, [6, 7], 'missing');
    await add(tracked, [8], 'unavailable', 'past_horizon');
    await add(tracked, [9], 'accepted', 'waived');
    const views = await queryOnce(
      ledger.url,
      `select standing, count(*)::integer as cells from losant_usage.cells group by standing`,
    );
    const stream = await readStream();
    const shown = Object.entries(stream?.cells ?? {}).filter(([, cells]) => cells > 0);
    expect(new Map(shown)).toEqual(new Map(views.map((row) => [row['standing'], row['cells']])));
    expect(stream?.cells).toMatchObject({ stored: 1, final: 2, in_doubt: 1, unavailable: 1, accepted: 1 });
    expect(stream?.gaps).toBe((stream?.cells.in_doubt ?? 0) + (stream?.cells.missing ?? 0));
    expect(stream?.oldestGap).toBe(daysAgo(12));
  });

  test('is complete up to the day before the first that lacks anything, in view and health alike', async () => {
    const org = await ledger.newOrg();
    await track(org, 5);
    await add(org, [5, 4, 2, 1], 'stored');
    const shown = async () => [
      (await readStream())?.completeTo,
      (await queryOnce(ledger.url, 'select complete_to::text as day from losant_usage.freshness'))[0]?.[
        'day'
      ],
    ];
    expect(await shown()).toEqual([daysAgo(4), daysAgo(4)]);
    await add(org, [3], 'stored');
    expect(await shown()).toEqual([daysAgo(1), daysAgo(1)]);
  });

  test('of which even the first tracked day is missing is complete up to no day', async () => {
    const org = await ledger.newOrg();
    await track(org, 3);
    await add(org, [2, 1], 'stored');
    expect(await readStream()).toMatchObject({ completeTo: null, gaps: 1, oldestGap: daysAgo(3) });
  });

  test('says for how many organizations the numbers reach yesterday', async () => {
    for (let number = 0; number < 3; number += 1) {
      const org = await ledger.newOrg();
      await track(org, 2);
      await add(org, number === 0 ? [1] : [2, 1], 'stored');
    }
    expect(await readStream()).toMatchObject({ orgsTracked: 3, orgsComplete: 2, gaps: 1, orgsWithGaps: 1 });
  });

  test('counts an organization that was deleted yesterday on neither side, as the lists do', async () => {
    const [existing, deleted] = [await ledger.newOrg(), await ledger.newOrg()];
    for (const org of [existing, deleted]) {
      await track(org, 2);
      await add(org, [2, 1], 'stored');
    }
    await queryOnce(
      ledger.url,
      `update losant_usage.organizations set removed_at = now() where org_id = '${deleted}'`,
    );
    const instance = await readInstance();
    const existingOnes = (
      await queryOnce(
        ledger.url,
        'select count(*)::integer as orgs from losant_usage.organizations where removed_at is null',
      )
    )[0]?.['orgs'];
    expect(instance).toMatchObject({ organizations: existingOnes, deletedOrganizations: 1 });
    expect(instance?.streams[0]).toMatchObject({ orgsTracked: 1, orgsComplete: 1 });
  });

  test('says what yesterday lacks, whatever older days do', async () => {
    const [early, late] = [await ledger.newOrg(), await ledger.newOrg()];
    for (const org of [early, late]) await track(org, 4);
    await add(early, [3, 2, 1], 'stored');
    await add(late, [3, 2], 'stored');
    await add(late, [1], 'in_doubt', 'left_out');
    expect((await readStream())?.yesterday).toEqual({ waiting: 0, unavailable: 0, in_doubt: 1, missing: 0 });
    expect(await readStream()).toMatchObject({ gaps: 3, oldestGap: daysAgo(4) });
  });

  test('says which gaps pass the horizon within a week', async () => {
    const org = await ledger.newOrg();
    await track(org, 91);
    await add(
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
         now() - interval '1 hour', now(), now(), 'host', '1.2.3')`,
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

  test('counts changed final numbers as the page of changes does, those by hand too', async () => {
    const org = await ledger.newOrg();
    const addRevision = async (key: string, wasFinal: boolean, ago: string, runId: string | null) =>
      await queryOnce(
        ledger.url,
        asProgram(`insert into losant_usage.revisions
           (stream, org_id, usage_date, revision, key, old, new, run_id, changed_by, changed_at, was_final)
         values ('${key === '{}' ? 'device_counts' : 'payload_sources'}', '${org}', '${daysAgo(9)}',
           (select count(*) + 2 from losant_usage.revisions), '${key}', '{"total": 1, "count": 1}', '{}',
           ${runId === null ? 'null' : `'${runId}'`}, 'someone', now() - interval '${ago}', ${wasFinal})`),
      );
    const run = '00000000-0000-4000-8000-000000000001';
    await addRevision('{}', true, '1 hour', run);
    await addRevision('{"source": "s", "payload_type": "t"}', true, '2 hours', run);
    await addRevision('{}', true, '40 days', run);
    await addRevision('{}', false, '1 hour', run);
    await addRevision('{}', true, '1 hour', null);
    expect(await readInstance()).toMatchObject({
      ...{ finalChanges: 4, finalChanges30Days: 3, finalChangesByHand30Days: 1 },
      changesByHand30Days: 1,
    });
    const page = async (since: string | null) => await readChangeList(ledger.db, { which: 'final', since });
    expect(await page(null)).toMatchObject({ numbers: 4, byHand: 1 });
    expect(await page(changesShownSince(Date.now()))).toMatchObject({ numbers: 3, byHand: 1 });
  });
});
