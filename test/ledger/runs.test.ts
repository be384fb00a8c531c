/** The instance that is exported, the lease under which that happens, and the record of runs. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { readInstance, registerInstance, requireApiUrl, updateInstance } from '../../src/ledger/instances.ts';
import { beginWriting, type LeaseHold, releaseLease, renewLease, takeLease } from '../../src/ledger/lease.ts';
import {
  finishRun,
  interruptDeadRuns,
  type RunCounts,
  recordFailedRun,
  startRun,
} from '../../src/ledger/runs.ts';
import { asOwner } from '../support/databases.ts';
import { INSTANCE, RUN_1, RUN_2, useLedger } from './ledger.ts';

const ledger = useLedger('2026-11-24T12:00:00.000Z');

describe('a lease', () => {
  beforeEach(async () => {
    await sql`delete from losant_usage.leases`.execute(ledger.db);
  });

  const write = (lease: LeaseHold) => ledger.db.transaction().execute((trx) => beginWriting(trx, { lease }));
  const take = (runId = RUN_1, host = 'one') => takeLease(ledger.db, { instanceId: INSTANCE, runId, host });
  const leases = () =>
    ledger.list(
      sql`select right(run_id::text, 1), host,
      round(extract(epoch from until - clock_timestamp()))::integer as left from losant_usage.leases order by epoch`,
      ledger.db,
    );
  const letPass = (interval: string) =>
    sql`update losant_usage.leases set until = until - ${interval}::interval`.execute(ledger.db);

  test('is taken for a minute by the clock of the database, and prolonged by its holder', async () => {
    const lease = await take();
    expect(await leases()).toEqual(['1 one 60']);
    await letPass('45 seconds');
    await renewLease(ledger.db, lease);
    expect(await leases()).toEqual(['1 one 60']);
  });

  test('is had by one of many who ask at once; the next is told who has it, since when and until when', async () => {
    const asked = await Promise.allSettled(Array.from({ length: 5 }, () => take()));
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const since = /^Instance 5c0000000000000000000001 .* on one since \d{4}-\d\d-\d\dT[\d:.]+Z/;
    await expect(take(RUN_2, 'two')).rejects.toMatchObject({
      name: 'HeldError',
      kind: 'lease_held',
      message: expect.stringMatching(since) as unknown,
      hint: expect.stringMatching(/--wait SECONDS.* lapses at \d{4}-\d\d-\d\dT[\d:.]+Z/) as unknown,
    });
  });

  // Promise (Runs): One process at a time exports an instance; one that lost its lease loads nothing more.
  test('that lapsed goes to the next, with a higher epoch; the first has lost it and cannot give it up', async () => {
    const first = await take();
    await letPass('60 seconds');
    const second = await take(RUN_2, 'two');
    expect(second.epoch).toBeGreaterThan(first.epoch);
    const lost = { name: 'HeldError', kind: 'lease_lost' };
    await expect(renewLease(ledger.db, first)).rejects.toMatchObject(lost);
    await expect(write(first)).rejects.toMatchObject(lost);
    await write(second);
    await releaseLease(ledger.db, first);
    expect(await leases()).toEqual(['2 two 60']);
  });

  test('that lapsed and nobody took is still its holder’s; one that was given up can be taken at once', async () => {
    const lease = await take();
    await letPass('10 minutes');
    await write(lease);
    await renewLease(ledger.db, lease);
    await expect(take(RUN_2, 'two')).rejects.toMatchObject({ kind: 'lease_held' });
    await releaseLease(ledger.db, lease);
    await expect(renewLease(ledger.db, lease)).rejects.toMatchObject({ kind: 'lease_lost' });
    expect((await take(RUN_2, 'two')).epoch).toBeGreaterThan(lease.epoch);
  });
});

test.each([
  ['off', 'on'],
  ['local', 'local'],
  ['on', 'on'],
])('with synchronous_commit = %s the program commits with %s', async (usual, expected) => {
  const setting = await ledger.db.transaction().execute(async (trx) => {
    await sql`select set_config('synchronous_commit', ${usual}, true)`.execute(trx);
    await beginWriting(trx);
    return await sql<{ now: string }>`select current_setting('synchronous_commit') as now`.execute(trx);
  });
  expect(setting.rows).toEqual([{ now: expected }]);
});

describe('a run', () => {
  beforeEach(async () => {
    await asOwner(ledger.url, 'delete from losant_usage.runs');
  });

  const usual = { kind: 'manual', is_full: true, host: 'one', version: '1.2.3' } as const;
  const newRun = (runId: string, instanceId = INSTANCE) => ({
    ...usual,
    run_id: runId,
    instance_id: instanceId,
  });
  const start = (runId: string) => startRun(ledger.db, newRun(runId));
  const runs = () =>
    ledger.list(sql`select right(run_id::text, 1) as id, status, error, finished_at is not null as has_ended
      from losant_usage.runs order by run_id`);
  const COUNTS: RunCounts = {
    orgs: 2,
    cells: { planned: 21, loaded: 1, unchanged: 2, left_out: 3, failed: 4, quarantined: 5, unavailable: 6 },
    rows: { inserted: 7, updated: 8, deleted: 9, unchanged: 10 },
    requests: 11,
  };
  const END = { range: null, counts: COUNTS, failures: [], error: null };

  test('is on record from its start, and its end keeps what it read, how it ended and each count', async () => {
    await start(RUN_1);
    expect(await runs()).toEqual(['1 running - false']);
    const failures = [
      { code: 'timeout', message: 'no answer', stream: 'device_counts', cells: 4, orgs: 2, example: null },
    ];
    const end = { ...END, status: 'partial' as const, failures, error: 'a\0b' };
    await finishRun(ledger.db, RUN_1, { ...end, range: { from: '2026-10-24', to: '2026-11-23' } });
    expect(await ledger.ask(sql`select counts, failures from losant_usage.runs`)).toEqual([
      { counts: COUNTS, failures },
    ]);
    const rest = sql`select kind, is_full, status, host, version, from_date, to_date, error, started_at, finished_at
      from losant_usage.runs`;
    const at = '2026-11-24T12:00:00.000Z';
    expect(await ledger.list(rest, ledger.db)).toEqual([
      `manual true partial one 1.2.3 2026-10-24 2026-11-23 a\uFFFDb ${at} ${at}`,
    ]);
  });

  test('that did not end before the next one took its lease was interrupted, unless it was only paused', async () => {
    await start(RUN_1);
    await start(RUN_2);
    await finishRun(ledger.db, RUN_2, { ...END, status: 'failed', error: 'no space left' });
    await interruptDeadRuns(ledger.db, INSTANCE);
    const second = '2 failed no space left true';
    expect(await runs()).toEqual(['1 interrupted the process died without reporting true', second]);
    await finishRun(ledger.db, RUN_1, { ...END, status: 'complete' });
    expect(await runs()).toEqual(['1 complete - true', second]);
  });

  test('that failed before it began is recorded once, of instances that are known', async () => {
    await recordFailedRun(ledger.db, newRun(RUN_1), 'the token is refused');
    await recordFailedRun(ledger.db, newRun(RUN_1), 'again');
    await recordFailedRun(ledger.db, newRun(RUN_2, 'f'.repeat(24)), 'unknown');
    expect(await runs()).toEqual(['1 failed the token is refused true']);
  });
});

test('an instance keeps its API, and a name that Losant does not say again', async () => {
  const { db } = ledger;
  const instanceId = '5c00000000000000000000ff';
  const apiUrl = 'https://api.example.com';
  const instance = { instanceId, apiUrl, name: null, controlTotals: 'block' } as const;
  const elsewhere = { instanceId, apiUrl: 'https://elsewhere.example.com' };
  await requireApiUrl(db, elsewhere);
  await registerInstance(db, { ...instance, name: 'Acme Cloud' });
  await registerInstance(db, { ...instance, controlTotals: 'show' });
  const row = sql`select name, control_totals from losant_usage.instances where instance_id = ${instanceId}`;
  expect(await ledger.list(row)).toEqual(['Acme Cloud show']);
  await requireApiUrl(db, instance);
  await expect(requireApiUrl(db, elsewhere)).rejects.toMatchObject({
    kind: 'database_mismatch',
    message: `Instance ${instanceId} was collected from ${apiUrl}, not from ${elsewhere.apiUrl}`,
  });
  const changes = { listed_at: '2026-11-24T00:15:00.000Z', list_problem: 'page 2 failed' };
  await updateInstance(ledger.writer({ instanceId }), changes);
  expect(await readInstance(db, instanceId)).toMatchObject({
    listedAt: '2026-11-24T00:15:00.000Z',
    listProblem: 'page 2 failed',
  });
});
