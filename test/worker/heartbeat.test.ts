/** What a dead man's switch is told: decided from plain values, and as a monitor hears it. */
import type { ServerResponse } from 'node:http';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RunResult } from '../../src/console/sources.ts';
import { assessWakeUp, createHeartbeat, type InstanceActivity } from '../../src/worker/heartbeat.ts';
import { startServer, type TestServer } from '../losant/server.ts';
import { usePlatform } from '../simulator/platform.ts';
import { asProgram, holdLease } from '../support/by-hand.ts';
import { createTestDatabase, queryOnce, type TestDatabase } from '../support/databases.ts';
import { until } from '../support/wait.ts';
import { portOf, startWire, through } from '../support/wire.ts';
import { instanceOf, openReplica, type Replica, type ReplicaOptions, recordLog } from './loop.ts';

const ended = (...results: RunResult[]): InstanceActivity => ({ results, currentRun: null });
const underWay = (run: 'stores' | 'hangs' | 'fails', ...results: RunResult[]): InstanceActivity => ({
  results,
  currentRun: { hasProgress: run !== 'hangs', hasFailedReads: run === 'fails' },
});

type Situation = readonly [what: string, activities: readonly InstanceActivity[], isWell: boolean | null];

describe('once a run has ended', () => {
  test.each<Situation>([
    ['is well if all were complete', [ended('complete'), ended('complete')], true],
    ['is not with something missing', [ended('complete'), ended('partial')], false],
    ['is not with a token that is refused', [ended('refused'), ended('complete')], false],
    ['is not with a run that broke off', [ended('failed')], false],
    ['is not if one of several runs was not complete', [ended('partial', 'complete')], false],
    ['is well beside an instance of another process', [ended('complete'), ended('standby')], true],
    ['is well after an instance was taken over', [ended('standby', 'complete')], true],
    ['tells nothing while all stand by', [ended('standby'), ended('standby')], null],
    ['tells nothing of a run that was interrupted', [ended('interrupted')], null],
    ['waits for a run under way', [ended('complete'), underWay('stores')], null],
    ['waits for the next run of an instance', [underWay('hangs', 'complete')], null],
  ])('a wake-up whose last run has ended %s', (_, activities, isWell) => {
    expect(assessWakeUp(activities, { isWakeUp: false, hasFinishedRun: true })).toBe(isWell);
  });

  test.each<Situation>([
    ['is well if a run under way has stored something', [ended('complete'), underWay('stores')], true],
    ['is not if it has not', [ended('complete'), underWay('hangs')], false],
    ['is not if a read of it failed', [underWay('fails')], false],
    ['is well if a run has ended, and the next one has only begun', [underWay('hangs', 'complete')], true],
    ['is not if the one that has ended was not complete', [underWay('stores', 'partial')], false],
    ['is well while another process backfills', [underWay('stores', 'standby')], true],
    ['is not if that one hangs', [underWay('hangs', 'standby')], false],
    ['tells nothing while all stand by', [ended('standby')], null],
  ])('at the next wake-up it %s', (_, activities, isWell) => {
    expect(assessWakeUp(activities, { isWakeUp: true, hasFinishedRun: true })).toBe(isWell);
  });
});

test.each([true, false])('before the first run has ended nothing is told (wake-up: %s)', (isWakeUp) => {
  const activities = [underWay('stores'), underWay('hangs')];
  expect(assessWakeUp(activities, { isWakeUp, hasFinishedRun: false })).toBeNull();
});

