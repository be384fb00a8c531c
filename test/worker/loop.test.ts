import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import type { RunResult } from '../../src/console/sources.ts';
import { BusyError, DatabaseError, LosantError, SettingsError } from '../../src/errors.ts';
import { classifyFailure, isRetriedSoon, logProgress } from '../../src/worker/instance-loop.ts';
import { type Platform, startPlatform, usePlatform } from '../simulator/platform.ts';
import { asProgram, holdLease as holdLeaseOf } from '../support/by-hand.ts';
import { asOwner, asWriter, createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { containing } from '../support/texts.ts';
import { fakeTimers, until } from '../support/wait.ts';
import { instanceOf, NEVER_MS, openReplica, type Replica, type ReplicaOptions, recordLog, runsOf } from './loop.ts';

const platform = usePlatform({ orgs: 1, now: Date.now });
const other = usePlatform({ orgs: 1, now: Date.now, seed: 'other' });
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

const runs = ({ instanceId }: Platform, result: RunResult) => runsOf(instanceId, result);
const refused = ({ instanceId }: Platform) => `losant_usage_token_rejected{instance_id="${instanceId}"}`;

/** Returns an instance whose token cannot be read. */
const withoutToken = (each: Platform) =>
  instanceOf(each, () => {
    throw new SettingsError('token file gone', { hint: 'restore it' });
  });

const addInstance = () =>
  asWriter(
    database.url,
    asProgram(`insert into losant_usage.instances (instance_id) values ('${platform.instanceId}')`),
  );
const holdLease = (until: string) => asWriter(database.url, holdLeaseOf(platform.instanceId, until));

test('a wake-up runs each instance, even if others fail', async () => {
  const broken = { ...instanceOf(platform), instanceId: '5c0000000000000000000009', apiUrl: 'http://127.0.0.1:1' };
  const instances = [withoutToken(platform), broken, instanceOf(other)];
  const replica = await open({ instances, attempts: 1 });
  await replica.runAll();
  expect(await replica.metric(runs(other, 'complete'))).toBe(1);
  expect(await replica.metric(runs(platform, 'failed'))).toBe(1);
  const errors = 'select last_error as error from losant_usage.instances where api_url is null order by 1';
  const refusal = containing('ECONNREFUSED');
  expect(await queryOnce(database.url, errors)).toEqual([{ error: refusal }, { error: 'token file gone' }]);
  const codes = replica.loop.statuses.map(({ problem }) => problem?.code ?? null);
  expect(codes).toEqual(['settings', 'unreachable', null]);
});

// Guarantee (Runs): In a worker, a failing, slow or hanging instance neither stops nor delays another one.
test('a slow, a hanging and a broken instance delay no run of another one, and keep no transaction open', async () => {
  const [hanging, slow] = [
    await startPlatform({ orgs: 1, now: Date.now, seed: 'hanging' }),
    await startPlatform({ orgs: 30, now: Date.now, seed: 'slow', latencyMs: 300 }),
  ];
  onTestFinished(() => hanging[Symbol.asyncDispose]());
  onTestFinished(() => slow[Symbol.asyncDispose]());
  await hanging.control('config', { faults: { kinds: ['hang'], forever: true, slowMs: 600_000 } });
  const instances = [instanceOf(hanging), instanceOf(slow), withoutToken(other), instanceOf(platform)];
  const request = { timeoutMs: 120_000, attempts: 1 };
  const replica = await open({ instances, config: { request } });
  for (const wakeUps of [1, 2, 3]) {
    replica.wake();
    const all = async () => (await replica.metric(runs(platform, 'complete'))) === wakeUps;
    await until(`run ${wakeUps} of the good one`, all);
  }
  expect(await replica.metric(runs(hanging, 'complete'))).toBe(0);
  await until('each run of the broken one', async () => (await replica.metric(runs(other, 'failed'))) === 3);
  await until('the slow one works', () => replica.loop.statuses[1]?.state === 'working');
  const transactions = `select from pg_stat_activity where application_name = 'replica-1'
    and datname = current_database() and clock_timestamp() - xact_start > interval '200 ms'`;
  await until('no transaction is open', async () => (await asWriter(database.url, transactions)).length === 0);
});

test('eight instances share four connections and one that renews leases', async () => {
  const seeds = ['0', '1', '2', '3', '4', '5', '6', '7'];
  const platforms = await Promise.all(seeds.map((seed) => startPlatform({ orgs: 1, now: Date.now, seed })));
  onTestFinished(async () => {
    for (const each of platforms) await each[Symbol.asyncDispose]();
  });
  const replica = await open({ instances: platforms.map((each) => instanceOf(each)) });
  await replica.runAll();
  const counts = await Promise.all(platforms.map((each) => replica.metric(runs(each, 'complete'))));
  expect(counts).toEqual(platforms.map(() => 1));
  const sessions = `select count(*)::integer from pg_stat_activity where application_name = 'replica-1'
    and datname = current_database()`;
  const [{ count } = {}] = await asWriter(database.url, sessions);
  expect(count).toBeLessThanOrEqual(5);
});

test('each run reads the token, which is rejected until Losant accepts one; an outage changes nothing', async () => {
  let token = platform.token;
  const replica = await open({ instances: [instanceOf(platform, () => token)], attempts: 1 });
  const runTo = async (result: RunResult, isRefused: number) => {
    await replica.runAll();
    expect(replica.loop.statuses[0]?.lastRun?.result).toBe(result);
    expect(await replica.metric(refused(platform))).toBe(isRefused);
    const failed = `losant_usage_last_run_failed{instance_id="${platform.instanceId}"}`;
    expect(await replica.metric(failed)).toBe(result === 'failed' ? 1 : 0);
  };
  await runTo('complete', 0);
  token = 'revoked';
  await runTo('refused', 1);
  expect(replica.loop.statuses[0]?.problem?.code).toBe('unauthorized');
  token = platform.token;
  for (const kind of ['reset', 'server_error', 'html_ok']) {
    await platform.control('config', { faults: { kinds: [kind], forever: true } });
    await runTo('failed', 1);
  }
  // Without the scope for the instance itself the run continues, and gets no response for any cell.
  const counters = ['deviceCounts', 'notebookMinuteCounts', 'payloadCounts', 'payloadCountsBreakdown'];
  const scopes = counters.map((name) => `instanceOrg.${name}`);
  await platform.control('tokens', { token, scopes });
  await platform.control('config', { faults: { kinds: ['reset'], forever: true } });
  await asWriter(database.url, asProgram('update losant_usage.coverage set next_read_at = now()'));
  await runTo('partial', 1);
  await platform.control('tokens', { token, scopes: ['all.Instance'] });
  await platform.control('config', { faults: null });
  await runTo('complete', 0);
  expect(replica.loop.statuses[0]?.problem).toBeNull();
  const recorded = await queryOnce(database.url, 'select status, error from losant_usage.runs order by started_at');
  const statuses = recorded.map(({ status }) => status).filter((status) => status !== 'failed');
  expect(statuses).toEqual(['complete', 'partial', 'complete']);
  expect(recorded[1]?.['error']).toContain('HTTP 401');
});

test('an organization whose attributes cannot be read is named, and no command is that would not show it', async () => {
  const { orgs } = (await platform.control('orgs')) as { orgs: readonly { orgId: string }[] };
  const orgId = orgs[0]?.orgId ?? '';
  await platform.control('config', { list: { items: { [orgId]: 'no_name' } } });
  const replica = await open();
  await replica.runAll();
  await platform.control('config', { list: null });
  const message = containing(`attributes of organization ${orgId} cannot be read: name`);
  const problem = { code: 'org_unreadable', message, hint: 'the worker keeps trying' };
  expect(replica.loop.statuses[0]?.problem).toEqual(problem);
});

test('a token is no longer rejected once a standby process has a response, nor if only a scope is', async () => {
  let token = 'revoked';
  const replica = await open({ instances: [instanceOf(platform, () => token)], retryIntervalMs: NEVER_MS });
  await addInstance();
  await replica.runAll();
  expect(await replica.metric(refused(platform))).toBe(1);
  token = platform.token;
  await holdLease(`now() + interval '1 minute'`);
  replica.wake();
  await until('it stands by', async () => (await replica.metric(runs(platform, 'standby'))) === 1);
  expect(await replica.metric(refused(platform))).toBe(0);
  await holdLease('now()');
  await platform.control('config', { faults: { kinds: ['forbidden'], actions: ['deviceCounts'], forever: true } });
  await replica.runAll();
  expect(replica.loop.statuses[0]?.problem?.code).toBe('forbidden');
  expect(await replica.metric(refused(platform))).toBe(0);
});

test('a worker stands by while another process runs the instance, and runs it soon after that lease has expired', async () => {
  const replica = await open({ retryIntervalMs: 50 });
  await replica.runAll();
  await holdLease(`now() + interval '1 minute'`);
  replica.wake();
  await until('it stands by', async () => (await replica.metric(runs(platform, 'standby'))) !== 0);
  expect(replica.loop.statuses[0]).toMatchObject({ state: 'standby', problem: null });
  await holdLease('now()');
  await until('it works', async () => (await replica.metric(runs(platform, 'complete'))) === 2);
  await until('it is idle', () => replica.loop.statuses[0]?.state === 'idle');
  const said = replica.logged.filter((line) => line.includes('standing by'));
  expect(said).toHaveLength(2);
});

// Guarantee (Operation): Workers take over each other's instances if one is killed or suspended.
test('a standby process retries every 20 seconds', async () => {
  const replica = await open();
  // The one request of a look waits for no timer. The loop sleeps by a timer of Node's module.
  fakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  await addInstance();
  await holdLease(`now() + interval '1 minute'`);
  await replica.runAll();
  expect(await replica.metric(runs(platform, 'standby'))).toBe(1);
  vi.advanceTimersByTime(20_000);
  vi.useRealTimers();
  await until('it has retried', async () => (await replica.metric(runs(platform, 'standby'))) === 2);
});

test('a wake-up in the middle of a run is not lost: another run follows', async () => {
  const replica = await open();
  await platform.control('config', { latencyMs: 50 });
  replica.wake();
  replica.wake();
  await platform.control('config', { latencyMs: 0 });
  await until('both runs', async () => (await replica.metric(runs(platform, 'complete'))) === 2);
  replica.loop.wake(3);
  await until('the third', async () => (await replica.metric(runs(platform, 'complete'))) === 3);
  const missed = replica.logged.filter((line) => line.includes('missed a wake-up; running now'));
  expect(missed).toEqual([expect.stringContaining('"missed_wake_ups":3')]);
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
  const name = `0999_newer ${'0'.repeat(64)}`;
  await asOwner(database.url, `insert into losant_usage.migrations values ('${name}', '2026-01-01')`);
  const before = await readWriters();
  await replica.runAll();
  expect(await readWriters()).toEqual(before);
  const status = { lastRun: { result: 'failed' }, problem: { code: 'database_too_new' } };
  expect(replica.loop.statuses[0]).toMatchObject(status);
});

test('the start of a run is logged, and then its progress once a minute', () => {
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
const response = { ...details, action: 'instance.get', body: null };

test.each<[string, unknown, RunResult, boolean]>([
  ['another process', new BusyError('lease_busy', '', details), 'standby', true],
  ['a lost lease', new BusyError('lease_lost', '', details), 'standby', true],
  ['a rejected token', new LosantError('unauthorized', '', { ...response, status: 401 }), 'refused', false],
  ['no API', new LosantError('unreachable', '', { ...response, status: null }), 'failed', false],
  ['no database', new DatabaseError('database_unreachable', '', details), 'failed', true],
  ['a bug', new Error('bug'), 'failed', false],
])('a run that could not begin because of %s', (_, error, result, isRetried) => {
  const run = classifyFailure(error, false);
  expect([run.result, isRetriedSoon(run)]).toEqual([result, isRetried]);
  expect(classifyFailure(error, true).result).toBe('interrupted');
});
