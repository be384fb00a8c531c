/** Concurrent processes on one database: any mix leads to the same numbers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createInstallation, type Installation } from '../e2e/installation.ts';
import { createStore, firstDifference, readStored, readTruth, type Store } from '../e2e/usage.ts';
import { startPlatform } from '../simulator/platform.ts';
import { asProgram } from '../support/by-hand.ts';
import { asWriter } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { type Spawned, spawnProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { settingsOf, startTestWorker, startWorker } from '../worker/process.ts';

/** How long a process is suspended; unset, its lease is made to expire. */
const { FREEZE_SECONDS } = process.env;

const [FROM, MIDDLE, TO] = [daysAgo(4), daysAgo(2), daysAgo(1)];
const backfill = (from: string) => ['backfill', '--json', '--from', from, '--to', TO];

async function createSlowInstallation(latencyMs = 0): Promise<Installation> {
  const installation = await createInstallation({ orgs: 2, seed: 'several', hostile: false, latencyMs });
  onTestFinished(() => installation.close());
  return installation;
}

async function expectTruth({ store, platform }: Installation): Promise<void> {
  expect(firstDifference(await readStored(store), await readTruth(platform, FROM, TO))).toBeNull();
}

/** Returns what was stored more than once: revisions, and cells that have any. */
async function readRevised({ query }: Pick<Store, 'query'>): Promise<Record<string, unknown>[]> {
  return await query(`
    select 'revision' as source, stream, org_id from losant_usage.revisions
    union all
    select 'cell', stream, org_id from losant_usage.cells where revision <> 1`);
}

/** A running process never leaves a transaction idle for so long. */
const STUCK = `select from pg_stat_activity where datname = current_database()
  and state = 'idle in transaction' and state_change < clock_timestamp() - interval '400 ms'`;

/** Suspends a process outside of a transaction, which Postgres would end after a minute. */
async function suspend({ kill }: Spawned, { url }: Pick<Store, 'url'>): Promise<void> {
  for (;;) {
    kill('SIGSTOP');
    await sleep(500);
    if ((await asWriter(url, STUCK)).length === 0) return;
    kill('SIGCONT');
    await sleep(30);
  }
}

/** The runs in progress that have loaded something. */
const WORKING = `select from losant_usage.runs r where r.status = 'running'
  and exists (select from losant_usage.cells c where c.run_id = r.run_id)`;
const STATUSES = 'select status, count(*)::integer from losant_usage.runs group by 1 order by 1';

describe('several processes', { timeout: 300_000 }, () => {
  // Guarantee (Runs): Any mix of processes on one database leads to the same numbers, each stored once.
  test('a run and overlapping backfills at the same time lead to the same numbers as one after the other', async () => {
    const installation = await createSlowInstallation();
    const { run, store, platform } = installation;
    const runAll = async (...commands: readonly string[][]) => {
      const ends = await Promise.all(commands.map((args) => run(args)));
      expect(ends.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(commands.map(() => 'ok'));
    };
    await runAll(backfill(FROM), backfill(MIDDLE), ['run', '--wait', '60']);
    await expectTruth(installation);
    expect(await readRevised(store)).toEqual([]);
    // Restated days that several processes read again at the same time get one revision each.
    const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
    for (const { orgId } of orgs) await platform.control('restate', { orgId, day: MIDDLE });
    await runAll([...backfill(FROM), '--force'], ['run', '--day', MIDDLE, '--wait', '60']);
    await expectTruth(installation);
    const revisions = 'select revision, count(*)::integer from losant_usage.revisions group by 1';
    expect(await store.query(revisions)).toEqual([{ revision: 2, count: 8 }]);
  });

  // Guarantee (Runs): While a backfill waits for another process, that process reads its days, even if the backfill is
  // killed.
  test('a waiting backfill reports what remains, and the run reads its days even if it is killed', async () => {
    const installation = await createSlowInstallation(3_000);
    const { store, start, spawn, platform } = installation;
    const holder = start(['run', '--json'], { REQUEST_CONCURRENCY: '1' });
    const running = `select from losant_usage.runs where status = 'running'`;
    await expect.poll(async () => (await store.query(running)).length).toBe(1);
    const waiting = spawn(backfill(FROM));
    const notice = /is being loaded by a process on \S+ \(since .*\); waiting \(it still has \d+ cells to read/;
    await expect.poll(waiting.stderr).toMatch(notice);
    waiting.kill('SIGKILL');
    await waiting.ended;
    await platform.control('config', { latencyMs: 0 });
    expect(await holder.ended).toMatchObject({ code: 0 });
    await expectTruth(installation);
    expect(await readRevised(store)).toEqual([]);
  });

  // Guarantee (Runs): Only one process at a time runs for an instance; one that has lost its lease cannot load.
  // Guarantee (Operation): Workers take over each other's instances if one is killed or suspended.
  test('if one of two workers is killed and one suspended, others take over and store every number once', async () => {
    const store = await createStore();
    onTestFinished(() => store.remove());
    const startSlowly = async (seed: string) => {
      const platform = await startPlatform({ now: Date.now, orgs: 8, hostile: false, seed, latencyMs: 800 });
      onTestFinished(() => platform[Symbol.asyncDispose]());
      const settings = { ...settingsOf(platform, store), REQUEST_CONCURRENCY: '2' };
      const worker = await startWorker(settings, spawnProgram);
      onTestFinished(() => worker.running.kill('SIGKILL'));
      return { platform, settings, worker };
    };
    const workers = [await startSlowly('one'), await startSlowly('two')] as const;
    const [killed, suspended] = workers;
    await expect.poll(async () => (await store.query(WORKING)).length).toBe(2);
    killed.worker.running.kill('SIGKILL');
    await killed.worker.running.ended;
    await suspend(suspended.worker.running, store);
    for (const { platform } of workers) await platform.control('config', { latencyMs: 0 });
    if (FREEZE_SECONDS) await sleep(Number(FREEZE_SECONDS) * 1_000);
    else await asWriter(store.url, asProgram('update losant_usage.leases set expires_at = now()'));
    for (const { settings } of workers) await startTestWorker(settings);
    const taken = ['complete', 'interrupted'].map((status) => ({ status, count: 2 }));
    await expect.poll(() => store.query(STATUSES)).toEqual(taken);
    suspended.worker.running.kill('SIGCONT');
    await until('the suspended worker has lost its lease', () =>
      suspended.worker.running.stderr().includes('"msg":"standing by"'),
    );
    const truth = await Promise.all(workers.map(({ platform }) => readTruth(platform, TO, TO)));
    expect(firstDifference(await readStored(store), truth.flat().sort())).toBeNull();
    expect(await readRevised(store)).toEqual([]);
    expect((await suspended.worker.get('/healthz')).status).toBe(200);
    expect((await suspended.worker.stop()).code).toBe(0);
  });
});
