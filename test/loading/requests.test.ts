/** How many requests a run sends. */
import { expect, test } from 'vitest';
import { addDays } from '../../src/usage/day.ts';
import { createStage, type Stage } from './stage.ts';

const YESTERDAY = '2026-11-23';

/** Returns the number of requests for the usage of organizations so far. */
async function countUsageRequests({ platform }: Stage): Promise<number> {
  const { actions } = (await platform.control('stats')) as { actions: Record<string, Record<string, number>> };
  const counts = Object.entries(actions).flatMap(([action, byStatus]) =>
    action.startsWith('instanceOrg.') ? Object.values(byStatus) : [],
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

// Sources take a request for each day, and the other streams five requests for up to 31 days.
test.each([
  [1, 1, 6],
  [8, 2, 26],
  [69, 1, 69 + 15],
])('a backfill of %i days of %i organizations sends %i requests', async (days, orgs, requests) => {
  const stage = await createStage({ orgs });
  const range = { from: addDays(YESTERDAY, 1 - days), to: YESTERDAY };
  const { report } = await stage.run({ kind: 'backfill', range });
  expect(report).toMatchObject({ status: 'complete', cells: { planned: 4 * days * orgs }, failures: [] });
  expect(await countUsageRequests(stage)).toBe(requests);
});

test('an organization that does not respond is given up after two timeouts, and read by the next run', async () => {
  const stage = await createStage({ orgs: 2 });
  const [orgId = ''] = stage.orgIds;
  await stage.platform.control('config', { faults: [{ kinds: ['hang'], orgIds: [orgId], forever: true }] });
  const range = { from: '2026-10-16', to: YESTERDAY };
  const { report } = await stage.run({ kind: 'backfill', range }, { timeoutMs: 1_000 });
  const { count } = (await stage.platform.control('faults')) as { count: number };
  // Those that were already under way.
  expect(count).toBeLessThanOrEqual(16);
  expect(report).toMatchObject({ status: 'partial', cells: { loaded: 156 } });
  await stage.platform.control('config', { faults: null });
  const complete = { status: 'complete', cells: { planned: 156, loaded: 156 } };
  expect((await stage.run({ kind: 'manual' })).report).toMatchObject(complete);
});

test('what was not requested because of a long pause stays due, and is read by the next run', async () => {
  const stage = await createStage({ orgs: 4 });
  const faults = { kinds: ['rate_limit_seconds'], retryAfterSeconds: 1_200, actions: ['instanceOrg.deviceCounts'] };
  await stage.platform.control('config', { faults });
  const { report } = await stage.run();
  expect(report).toMatchObject({ status: 'partial', cells: { planned: 16 } });
  const failed = 'select count(*)::integer as cells from losant_usage.cells where failed_reads > 0';
  const [{ cells } = { cells: 0 }] = (await stage.query(failed)) as { cells: number }[];
  // One of each organization at most.
  expect(cells).toBeLessThanOrEqual(4);
  await stage.platform.control('config', { faults: null });
  expect((await stage.run()).report).toMatchObject({ cells: { planned: 16 - report.cells.loaded - cells, failed: 0 } });
});
