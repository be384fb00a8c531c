import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql } from 'kysely';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { Health } from '../../src/queries/health.ts';
import { DAY_MS } from '../../src/usage/day.ts';
import { startPlatform, usePlatform } from '../simulator/platform.ts';
import { loseNumbers } from '../support/by-hand.ts';
import {
  asAdministrator,
  asOwner,
  asWriter,
  createTestDatabase,
  openAs,
  queryOnce,
  type TestDatabase,
} from '../support/databases.ts';
import { daysAgo } from '../support/days.ts';
import { createTestFolder } from '../support/folders.ts';
import { jsonOf, runProgram, spawnProgram, startProgram } from '../support/program.ts';
import { toRoleName } from '../support/roles.ts';
import { until } from '../support/wait.ts';
import { runsOf } from './loop.ts';
import { type StartedWorker, settingsOf, startTestWorker, startWorker } from './process.ts';

const platform = usePlatform({ orgs: 1, now: Date.now, hostile: false });
let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase();
  onTestFinished(() => database.drop());
});

const settings = () => settingsOf(platform, database);

const ask = async (statement: string) => await queryOnce(database.url, statement);
const write = async (statement: string) => await asWriter(database.url, statement);
const count = async (statement: string) => (await ask(statement))[0]?.['count'];
const command = async (...args: string[]) => await runProgram(args, settings());

async function startIdle(env: Record<string, string>): Promise<StartedWorker> {
  const worker = await startTestWorker(env);
  await until('it waits', () => worker.running.stderr().includes('waiting for the next wake-up'));
  return worker;
}

test('runs at startup, becomes ready, reports it, and exits 0 on SIGTERM without a lease', async () => {
  const worker = await startIdle(settings());
  expect(await worker.metric(runsOf('complete'))).toBe(1);
  const requests = 'losant_usage_requests_total{endpoint="instanceOrg.deviceCounts",status="2xx"}';
  expect(await worker.metric(requests)).toBe(1);
  expect(await worker.get('/healthz')).toEqual({ status: 200, text: 'ok\n' });
  expect(await worker.get('/readyz')).toEqual({ status: 200, text: 'ready\n' });
  expect(await count("select count(*)::integer from losant_usage.cells where standing = 'stored'")).toBe(4);
  const labels = 'stream="device_counts",standing="stored"';
  await until('the gauges show it', async () => (await worker.metric(`losant_usage_cells{${labels}}`)) === 1);
  expect((await worker.get('/')).text).toContain('Yesterday');
  const status = JSON.parse((await worker.get('/status.json')).text) as Record<string, unknown>;
  expect(status).toMatchObject({
    worker: { databaseUp: true, schedule: '0 0 1 1 *', state: 'idle', problem: null },
    runs: [{ status: 'complete', kind: 'scheduled', counts: { cells: { planned: 4 } } }],
  });
  const printed = jsonOf<object>(await command('status', '--json'));
  expect(status).toEqual({ ...printed, at: status['at'], worker: status['worker'] });
  const { code, stderr, stdout } = await worker.stop();
  expect([code, stdout]).toEqual([0, '']);
  const said = stderr.split('\n').flatMap((line) => /"msg":"([^"]*)"}$/.exec(line)?.[1] ?? []);
  expect(said).toEqual([
    'console listening',
    'worker started',
    'run started',
    'run finished',
    'waiting for the next wake-up',
    'shutting down',
    'worker stopped',
  ]);
  expect(stderr).toContain(`"url":"${worker.url}/","msg":"console listening"`);
  expect(stderr).toMatch(/"next_wake_at":"\d{4}-01-01T00:00:00.000Z","msg":"waiting for the next wake-up"/);
  expect(await count('select count(*)::integer from losant_usage.lease')).toBe(0);
});

test('SIGHUP in the middle of a run ends it without waiting for a response, and releases the lease with exit code 0', async () => {
  const slow = await startPlatform({ orgs: 1, now: Date.now });
  onTestFinished(() => slow[Symbol.asyncDispose]());
  await slow.control('config', { faults: [{ kinds: ['hang'], rate: 1, forever: true, actions: ['deviceCounts'] }] });
  const worker = await startWorker(settingsOf(slow, database), spawnProgram);
  onTestFinished(() => worker.running.kill('SIGKILL'));
  const leases = 'select count(*)::integer from losant_usage.lease';
  const recorded = 'select count(*)::integer from losant_usage.runs';
  for (const rows of [leases, recorded]) await until('the run is under way', async () => (await count(rows)) === 1);
  worker.running.kill('SIGHUP');
  const { code, stderr } = await worker.running.ended;
  expect(code).toBe(0);
  expect(stderr).toContain('"reason":"Interrupted by SIGHUP","msg":"shutting down"');
  expect(await count(leases)).toBe(0);
  expect(await queryOnce(database.url, 'select status from losant_usage.runs')).toEqual([{ status: 'interrupted' }]);
});

