import type { ServerResponse } from 'node:http';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { RunResult } from '../../src/console/sources.ts';
import { BusyError, DatabaseError, LosantError } from '../../src/errors.ts';
import { createLogger } from '../../src/logger.ts';
import { beginHeartbeat } from '../../src/worker/heartbeat.ts';
import { classifyFailure, logProgress, looksAgain } from '../../src/worker/instance-run.ts';
import { judgeRuns } from '../../src/worker/loop.ts';
import { startServer } from '../losant/server.ts';
import { type Platform, usePlatform } from '../simulator/platform.ts';
import { asProgram, holdLease as holdLeaseOf } from '../support/by-hand.ts';
import { asOwner, asWriter, createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { until } from '../support/wait.ts';
import { instanceOf, openReplica, type Replica, type ReplicaOptions } from './loop.ts';

const platform = usePlatform({ orgs: 2, now: Date.now });
const other = usePlatform({ orgs: 2, now: Date.now, seed: 'other' });
let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase();
  onTestFinished(() => database.drop());
  return async () => {
    await platform.control('config', { faults: null });
    await other.control('config', { faults: null });
  };
});

async function open(options: Partial<ReplicaOptions> = {}): Promise<Replica> {
  const instances = [instanceOf(platform)];
  const replica = await openReplica({ databaseUrl: database.url, instances, now: Date.now, ...options });
  onTestFinished(() => replica.close());
  return replica;
}

const runs = ({ instanceId }: Platform, result: string) =>
  `losant_usage_runs_total{instance_id="${instanceId}",result="${result}"}`;
const refused = ({ instanceId }: Platform) => `losant_usage_token_rejected{instance_id="${instanceId}"}`;

async function holdLease(until: string): Promise<void> {
  await asWriter(database.url, holdLeaseOf(platform.instanceId, until));
}

// Guarantee (Runs): The failure of one instance or organization never stops another.
test('a wake-up over several instances exports each, whatever befalls another', async () => {
  const broken = {
    ...instanceOf(platform),
    instanceId: '5c0000000000000000000009',
    apiUrl: 'http://127.0.0.1:1',
  };
  const noToken = instanceOf(platform, () => {
    throw new Error('token file gone');
  });
  const instances = [noToken, { ...broken }, instanceOf(other)];
  const replica = await open({ instances, attempts: 1 });
  await replica.runAll();
  expect(await replica.metric(runs(other, 'complete'))).toBe(1);
  expect(await replica.metric(runs(platform, 'failed'))).toBe(1);
  expect(replica.loop.statuses.map(({ problem }) => problem?.code ?? null)).toEqual([
    'unexpected',
    'unreachable',
    null,
  ]);
});

test('a wake-up reads the token anew, so that one in place of a refused one is used by the next', async () => {
  let token = 'revoked';
  const replica = await open({ instances: [instanceOf(platform, () => token)] });
  await replica.runAll();
  expect(await replica.metric(refused(platform))).toBe(1);
  expect(replica.loop.statuses[0]?.problem?.code).toBe('unauthorized');
  token = platform.token;
  await replica.runAll();
  expect(await replica.metric(refused(platform))).toBe(0);
  expect(await replica.metric(runs(platform, 'complete'))).toBe(1);
  expect(replica.loop.statuses[0]?.problem).toBeNull();
  token = 'revoked again';
  await replica.runAll();
  const recorded = await queryOnce(
    database.url,
    'select status, error from losant_usage.runs order by started_at',
  );
  expect(recorded.map(({ status }) => status)).toEqual(['complete', 'failed']);
  expect(recorded[1]?.['error']).toContain('HTTP 401');
});

test('a run tells how far it is', async () => {
  const replica = await open();
  await platform.control('config', { latencyMs: 50 });
  const running = replica.runAll();
  const progressOf = () => replica.loop.statuses[0]?.progress ?? null;
  await until('it works', () => Promise.resolve(progressOf() !== null));
  expect(progressOf()).toMatchObject({ plannedCells: 8 });
  await platform.control('config', { latencyMs: 0 });
  await running;
  expect(progressOf()).toBeNull();
});

test('the loop stands by while another process exports, and takes over soon after its lease lapses', async () => {
  await using monitor = await startServer((_request, response) => void response.end());
  const replica = await open({ lookAgainMs: 50, heartbeatUrl: monitor.url });
  await replica.runAll();
  await holdLease(`now() + interval '1 minute'`);
  const running = replica.loop.run();
  await until('it stands by', async () => (await replica.metric(runs(platform, 'standby'))) !== 0);
  expect(replica.loop.statuses[0]).toMatchObject({ state: 'standby', problem: null });
  expect(monitor.received.map(({ path }) => path)).toEqual(['/start', '/']);
  await holdLease('now()');
  await until('it works', async () => (await replica.metric(runs(platform, 'complete'))) === 2);
  expect(replica.loop.statuses[0]?.state).toBe('idle');
  replica.stop.abort(new Error('enough'));
  await running;
  const said = replica.logged.filter((line) => line.includes('standing by'));
  expect(said).toHaveLength(2);
});

test('a wake-up in the middle of a run is not lost: another run follows', async () => {
  const replica = await open();
  await platform.control('config', { latencyMs: 50 });
  const running = replica.loop.run();
  replica.loop.wake();
  await platform.control('config', { latencyMs: 0 });
  await until('both runs', async () => (await replica.metric(runs(platform, 'complete'))) === 2);
  replica.loop.wake(true);
  await until('the third', async () => (await replica.metric(runs(platform, 'complete'))) === 3);
  expect(replica.logged.join('')).toContain('missed a wake-up; running now');
  replica.stop.abort(new Error('enough'));
  await running;
});