describe('a monitor', () => {
  const platform = usePlatform({ orgs: 2, now: Date.now });
  const other = usePlatform({ orgs: 12, now: Date.now, seed: 'other' });
  let database: TestDatabase;
  let monitor: TestServer;

  beforeEach(async () => {
    database = await createTestDatabase();
    monitor = await startServer((_request, response) => void response.end());
    onTestFinished(async () => {
      await monitor[Symbol.asyncDispose]();
      await database.drop();
    });
    return async () => {
      for (const each of [platform, other]) await each.control('config', { faults: null, latencyMs: 0 });
    };
  });

  async function open(options: Partial<ReplicaOptions>): Promise<Replica> {
    const heartbeatUrl = `${monitor.url}/ping`;
    const common = {
      databaseUrl: database.url,
      heartbeatUrl,
      instances: [],
      now: Date.now,
      retryIntervalMs: 50,
    };
    const replica = await openReplica({ ...common, ...options });
    onTestFinished(() => replica.close());
    return replica;
  }

  const heard = () => monitor.received.map(({ path }) => path.slice('/ping'.length) || 'success');
  const hears = (...pings: string[]) =>
    until(pings.join(), () => JSON.stringify(heard()) === JSON.stringify(pings));
  const completeRuns = (replica: Replica) =>
    replica.metric(`losant_usage_runs_total{instance_id="${platform.instanceId}",result="complete"}`);
  const hang = { kinds: ['hang'], forever: true, slowMs: 600_000 };
  const patient = { request: { timeoutMs: 120_000, attempts: 1 } };

  // Guarantee (Operation): The dead man's switch hears of success only if every instance was read completely.
  test('hears once of each wake-up, of its failure at each, and not of the looks between', async () => {
    await using wire = await startWire(portOf(database.url));
    const instance = { ...instanceOf(platform), apiUrl: 'http://127.0.0.1:1' };
    const databaseUrl = through(wire, database.url);
    const replica = await open({ instances: [instance], attempts: 1, databaseUrl });
    const errors = () => replica.logged.filter((line) => line.includes('could not load the instance')).length;
    await replica.runAll();
    await replica.runAll();
    await hears('/fail', '/fail');
    expect(errors()).toBe(2);
    instance.apiUrl = platform.url;
    await replica.runAll();
    await replica.runAll();
    await hears('/fail', '/fail', 'success', 'success');
    // While the database is away the worker looks again and again.
    wire.cut();
    const count = (result: string) =>
      replica.metric(`losant_usage_runs_total{instance_id="${platform.instanceId}",result="${result}"}`);
    await replica.runAll();
    await until('it has looked again', async () => ((await count('failed')) ?? 0) > 4);
    wire.mend();
    await until('it is there again', async () => (await count('complete')) === 3);
    await replica.runAll();
    await hears('/fail', '/fail', 'success', 'success', '/fail', 'success');
    await replica.close();
  });

  test('hears when the last run of a wake-up has ended, and of a hanging one at the next wake-up', async () => {
    const replica = await open({ instances: [instanceOf(platform), instanceOf(other)], config: patient });
    await other.control('config', { latencyMs: 20 });
    await replica.runAll();
    await hears('success');
    await other.control('config', { faults: hang });
    await queryOnce(database.url, asProgram('update losant_usage.coverage set next_read_at = now()'));
    replica.wake();
    await until('one has ended', async () => (await completeRuns(replica)) === 2);
    expect(heard()).toEqual(['success']);
    replica.wake();
    await hears('success', '/fail');
  });

  test('hears of success while a long run stores what it reads', async () => {
    const slow = { ...instanceOf(other), requestConcurrency: 1 };
    const replica = await open({ instances: [instanceOf(platform), slow], config: patient });
    await other.control('config', { latencyMs: 250 });
    replica.wake();
    const doneOf = () => replica.loop.statuses[1]?.progress?.readCells ?? 0;
    for (const pings of [['success'], ['success', 'success']]) {
      const before = doneOf();
      await until('the other one has ended', async () => (await completeRuns(replica)) === pings.length);
      await until('it has stored more', () => doneOf() > before);
      replica.wake();
      await hears(...pings);
    }
    expect(replica.loop.statuses[1]?.state).toBe('working');
  });

  test('hears of a backfill of another process as of a run under way, and nothing of a standby', async () => {
    const replica = await open({ instances: [instanceOf(platform)] });
    await replica.runAll();
    await hears('success');
    await queryOnce(database.url, holdLease(platform.instanceId));
    const looks = () =>
      replica.metric(`losant_usage_runs_total{instance_id="${platform.instanceId}",result="standby"}`);
    const look = async () => {
      const before = (await looks()) ?? 0;
      await until('it has looked twice', async () => ((await looks()) ?? 0) > before + 1);
    };
    replica.wake();
    await look();
    replica.wake();
    await look();
    expect(heard()).toEqual(['success']);
    await queryOnce(
      database.url,
      `insert into losant_usage.runs (run_id, instance_id, kind, is_full, status, started_at, host, version)
       select run_id, instance_id, 'backfill', false, 'running', now(), host, '1' from losant_usage.leases`,
    );
    const progress = async (planned: number, failed: number) => {
      const counts = JSON.stringify({ cells: { planned, failed } });
      await queryOnce(
        database.url,
        `update losant_usage.runs set counts = '${counts}' where kind = 'backfill'`,
      );
      await look();
    };
    await progress(400, 0);
    await progress(800, 0);
    replica.wake();
    await hears('success', 'success');
    await look();
    replica.wake();
    await hears('success', 'success', '/fail');
    await progress(1_200, 1);
    replica.wake();
    await hears('success', 'success', '/fail', '/fail');
    await queryOnce(database.url, 'delete from losant_usage.leases');
    await hears('success', 'success', '/fail', '/fail', 'success');
  });
});

const SECRET = '/ping/very-secret';

test.each<[string, (response: ServerResponse) => void, string]>([
  ['an unknown address', (response) => response.writeHead(404).end(SECRET), 'HTTP 404'],
  ['a redirect', (response) => response.writeHead(302, { location: '/' }).end(), 'HTTP 302'],
  ['a reset', (response) => response.destroy(), 'no connection'],
])('a ping that fails twice is logged without its address: %s', async (_, answer, reason) => {
  await using server = await startServer((_request, response) => answer(response));
  const { logger, logged } = recordLog();
  await createHeartbeat({ url: `${server.url}${SECRET}`, logger }).send(true);
  expect(logged).toEqual([{ msg: 'heartbeat not delivered', ping: 'success', reason }]);
  expect(server.received).toHaveLength(2);
});

test('a monitor that hangs is waited for twice 5 seconds and no longer', async () => {
  await using server = await startServer(() => {});
  const { logger, logged } = recordLog();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const sent = createHeartbeat({ url: `${server.url}${SECRET}`, logger }).send(false);
  for (const ms of [5_000, 1_000, 5_000]) {
    await until('the timer is set', () => vi.getTimerCount() > 0);
    await vi.advanceTimersByTimeAsync(ms);
  }
  await sent;
  expect(logged).toEqual([{ msg: 'heartbeat not delivered', ping: 'fail', reason: 'timeout' }]);
});
