/** Whatever keeps a worker or a run from working for a minute is said: in the log, the status, the console and a metric. */
import pg from 'pg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { asProgram, holdLease } from '../support/by-hand.ts';
import { until } from '../support/wait.ts';
import { instanceOf, openReplica } from '../worker/loop.ts';
import type { StartedWorker } from '../worker/process.ts';
import { COUNTERS, type Played, usePlayed } from './played.ts';
import { readStored, readTruth } from './usage.ts';

vi.setConfig({ testTimeout: 90_000 });

const openAt = usePlayed();
const open = () => openAt('2026-11-24T10:15:00Z');

/** Lets 90 seconds pass for everyone. */
const pass = async ({ moveTo, now }: Played) => await moveTo(new Date(now() + 90_000).toISOString());

interface StatusPage {
  readonly worker: {
    readonly instances: readonly [
      {
        readonly state: string;
        readonly lastRun: { readonly result: string } | null;
        readonly trouble: object | null;
      },
    ];
  };
}

const statusOf = async (worker: StartedWorker) =>
  (JSON.parse((await worker.get('/status.json')).text) as StatusPage).worker.instances[0];

/** The lines of the log with this message. */
const logged = (text: string, message: string) =>
  text.split('\n').filter((line) => line.includes(`"msg":"${message}"`));

const waitingOn = async (worker: StartedWorker, { platform }: Played, on: string) =>
  await worker.metric(`losant_usage_waiting_seconds{instance_id="${platform.instanceId}",waits_for="${on}"}`);

/** Expects the wait to be said everywhere while it lasts, and once in the log; and its end, when `end` has ended it. */
async function expectSaid(
  played: Played,
  worker: StartedWorker,
  { on, message, end }: { on: string; message: string; end: () => Promise<unknown> },
): Promise<void> {
  expect((await statusOf(worker)).trouble).toBeNull();
  expect(await waitingOn(worker, played, on)).toBe(0);
  await pass(played);
  await until('it is trouble', async () => (await statusOf(worker)).trouble !== null);
  expect((await statusOf(worker)).trouble).toMatchObject({
    code: `waiting_for_${on}`,
    kind: 'waiting',
    message: expect.stringContaining(message) as string,
  });
  expect(await waitingOn(worker, played, on)).toBeGreaterThanOrEqual(60);
  expect((await worker.get('/')).text).toContain(message);
  await until('it is logged', () => logged(worker.running.stderr(), 'waiting').length > 0);
  await end();
  await until('the run is over', async () => (await statusOf(worker)).lastRun !== null);
  expect((await statusOf(worker)).trouble).toBeNull();
  expect(await waitingOn(worker, played, on)).toBe(0);
  expect(logged(worker.running.stderr(), 'waiting')).toHaveLength(1);
  expect(logged(worker.running.stderr(), 'no longer waiting')).toHaveLength(1);
  expect(await readStored(played)).toEqual(await readTruth(played.platform, '2026-11-23', '2026-11-23'));
}

