import pg from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { endsInTime } from '../../src/cli/worker.ts';
import { usePlatform } from '../simulator/platform.ts';
import { createTestDatabase, queryOnce } from '../support/databases.ts';
import { loginAs } from '../support/roles.ts';
import { fakeTimers, until } from '../support/wait.ts';
import { settingsOf, startTestWorker } from './process.ts';

const platform = usePlatform({ orgs: 1, now: Date.now });

/** Starts a worker with a hanging run, whose end cannot be recorded as long as a table is locked. */
async function startHangingWorker() {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  await platform.control('config', { faults: { kinds: ['hang'], forever: true, actions: ['deviceCounts'] } });
  const worker = await startTestWorker(settingsOf(platform, database));
  const recorded = 'select from losant_usage.runs';
  await until('a run is recorded', async () => (await queryOnce(database.url, recorded)).length === 1);
  const client = new pg.Client(loginAs('writer', database.url));
  await client.connect();
  onTestFinished(() => client.end());
  const lockRuns = () => client.query('begin; lock table losant_usage.runs in share row exclusive mode');
  return { ...worker, lockRuns, unlockRuns: () => client.query('rollback') };
}

test('a worker is not ready while its last run ends', async () => {
  const worker = await startHangingWorker();
  expect(await worker.get('/readyz')).toEqual({ status: 200, text: 'ready\n' });
  await worker.lockRuns();
  worker.running.kill('SIGTERM');
  expect(await worker.get('/readyz')).toEqual({ status: 503, text: 'not ready: the worker is shutting down\n' });
  expect((await worker.get('/healthz')).status).toBe(200);
  await worker.unlockRuns();
  expect((await worker.running.ended).code).toBe(0);
});

test('a worker whose run cannot end waits no second time, for its connections', async () => {
  const worker = await startHangingWorker();
  await worker.lockRuns();
  const signalledAtMs = performance.now();
  worker.running.kill('SIGTERM');
  const { code, stderr } = await worker.running.ended;
  // 25 s for the run and 2 for connections, with time to spare on a busy machine.
  expect(performance.now() - signalledAtMs).toBeLessThan(45_000);
  expect(code).toBe(0);
  expect(stderr).toContain('the run did not stop in time; its lease will expire');
});

// Orchestrators kill it after 30 s.
test.each([
  ['before', 0, true],
  ['24 s after', 24_000, true],
  ['26 s after', 26_000, false],
])('a worker waits for work that ends %s the signal, or not', async (_, ms, isInTime) => {
  fakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const shutdown = new AbortController();
  const work = Promise.withResolvers<void>();
  const waiting = endsInTime(work.promise, shutdown.signal);
  // Before the signal, any time may pass.
  await vi.advanceTimersByTimeAsync(3_600_000);
  if (ms > 0) shutdown.abort();
  await vi.advanceTimersByTimeAsync(ms);
  work.resolve();
  expect(await waiting).toBe(isInTime);
});
