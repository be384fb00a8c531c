/** One run of an instance at a time: who waits for whom, and what is said meanwhile. */
import { beforeAll, expect, it } from 'vitest';
import { useExport } from '../e2e/export.ts';
import { holdLease } from '../support/by-hand.ts';
import { daysAgo } from '../support/days.ts';
import { until } from '../support/wait.ts';

const exported = useExport({ orgs: 2 });

beforeAll(async () => {
  const { code, stderr } = await exported.run(['run']);
  if (code !== 0) throw new Error(stderr);
});

const hold = () => exported.place.query(holdLease(exported.platform.instanceId));
const release = () => exported.place.query('delete from losant_usage.leases');

it('a backfill waits for whoever has the lease, says so with what is left, and is read by them all the same', async () => {
  await hold();
  const running = exported.start(['backfill', '--from', daysAgo(3), '--to', daysAgo(2)]);
  await until('it waits', () => running.stderr().includes('; waiting'));
  expect(running.stderr()).toMatch(
    /is being exported by a process on elsewhere since .*; waiting \(it still has 16 numbers to read, which include these\)\n/,
  );
  // Its days are due before it has the lease.
  const due = await exported.place.query(
    `select count(*)::integer from losant_usage.coverage where usage_date < '${daysAgo(1)}' and next_read_at <= now()`,
  );
  expect(due).toEqual([{ count: 16 }]);
  await release();
  expect(await running.ended).toMatchObject({ code: 0 });
});

it('a run does not wait unless it is told to, and exits 4', async () => {
  await hold();
  expect(await exported.run(['run'])).toMatchObject({ code: 4 });
  const running = exported.start(['run', '--wait', '60']);
  await until('it waits', () => running.stderr().includes('; waiting (0 numbers due)'));
  await release();
  expect(await running.ended).toMatchObject({ code: 0 });
});
