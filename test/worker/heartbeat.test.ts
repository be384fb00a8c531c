/** Reports to a dead man's switch: the decision, from plain values, and the pings of a real worker. */
import type { ServerResponse } from 'node:http';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { RunResult } from '../../src/console/sources.ts';
import { assessWakeUp, createHeartbeat, type WakeUpActivity } from '../../src/worker/heartbeat.ts';
import { startServer, type TestServer } from '../losant/server.ts';
import { usePlatform } from '../simulator/platform.ts';
import { holdLease } from '../support/by-hand.ts';
import { asWriter, createTestDatabase, type TestDatabase } from '../support/databases.ts';
import { fakeTimers, until } from '../support/wait.ts';
import { portOf, startWire, through } from '../support/wire.ts';
import { instanceOf, openReplica, type Replica, type ReplicaOptions, recordLog, runsOf } from './loop.ts';

const finished = (...results: RunResult[]): WakeUpActivity => ({ results, currentRun: null });
const running = (run: 'progresses' | 'hangs' | 'fails', ...results: RunResult[]): WakeUpActivity => ({
  results,
  currentRun: { hasProgress: run !== 'hangs', hasFailedReads: run === 'fails' },
});

type Situation = readonly [name: string, activity: WakeUpActivity, isSuccess: boolean | null];

test.each<Situation>([
  ['is a success if its run was complete', finished('complete'), true],
  ['is a failure if something is missing', finished('partial'), false],
  ['is a failure if the token is rejected', finished('rejected'), false],
  ['is a failure if the run failed', finished('failed'), false],
  ['is a failure if one of several runs was not complete', finished('partial', 'complete'), false],
  ['is a success after its process has acquired a lease', finished('standby', 'complete'), true],
  ['is not reported by a process that stands by', finished('standby'), null],
  ['is not reported if its run was interrupted', finished('interrupted'), null],
  ['is not reported while a run is in progress', running('progresses'), null],
  ['is not reported before the next run', running('hangs', 'complete'), null],
])('once a run has ended, a wake-up %s', (_, activity, isSuccess) => {
  expect(assessWakeUp(activity, false)).toBe(isSuccess);
});

test.each<Situation>([
  ['is a success if a run in progress has read cells', running('progresses'), true],
  ['is a failure if it has read none', running('hangs'), false],
  ['is a failure if one of its reads failed', running('fails'), false],
  ['is a success if a run has finished and the next one has only started', running('hangs', 'complete'), true],
  ['is a failure if the finished run was not complete', running('progresses', 'partial'), false],
  ['is a success while another process backfills', running('progresses', 'standby'), true],
  ['is a failure if that backfill hangs', running('hangs', 'standby'), false],
  ['is not reported by a process that stands by', finished('standby'), null],
])('at the next wake-up, a wake-up %s', (_, activity, isSuccess) => {
  expect(assessWakeUp(activity, true)).toBe(isSuccess);
});

describe('a monitor', () => {
  const platform = usePlatform({ orgs: 1, now: Date.now });
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
      await platform.control('config', { faults: null, latencyMs: 0 });
    };
  });

  async function open(options: Partial<ReplicaOptions>): Promise<Replica> {
    const heartbeatUrl = `${monitor.url}/ping`;
    const instance = instanceOf(platform);
    const common = { databaseUrl: database.url, heartbeatUrl, instance, now: Date.now, retryIntervalMs: 50 };
    const replica = await openReplica({ ...common, ...options });
    onTestFinished(() => replica.close());
    return replica;
  }

  const pings = () => monitor.received.map(({ path }) => path.slice('/ping'.length) || 'success');
  const expectPings = (...expected: string[]) =>
    until(expected.join(), () => JSON.stringify(pings()) === JSON.stringify(expected));
  const countRuns = async (replica: Replica, result: RunResult) => (await replica.metric(runsOf(result))) ?? 0;
  const HANG = { kinds: ['hang'], forever: true, slowMs: 600_000 };
  const PATIENT = { request: { timeoutMs: 120_000, attempts: 1 } };

  test('gets one ping for each wake-up, also if it fails', async () => {
    const unreachable = { kinds: ['reset'], forever: true };
    await platform.control('config', { faults: unreachable });
    const replica = await open({ attempts: 1 });
    const errors = () => replica.logged.filter((line) => line.includes('could not load')).length;
    await replica.runAll();
    await replica.runAll();
    await expectPings('/fail', '/fail');
    expect(errors()).toBe(2);
    await platform.control('config', { faults: null });
    await replica.runAll();
    await replica.runAll();
    await expectPings('/fail', '/fail', 'success', 'success');
    await replica.close();
  });

  test('gets no failure for an outage of the database that ends before the next wake-up', async () => {
    await using wire = await startWire(portOf(database.url));
    const replica = await open({ databaseUrl: through(wire, database.url) });
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

  test('gets a failure for a hanging run at the next wake-up', async () => {
    const replica = await open({ config: PATIENT });
    await replica.runAll();
    await expectPings('success');
    await platform.control('config', { faults: HANG });
    await asWriter(database.url, 'update losant_usage.coverage set next_read_at = now()');
    replica.wake();
    await until('it works', () => replica.loop.isWorking);
    replica.wake();
    await expectPings('success', '/fail');
  });

  test('gets pings for a backfill of another process, and none from a standby process', async () => {
    const replica = await open({});
    await replica.runAll();
    await expectPings('success');
    await asWriter(database.url, holdLease());
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
      `insert into losant_usage.runs (run_id, kind, is_full, status, started_at, host, version)
       select run_id, 'backfill', false, 'running', now(), host, '1' from losant_usage.lease`,
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
    await asWriter(database.url, 'delete from losant_usage.lease');
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
