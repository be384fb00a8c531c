/** The lease of a run, which other writes and slow transactions must not take from it, and the record of the run. */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { expect, it, onTestFinished, vi } from 'vitest';
import type { DatabaseHandle } from '../../src/database/handle.ts';
import { acquireLease } from '../../src/ledger/lease.ts';
import type { RunOptions } from '../../src/loading/context.ts';
import type { RunOutcome } from '../../src/loading/report.ts';
import { Session, toNewRun } from '../../src/loading/session.ts';
import { NOW } from '../simulator/platform.ts';
import { asWriter, openAs } from '../support/databases.ts';
import { fakeTimers, until } from '../support/wait.ts';
import { createStage } from './stage.ts';

const SCHEDULED = { kind: 'scheduled', orgIds: null, streams: null, range: null, force: false } as const;

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
    'select round(extract(epoch from expires_at - clock_timestamp()))::integer as left from losant_usage.lease';
  await asWriter(stage.database.url, `update losant_usage.lease set expires_at = expires_at - interval '15 seconds'`);
  vi.advanceTimersByTime(15_000);
  await until('it is renewed', async () => Number((await stage.query(secondsLeft))[0]?.['left']) > 55);
  // A renewal also records the progress of the run.
  await until('it has counts', async () => (await stage.query(progress))[0]?.['loaded'] !== null);
  release();
  await Promise.all(busyConnections);
  stop.abort(new Error('enough'));
  await expect(running).rejects.toThrow('enough');
});

it('a run ends soon after another process has taken over, even while it waits for Losant', async () => {
  const stage = await createStage({ orgs: 1 });
  fakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  await stage.platform.control('config', { faults: { kinds: ['hang'], actions: ['deviceCounts'], forever: true } });
  const running = stage.run({}, { timeoutMs: 60_000 });
  running.catch(() => {});
  // Nothing else is left to write, which would show that the lease is lost.
  const stored = 'select from losant_usage.cells where is_stored';
  await until('the other streams are loaded', async () => (await stage.query(stored)).length === 3);
  await asWriter(stage.database.url, `update losant_usage.lease set host = 'other', epoch = default`);
  vi.advanceTimersByTime(15_000);
  await expect(running).rejects.toMatchObject({ kind: 'lease_lost' });
  expect(await stage.query('select status from losant_usage.runs')).toEqual([{ status: 'interrupted' }]);
  const holders = await asWriter(stage.database.url, 'select host from losant_usage.lease');
  expect(holders).toEqual([{ host: 'other' }]);
});

it('a run keeps its lease while one of its transactions waits longer than a lease lasts', async () => {
  const stage = await createStage({ orgs: 1 });
  await stage.run();
  const [orgId = ''] = stage.orgIds;
  const day = '2026-11-23';
  await stage.platform.control('restate', { orgId, day });
  fakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const expiry = 'select expires_at > clock_timestamp() as is_ahead, expires_at::text from losant_usage.lease';
  await using locker = await openAs('migrator', stage.store.url);
  let running: Promise<RunOutcome> | undefined;
  await locker.db.transaction().execute(async (trx) => {
    await sql`lock table losant_usage.revisions in share mode`.execute(trx);
    running = stage.run({ kind: 'manual', range: { from: day, to: day } });
    running.catch(() => {});
    const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    await until('a load waits', async () => (await asWriter(stage.store.url, waiting)).length === 1);
    for (const seconds of [40, 80, 120]) {
      const [before] = await stage.query(expiry);
      await stage.moveTo(NOW + seconds * 1_000);
      const isRenewed = async () => {
        // Each time, because there is no renewal while the one before has not ended.
        vi.advanceTimersByTime(15_000);
        return (await stage.query(expiry))[0]?.['expires_at'] !== before?.['expires_at'];
      };
      await until(`the lease is renewed after ${seconds} s`, isRenewed);
    }
    expect(await stage.query(expiry)).toMatchObject([{ is_ahead: true }]);
  });
  expect((await running)?.report).toMatchObject({ status: 'complete', rows: { updated: 4 } });
  const runs = await stage.query('select status from losant_usage.runs');
  expect(runs.map(({ status }) => status)).toEqual(['complete', 'complete']);
});

it('a run survives renewals that fail, until its lease has expired', async () => {
  const stage = await createStage({ orgs: 1 });
  await stage.run();
  const unreachable = await openAs('writer', stage.store.url);
  await unreachable.close();
  let handle = unreachable;
  let nowMs = stage.now();
  const context = {
    ...stage.context(),
    now: () => nowMs,
    get handle() {
      return handle;
    },
  };
  const { db } = context;
  const options = { ...SCHEDULED, runId: randomUUID(), signal: new AbortController().signal };
  const lease = await acquireLease(db, { runId: options.runId, host: 'host' });
  const session = new Session(context, options, lease);
  const renewAfter = async (seconds: number, by: DatabaseHandle) => {
    handle = by;
    nowMs += seconds * 1_000;
    await session.renew();
    return session.signal.aborted;
  };
  expect(await renewAfter(59, unreachable)).toBe(false);
  expect(await renewAfter(1, stage.handle)).toBe(false);
  expect(await renewAfter(59, unreachable)).toBe(false);
  expect(await renewAfter(1, unreachable)).toBe(true);
});

it.each<[boolean, Partial<RunOptions>]>([
  [true, {}],
  [true, { kind: 'manual' }],
  [false, { kind: 'manual', range: { from: '2026-11-23', to: '2026-11-23' } }],
  [false, { kind: 'backfill' }],
  [false, { orgIds: ['a'.repeat(24)] }],
  [false, { streams: ['device_counts'] }],
])('whether a run reads all that is due is recorded: %j for %j', (isFull, changes) => {
  const options = { ...SCHEDULED, runId: '', signal: new AbortController().signal, ...changes };
  expect(toNewRun({ host: 'host', version: '1' }, options)).toMatchObject({ is_full: isFull });
});
