import { sql } from 'kysely';
import { beforeEach, expect, test } from 'vitest';
import {
  finishRun,
  interruptDeadRuns,
  type RunCounts,
  recordFailedRun,
  startRun,
} from '../../src/ledger/runs.ts';
import { INSTANCE, RUN_1, RUN_2, useLedger } from './ledger.ts';

const given = useLedger('2026-11-24T12:00:00.000Z');

beforeEach(async () => {
  await given.ledger.ask(sql`delete from losant_usage.runs`);
});

const newRun = (runId: string, instanceId = INSTANCE) => ({
  runId,
  instanceId,
  kind: 'manual' as const,
  isFull: true,
  host: 'one',
  version: '1.2.3',
});
const start = (runId: string) => startRun(given.ledger.db, newRun(runId));
const runs = () =>
  given.ledger.list(
    sql`select right(run_id::text, 1) as id, status, error, finished_at is not null as has_ended
      from losant_usage.runs order by run_id`,
  );

const COUNTS: RunCounts = {
  orgs: 2,
  cells: { planned: 21, loaded: 1, unchanged: 2, left_out: 3, failed: 4, quarantined: 5, unavailable: 6 },
  rows: { inserted: 7, updated: 8, deleted: 9, unchanged: 10 },
  requests: 11,
  restated: 1,
  restatedFinal: 1,
};

test('a run is on record from its start, and its end keeps what it read, how it ended and each count', async () => {
  await start(RUN_1);
  expect(await runs()).toEqual(['1 running - false']);
  const range = { from: '2026-10-24', to: '2026-11-23' };
  const failures = [
    { code: 'timeout', message: 'no answer', stream: 'device_counts', cells: 4, orgs: 2, example: null },
  ];
  const end = { runId: RUN_1, status: 'partial' as const, range, counts: COUNTS, failures, error: 'a\0b' };
  await finishRun(given.ledger.db, end);
  const [row] = await given.ledger.ask(sql`select * from losant_usage.runs`);
  expect(row).toMatchObject({
    kind: 'manual',
    is_full: true,
    status: 'partial',
    host: 'one',
    version: '1.2.3',
    from_date: '2026-10-24',
    to_date: '2026-11-23',
    counts: COUNTS,
    failures,
    error: 'a\uFFFDb',
    started_at: '2026-11-24T12:00:00.000Z',
    finished_at: '2026-11-24T12:00:00.000Z',
  });
});

test('a run that did not end before the next one took its lease was interrupted', async () => {
  await start(RUN_1);
  await start(RUN_2);
  const end = { runId: RUN_2, range: null, counts: COUNTS, failures: [], error: 'no space left' };
  await finishRun(given.ledger.db, { ...end, status: 'failed' });
  await interruptDeadRuns(given.ledger.db, INSTANCE);
  expect(await runs()).toEqual([
    '1 interrupted the process died without reporting true',
    '2 failed no space left true',
  ]);
});

test('a process that was only paused ends its run as it really ended', async () => {
  await start(RUN_1);
  await interruptDeadRuns(given.ledger.db, INSTANCE);
  const end = { runId: RUN_1, range: null, counts: COUNTS, failures: [], error: null };
  await finishRun(given.ledger.db, { ...end, status: 'complete' });
  expect(await runs()).toEqual(['1 complete - true']);
});

test('a run that failed before it began is recorded once, of instances that are known', async () => {
  await recordFailedRun(given.ledger.db, newRun(RUN_1), 'the token is refused');
  await recordFailedRun(given.ledger.db, newRun(RUN_1), 'again');
  await recordFailedRun(given.ledger.db, newRun(RUN_2, 'f'.repeat(24)), 'unknown');
  expect(await runs()).toEqual(['1 failed the token is refused true']);
});
