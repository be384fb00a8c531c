/** A worker that shuts down. */
import pg from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { endsInTime } from '../../src/cli/worker.ts';
import { usePlatform } from '../simulator/platform.ts';
import { createTestDatabase, queryOnce } from '../support/databases.ts';
import { loginAs } from '../support/roles.ts';
import { until } from '../support/wait.ts';
import { settingsOf, startTestWorker } from './process.ts';

const platform = usePlatform({ orgs: 1, now: Date.now });

test('a worker is not ready while its last run ends', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  await platform.control('config', { faults: { kinds: ['hang'], forever: true, actions: ['deviceCounts'] } });
  const worker = await startTestWorker(settingsOf(platform, database));
  const recorded = 'select from losant_usage.runs';
  await until('a run is recorded', async () => (await queryOnce(database.url, recorded)).length === 1);
  expect(await worker.get('/readyz')).toEqual({ status: 200, text: 'ready\n' });
  // The end of the run cannot be recorded while the table is locked.
  const client = new pg.Client(loginAs('writer', database.url));
  await client.connect();
  onTestFinished(() => client.end());
  await client.query('begin; lock table losant_usage.runs in share row exclusive mode');
  worker.running.kill('SIGTERM');
  expect(await worker.get('/readyz')).toEqual({
    status: 503,
    text: 'not ready: the worker is shutting down\n',
  });
  expect((await worker.get('/healthz')).status).toBe(200);
  await client.query('rollback');
  expect((await worker.running.ended).code).toBe(0);
});

test.each([
  ['before', 0, true],
  ['24 s after', 24_000, true],
  ['26 s after', 26_000, false],
])(
  'a worker waits for work that ends %s the signal, because orchestrators kill it after 30 s',
  async (_, ms, isInTime) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const shutdown = new AbortController();
    const work = Promise.withResolvers<void>();
    const waiting = endsInTime(work.promise, shutdown.signal);
    // Before the signal, any time may pass.
    await vi.advanceTimersByTimeAsync(3_600_000);
    if (ms > 0) shutdown.abort();
    await vi.advanceTimersByTimeAsync(ms);
    work.resolve();
    expect(await waiting).toBe(isInTime);
  },
);
