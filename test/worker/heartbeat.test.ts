/** Reports to a dead man's switch: the decision, from plain values, and the pings of a real worker. */
import type { ServerResponse } from 'node:http';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RunResult } from '../../src/console/sources.ts';
import { assessWakeUp, createHeartbeat, type InstanceActivity } from '../../src/worker/heartbeat.ts';
import { startServer, type TestServer } from '../losant/server.ts';
import { usePlatform } from '../simulator/platform.ts';
import { asProgram, holdLease } from '../support/by-hand.ts';
import { asWriter, createTestDatabase, type TestDatabase } from '../support/databases.ts';
import { fakeTimers, until } from '../support/wait.ts';
import { portOf, startWire, through } from '../support/wire.ts';
import { instanceOf, openReplica, type Replica, type ReplicaOptions, recordLog, runsOf } from './loop.ts';

const finished = (...results: RunResult[]): InstanceActivity => ({ results, currentRun: null });
const running = (run: 'progresses' | 'hangs' | 'fails', ...results: RunResult[]): InstanceActivity => ({
  results,
  currentRun: { hasProgress: run !== 'hangs', hasFailedReads: run === 'fails' },
});

type Situation = readonly [name: string, activities: readonly InstanceActivity[], isSuccess: boolean | null];

describe('once a run has finished', () => {
  test.each<Situation>([
    ['is a success if all were complete', [finished('complete'), finished('complete')], true],
    ['is a failure if something is missing', [finished('complete'), finished('partial')], false],
    ['is a failure if a token is rejected', [finished('refused'), finished('complete')], false],
    ['is a failure if a run failed', [finished('failed')], false],
    ['is a failure if one of several runs was not complete', [finished('partial', 'complete')], false],
    ['is a success next to an instance of another process', [finished('complete'), finished('standby')], true],
    ['is a success after its process has acquired a lease', [finished('standby', 'complete')], true],
    ['is not reported if all stand by', [finished('standby'), finished('standby')], null],
    ['is not reported if its run was interrupted', [finished('interrupted')], null],
    ['is not reported while a run is in progress', [finished('complete'), running('progresses')], null],
    ['is not reported before the next run of an instance', [running('hangs', 'complete')], null],
  ])('a wake-up whose last run has finished %s', (_, activities, isSuccess) => {
    expect(assessWakeUp(activities, { isWakeUp: false, hasFinishedRun: true })).toBe(isSuccess);
  });

  test.each<Situation>([
    ['is a success if a run in progress has read cells', [finished('complete'), running('progresses')], true],
    ['is a failure if it has read none', [finished('complete'), running('hangs')], false],
    ['is a failure if one of its reads failed', [running('fails')], false],
    ['is a success if a run has finished and the next one has only started', [running('hangs', 'complete')], true],
    ['is a failure if the finished run was not complete', [running('progresses', 'partial')], false],
    ['is a success while another process backfills', [running('progresses', 'standby')], true],
    ['is a failure if that backfill hangs', [running('hangs', 'standby')], false],
    ['is not reported if all stand by', [finished('standby')], null],
  ])('at the next wake-up, a wake-up %s', (_, activities, isSuccess) => {
    expect(assessWakeUp(activities, { isWakeUp: true, hasFinishedRun: true })).toBe(isSuccess);
  });
});

test.each([true, false])('nothing is reported before the first run has finished (wake-up: %s)', (isWakeUp) => {
  const activities = [running('progresses'), running('hangs')];
  expect(assessWakeUp(activities, { isWakeUp, hasFinishedRun: false })).toBeNull();
});

