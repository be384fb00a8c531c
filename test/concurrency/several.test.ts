/** Concurrent processes on one database: any mix leads to the same numbers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readDifferences } from '../campaigns/world/ledger.ts';
import { createInstallation, type Installation } from '../e2e/installation.ts';
import { firstDifference, readStored, readTruth, type Store } from '../e2e/usage.ts';
import { asWriter } from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import type { Spawned } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { startTestWorker, startWorker } from '../worker/process.ts';

/** How long a process is suspended; unset, its lease is made to expire. */
const { FREEZE_SECONDS } = process.env;

const [FROM, MIDDLE, TO] = [daysAgo(4), daysAgo(2), daysAgo(1)];
const backfill = (from: string) => ['backfill', '--json', '--from', from, '--to', TO];

async function createSlowInstallation({ orgs = 2, latencyMs = 0 } = {}): Promise<Installation> {
  const installation = await createInstallation({ orgs, seed: 'several', hostile: false, latencyMs });
  onTestFinished(() => installation.close());
  return installation;
}

async function expectTruth({ store, platform }: Installation, from = FROM): Promise<void> {
  expect(firstDifference(await readStored(store), await readTruth(platform, from, TO))).toBeNull();
}

async function restateDay({ platform }: Installation, day: string): Promise<void> {
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  for (const { orgId } of orgs) await platform.control('restate', { orgId, day });
}

/** Returns what was stored more than once: revisions, and cells that have any. */
async function readRevised({ query }: Pick<Store, 'query'>): Promise<Record<string, unknown>[]> {
  return await query(`
    select 'revision' as source, stream, org_id from losant_usage.revisions
    union all
    select 'cell', stream, org_id from losant_usage.cells where revision <> 1`);
}

const expireLease = ({ store }: Installation) =>
  asWriter(store.url, 'update losant_usage.lease set expires_at = now()');

const COUNT_STORED = 'select count(*)::integer as stored from losant_usage.cells where is_stored';

async function countStored({ store }: Installation): Promise<number> {
  const [row] = await store.query(COUNT_STORED);
  return Number(row?.['stored']);
}

async function isRunning({ store }: Installation): Promise<boolean> {
  return (await store.query(`select from losant_usage.runs where status = 'running'`)).length === 1;
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

describe('several processes', { timeout: 300_000 }, () => {
  test('a run and overlapping backfills at the same time lead to the same numbers as one after the other', async () => {
    const installation = await createSlowInstallation();
    const { run, store } = installation;
    const runAll = async (...commands: readonly string[][]) => {
      const ends = await Promise.all(commands.map((args) => run(args)));
      expect(ends.map(({ code, stderr }) => (code === 0 ? 'ok' : stderr))).toEqual(commands.map(() => 'ok'));
    };
    await runAll(backfill(FROM), backfill(MIDDLE), ['run', '--wait', '60']);
    await expectTruth(installation);
    expect(await readRevised(store)).toEqual([]);
    // Restated days that several processes read again at the same time get one revision each.
    await restateDay(installation, MIDDLE);
    await runAll([...backfill(FROM), '--force'], ['run', '--day', MIDDLE, '--wait', '60']);
    await expectTruth(installation);
    const revisions = 'select revision, count(*)::integer from losant_usage.revisions group by 1';
    expect(await store.query(revisions)).toEqual([{ revision: 2, count: 8 }]);
  });

  test('a waiting backfill reports what remains, and the run reads its days even if it is killed', async () => {
    const installation = await createSlowInstallation({ latencyMs: 3_000 });
    const { store, start, spawn, platform } = installation;
    const holder = start(['run', '--json'], { REQUEST_CONCURRENCY: '1' });
    await until('the run has begun', () => isRunning(installation));
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

  test('a backfill that is killed again and again stores every number once', async () => {
    const installation = await createSlowInstallation({ orgs: 4, latencyMs: 120 });
    const { run, spawn, platform, store } = installation;
    for (const killAfterMs of [0, 30, 90]) {
      const storedBefore = await countStored(installation);
      const running = spawn(backfill(daysAgo(20)), { REQUEST_CONCURRENCY: '2' });
      await until('it has loaded something', async () => (await countStored(installation)) > storedBefore);
      await sleep(killAfterMs);
      running.kill('SIGKILL');
      expect((await running.ended).signal).toBe('SIGKILL');
      await expireLease(installation);
    }
    await platform.control('config', { latencyMs: 0 });
    expect(await run(backfill(daysAgo(20)))).toMatchObject({ code: 0 });
    await expectTruth(installation, daysAgo(20));
    expect(await readRevised(store)).toEqual([]);
  });

  test('a worker that is suspended is replaced by another one, stands by, and every number is stored once', async () => {
    const installation = await createSlowInstallation({ orgs: 8, latencyMs: 800 });
    const { platform, store, env, spawn } = installation;
    const settings = { ...env, REQUEST_CONCURRENCY: '2' };
    const worker = await startWorker(settings, spawn);
    const { running: suspended } = worker;
    onTestFinished(() => suspended.kill('SIGKILL'));
    await until('the first worker has loaded something', async () => (await countStored(installation)) > 0);
    await suspend(suspended, store);
    await platform.control('config', { latencyMs: 0 });
    if (FREEZE_SECONDS) await sleep(Number(FREEZE_SECONDS) * 1_000);
    else await expireLease(installation);
    await startTestWorker(settings);
    const statuses = 'select status, count(*)::integer from losant_usage.runs group by 1 order by 1';
    const taken = ['complete', 'interrupted'].map((status) => ({ status, count: 1 }));
    await expect.poll(() => store.query(statuses)).toEqual(taken);
    suspended.kill('SIGCONT');
    await until('the first one has lost its lease', () => suspended.stderr().includes('"msg":"standing by"'));
    await expectTruth(installation, TO);
    expect(await readRevised(store)).toEqual([]);
    expect((await worker.get('/healthz')).status).toBe(200);
    expect((await worker.stop()).code).toBe(0);
  });

  test('a month that is closed while it is loaded bills what is stored, and an adjustment the rest', async () => {
    const installation = await createSlowInstallation();
    const { run, start, platform, store } = installation;
    const today = new Date();
    const firstDay = new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth() - 1, 1)).toISOString().slice(0, 10);
    const lastDay = new Date(Date.UTC(today.getUTCFullYear(), today.getUTCMonth(), 0)).toISOString().slice(0, 10);
    const days = ['--from', `${lastDay.slice(0, 8)}20`, '--to', lastDay];
    expect((await run(['backfill', '--json', ...days])).code).toBe(0);
    await restateDay(installation, lastDay);
    await platform.control('config', { latencyMs: 100 });
    const loading = start(['backfill', '--json', ...days, '--force']);
    await until('the backfill has begun', () => isRunning(installation));
    const closeMonth = (...options: string[]) => run(['close', '--json', '--month', firstDay.slice(0, 7), ...options]);
    const closed = await closeMonth('--accept-blockers', '--reason', 'the month began before the first run');
    expect(closed).toMatchObject({ code: 0 });
    expect(await loading.ended).toMatchObject({ code: 0 });
    expect((await closeMonth('--adjust')).code).toBe(0);
    expect(await readDifferences(store.url, firstDay)).toEqual([]);
  });
});
