/** Several processes at once on one database: any mix ends in the same numbers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Export, openExport } from '../e2e/export.ts';
import { createPlace, firstDifference, type Place, readStored, readTruth } from '../e2e/usage.ts';
import { startPlatform } from '../simulator/platform.ts';
import { asProgram } from '../support/by-hand.ts';
import { asWriter } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Spawned, spawnProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { settingsOf, startTestWorker, startWorker } from '../worker/process.ts';

/** How long a process is frozen, by `npm run test:freeze`; without it, its lease is made to lapse. */
const { FREEZE_SECONDS } = process.env;

const [FROM, MIDDLE, TO] = [daysAgo(4), daysAgo(2), daysAgo(1)];
const backfill = (from: string, to: string) => ['backfill', '--json', '--from', from, '--to', to];

/** For programs to start, and to load something, on a machine that is busy otherwise. */
const PATIENTLY = { timeout: 60_000 };

async function open(latencyMs = 0): Promise<Export> {
  const exported = await openExport({ orgs: 4, seed: 'several', hostile: false, latencyMs });
  onTestFinished(() => exported.close());
  return exported;
}

async function expectTruth({ place, platform }: Export): Promise<void> {
  expect(firstDifference(await readStored(place), await readTruth(platform, FROM, TO))).toBeNull();
}

/** Returns what was written more than once: changes on record, and cells whose numbers were stored again. */
async function readDoubled({ query }: Pick<Place, 'query'>): Promise<Record<string, unknown>[]> {
  return await query(`
    select 'revision' as what, stream, org_id from losant_usage.revisions
    union all
    select 'cell', stream, org_id from losant_usage.cells where revision <> 1`);
}

/** Of a process that runs, none waits for as long as that. */
const STUCK = `select from pg_stat_activity where datname = current_database()
  and state = 'idle in transaction' and state_change < clock_timestamp() - interval '400 ms'`;

/** Stops a process where it is, but not in a transaction: Postgres would end that after a minute. */
async function freeze({ kill }: Spawned, { url }: Pick<Place, 'url'>): Promise<void> {
  for (;;) {
    kill('SIGSTOP');
    await sleep(500);
    if ((await asWriter(url, STUCK)).length === 0) return;
    kill('SIGCONT');
    await sleep(30);
  }
}

/** The runs under way that have stored something. */
const WORKING = `select from losant_usage.runs r where r.status = 'running'
  and exists (select from losant_usage.cells c where c.run_id = r.run_id)`;
const STATUSES = 'select status, count(*)::integer from losant_usage.runs group by 1 order by 1';

describe('several processes', { timeout: 300_000 }, () => {
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

  // Promise (Runs): One process at a time exports an instance; one that lost its lease loads nothing more.
  // Promise (Operation): Workers take over each other's instances when one is killed or frozen.
  test('of two workers one is killed and one frozen until others have their work: every number once', async () => {
    const place = await createPlace();
    onTestFinished(() => place.remove());
    const startSlowly = async (seed: string) => {
      const platform = await startPlatform({ now: Date.now, orgs: 20, hostile: false, seed, latencyMs: 300 });
      onTestFinished(() => platform[Symbol.asyncDispose]());
      const settings = { ...settingsOf(platform, place), REQUEST_CONCURRENCY: '2' };
      const worker = await startWorker(settings, spawnProgram);
      onTestFinished(() => worker.running.kill('SIGKILL'));
      return { platform, settings, worker };
    };
    const workers = [await startSlowly('one'), await startSlowly('two')] as const;
    const [killed, frozen] = workers;
    await expect.poll(async () => (await place.query(WORKING)).length, PATIENTLY).toBe(2);
    killed.worker.running.kill('SIGKILL');
    await killed.worker.running.ended;
    await freeze(frozen.worker.running, place);
    for (const { platform } of workers) await platform.control('config', { latencyMs: 0 });
    if (FREEZE_SECONDS) await sleep(Number(FREEZE_SECONDS) * 1_000);
    // What a minute of silence does.
    else await asWriter(place.url, asProgram('update losant_usage.leases set until = now()'));
    for (const { settings } of workers) await startTestWorker(settings);
    await expect
      .poll(() => place.query(STATUSES), PATIENTLY)
      .toEqual([
        { status: 'complete', count: 2 },
        { status: 'interrupted', count: 2 },
      ]);
    frozen.worker.running.kill('SIGCONT');
    await until('it has lost its lease', () =>
      frozen.worker.running.stderr().includes('"msg":"standing by"'),
    );
    const truth = await Promise.all(workers.map(({ platform }) => readTruth(platform, TO, TO)));
    expect(firstDifference(await readStored(place), truth.flat().sort())).toBeNull();
    expect(await readDoubled(place)).toEqual([]);
    expect((await frozen.worker.get('/healthz')).status).toBe(200);
    expect((await frozen.worker.stop()).code).toBe(0);
  });
});