describe('a monitor', () => {
  const platform = usePlatform({ orgs: 1, now: Date.now });
  const other = usePlatform({ orgs: 6, now: Date.now, seed: 'other' });
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
    const common = { databaseUrl: database.url, heartbeatUrl, instances: [], now: Date.now, retryIntervalMs: 50 };
    const replica = await openReplica({ ...common, ...options });
    onTestFinished(() => replica.close());
    return replica;
  }

  const pings = () => monitor.received.map(({ path }) => path.slice('/ping'.length) || 'success');
  const expectPings = (...expected: string[]) =>
    until(expected.join(), () => JSON.stringify(pings()) === JSON.stringify(expected));
  const countRuns = async (replica: Replica, result: RunResult) =>
    (await replica.metric(runsOf(platform.instanceId, result))) ?? 0;
  const HANG = { kinds: ['hang'], forever: true, slowMs: 600_000 };
  const PATIENT = { request: { timeoutMs: 120_000, attempts: 1 } };

  // Guarantee (Operation): A success is reported to the dead man's switch only if every instance is complete.
  test('gets one ping for each wake-up, also if it fails', async () => {
    const instance = { ...instanceOf(platform), apiUrl: 'http://127.0.0.1:1' };
    const replica = await open({ instances: [instance], attempts: 1 });
    const errors = () => replica.logged.filter((line) => line.includes('could not load the instance')).length;
    await replica.runAll();
    await replica.runAll();
    await expectPings('/fail', '/fail');
    expect(errors()).toBe(2);
    instance.apiUrl = platform.url;
    await replica.runAll();
    await replica.runAll();
    await expectPings('/fail', '/fail', 'success', 'success');
    await replica.close();
  });

  test('gets no failure for an outage of the database that ends before the next wake-up', async () => {
    await using wire = await startWire(portOf(database.url));
    const replica = await open({ instances: [instanceOf(platform)], databaseUrl: through(wire, database.url) });
    const waitForRetries = async () => {
      const before = await countRuns(replica, 'failed');
      await until('it has retried', async () => (await countRuns(replica, 'failed')) > before + 2);
    };
    await replica.runAll();
    await expectPings('success');
    wire.cut();
    replica.wake();
    await waitForRetries();
    expect([pings(), replica.loop.isWorking]).toEqual([['success'], true]);
    wire.mend();
    await expectPings('success', 'success');
    expect(replica.loop.isWorking).toBe(false);
    wire.cut();
    replica.wake();
    await waitForRetries();
    replica.wake();
    await expectPings('success', 'success', '/fail');
    wire.mend();
    await expectPings('success', 'success', '/fail', 'success');
    await replica.close();
  });

  test('gets a ping when the last run of a wake-up has finished, and for a hanging run at the next wake-up', async () => {
    const replica = await open({ instances: [instanceOf(platform), instanceOf(other)], config: PATIENT });
    await other.control('config', { latencyMs: 20 });
    await replica.runAll();
    await expectPings('success');
    await other.control('config', { faults: HANG });
    await asWriter(database.url, asProgram('update losant_usage.coverage set next_read_at = now()'));
    replica.wake();
    await until('one has ended', async () => (await countRuns(replica, 'complete')) === 2);
    expect(pings()).toEqual(['success']);
    replica.wake();
    await expectPings('success', '/fail');
  });

  test('gets pings for a backfill of another process, and none from a standby process', async () => {
    const replica = await open({ instances: [instanceOf(platform)] });
    await replica.runAll();
    await expectPings('success');
    await asWriter(database.url, holdLease(platform.instanceId));
    const waitForRetries = async () => {
      const before = await countRuns(replica, 'standby');
      await until('it has retried twice', async () => (await countRuns(replica, 'standby')) > before + 1);
    };
    replica.wake();
    await waitForRetries();
    replica.wake();
    await waitForRetries();
    expect(pings()).toEqual(['success']);
    await asWriter(
      database.url,
      `insert into losant_usage.runs (run_id, instance_id, kind, is_full, status, started_at, host, version)
       select run_id, instance_id, 'backfill', false, 'running', now(), host, '1' from losant_usage.leases`,
    );
    const progress = async (planned: number, failed: number) => {
      const counts = JSON.stringify({ cells: { planned, failed } });
      await asWriter(database.url, `update losant_usage.runs set counts = '${counts}' where kind = 'backfill'`);
      await waitForRetries();
    };
    await progress(400, 0);
    await progress(800, 0);
    replica.wake();
    await expectPings('success', 'success');
    await waitForRetries();
    replica.wake();
    await expectPings('success', 'success', '/fail');
    await progress(1_200, 1);
    replica.wake();
    await expectPings('success', 'success', '/fail', '/fail');
    await asWriter(database.url, 'delete from losant_usage.leases');
    await expectPings('success', 'success', '/fail', '/fail', 'success');
  });
});

const SECRET = '/ping/very-secret';

test.each<[string, (response: ServerResponse) => void, string]>([
  ['an unknown address', (response) => response.writeHead(404).end(SECRET), 'HTTP 404'],
  ['a redirect', (response) => response.writeHead(302, { location: '/' }).end(), 'HTTP 302'],
  ['a reset', (response) => response.destroy(), 'no connection'],
])('a ping that fails twice is logged without its address: %s', async (_, respond, reason) => {
  await using server = await startServer((_request, response) => respond(response));
  const { logger, logged } = recordLog();
  await createHeartbeat({ url: `${server.url}${SECRET}`, logger }).send(true);
  expect(logged).toEqual([{ msg: 'heartbeat not delivered', ping: 'success', reason }]);
  expect(server.received).toHaveLength(2);
});

test('a ping to a monitor that hangs is given up after two times 5 seconds', async () => {
  await using server = await startServer(() => {});
  const { logger, logged } = recordLog();
  fakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const ping = createHeartbeat({ url: `${server.url}${SECRET}`, logger }).send(false);
  for (const ms of [5_000, 1_000, 5_000]) {
    await until('the timer is set', () => vi.getTimerCount() > 0);
    await vi.advanceTimersByTimeAsync(ms);
  }
  await ping;
  expect(logged).toEqual([{ msg: 'heartbeat not delivered', ping: 'fail', reason: 'timeout' }]);
});
