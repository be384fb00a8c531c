/** Organizations that are deleted, come back, or belong to another instance. */
import { randomUUID } from 'node:crypto';
import { expect, it, onTestFinished } from 'vitest';
import { discoverOrganizations } from '../../src/loading/discover.ts';
import { AttemptError } from '../../src/losant/attempt.ts';
import { DAY_MS, HOUR_MS } from '../../src/usage/day.ts';
import { ALL_FINAL, standingsOf } from '../e2e/installation.ts';
import { readStored, readTruth } from '../e2e/usage.ts';
import { NOW, startPlatform } from '../simulator/platform.ts';
import { createStage, type Stage } from './stage.ts';

/** 2026-11-25 01:00 UTC. */
const NIGHT = Date.UTC(2026, 10, 25, 1);

const removed = async ({ query }: Stage): Promise<unknown[]> => {
  const rows = await query(`select org_id || ' ' || deleted_on as line from losant_usage.organizations
    where deleted_on is not null order by 1`);
  return rows.map(({ line }) => line);
};

const remove = ({ platform }: Pick<Stage, 'platform'>, orgId: string) =>
  platform.send('DELETE', `/orgs/${orgId}`, {});

// Guarantee (Missing numbers): Cells that can no longer be read are unavailable, with a reason; they do not disappear.
it('an organization that the list of the next day lacks is removed, and its open cells are unavailable', async () => {
  const stage = await createStage();
  const [gone = ''] = stage.orgIds;
  expect((await stage.run()).report.status).toBe('complete');
  await remove(stage, gone);
  await stage.moveTo(NOW + DAY_MS);
  expect((await stage.run()).report).toMatchObject({ status: 'complete', failures: [] });
  expect(await removed(stage)).toEqual([`${gone} 2026-11-25`]);
  const cells =
    await stage.query(`select standing, reason, next_read_at, array_agg(usage_date order by usage_date)::text as days
    from losant_usage.cells where org_id = '${gone}' and stream = 'device_counts' group by 1, 2, 3`);
  const lost = { standing: 'unavailable', reason: 'org_deleted', next_read_at: null };
  expect(cells).toEqual([{ ...lost, days: '{2026-11-23,2026-11-24}' }]);
});

it('an organization that is deleted after the list of the day was read is found by its 404', async () => {
  const stage = await createStage();
  const [gone = ''] = stage.orgIds;
  await stage.moveTo(NIGHT);
  await stage.run();
  await remove(stage, gone);
  await stage.moveTo(NIGHT + 6 * HOUR_MS);
  const { report } = await stage.run();
  expect(report).toMatchObject({ status: 'complete', failures: [], cells: { failed: 0, unavailable: 4 } });
  expect(await removed(stage)).toEqual([`${gone} 2026-11-25`]);
});

/** Reads the list anew, and returns the organizations that were removed by then. */
async function discoverWith(stage: Stage, client = stage.context().client): Promise<unknown[]> {
  const context = { ...stage.context(), client };
  const ledger = { ...context, runId: randomUUID(), lease: null };
  const { signal } = new AbortController();
  await discoverOrganizations({ context, ledger, signal }, { forceRefresh: true });
  return await removed(stage);
}

it('an organization counts as deleted if list, lookup and instance agree, and not if only two do', async () => {
  const stage = await createStage();
  const { orgIds } = stage;
  const [gone = '', stays = ''] = orgIds;
  await stage.run();
  const control = (settings: object) => stage.platform.control('config', settings);
  // A complete list lacks it, but Get organization answers.
  await control({ list: { hide: [stays] } });
  expect(await discoverWith(stage)).toEqual([]);
  // Get organization does not know it, but the list names it.
  await control({ list: {}, faults: { kinds: ['not_found'], orgIds: [stays], forever: true } });
  expect(await discoverWith(stage)).toEqual([]);
  await control({ faults: null });
  await remove(stage, gone);
  // The list is not complete, or is empty.
  await control({ list: { totalCount: 9 } });
  expect(await discoverWith(stage)).toEqual([]);
  await control({ list: { hide: orgIds } });
  expect(await discoverWith(stage)).toEqual([]);
  await control({ list: {} });
  // Get instance does not answer any more.
  const { client } = stage.context();
  const unknown = { kind: 'not_found', problem: 'answered HTTP 404', status: 404 } as const;
  const withoutInstance: typeof client = {
    get: async (request) => {
      if (request.action === 'instance.get') throw new AttemptError(request, unknown);
      return await client.get(request);
    },
  };
  expect(await discoverWith(stage, withoutInstance)).toEqual([]);
  expect(await discoverWith(stage)).toEqual([`${gone} 2026-11-24`]);
});

