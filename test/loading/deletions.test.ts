/** Organizations that are deleted, or return. */
import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { discoverOrganizations } from '../../src/loading/discover.ts';
import { createLosantError } from '../../src/losant/failure.ts';
import { DAY_MS, HOUR_MS } from '../../src/usage/day.ts';
import { ALL_FINAL, standingsOf } from '../e2e/installation.ts';
import { NOW } from '../simulator/platform.ts';
import { createStage, type Stage } from './stage.ts';

/** 2026-11-25 01:00 UTC. */
const NIGHT = Date.UTC(2026, 10, 25, 1);

const readDeletions = async ({ query }: Stage): Promise<unknown[]> => {
  const rows = await query(`select org_id || ' ' || deleted_on as line from losant_usage.organizations
    where deleted_on is not null order by 1`);
  return rows.map(({ line }) => line);
};

const deleteOrg = ({ platform }: Pick<Stage, 'platform'>, orgId: string) =>
  platform.send('DELETE', `/orgs/${orgId}`, {});

it('an organization missing from the list of the next day is deleted; its unsettled cells are unavailable', async () => {
  const stage = await createStage({ orgs: 2 });
  const [orgId = ''] = stage.orgIds;
  expect((await stage.run()).report.status).toBe('complete');
  await deleteOrg(stage, orgId);
  await stage.moveTo(NOW + DAY_MS);
  expect((await stage.run()).report).toMatchObject({ status: 'complete', failures: [] });
  expect(await readDeletions(stage)).toEqual([`${orgId} 2026-11-25`]);
  const cells = await stage.query(
    `select standing, reason, next_read_at, array_agg(usage_date order by usage_date)::text as days
      from losant_usage.cells where org_id = '${orgId}' and stream = 'device_counts' group by 1, 2, 3`,
  );
  const unavailable = { standing: 'unavailable', reason: 'org_deleted', next_read_at: null };
  expect(cells).toEqual([{ ...unavailable, days: '{2026-11-23,2026-11-24}' }]);
});

it('the deletion of an organization after the list of the day was read is detected by its 404', async () => {
  const stage = await createStage({ orgs: 2 });
  const [orgId = ''] = stage.orgIds;
  await stage.moveTo(NIGHT);
  await stage.run();
  await deleteOrg(stage, orgId);
  await stage.moveTo(NIGHT + 6 * HOUR_MS);
  const { report } = await stage.run();
  expect(report).toMatchObject({ status: 'complete', failures: [], cells: { failed: 0, unavailable: 4 } });
  expect(await readDeletions(stage)).toEqual([`${orgId} 2026-11-25`]);
});

/** Reads the list again, and returns the organizations that are deleted. */
async function discoverWith(stage: Stage, client = stage.context().client): Promise<unknown[]> {
  const context = { ...stage.context(), client };
  const ledger = { ...context, runId: randomUUID(), lease: null };
  const { signal } = new AbortController();
  await discoverOrganizations({ context, ledger, signal }, { forceRefresh: true });
  return await readDeletions(stage);
}

it('an organization counts as deleted if list, lookup and instance agree, and not if only two do', async () => {
  const stage = await createStage({ orgs: 3 });
  const { orgIds } = stage;
  const [deletedOrg = '', existingOrg = ''] = orgIds;
  await stage.run();
  const control = (settings: object) => stage.platform.control('config', settings);
  // A complete list lacks it, but Get organization returns it.
  await control({ list: { hide: [existingOrg] } });
  expect(await discoverWith(stage)).toEqual([]);
  // Get organization returns 404, but the list has it.
  await control({ list: {}, faults: { kinds: ['not_found'], orgIds: [existingOrg], forever: true } });
  expect(await discoverWith(stage)).toEqual([]);
  await control({ faults: null });
  await deleteOrg(stage, deletedOrg);
  // The list is incomplete, or empty.
  await control({ list: { totalCount: 9 } });
  expect(await discoverWith(stage)).toEqual([]);
  await control({ list: { hide: orgIds } });
  expect(await discoverWith(stage)).toEqual([]);
  await control({ list: {} });
  // Get instance returns 404.
  const { client } = stage.context();
  const notFound = { kind: 'not_found', problem: 'responded with HTTP 404', status: 404 } as const;
  const withoutInstance: typeof client = {
    ...client,
    get: async (request) => {
      if (request.action === 'instance.get') throw createLosantError(request, notFound);
      return await client.get(request);
    },
  };
  expect(await discoverWith(stage, withoutInstance)).toEqual([]);
  expect(await discoverWith(stage)).toEqual([`${deletedOrg} 2026-11-24`]);
});

