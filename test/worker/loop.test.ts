import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import type { RunResult } from '../../src/console/sources.ts';
import { BusyError, DatabaseError, LosantError } from '../../src/errors.ts';
import { classifyFailure, isRetriedSoon, logProgress } from '../../src/worker/scheduled-run.ts';
import { usePlatform } from '../simulator/platform.ts';
import { holdLease as holdLeaseUntil } from '../support/by-hand.ts';
import { asOwner, asWriter, createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { containing } from '../support/texts.ts';
import { fakeTimers, until } from '../support/wait.ts';
import { instanceOf, NEVER_MS, openReplica, type Replica, type ReplicaOptions, recordLog, runsOf } from './loop.ts';

const platform = usePlatform({ orgs: 1, now: Date.now });
let database: TestDatabase;

beforeEach(async () => {
  database = await createTestDatabase();
  onTestFinished(() => database.drop());
  return async () => {
    await platform.control('config', { faults: null });
  };
});

async function open(options: Partial<ReplicaOptions> = {}): Promise<Replica> {
  const instance = instanceOf(platform);
  const replica = await openReplica({ databaseUrl: database.url, instance, now: Date.now, ...options });
  onTestFinished(() => replica.close());
  return replica;
}

const REJECTED = 'losant_usage_token_rejected';

const addInstance = () =>
  asWriter(database.url, `insert into losant_usage.instance (instance_id) values ('${platform.instanceId}')`);
const holdLease = (until: string) => asWriter(database.url, holdLeaseUntil(until));

test('each run reads the token, which is rejected until Losant accepts one; an outage changes nothing', async () => {
  let token = platform.token;
  const replica = await open({ instance: instanceOf(platform, () => token), attempts: 1 });
  const runTo = async (result: RunResult, isRejected: number) => {
    await replica.runAll();
    expect(replica.loop.status.lastRun?.result).toBe(result);
    expect(await replica.metric(REJECTED)).toBe(isRejected);
    expect(await replica.metric('losant_usage_last_run_failed')).toBe(result === 'failed' ? 1 : 0);
  };
  await runTo('complete', 0);
  token = 'revoked';
  await runTo('rejected', 1);
  expect(replica.loop.status.problem?.code).toBe('unauthorized');
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
  await asWriter(database.url, 'update losant_usage.coverage set next_read_at = now()');
  await runTo('partial', 1);
  await platform.control('tokens', { token, scopes: ['all.Instance'] });
  await platform.control('config', { faults: null });
  await runTo('complete', 0);
  expect(replica.loop.status.problem).toBeNull();
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
  expect(replica.loop.status.problem).toEqual(problem);
});

test('a token is no longer rejected once a standby process has a response, nor if only a scope is', async () => {
  let token = 'revoked';
  const replica = await open({ instance: instanceOf(platform, () => token), retryIntervalMs: NEVER_MS });
  await addInstance();
  await replica.runAll();
  expect(await replica.metric(REJECTED)).toBe(1);
  token = platform.token;
  await holdLease(`now() + interval '1 minute'`);
  replica.wake();
  await until('it stands by', async () => (await replica.metric(runsOf('standby'))) === 1);
  expect(await replica.metric(REJECTED)).toBe(0);
  await holdLease('now()');
  await platform.control('config', { faults: { kinds: ['forbidden'], actions: ['deviceCounts'], forever: true } });
  await replica.runAll();
  expect(replica.loop.status.problem?.code).toBe('forbidden');
  expect(await replica.metric(REJECTED)).toBe(0);
});

test('a worker stands by while another process has the lease, and runs soon after that has expired', async () => {
  const replica = await open({ retryIntervalMs: 50 });
  await replica.runAll();
  await holdLease(`now() + interval '1 minute'`);
  replica.wake();
  await until('it stands by', async () => (await replica.metric(runsOf('standby'))) !== 0);
  expect(replica.loop.status).toMatchObject({ state: 'standby', problem: null });
  await holdLease('now()');
  await until('it works', async () => (await replica.metric(runsOf('complete'))) === 2);
  await until('it is idle', () => replica.loop.status.state === 'idle');
  const said = replica.logged.filter((line) => line.includes('standing by'));
  expect(said).toHaveLength(2);
});

test('a standby process retries every 20 seconds', async () => {
  const replica = await open();
  // The one request of a look waits for no timer. The loop sleeps by a timer of Node's module.
  fakeTimers({ toFake: ['setTimeout', 'clearTimeout'], fakeNodeBuiltins: true });
  await addInstance();
  await holdLease(`now() + interval '1 minute'`);
  await replica.runAll();
  expect(await replica.metric(runsOf('standby'))).toBe(1);
  vi.advanceTimersByTime(20_000);
  vi.useRealTimers();
  await until('it has retried', async () => (await replica.metric(runsOf('standby'))) === 2);
});

test('a wake-up in the middle of a run is not lost: another run follows', async () => {
  const replica = await open();
  await platform.control('config', { latencyMs: 50 });
  replica.wake();
  replica.wake();
  await platform.control('config', { latencyMs: 0 });
  await until('both runs', async () => (await replica.metric(runsOf('complete'))) === 2);
  replica.loop.wake(3);
  await until('the third', async () => (await replica.metric(runsOf('complete'))) === 3);
  const missed = replica.logged.filter((line) => line.includes('missed a wake-up; running now'));
  expect(missed).toEqual([expect.stringContaining('"missed_wake_ups":3')]);
});

/** The transactions that wrote the rows: any write changes them. */
async function readWriters(): Promise<unknown> {
  const tables = ['instance', 'runs', 'coverage', 'usage_days', 'organizations', 'tracks', 'lease'];
  const rows = tables.map((table) => `select '${table}', xmin::text from losant_usage.${table}`);
  return await asWriter(database.url, `${rows.join(' union all ')} order by 1, 2`);
}

test('a worker whose database was migrated by a newer version writes nothing, and says why', async () => {
  const replica = await open();
  await replica.runAll();
  // Everything is due again.
  await asWriter(database.url, 'update losant_usage.coverage set next_read_at = now()');
  const name = `0999_newer ${'0'.repeat(64)}`;
  await asOwner(database.url, `insert into losant_usage.migrations values ('${name}', '2026-01-01')`);
  const before = await readWriters();
  await replica.runAll();
  expect(await readWriters()).toEqual(before);
  const status = { lastRun: { result: 'failed' }, problem: { code: 'database_too_new' } };
  expect(replica.loop.status).toMatchObject(status);
});

test('the start of a run is logged, and then its progress once a minute', () => {
  const { logged, logger } = recordLog();
  let nowMs = 0;
  const log = logProgress({ logger, hostNow: () => nowMs }, 'r');
  for (nowMs of [0, 59_999, 60_000, 61_000]) log({ plannedCells: 400, readCells: nowMs / 1_000 });
  expect(logged).toEqual([
    { run_id: 'r', msg: 'run started' },
    { run_id: 'r', cells_planned: 400, cells_done: 60, msg: 'run in progress' },
  ]);
});

const details = { hint: '' };
const response = { ...details, action: 'instance.get', body: null };

test.each<[string, unknown, RunResult, boolean]>([
  ['another process', new BusyError('lease_busy', '', details), 'standby', true],
  ['a lost lease', new BusyError('lease_lost', '', details), 'standby', true],
  ['a rejected token', new LosantError('unauthorized', '', { ...response, status: 401 }), 'rejected', false],
  ['no API', new LosantError('unreachable', '', { ...response, status: null }), 'failed', false],
  ['no database', new DatabaseError('database_unreachable', '', details), 'failed', true],
  ['a bug', new Error('bug'), 'failed', false],
])('a run that could not begin because of %s', (_, error, result, isRetried) => {
  const run = classifyFailure(error, false);
  expect([run.result, isRetriedSoon(run)]).toEqual([result, isRetried]);
  expect(classifyFailure(error, true).result).toBe('interrupted');
});
