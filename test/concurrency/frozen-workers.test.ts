/** Workers over several instances, of which one is killed, and one frozen beyond its leases and then goes on. */
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
const ORGS = 20;
/** Of each answer, until a worker is killed and another frozen: they must not have finished by then. */
const [LATENCY_MS, LONG_LATENCY_MS] = [300, 1_000];
const PER_SECOND = FREEZE_MS > 0 ? 2 : 20;

const openSource = (seed: string): Promise<Platform> =>
  startPlatform({ now: Date.now, orgs: ORGS, hostile: false, seed, latencyMs: LATENCY_MS });

/** A settings file of all of them, and the environment that names it. */
async function writeSettings(
  sources: readonly Platform[],
  databaseUrl: string,
): Promise<Env & { folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'losant-usage-workers-'));
  const instances = sources.map(
    ({ instanceId, url }, index) => `
  - id: ${instanceId}
    apiUrl: ${url}
    tokenVariable: TOKEN_${index}
    requestsPerSecond: ${PER_SECOND}
    requestConcurrency: 2`,
  );
  const file = join(folder, 'settings.yaml');
  await writeFile(file, `instances:${instances.join('')}\n`, { mode: 0o600 });
  const tokens = Object.fromEntries(sources.map(({ token }, index) => [`TOKEN_${index}`, token]));
  return { folder, LOSANT_USAGE_CONFIG: file, DATABASE_URL: databaseUrl, ...tokens };
}

const idsOf = (sources: readonly Platform[]) => sources.map(({ instanceId }) => `'${instanceId}'`).join();

/** Leases that nobody gives up: each worker finds those free that it is to have. */
async function holdAll({ query }: Place, sources: readonly Platform[]): Promise<void> {
  for (const { instanceId, url } of sources) {
    await query(
      asProgram(`insert into losant_usage.instances (instance_id, api_url) values ('${instanceId}', '${url}')`),
    );
    await query(holdLease(instanceId));
  }
}

/** Starts a worker that finds these free, and waits until it has stored something of each. */
async function startOver(place: Place, env: Env, sources: readonly Platform[]) {
  await place.query(`delete from losant_usage.leases where instance_id in (${idsOf(sources)})`);
  const worker = await startWorker(env, spawnProgram);
  onTestFinished(() => worker.running.kill('SIGKILL'));
  const working = `select r.run_id from losant_usage.runs r where r.instance_id in (${idsOf(sources)})
    and exists (select from losant_usage.coverage c where c.run_id = r.run_id)`;
  await expect.poll(async () => (await place.query(working)).length, PATIENTLY).toBe(sources.length);
  for (const { control } of sources) await control('config', { latencyMs: LONG_LATENCY_MS });
  return { worker, runIds: (await place.query(working)).map(({ run_id }) => run_id) };
}

test('of three over four instances one killed, one frozen until others have its instances: every number once', {
  timeout: 120_000 + 2 * FREEZE_MS,
}, async () => {
  await using one = await openSource('one');
  await using two = await openSource('two');
  await using three = await openSource('three');
  await using four = await openSource('four');
  const sources = [one, two, three, four];
  const place = await createPlace();
  const { folder, ...env } = await writeSettings(sources, place.url);
  await holdAll(place, sources);
  const healthy = await startOver(place, env, [one]);
  const killed = await startOver(place, env, [two]);
  const frozen = await startOver(place, env, [three, four]);

  killed.worker.running.kill('SIGKILL');
  await killed.worker.running.ended;
  await freeze(frozen.worker.running, place);
  const frozenAtMs = Date.now();
  for (const { control } of sources) await control('config', { latencyMs: 0 });
  await letLapse(place, [...killed.runIds, ...frozen.runIds]);
  const replaced = await startTestWorker(env);
  const runs = async () => (await place.query('select from losant_usage.runs')).length;
  await expect.poll(runs, { timeout: 40_000 + FREEZE_MS }).toBe(7);
  await sleep(Math.max(0, frozenAtMs + FREEZE_MS - Date.now()));
  frozen.worker.running.kill('SIGCONT');
  const standsBy = () => frozen.worker.running.stderr().split('"msg":"standing by"').length - 1;
  await until('it has lost both', () => standsBy() === 4);

  const ends = 'select status, failures, count(*)::integer from losant_usage.runs group by 1, 2 order by 1';
  await expect
    .poll(() => place.query(ends), { timeout: 30_000 + FREEZE_MS })
    .toEqual([
      { status: 'complete', failures: [], count: 4 },
      { status: 'interrupted', failures: [], count: 3 },
    ]);
  const truth = await Promise.all(sources.map((platform) => readTruth(platform, DAY, DAY)));
  expect(firstDifference(await readStored(place), truth.flat().sort())).toBeNull();
  expect(await readDoubled(place)).toEqual([]);
  expect((await frozen.worker.get('/healthz')).status).toBe(200);
  const stopped = await Promise.all([healthy.worker, frozen.worker, replaced].map((worker) => worker.stop()));
  expect(stopped.map(({ code }) => code)).toEqual([0, 0, 0]);
  await place.remove();
  await rm(folder, { recursive: true });
});