/** The transactions that wrote the rows: any write changes them. */
async function readWriters(): Promise<unknown> {
  const tables = ['instances', 'runs', 'coverage', 'usage_days', 'organizations', 'tracks', 'leases'];
  const rows = tables.map((table) => `select '${table}', xmin::text from losant_usage.${table}`);
  return await asWriter(database.url, `${rows.join(' union all ')} order by 1, 2`);
}

// Guarantee (Runs): A worker writes nothing to a database that a newer version has migrated in the meantime.
test('a worker whose database was migrated by a newer version writes nothing, and says why', async () => {
  const replica = await open();
  await replica.runAll();
  // Everything is due again.
  await asWriter(database.url, asProgram('update losant_usage.coverage set next_read_at = now()'));
  await asOwner(
    database.url,
    `insert into losant_usage.migrations (name, timestamp) values ('0999_newer ${'0'.repeat(64)}', '2026-01-01')`,
  );
  const before = await readWriters();
  await replica.runAll();
  expect(await readWriters()).toEqual(before);
  expect(replica.loop.statuses[0]).toMatchObject({
    lastRun: { result: 'failed' },
    problem: { code: 'database_too_new' },
  });
});

/** Returns a logger, and the fields of what is logged by it. */
function recordLog() {
  const logged: Record<string, unknown>[] = [];
  const write = (line: string) => {
    const { time: _time, level: _level, ...fields } = JSON.parse(line) as Record<string, unknown>;
    logged.push(fields);
  };
  return { logged, logger: createLogger({ level: 'info', pretty: false, destination: { write } }) };
}

test('the beginning of a run is logged, and then how far it is, once a minute', () => {
  const { logged, logger } = recordLog();
  let nowMs = 0;
  const log = logProgress({ logger, hostNow: () => nowMs }, { instance_id: 'i', run_id: 'r' });
  for (nowMs of [0, 59_999, 60_000, 61_000]) log({ plannedCells: 400, readCells: nowMs / 1_000 });
  expect(logged).toEqual([
    { instance_id: 'i', run_id: 'r', msg: 'run started' },
    { instance_id: 'i', run_id: 'r', cells_planned: 400, cells_done: 60, msg: 'run in progress' },
  ]);
});

const details = { hint: '' };
const answer = { ...details, action: 'instance.get', body: null };

test.each<[string, unknown, RunResult, boolean]>([
  ['another process', new BusyError('lease_busy', '', details), 'standby', true],
  ['a lost lease', new BusyError('lease_lost', '', details), 'standby', true],
  ['a refused token', new LosantError('unauthorized', '', { ...answer, status: 401 }), 'refused', false],
  ['no API', new LosantError('unreachable', '', { ...answer, status: null }), 'failed', false],
  ['no database', new DatabaseError('database_unreachable', '', details), 'failed', true],
  ['a defect', new Error('defect'), 'failed', false],
])('a run that could not begin because of %s', (_, error, result, again) => {
  const end = classifyFailure(error, false);
  expect([end.result, looksAgain(end)]).toEqual([result, again]);
  expect(classifyFailure(error, true).result).toBe('interrupted');
});

test.each<[string, RunResult[], boolean | null]>([
  ['went well if this process did all', ['complete', 'complete'], true],
  ['went well beside another process', ['complete', 'standby'], true],
  ['did not with something missing', ['complete', 'partial'], false],
  ['did not with a refused token', ['refused', 'complete'], false],
  ['did not with a run that broke off', ['standby', 'failed'], false],
  ['says nothing on standby', ['standby'], null],
  ['says nothing when it was interrupted', ['interrupted'], null],
])('a wake-up %s', (_, results, isGood) => {
  expect(judgeRuns(results.map((result) => ({ result })))).toBe(isGood);
});

test('the heartbeat tells of the start and the success of a run, and of a failure that goes on at each wake-up, and not at each look between, as the log does', async () => {
  await using monitor = await startServer((_request, response) => void response.end());
  const instance = { ...instanceOf(platform), apiUrl: 'http://127.0.0.1:1' };
  const heartbeatUrl = `${monitor.url}/ping`;
  const replica = await open({ heartbeatUrl, instances: [instance], attempts: 1 });
  const told = () => ({
    pings: monitor.received.map(({ path }) => path.slice('/ping'.length)).join(' '),
    errors: replica.logged.filter((line) => line.includes('instance not exported')).length,
  });
  const look = async (isWakeUp: boolean) => await replica.loop.runAll([instance], isWakeUp);
  await look(false);
  expect(told()).toEqual({ pings: '/fail', errors: 1 });
  for (let times = 0; times < 3; times += 1) await look(false);
  expect(told()).toEqual({ pings: '/fail', errors: 1 });
  await look(true);
  expect(told()).toEqual({ pings: '/fail /fail', errors: 2 });
  instance.apiUrl = platform.url;
  await look(false);
  instance.apiUrl = 'http://127.0.0.1:1';
  await look(false);
  expect(told()).toEqual({ pings: '/fail /fail /start  /fail', errors: 3 });
});

test.each<[string, (response: ServerResponse) => void, string]>([
  ['an unknown address', (response) => response.writeHead(404).end('/ping/very-secret'), 'HTTP 404'],
  ['a redirect', (response) => response.writeHead(302, { location: '/' }).end(), 'HTTP 302'],
  ['a reset', (response) => response.destroy(), 'no connection'],
])('a ping that fails twice is logged without its address: %s', async (_, answer, reason) => {
  await using monitor = await startServer((_request, response) => answer(response));
  const { logger, logged } = recordLog();
  await beginHeartbeat({ url: `${monitor.url}/ping/very-secret`, logger }).end(true);
  expect(logged).toEqual([{ msg: 'heartbeat not delivered', ping: 'success', reason }]);
  expect(monitor.received).toHaveLength(2);
});
