/** How many requests a run sends. */
import { expect, test } from 'vitest';
import type { Rates } from '../../src/loading/context.ts';
import { getInstance } from '../../src/losant/endpoints.ts';
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
// Guarantee (Runs): A backfill sends no more requests than its days need.
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

// Guarantee (Runs): An organization that does not respond costs a run a handful of requests for each stream; the rest
// stays due.
test('an organization that does not respond is given up after half a window or two days that timed out', async () => {
  const stage = await createStage({ orgs: 2 });
  const [orgId = ''] = stage.orgIds;
  const faults = [{ kinds: ['hang'], orgIds: [orgId], forever: true }];
  await stage.platform.control('config', { faults });
  const range = { from: '2026-10-16', to: YESTERDAY };
  const { report } = await stage.run({ kind: 'backfill', range }, { timeoutMs: 2_000 });
  const { count } = (await stage.platform.control('faults')) as { count: number };
  expect(count).toBe(3 * 2 + 2);
  expect(report).toMatchObject({ status: 'partial', cells: { planned: 312, loaded: 156, failed: 156 } });
  const unread = report.failures.filter(({ message }) => message.startsWith('not requested, because'));
  expect(unread.map(({ stream, from, to, code }) => `${stream} ${from}..${to} ${code}`).sort()).toEqual([
    'device_counts 2026-10-16..2026-10-23 timeout',
    'notebook_minutes 2026-10-16..2026-10-23 timeout',
    'payload_sources 2026-10-16..2026-11-21 timeout',
    'payload_totals 2026-10-16..2026-10-23 timeout',
  ]);
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

test('two instances with the same token send at the lower of their rates', async () => {
  const stage = await createStage();
  const rates: Rates = new Map();
  const { client, instanceId } = stage.context({ rates });
  stage.context({ rates, requestsPerSecond: 20 });
  const { signal } = new AbortController();
  const startMs = performance.now();
  await Promise.all(Array.from({ length: 5 }, () => getInstance(client, { instanceId, signal })));
  // Four waits of 50 ms; a timer may fire up to a millisecond early.
  expect(performance.now() - startMs).toBeGreaterThan(195);
});