it('a list without any organization removes none', async () => {
  const stage = await createStage({ orgs: 1 });
  const [gone = ''] = stage.orgIds;
  await stage.run();
  await remove(stage, gone);
  await stage.moveTo(NOW + DAY_MS);
  expect((await stage.run()).report.status).toBe('partial');
  expect(await removed(stage)).toEqual([]);
});

// Guarantee (Missing numbers): An organization counts as deleted only if list, lookup and instance agree; many at once
// are confirmed only after three days.
it('more removals at once than are believed wait until the lists of three days lack them', async () => {
  const stage = await createStage();
  const [first = '', second = ''] = stage.orgIds;
  await stage.run();
  await remove(stage, first);
  await remove(stage, second);
  for (const days of [1, 2]) {
    await stage.moveTo(NOW + days * DAY_MS);
    const { report } = await stage.run();
    expect(report.status).toBe('partial');
    expect(report.failures.map(({ code }) => code)).toContain('deletions_not_confirmed');
    expect(await removed(stage)).toEqual([]);
    await stage.run();
  }
  await stage.moveTo(NOW + 3 * DAY_MS);
  expect((await stage.run()).report).toMatchObject({ status: 'complete' });
  expect(await removed(stage)).toEqual([first, second].toSorted().map((orgId) => `${orgId} 2026-11-27`));
});

// Guarantee (Missing numbers): If a deleted organization returns, its unavailable days are read again.
it('an organization that is listed again goes on where it ended, and what was restated meanwhile is read', async () => {
  const stage = await createStage();
  const { platform } = stage;
  const [gone = ''] = stage.orgIds;
  await stage.run();
  await remove(stage, gone);
  await stage.moveTo(NOW + DAY_MS);
  await stage.run();
  expect(await removed(stage)).toHaveLength(1);
  await platform.control('orgs/restore', { orgId: gone });
  await platform.control('restate', { orgId: gone, day: '2026-11-23' });
  await stage.moveTo(NOW + 3 * DAY_MS);
  expect((await stage.run()).report).toMatchObject({ status: 'complete', failures: [] });
  expect(await removed(stage)).toEqual([]);
  expect(await readStored(stage)).toEqual(await readTruth(platform, '2026-11-23', '2026-11-26'));
  expect(await standingsOf(stage, gone, '2026-11-23')).toEqual(ALL_FINAL);
});

// Guarantee (Missing numbers): An organization that is transferred to another instance keeps its days and is never
// counted twice.
it('an organization of another instance is taken over once the list of that one lacks it', async () => {
  const stage = await createStage({ seed: 'one', orgs: 3 });
  const options = { now: stage.now, hostile: false, seed: 'one', orgs: 3, instanceId: 'f'.repeat(24) };
  const platform = await startPlatform(options);
  onTestFinished(() => platform[Symbol.asyncDispose]());
  const [moved = '', ...others] = stage.orgIds;
  for (const orgId of others) await remove({ platform }, orgId);
  await stage.run();
  const early = (await stage.run({}, { platform })).report;
  const failures = [{ orgId: moved, code: 'org_of_other_instance' }];
  expect(early).toMatchObject({ status: 'partial', failures });
  await remove(stage, moved);
  await stage.moveTo(NOW + DAY_MS);
  await stage.run();
  expect((await stage.run({}, { platform })).report).toMatchObject({ status: 'complete', failures: [] });
  const owner = `select instance_id, deleted_on from losant_usage.organizations where org_id = '${moved}'`;
  expect(await stage.query(owner)).toEqual([{ instance_id: platform.instanceId, deleted_on: null }]);
  const movedOn = 'select distinct org_transferred_on::text as day from losant_usage.instances';
  expect(await stage.query(movedOn)).toEqual([{ day: '2026-11-24' }]);
});