it('more deletions at once than allowed are confirmed after three days of complete lists', async () => {
  const stage = await createStage({ orgs: 4 });
  const [first = '', second = '', third = '', ...others] = stage.orgIds;
  await stage.run();
  await deleteOrg(stage, first);
  await deleteOrg(stage, second);
  for (const days of [1, 2]) {
    await stage.moveTo(NOW + days * DAY_MS);
    const { report } = await stage.run();
    expect(report.status).toBe('partial');
    expect(report.failures.map(({ code }) => code)).toContain('deletions_not_confirmed');
    expect(await readDeletions(stage)).toEqual([]);
    await stage.run();
  }
  await stage.moveTo(NOW + 3 * DAY_MS);
  await deleteOrg(stage, third);
  const message = `at least 3 organizations appear to have been deleted at once: more than 1 at a time are confirmed only \
after 3 days of complete lists without them`;
  const failures = [{ orgId: null, code: 'deletions_not_confirmed', message }];
  expect((await stage.run({ kind: 'manual', orgIds: others })).report).toMatchObject({ failures });
  const confirmed = [first, second].toSorted().map((orgId) => `${orgId} 2026-11-27`);
  expect(await readDeletions(stage)).toEqual(confirmed);
  expect((await stage.run()).report).toMatchObject({ status: 'complete' });
});

it('a deletion ends the reads of an organization that has left the settings or is in them, and no run fails', async () => {
  const stage = await createStage({ orgs: 4 });
  const [first = '', second = '', third = '', fourth = ''] = stage.orgIds;
  await stage.run();
  await stage.platform.control('attributes', { orgId: fourth, attributes: { name: 'Renamed' } });
  for (const [day, orgId] of [third, second].entries()) {
    await stage.moveTo(NOW + (2 * day + 1) * DAY_MS);
    await stage.run({}, { selection: [first, second] });
    await deleteOrg(stage, orgId);
    await stage.moveTo(NOW + (2 * day + 2) * DAY_MS);
    for (const loaded of [day === 0 ? 8 : 4, 0]) {
      const { report } = await stage.run({ kind: 'manual' }, { selection: [first, second] });
      expect(report).toMatchObject({ status: 'complete', failures: [], cells: { loaded, failed: 0 } });
    }
  }
  expect(await readDeletions(stage)).toEqual([`${second} 2026-11-28`, `${third} 2026-11-26`].toSorted());
  const renamed = `select name from losant_usage.organizations where org_id = '${fourth}'`;
  expect(await stage.query(renamed)).toEqual([{ name: 'Renamed' }]);
});

it('an organization that is listed again continues where it ended, and restatements in between are read', async () => {
  const stage = await createStage({ orgs: 2 });
  const { platform } = stage;
  const [orgId = ''] = stage.orgIds;
  await stage.run();
  await deleteOrg(stage, orgId);
  await stage.moveTo(NOW + DAY_MS);
  await stage.run();
  expect(await readDeletions(stage)).toHaveLength(1);
  await platform.control('orgs/restore', { orgId });
  await platform.control('restate', { orgId, day: '2026-11-23' });
  await stage.moveTo(NOW + 3 * DAY_MS);
  expect((await stage.run()).report).toMatchObject({ status: 'complete', failures: [] });
  expect(await readDeletions(stage)).toEqual([]);
  const storedDays = await stage.query(`select usage_date::text as day, count(*)::integer as cells
    from losant_usage.cells where org_id = '${orgId}' and is_stored group by 1 order by 1`);
  const days = ['2026-11-23', '2026-11-24', '2026-11-25', '2026-11-26'];
  expect(storedDays).toEqual(days.map((day) => ({ day, cells: 4 })));
  const restatedDays = `select distinct usage_date::text as day from losant_usage.revisions where org_id = '${orgId}'`;
  expect(await stage.query(restatedDays)).toEqual([{ day: '2026-11-23' }]);
  expect(await standingsOf(stage, orgId, '2026-11-23')).toEqual(ALL_FINAL);
});
