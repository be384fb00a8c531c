import { sql } from 'kysely';
import { beforeEach, expect, test } from 'vitest';
import { beatRun, finishRun, interruptDeadRuns, startRun } from '../../src/ledger/runs.ts';
import { INSTANCE, RUN_1, RUN_2, RUN_3, useLedger } from './ledger.ts';

const ledger = useLedger();

beforeEach(async () => {
  await ledger.ask(sql`delete from losant_usage.runs`);
});

const start = (runId: string) =>
  startRun(ledger.db, {
    runId,
    instanceId: INSTANCE,
    kind: 'manual',
    isFull: true,
    streams: ['device_counts', 'payload_sources'],
    host: 'one',
    version: '1.2.3',
  });
const beat = (runId: string) => beatRun(ledger.db, { runId, instanceId: INSTANCE, requests: 7 });
const fallSilent = (runId: string) =>
  sql`update losant_usage.runs set heartbeat_at = heartbeat_at - interval '60 seconds'
    where run_id = ${runId}`.execute(ledger.db);
const runs = () =>
  ledger.ask(
    sql`select run_id, status, error, finished_at is not null as finished from losant_usage.runs order by run_id`,
  );

const counts = {
  orgs: 2,
  cells_planned: 21,
  cells_loaded: 1,
  cells_unchanged: 2,
  cells_left_out: 3,
  cells_failed: 4,
  cells_quarantined: 5,
  cells_unavailable: 6,
  cells_restated: 1,
  cells_restated_final: 1,
  rows_inserted: 7,
  rows_updated: 8,
  rows_deleted: 9,
  rows_unchanged: 10,
  requests: 11,
};

test('a run is on record from its start', async () => {
  await start(RUN_1);
  expect(
    await ledger.ask(sql`select kind, is_full, status, streams, host, version, from_date, finished_at, error,
      started_at = heartbeat_at or started_at < heartbeat_at as alive from losant_usage.runs`),
  ).toEqual([
    {
      kind: 'manual',
      is_full: true,
      status: 'running',
      streams: ['device_counts', 'payload_sources'],
      host: 'one',
      version: '1.2.3',
      from_date: null,
      finished_at: null,
      error: null,
      alive: true,
    },
  ]);
});

test('its end keeps what it read, how it ended and each count', async () => {
  await start(RUN_1);
  const range = { from: '2026-10-24', to: '2026-11-23' };
  const failures = [
    { code: 'timeout', message: 'no answer', stream: 'device_counts', cells: 4, orgs: 2, example: null },
  ];
  await finishRun(ledger.db, { runId: RUN_1, status: 'partial', range, counts, failures, error: null });
  const { status, from_date, to_date, finished_at, ...row } = await ledger.db
    .selectFrom('runs')
    .selectAll()
    .executeTakeFirstOrThrow();
  expect({ status, from_date, to_date }).toEqual({
    status: 'partial',
    from_date: '2026-10-24',
    to_date: '2026-11-23',
  });
  expect(finished_at).not.toBeNull();
  expect(row).toMatchObject({ ...counts, failures });
});

test('live runs are counted, those that ended or fell silent are not', async () => {
  await start(RUN_1);
  expect(await beat(RUN_1)).toBe(1);
  await start(RUN_2);
  await start(RUN_3);
  expect(await beat(RUN_1)).toBe(3);
  await fallSilent(RUN_2);
  await finishRun(ledger.db, {
    runId: RUN_3,
    status: 'complete',
    range: null,
    counts,
    failures: [],
    error: null,
  });
  expect(await beat(RUN_1)).toBe(1);
  expect(await beat(RUN_2)).toBe(2);
});

test('a run whose process is gone is marked, one that lives or has ended is not', async () => {
  await start(RUN_1);
  await start(RUN_2);
  await start(RUN_3);
  await finishRun(ledger.db, {
    runId: RUN_3,
    status: 'failed',
    range: null,
    counts,
    failures: [],
    error: 'no space left',
  });
  await fallSilent(RUN_1);
  await fallSilent(RUN_3);
  expect(await interruptDeadRuns(ledger.db, INSTANCE)).toBe(1);
  expect(await interruptDeadRuns(ledger.db, INSTANCE)).toBe(0);
  expect(await runs()).toEqual([
    { run_id: RUN_1, status: 'interrupted', error: 'the process died without reporting', finished: true },
    { run_id: RUN_2, status: 'running', error: null, finished: false },
    { run_id: RUN_3, status: 'failed', error: 'no space left', finished: true },
  ]);
});

test('a run whose lease another has taken over is interrupted, however short ago it was alive', async () => {
  await start(RUN_1);
  await start(RUN_2);
  expect(await interruptDeadRuns(ledger.db, INSTANCE, [RUN_1])).toBe(1);
  expect(await runs()).toEqual([
    { run_id: RUN_1, status: 'interrupted', error: 'the process died without reporting', finished: true },
    { run_id: RUN_2, status: 'running', error: null, finished: false },
  ]);
});

test('a run that was thought dead counts again as soon as its process goes on', async () => {
  await start(RUN_1);
  await fallSilent(RUN_1);
  await interruptDeadRuns(ledger.db, INSTANCE);
  await start(RUN_2);
  expect(await beat(RUN_1)).toBe(2);
  expect(await beat(RUN_2)).toBe(2);
  expect(await runs()).toEqual([
    { run_id: RUN_1, status: 'running', error: null, finished: false },
    { run_id: RUN_2, status: 'running', error: null, finished: false },
  ]);
});

test('a process that was only paused ends its run as it really ended', async () => {
  await start(RUN_1);
  await fallSilent(RUN_1);
  await interruptDeadRuns(ledger.db, INSTANCE);
  await finishRun(ledger.db, {
    runId: RUN_1,
    status: 'complete',
    range: null,
    counts,
    failures: [],
    error: null,
  });
  expect(await runs()).toEqual([{ run_id: RUN_1, status: 'complete', error: null, finished: true }]);
});
