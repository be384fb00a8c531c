import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { type Platform, startPlatform } from '../simulator/platform.ts';
import { asProgram } from '../support/by-hand.ts';
import { createTestDatabase, makeFastFolder, queryOnce, type TestDatabase } from '../support/databases.ts';
import { until } from '../support/wait.ts';
import { settingsOf, startTestWorker } from '../worker/process.ts';

let platform: Platform;
let database: TestDatabase;

beforeAll(async () => {
  platform = await startPlatform({ orgs: 3, now: Date.now });
});
afterAll(async () => {
  await platform[Symbol.asyncDispose]();
});
beforeEach(async () => {
  database = await createTestDatabase();
  onTestFinished(() => database.drop());
});

const settings = () => settingsOf(platform, database);
const start = async (env: Record<string, string> = {}) => await startTestWorker({ ...settings(), ...env });

const runs = (result: string) =>
  `losant_usage_runs_total{instance_id="${platform.instanceId}",result="${result}"}`;

const count = async (sql: string) => (await queryOnce(database.url, sql))[0]?.['count'];

/** What only shows after a minute of real time; the same rules are shown at once in test/worker/loop.test.ts. */
test('a second replica stands by, ready, and takes over when the lease of a dead one lapses', async () => {
  await queryOnce(
    database.url,
    asProgram(`insert into losant_usage.instances (instance_id, api_url, all_from)
       values ('${platform.instanceId}', '${platform.url}', current_date - 1);
     insert into losant_usage.leases (instance_id, run_id, host, since, until)
       values ('${platform.instanceId}', gen_random_uuid(), 'dead-host', now(), now() + interval '1 minute')`),
  );
  const worker = await start();
  await until('it stands by', async () => (await worker.metric(runs('standby'))) === 1);
  expect((await worker.get('/readyz')).status).toBe(200);
  expect((await worker.get('/status.json')).text).toContain('"state":"standby"');
  expect(await count('select count(*)::integer from losant_usage.coverage')).toBe(0);
  // As if its minute had passed.
  await queryOnce(database.url, `update losant_usage.leases set until = now()`);
  await until('it took over', async () => (await worker.metric(runs('complete'))) === 1, 40_000);
  expect(await count('select count(*)::integer from losant_usage.coverage')).toBe(12);
  expect((await worker.stop()).code).toBe(0);
}, 60_000);

test('a token that Losant refuses keeps the worker up, is shown everywhere, and one in its place is used at the next wake-up', async () => {
  const folder = makeFastFolder('losant-usage-token-');
  const file = join(folder, 'token');
  writeFileSync(file, 'not-the-token-of-anything\n');
  const { LOSANT_API_TOKEN: _none, ...rest } = settings();
  const worker = await startTestWorker({ ...rest, LOSANT_API_TOKEN_FILE: file, SCHEDULE: '* * * * *' });
  const refused = `losant_usage_token_refused{instance_id="${platform.instanceId}"}`;
  await until('the refusal is counted', async () => (await worker.metric(refused)) === 1);
  expect((await worker.get('/readyz')).status).toBe(200);
  expect((await worker.get('/status.json')).text).toContain('"code":"unauthorized"');
  expect((await worker.get('/')).text).toContain(`instance ${platform.instanceId}`);
  expect(worker.running.stderr()).toContain('"msg":"instance not exported"');
  writeFileSync(file, `${platform.token}\n`);
  await until('the new token is used', async () => (await worker.metric(refused)) === 0, 75_000);
  expect(await worker.metric(runs('complete'))).toBe(1);
  expect((await worker.get('/status.json')).text).not.toContain('unauthorized');
}, 90_000);
