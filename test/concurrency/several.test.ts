/** Several processes at once on one database: any mix ends in the same numbers. */
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Export, openExport } from '../e2e/export.ts';
import { firstDifference, readStored, readTruth } from '../e2e/usage.ts';
import { daysAgo } from '../support/days.ts';
import { PATIENTLY, readDoubled } from './freeze.ts';

const [FROM, MIDDLE, TO] = [daysAgo(4), daysAgo(2), daysAgo(1)];
const backfill = (from: string, to: string) => ['backfill', '--json', '--from', from, '--to', to];

async function open(latencyMs = 0): Promise<Export> {
  const exported = await openExport({ orgs: 4, seed: 'several', hostile: false, latencyMs });
  onTestFinished(() => exported.close());
  return exported;
}

async function expectTruth({ place, platform }: Export): Promise<void> {
  expect(firstDifference(await readStored(place), await readTruth(platform, FROM, TO))).toBeNull();
}

describe('several processes', { timeout: 180_000 }, () => {
  // Promise (Runs): Any mix of processes on one database ends in the same numbers, each stored once.
  test('a run and backfills that overlap, all at once, end as if they had come one by one', async () => {
    const exported = await open();
    const { run, place, platform } = exported;
    const several = async (...commands: readonly string[][]) => {
      const ends = await Promise.all(commands.map((args) => run(args)));
      expect(ends.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(commands.map(() => 'ok'));
    };
    await several(backfill(FROM, TO), backfill(MIDDLE, TO), ['run', '--wait', '60']);
    await expectTruth(exported);
    expect(await readDoubled(place)).toEqual([]);
    // Restated days that several read again at once get one revision each.
    const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
    for (const { orgId } of orgs) await platform.control('restate', { orgId, day: MIDDLE });
    const again = ['run', '--date', MIDDLE, '--wait', '60'];
    await several([...backfill(FROM, TO), '--force'], [...backfill(MIDDLE, TO), '--force'], again);
    await expectTruth(exported);
    const revisions = 'select revision, count(*)::integer from losant_usage.revisions group by 1';
    expect(await place.query(revisions)).toEqual([{ revision: 2, count: 16 }]);
  });

  // Promise (Runs): A backfill that waits for another process has its days read by it, even if the backfill is killed.
  test('a backfill that waits says what is left, and the run does its days even if it is killed', async () => {
    const exported = await open(3_000);
    const { place, start, spawn, platform } = exported;
    const holder = start(['run', '--json'], { REQUEST_CONCURRENCY: '1' });
    const running = `select from losant_usage.runs where status = 'running'`;
    await expect.poll(async () => (await place.query(running)).length, PATIENTLY).toBe(1);
    const waiting = spawn(backfill(FROM, TO));
    const says = /is being exported by a process on \S+ since .*; waiting \(it still has \d+ numbers to read/;
    await expect.poll(waiting.stderr, PATIENTLY).toMatch(says);
    waiting.kill('SIGKILL');
    await waiting.ended;
    await platform.control('config', { latencyMs: 0 });
    expect(await holder.ended).toMatchObject({ code: 0 });
    await expectTruth(exported);
    expect(await readDoubled(place)).toEqual([]);
  });
});
