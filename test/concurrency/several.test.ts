/** Several processes at once on one database: any mix ends in the same numbers. */
import { describe, expect, test } from 'vitest';
import { type Export, openExport } from '../e2e/export.ts';
import { firstDifference, readStored, readTruth } from '../e2e/usage.ts';
import { daysAgo } from '../support/days.ts';
import { jsonOf, type Refusal } from '../support/program.ts';
import { PATIENTLY, readDoubled } from './freeze.ts';

const [FROM, MIDDLE, TO] = [daysAgo(6), daysAgo(3), daysAgo(1)];
const backfill = (from: string, to: string) => ['backfill', '--json', '--from', from, '--to', to];

async function open(latencyMs = 0): Promise<Export & AsyncDisposable> {
  const exported = await openExport({ orgs: 5, seed: 'several', hostile: false, latencyMs });
  return { ...exported, [Symbol.asyncDispose]: () => exported.close() };
}

async function expectTruth({ place, platform }: Export): Promise<void> {
  expect(firstDifference(await readStored(place), await readTruth(platform, FROM, TO))).toBeNull();
}

const isRunning = (exported: Export) => async () =>
  (await exported.place.query(`select from losant_usage.runs where status = 'running'`)).length;

describe('several processes', { timeout: 180_000 }, () => {
  // Promise (Runs): Any mix of processes on one database ends in the same numbers, each stored once.
  test('a run and three backfills that overlap, all at once, end as if they had come one by one', async () => {
    await using exported = await open();
    const commands = [
      backfill(FROM, TO),
      backfill(MIDDLE, TO),
      backfill(FROM, MIDDLE),
      ['run', '--wait', '60'],
    ];
    const ends = await Promise.all(commands.map((args) => exported.run(args)));
    expect(ends.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(['ok', 'ok', 'ok', 'ok']);
    await expectTruth(exported);
    expect(await readDoubled(exported.place)).toEqual([]);
  });

  test('restated days that four processes read again at once get one revision each', async () => {
    await using exported = await open();
    const { run, platform, place } = exported;
    expect(await run(backfill(FROM, TO))).toMatchObject({ code: 0 });
    const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
    for (const { orgId } of orgs) await platform.control('restate', { orgId, day: MIDDLE });
    const forced = [backfill(FROM, TO), backfill(MIDDLE, TO), backfill(FROM, TO)].map((args) => [
      ...args,
      '--force',
    ]);
    const again = [...forced, ['run', '--json', '--date', MIDDLE, '--wait', '60']];
    const ends = await Promise.all(again.map((args) => run(args)));
    expect(ends.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const changes = `select stream, count(distinct org_id)::integer as orgs, min(revision), max(revision)
      from losant_usage.revisions group by stream order by stream`;
    expect(await place.query(changes)).toEqual(
      ['device_counts', 'notebook_minutes', 'payload_sources', 'payload_totals'].map((stream) => {
        return { stream, orgs: 5, min: 2, max: 2 };
      }),
    );
  });

  test('of two runs at once one works, and the other ends with exit code 4 or waits for its turn', async () => {
    await using exported = await open(120);
    const first = exported.start(['run', '--json'], { REQUEST_CONCURRENCY: '1' });
    await expect.poll(isRunning(exported), PATIENTLY).toBe(1);
    const refused = await exported.run(['run', '--json']);
    expect(refused.code).toBe(4);
    expect(jsonOf<Refusal>(refused).error).toMatchObject({ code: 'lease_held' });
    const waited = await exported.run(['run', '--json', '--wait', '60']);
    expect(await first.ended).toMatchObject({ code: 0 });
    expect(waited).toMatchObject({ code: 0 });
    expect(jsonOf(waited)).toMatchObject({ runId: null, cells: { planned: 0 } });
  });

  // Promise (Runs): A backfill that waits for another process has its days read by it, even if the backfill is killed.
  test('a backfill that waits says what is left, and the run does its days even if it is killed', async () => {
    await using exported = await open(1_000);
    const { place, start, spawn, platform } = exported;
    const holder = start(['run', '--json'], { REQUEST_CONCURRENCY: '1' });
    await expect.poll(isRunning(exported), PATIENTLY).toBe(1);
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
