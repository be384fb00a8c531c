/** A worker that is asked to end. */
import pg from 'pg';
import { expect, onTestFinished, test, vi } from 'vitest';
import { endsInTime } from '../../src/cli/worker.ts';
import { usePlatform } from '../simulator/platform.ts';
import { createTestDatabase, queryOnce } from '../support/databases.ts';
import { until } from '../support/wait.ts';
import { settingsOf, startTestWorker } from './process.ts';

const platform = usePlatform({ orgs: 1, now: Date.now });

test('is not ready any more, while its last run ends', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  await platform.control('config', { faults: { kinds: ['hang'], forever: true, actions: ['deviceCounts'] } });
  const worker = await startTestWorker(settingsOf(platform, database));
  const recorded = 'select from losant_usage.runs';
  await until('a run is on record', async () => (await queryOnce(database.url, recorded)).length === 1);
  expect(await worker.get('/readyz')).toEqual({ status: 200, text: 'ready\n' });
  // Its end cannot be recorded while somebody holds the table.
  const client = new pg.Client(database.url);
  await client.connect();
  onTestFinished(() => client.end());
  await client.query('begin; lock table losant_usage.runs in share row exclusive mode');
  worker.running.kill('SIGTERM');
  expect(await worker.get('/readyz')).toEqual({ status: 503, text: 'not ready: the worker is ending\n' });
  expect((await worker.get('/healthz')).status).toBe(200);
  await client.query('rollback');
  expect((await worker.running.ended).code).toBe(0);
});

test.each([
  ['before', 0, true],
  ['24 s after', 24_000, true],
  ['26 s after', 26_000, false],
])(
  'waits for work that ends %s it was asked to: orchestrators kill it after 30 s',
  async (_, ms, isInTime) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => void vi.useRealTimers());
    const ending = new AbortController();
    const work = Promise.withResolvers<void>();
    const waiting = endsInTime(work.promise, ending.signal);
    // Before it is asked to, any time may pass.
    await vi.advanceTimersByTimeAsync(3_600_000);
    if (ms > 0) ending.abort();
    await vi.advanceTimersByTimeAsync(ms);
    work.resolve();
    expect(await waiting).toBe(isInTime);
  },
);