test('a port in use and an address that is not up end the start with exit code 1, because they may be temporary', async () => {
  const { port } = new URL((await startIdle(settings())).url);
  const { code, stderr } = await runProgram(['worker'], { ...settings(), HTTP_PORT: port });
  expect(code).toBe(1);
  expect(stderr).toContain(`Cannot listen on HTTP_HOST 127.0.0.1, HTTP_PORT ${port}: EADDRINUSE`);
  const nowhere = await runProgram(['worker'], { ...settings(), HTTP_HOST: '192.0.2.1', HTTP_PORT: '9464' });
  expect(nowhere.code).toBe(1);
  expect(nowhere.stderr).toContain('HTTP_HOST 192.0.2.1, HTTP_PORT 9464: EADDRNOTAVAIL');
  const embedded = await runProgram(['worker'], { ...settings(), DATABASE_URL: 'embedded:nowhere' });
  expect(embedded.code).toBe(2);
  expect(embedded.stderr).toContain('The worker does not run on an embedded database');
});

test('does not start on the database of another instance, and writes nothing', async () => {
  await runProgram(['run'], settings());
  const readInstance = () => ask('select instance_id, last_attempt_at, xmin::text from losant_usage.instance');
  const before = await readInstance();
  const other = { ...settings(), LOSANT_INSTANCE_ID: 'f'.repeat(24) };
  const { code, stderr } = await runProgram(['worker'], other);
  expect(code).toBe(2);
  const belongs = `This database belongs to instance ${platform.instanceId.toLowerCase()}; LOSANT_INSTANCE_ID is `;
  expect(stderr).toContain(`${belongs}${'f'.repeat(24)}. Use another database for another instance.`);
  expect(await readInstance()).toEqual(before);
});

test('the status is as of the time of the database, also while the clock of the host is wrong', async () => {
  const hostNow = () => Date.now() + DAY_MS;
  const worker = await startWorker(settings(), (args, env) => startProgram(args, env, { hostNow }));
  onTestFinished(async () => void (await worker.stop()));
  await until('it waits', () => worker.running.stderr().includes('waiting for the next wake-up'));
  const { at } = JSON.parse((await worker.get('/status.json')).text) as Health;
  expect(Math.abs(Date.parse(at) - Date.now())).toBeLessThan(DAY_MS / 2);
});

test('a database password is read from its file for the next connection, without a restart', async () => {
  const role = `${database.name}_rotated`;
  // A user who is a member of the writer.
  await asAdministrator(`create role ${role} login password 'first' in role ${toRoleName('writer')}`);
  onTestFinished(() => asAdministrator(`drop role ${role}`));
  const file = join(createTestFolder(), 'url');
  const writeUrl = (password: string) =>
    writeFileSync(file, Object.assign(new URL(database.url), { username: role, password }).href);
  writeUrl('first');
  const { DATABASE_URL: _, ...others } = settings();
  const worker = await startIdle({ ...others, DATABASE_URL_FILE: file });

  await asAdministrator(`alter role ${role} password 'second'`);
  // While there is no file, the last password is used, which is rejected.
  rmSync(file);
  await asAdministrator(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`);
  await until('the login is rejected', async () => (await worker.get('/readyz')).text.includes('rejects this login'));
  writeUrl('second');
  await until('it is let in', async () => (await worker.get('/readyz')).status === 200);
  expect(await worker.metric('losant_usage_database_up')).toBe(1);
});

test('a worker is not ready while its database is read-only', async () => {
  const role = `${database.name}_frozen`;
  const freeze = async (setting: string) => {
    await asAdministrator(`alter role ${role} set default_transaction_read_only = ${setting}`);
    await asAdministrator(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`);
  };
  await asAdministrator(`create role ${role} login password 'frozen' in role ${toRoleName('writer')}`);
  onTestFinished(() => asAdministrator(`drop role ${role}`));
  const url = Object.assign(new URL(database.url), { username: role, password: 'frozen' }).href;
  const worker = await startIdle({ ...settings(), DATABASE_URL: url });
  await freeze('on');
  await until('it is not ready', async () => (await worker.get('/readyz')).text.includes('read-only'));
  expect(await worker.get('/readyz')).toEqual({ status: 503, text: 'not ready: the database is read-only\n' });
  await freeze('off');
  await until('it is ready', async () => (await worker.get('/readyz')).status === 200);
});