describe('a worker that waits for a minute says so', () => {
  test('because Losant asks for a pause again and again, from the first request on', async () => {
    const played = await open();
    const control = (path: string, body?: unknown) => played.platform.control(path, body);
    await control('config', { faults: { kinds: ['rate_limit_seconds'], forever: true } });
    const worker = await played.startWorker();
    const asked = async () => ((await control('stats')) as { actions: Record<string, object> }).actions;
    await until('it was asked', async () => Object.keys(await asked()).length > 0);
    expect(await statusOf(worker)).toMatchObject({ state: 'starting' });
    await expectSaid(played, worker, {
      on: 'losant',
      message: 'it asks for a pause (429, or 503 with Retry-After)',
      end: () => control('config', { faults: null }),
    });
  });

  test('because requests hang', async () => {
    const played = await open();
    const control = (path: string, body?: unknown) => played.platform.control(path, body);
    await control('config', { faults: { kinds: ['hang'], forever: true, actions: COUNTERS } });
    const worker = await played.startWorker({ REQUEST_TIMEOUT_MS: '1500', REQUEST_ATTEMPTS: '10' });
    await until('a request timed out', async () => {
      return ((await worker.metric('losant_usage_request_retries_total{reason="timeout"}')) ?? 0) > 0;
    });
    await expectSaid(played, worker, {
      on: 'losant',
      message: 'the newest request ended with timeout',
      end: () => control('config', { faults: null }),
    });
  });

  test('because somebody holds locks', async () => {
    const played = await open();
    const holder = new pg.Client({ connectionString: played.database.url });
    await holder.connect();
    onTestFinished(() => holder.end());
    await holder.query('begin; lock table losant_usage.coverage in exclusive mode');
    const worker = await played.startWorker();
    const waiting = `select 1 from pg_stat_activity where datname = current_database()
      and application_name = 'losant-usage' and wait_event_type = 'Lock'`;
    await until('a load waits', async () => (await played.query(waiting)).length > 0);
    await expectSaid(played, worker, {
      on: 'database',
      message: 'the database has not got on for 1 min 3',
      end: () => holder.query('commit'),
    });
  });

  test('because the database is slow', async () => {
    const played = await open();
    await played.query(`create function public.slow() returns trigger language plpgsql as $$ begin
        perform pg_sleep(10); return null; end $$;
      create trigger slow after insert on losant_usage.coverage for each statement execute function public.slow()`);
    const worker = await played.startWorker();
    const sleeping = `select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`;
    await until('a load is slow', async () => (await played.query(sleeping)).length > 0);
    await expectSaid(played, worker, {
      on: 'database',
      message: 'the database has not got on',
      end: () => played.query('drop function public.slow() cascade').catch(() => undefined),
    });
  });

  test('because another process has the lease, without being red', async () => {
    const played = await open();
    const { platform, database, now } = played;
    await played.query(
      asProgram(`insert into losant_usage.instances (instance_id, api_url, tracked_from)
      values ('${platform.instanceId}', '${platform.url}', '2026-11-23'); ${holdLease(platform.instanceId)}`),
    );
    const replica = await openReplica({ databaseUrl: database.url, instances: [instanceOf(platform)], now });
    onTestFinished(() => replica.close());
    const series = `losant_usage_waiting_seconds{instance_id="${platform.instanceId}",waits_for="lease"}`;
    await replica.runAll();
    expect(replica.loop.statuses[0]).toMatchObject({ state: 'standby', trouble: null });
    await pass(played);
    await replica.runAll();
    expect(replica.loop.statuses[0]).toMatchObject({
      state: 'standby',
      trouble: {
        code: 'waiting_for_lease',
        kind: 'waiting',
        message: expect.stringMatching(
          /^standing by for 1 min 3\d s: .* by a process on elsewhere since /,
        ) as string,
      },
    });
    expect(await replica.metric(series)).toBeGreaterThanOrEqual(90);
    expect(replica.logged.filter((line) => line.includes('"msg":"standing by"'))).toHaveLength(1);
    await played.query(`delete from losant_usage.leases`);
    await replica.runAll();
    expect(replica.loop.statuses[0]).toMatchObject({ state: 'idle', trouble: null });
    expect(await replica.metric(series)).toBe(0);
  });
});

test('a run by hand that waits for a minute logs it once, and its end', async () => {
  const played = await open();
  const control = (path: string, body?: unknown) => played.platform.control(path, body);
  await control('config', { faults: { kinds: ['rate_limit_seconds'], forever: true, actions: COUNTERS } });
  const running = played.start(['run', '--json']);
  const asked = async () => ((await control('stats')) as { actions: Record<string, object> }).actions;
  await until('usage was asked for', async () => 'instanceOrg.deviceCounts' in (await asked()));
  await pass(played);
  await until('it is logged', () => logged(running.stderr(), 'waiting').length > 0);
  await control('config', { faults: null });
  const { code, stderr } = await running.ended;
  expect(code).toBe(0);
  expect(logged(stderr, 'waiting')).toHaveLength(1);
  expect(logged(stderr, 'no longer waiting')).toHaveLength(1);
});

test('a run by hand that waits for its lease for a minute logs it once', async () => {
  const played = await open();
  const { platform, query } = played;
  await query(
    asProgram(`insert into losant_usage.instances (instance_id, api_url, tracked_from)
      values ('${platform.instanceId}', '${platform.url}', '2026-11-23'); ${holdLease(platform.instanceId)}`),
  );
  const running = played.start(['run', '--json', '--wait', '600']);
  await until('it waits', () => running.stderr().includes('; waiting'));
  await pass(played);
  await until('it is logged', () => logged(running.stderr(), 'waiting').length > 0);
  await query('delete from losant_usage.leases');
  const { code, stderr } = await running.ended;
  expect(code).toBe(0);
  expect(logged(stderr, 'waiting')).toMatchObject([expect.stringContaining('"waits_for":"lease"')]);
});
