/** The lease of a run. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { asWriter } from '../support/databases.ts';
import { fakeTimers, until } from '../support/wait.ts';
import { createStage } from './stage.ts';

// Guarantee (Runs): A run keeps its lease until it ends.
it('a lease is renewed after a quarter of its duration, even while all other connections are busy', async () => {
  const stage = await createStage({ orgs: 1 });
  fakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  await stage.platform.control('config', { faults: { kinds: ['hang'], actions: ['deviceCounts'], forever: true } });
  const stop = new AbortController();
  const running = stage.run({ signal: stop.signal });
  const progress = `select counts -> 'cells' ->> 'loaded' as loaded from losant_usage.runs where status = 'running'`;
  await until('a run is recorded', async () => (await stage.query(progress)).length === 1);
  const { promise: end, resolve: release } = Promise.withResolvers<void>();
  const { db } = stage.handle;
  const busyConnections = Array.from({ length: 5 }, () => db.connection().execute(() => end));
  onTestFinished(() => {
    release();
    stop.abort(new Error('enough'));
  });
  const secondsLeft =
    'select round(extract(epoch from expires_at - clock_timestamp()))::integer as left from losant_usage.leases';
  await asWriter(stage.database.url, `update losant_usage.leases set expires_at = expires_at - interval '15 seconds'`);
  vi.advanceTimersByTime(15_000);
  await until('it is renewed', async () => Number((await stage.query(secondsLeft))[0]?.['left']) > 55);
  // A renewal also records the progress of the run.
  await until('it has counts', async () => (await stage.query(progress))[0]?.['loaded'] !== null);
  release();
  await Promise.all(busyConnections);
  stop.abort(new Error('enough'));
  await expect(running).rejects.toThrow('enough');
});
