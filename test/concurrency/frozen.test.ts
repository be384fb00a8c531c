/** Processes of which one is killed, and one is frozen until others have its instances, and then goes on. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { createPlace, firstDifference, type Place, readStored, readTruth } from '../e2e/usage.ts';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { asProgram, holdLease } from '../support/by-hand.ts';
import { daysAgo } from '../support/days.ts';
import { type Env, spawnProgram } from '../support/program.ts';
import { until } from '../support/wait.ts';
import { startTestWorker, startWorker } from '../worker/process.ts';
import { FREEZE_MS, freeze, letLapse, PATIENTLY, readDoubled } from './freeze.ts';

const DAY = daysAgo(1);
/** Slow enough that a process has not finished before it is frozen. */
const SLOWLY = { REQUESTS_PER_SECOND: FREEZE_MS > 0 ? '2' : '20', REQUEST_CONCURRENCY: '2' };
/** Of each answer, until a process is frozen. */
const [LATENCY_MS, LONG_LATENCY_MS] = [300, 1_000];

const statuses = ({ query }: Pick<Place, 'query'>) =>
  query('select status, count(*)::integer from losant_usage.runs group by 1 order by 1');

/** The runs under way that have stored something. */
const WORKING = `select r.run_id, r.instance_id from losant_usage.runs r where r.status = 'running'
  and exists (select from losant_usage.coverage c where c.run_id = r.run_id)`;

const PATIENCE = { timeout: 120_000 + 2 * FREEZE_MS };

// Promise (Runs): One process at a time exports an instance; one that lost its lease loads nothing more.
// Promise (Operation): Workers take over each other's instances when one is killed or frozen.
test('of three workers over four instances one killed, one frozen: every number once', PATIENCE, async () => {
  const platforms = await Promise.all(['one', 'two', 'three', 'four'].map(openPlatform));
  const [one, two, three, four] = platforms as [Platform, Platform, Platform, Platform];
  const place = await createPlace();
  onTestFinished(() => place.remove());
  const env = await writeSettings(platforms, place.url);
  await holdAll(place, platforms);
  const healthy = await startOver(place, env, [one]);
  const killed = await startOver(place, env, [two]);
  const frozen = await startOver(place, env, [three, four]);

  killed.worker.running.kill('SIGKILL');
  await killed.worker.running.ended;
  await freeze(frozen.worker.running, place);
  const frozenAtMs = Date.now();
  for (const each of platforms) await each.control('config', { latencyMs: 0 });
  await letLapse(place, [...killed.runIds, ...frozen.runIds]);
  const replaced = await startTestWorker(env);
  const runs = async () => (await place.query('select from losant_usage.runs')).length;
  await expect.poll(runs, { timeout: 40_000 + FREEZE_MS }).toBe(7);
  await sleep(Math.max(0, frozenAtMs + FREEZE_MS - Date.now()));
  frozen.worker.running.kill('SIGCONT');
  const standsBy = () => frozen.worker.running.stderr().split('"msg":"standing by"').length - 1;
  await until('it has lost both', () => standsBy() === 4);

  await expect
    .poll(() => statuses(place), { timeout: 30_000 + FREEZE_MS })
    .toEqual([
      { status: 'complete', count: 4 },
      { status: 'interrupted', count: 3 },
    ]);
  const truth = await Promise.all(platforms.map((platform) => readTruth(platform, DAY, DAY)));
  expect(firstDifference(await readStored(place), truth.flat().sort())).toBeNull();
  expect(await readDoubled(place)).toEqual([]);
  expect((await frozen.worker.get('/healthz')).status).toBe(200);
  const stopped = await Promise.all([healthy.worker, frozen.worker, replaced].map((worker) => worker.stop()));
  expect(stopped.map(({ code }) => code)).toEqual([0, 0, 0]);
});

async function openPlatform(seed: string): Promise<Platform> {
  const platform = await startPlatform({
    now: Date.now,
    orgs: 20,
    hostile: false,
    seed,
    latencyMs: LATENCY_MS,
  });
  onTestFinished(() => platform[Symbol.asyncDispose]());
  return platform;
}

/** Returns the environment that names a settings file of all of them. */
async function writeSettings(platforms: readonly Platform[], databaseUrl: string): Promise<Env> {
  const folder = await mkdtemp(join(tmpdir(), 'losant-usage-workers-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const instances = platforms.map(async ({ instanceId, url, token }, index) => {
    await writeFile(join(folder, `token-${index}`), token, { mode: 0o600 });
    return `
  - LOSANT_INSTANCE_ID: ${instanceId}
    LOSANT_API_URL: ${url}
    LOSANT_API_TOKEN_FILE: token-${index}
    REQUESTS_PER_SECOND: ${SLOWLY.REQUESTS_PER_SECOND}
    REQUEST_CONCURRENCY: ${SLOWLY.REQUEST_CONCURRENCY}`;
  });
  const file = join(folder, 'settings.yaml');
  await writeFile(file, `instances:${(await Promise.all(instances)).join('')}\n`, { mode: 0o600 });
  return { LOSANT_USAGE_CONFIG: file, DATABASE_URL: databaseUrl };
}

/** Leases that nobody gives up: each worker finds those free that it is to have. */
async function holdAll({ query }: Place, platforms: readonly Platform[]): Promise<void> {
  for (const { instanceId, url } of platforms) {
    await query(
      asProgram(
        `insert into losant_usage.instances (instance_id, api_url) values ('${instanceId}', '${url}')`,
      ),
    );
    await query(holdLease(instanceId));
  }
}

/** Starts a worker that finds these free, and waits until it has stored something of each. */
async function startOver(place: Place, env: Env, platforms: readonly Platform[]) {
  const ids = platforms.map(({ instanceId }) => `'${instanceId}'`).join();
  await place.query(`delete from losant_usage.leases where instance_id in (${ids})`);
  const worker = await startWorker(env, spawnProgram);
  onTestFinished(() => worker.running.kill('SIGKILL'));
  const readRuns = async () =>
    (await place.query(`${WORKING} and r.instance_id in (${ids})`)).map(({ run_id }) => run_id);
  await expect.poll(async () => (await readRuns()).length, PATIENTLY).toBe(platforms.length);
  for (const each of platforms) await each.control('config', { latencyMs: LONG_LATENCY_MS });
  return { worker, runIds: await readRuns() };
}