test('a worker is not ready while its database has the schema of another version', async () => {
  const worker = await startIdle(settings());
  const expectProblem = async (change: string, problem: string) => {
    await asOwner(database.url, change);
    const text = `not ready: the database ${problem}\n`;
    await until(problem, async () => (await worker.get('/readyz')).text === text);
  };
  await expectProblem(
    `insert into losant_usage.migrations values ('0999_newer', '2026-01-01')`,
    'is newer than this program',
  );
  await expectProblem(
    `delete from losant_usage.migrations where name like '0001%'`,
    "was created by different migrations than this program's",
  );
});

const statusOf = async (worker: StartedWorker) => JSON.parse((await worker.get('/status.json')).text) as Health;

const firstOrg = async () => {
  const { orgs } = (await platform.control('orgs')) as { orgs: { orgId: string }[] };
  return orgs[0]?.orgId ?? '';
};

test('the day through which nothing is missing is the same in /status.json, status, view and metric', async () => {
  await command('run');
  await write(`${loseNumbers('payload_totals', await firstOrg())};
    update losant_usage.coverage set next_read_at = now() + interval '1 day' where standing = 'missing'`);
  const worker = await startIdle(settings());
  const completeTo = ({ streams }: Health) =>
    streams.find(({ stream }) => stream === 'payload_totals')?.completeTo ?? null;
  const series = 'losant_usage_complete_to_timestamp_seconds{stream="payload_totals"}';
  const view = `select complete_to::text as day from losant_usage.freshness where stream = 'payload_totals'`;
  const everywhere = async () => {
    const seconds = await worker.metric(series);
    return [
      completeTo(await statusOf(worker)),
      completeTo(jsonOf<Health>(await command('status', '--json'))),
      (await ask(view))[0]?.['day'],
      seconds === null ? null : new Date(seconds * 1_000).toISOString().slice(0, 10),
    ];
  };
  expect(new Set(await everywhere())).toEqual(new Set([null]));
  expect((await command('run')).code).toBe(0);
  await until('the state is read anew', async () => (await worker.metric(series)) !== null);
  expect(new Set(await everywhere())).toEqual(new Set([daysAgo(1)]));
});

test('readers of slow pages do not make the database look as if it were away', async () => {
  const worker = await startIdle(settings());
  const page = `/organizations/${await firstOrg()}`;
  const tables = 'losant_usage.usage_days, losant_usage.coverage';
  const waits = `select from pg_locks where not granted and relation = 'losant_usage.usage_days'::regclass`;
  await using locker = await openAs('writer', database.url);
  const pages = await locker.db.transaction().execute(async (trx) => {
    await sql.raw(`lock table ${tables} in access exclusive mode`).execute(trx);
    const opened = [1, 2, 3, 4].map(async () => await worker.get(page));
    await until('all connections of pages wait for it', async () => (await ask(waits)).length >= 8);
    expect(await worker.get('/readyz')).toEqual({ status: 200, text: 'ready\n' });
    expect(await worker.metric('losant_usage_database_up')).toBe(1);
    return opened;
  });
  await Promise.all(pages);
});

test('six pages that are opened at once are shown', async () => {
  const worker = await startIdle(settings());
  const locked = write('begin; lock table losant_usage.runs in access exclusive mode; select pg_sleep(1.5); commit');
  const locks = `select count(*)::integer from pg_locks where granted and mode = 'AccessExclusiveLock'
    and relation = 'losant_usage.runs'::regclass`;
  await until('the table is locked', async () => (await count(locks)) === 1);
  const pages = await Promise.all([1, 2, 3, 4, 5, 6].map(async () => await worker.get('/changes')));
  expect(pages.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
  await locked;
});

test('a final number that a command found restated reaches metric, /status.json and status', async () => {
  await command('run');
  await write(
    `update losant_usage.coverage set standing = 'final', finalized_at = now() - interval '1 hour', next_read_at = null`,
  );
  const worker = await startIdle(settings());
  const restated = 'losant_usage_final_restatements_total';
  expect(await worker.metric(restated)).toBe(0);
  const orgId = await firstOrg();
  await platform.control('restate', { orgId, day: daysAgo(1), counter: 'payload_totals' });
  const ended = await command('run', '--day', daysAgo(1), '--org', orgId);
  expect(ended.stderr).toContain('final cells were restated');
  const changes = Number(await count('select count(*) from losant_usage.revisions where was_final'));
  expect(changes).toBeGreaterThan(0);
  await until('the metric has it', async () => (await worker.metric(restated)) === changes);
  expect((await statusOf(worker)).instance?.finalRestatements).toBe(changes);
  const status = jsonOf<Health>(await command('status', '--json'));
  expect(status.instance?.finalRestatements).toBe(changes);
});
