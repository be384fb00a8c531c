/** Instances, leases, and the record of runs. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { syncTracks } from '../../src/ledger/expected.ts';
import {
  readInstance,
  recordAttempt,
  recordAttemptError,
  recordRetirement,
  registerInstance,
  requireApiUrl,
  requireInstance,
  updateInstance,
} from '../../src/ledger/instances.ts';
import { acquireLease, beginWriting, type Lease, releaseLease, renewLease } from '../../src/ledger/lease.ts';
import { finishRun, interruptDeadRuns, type RunCounts, startRun } from '../../src/ledger/runs.ts';
import { asOwner } from '../support/databases.ts';
import { containing, matching } from '../support/texts.ts';
import { endsLockWaits, until } from '../support/wait.ts';
import { INSTANCE, RUN_1, RUN_2, useLedger } from './ledger.ts';

const ledger = useLedger('2026-11-24T12:00:00.000Z');

describe('a lease', () => {
  beforeEach(async () => {
    await sql`delete from losant_usage.leases`.execute(ledger.db);
  });

  const write = (lease: Lease) => ledger.db.transaction().execute((trx) => beginWriting(trx, { lease }));
  const acquire = (runId = RUN_1, host = 'one') => acquireLease(ledger.db, { instanceId: INSTANCE, runId, host });
  const leases = () =>
    ledger.listAsWriter(sql`select right(run_id::text, 1), host,
      round(extract(epoch from expires_at - clock_timestamp()))::integer as seconds
      from losant_usage.leases order by epoch`);
  const letPass = (interval: string) =>
    sql`update losant_usage.leases set expires_at = expires_at - ${interval}::interval`.execute(ledger.db);

  test('lasts a minute by the clock of the database, and is extended by its holder', async () => {
    const lease = await acquire();
    expect(await leases()).toEqual(['1 one 60']);
    await letPass('45 seconds');
    await renewLease(ledger.db, lease);
    expect(await leases()).toEqual(['1 one 60']);
  });

  test('goes to one of many processes; the error of the next names the holder, its start and the expiry', async () => {
    const attempts = await Promise.allSettled(Array.from({ length: 5 }, () => acquire()));
    expect(attempts.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const message = /^Instance 5c0000000000000000000001 is being loaded by a process on one \(since \d{4}-\d\d-\d\dT/;
    await expect(acquire(RUN_2, 'two')).rejects.toMatchObject({
      name: 'BusyError',
      kind: 'lease_busy',
      message: matching(message),
      hint: matching(
        /^try again when it has ended \(run --wait SECONDS waits for that\); .* its lease expires at \d{4}-\d\d-\d\dT[\d:.]+Z/,
      ),
    });
  });

  // Guarantee (Runs): Only one process at a time runs for an instance; one that has lost its lease cannot load.
  test('is taken over with a higher epoch once it has expired, and no longer released by its first holder', async () => {
    const first = await acquire();
    await letPass('60 seconds');
    const second = await acquire(RUN_2, 'two');
    expect(second.epoch).toBeGreaterThan(first.epoch);
    const leaseLost = { name: 'BusyError', kind: 'lease_lost' };
    await expect(renewLease(ledger.db, first)).rejects.toMatchObject(leaseLost);
    await expect(write(first)).rejects.toMatchObject(leaseLost);
    await write(second);
    await releaseLease(ledger.db, first);
    expect(await leases()).toEqual(['2 two 60']);
  });

  /** Calls `work` while a transaction that writes under the lease has not ended. */
  const whileWriting = (lease: Lease, work: () => Promise<unknown>) =>
    ledger.db.transaction().execute(async (trx) => {
      await beginWriting(trx, { lease });
      await work();
    });
  /** Acquires the lease of an instance in a session that waits for a lock no longer than this. */
  const acquireWithin = (lockTimeout: string) =>
    ledger.db.connection().execute(async (session) => {
      await sql`select set_config('lock_timeout', ${lockTimeout}, false)`.execute(session);
      try {
        return await acquireLease(session, { instanceId: INSTANCE, runId: RUN_2, host: 'two' });
      } finally {
        await sql`set lock_timeout = '30s'`.execute(session);
      }
    });

  test('is renewed, and busy for others, without a wait for the transaction in which its holder writes', async () => {
    const lease = await acquire();
    await whileWriting(lease, async () => {
      await letPass('45 seconds');
      await renewLease(ledger.db, lease);
      expect(await leases()).toEqual(['1 one 60']);
      const message = containing('is being loaded by a process on one');
      await expect(acquireWithin('0')).rejects.toMatchObject({ kind: 'lease_busy', message });
      await renewLease(ledger.db, lease);
    });
  });

  test.runIf(endsLockWaits)(
    'that has expired is busy until the transaction ends in which its holder writes',
    async () => {
      const lease = await acquire();
      await letPass('60 seconds');
      await whileWriting(lease, async () => {
        await expect(acquireWithin('100ms')).rejects.toMatchObject({ kind: 'lease_busy' });
      });
      expect((await acquireWithin('100ms')).epoch).toBeGreaterThan(lease.epoch);
    },
  );

  test('that has expired goes to one of two processes that waited for such a transaction', async () => {
    const lease = await acquire();
    await letPass('60 seconds');
    let attempts: Promise<PromiseSettledResult<Lease>[]> | undefined;
    await whileWriting(lease, async () => {
      attempts = Promise.allSettled([acquire(RUN_1, 'two'), acquire(RUN_2, 'three')]);
      await until('both wait', async () => (await ledger.countWaiting()) === 2);
    });
    const outcomes = ((await attempts) ?? []).map(({ status }) => status);
    expect(outcomes.toSorted()).toEqual(['fulfilled', 'rejected']);
  });
});

describe('a run', () => {
  beforeEach(async () => {
    await asOwner(ledger.url, 'delete from losant_usage.runs');
  });

  const defaults = { kind: 'manual', is_full: true, host: 'one', version: '1.2.3' } as const;
  const newRun = (runId: string, instanceId = INSTANCE) => ({ ...defaults, run_id: runId, instance_id: instanceId });
  const start = (runId: string) => startRun(ledger.db, newRun(runId));
  const runs = () =>
    ledger.list(sql`select right(run_id::text, 1) as id, status, error, finished_at is not null as has_ended
      from losant_usage.runs order by run_id`);
  const A = '5a000000000000000000000a';
  const COUNTS: RunCounts = {
    orgs: 2,
    cells: { planned: 21, loaded: 1, unchanged: 2, omitted: 3, failed: 4, quarantined: 5, unavailable: 6 },
    rows: { inserted: 7, updated: 8, deleted: 9, unchanged: 10 },
    requests: 11,
  };
  const END = { range: null, counts: COUNTS, failures: [], error: null };

  test('is recorded from its start, and at its end with range, status, counts and failures', async () => {
    await start(RUN_1);
    expect(await runs()).toEqual(['1 running - false']);
    const failure = { code: 'timeout', message: 'no response', stream: 'device_counts', cells: 4, orgs: 2, example: A };
    const end = { ...END, status: 'partial' as const, failures: [failure], error: 'a\0b' };
    await finishRun(ledger.db, RUN_1, { ...end, range: { from: '2026-10-24', to: '2026-11-23' } });
    const [results] = await ledger.queryRows(sql`select counts, failures from losant_usage.runs`);
    expect(results).toEqual({ counts: COUNTS, failures: [failure] });
    const columns = sql`select kind, is_full, status, host, version, first_day, last_day, error, started_at, finished_at
      from losant_usage.runs`;
    const times = '2026-11-24T12:00:00.000Z 2026-11-24T12:00:00.000Z';
    const line = `manual true partial one 1.2.3 2026-10-24 2026-11-23 a\uFFFDb ${times}`;
    expect(await ledger.listAsWriter(columns)).toEqual([line]);
  });

  test('that has not ended when the next one has its lease is interrupted, until it ends after all', async () => {
    await sql`delete from losant_usage.leases`.execute(ledger.db);
    const acquire = () => acquireLease(ledger.db, { instanceId: INSTANCE, runId: RUN_1, host: 'one' });
    const lostLease = await acquire();
    await sql`update losant_usage.leases set expires_at = expires_at - interval '60 seconds'`.execute(ledger.db);
    const lease = await acquire();
    await start(RUN_1);
    await start(RUN_2);
    await finishRun(ledger.db, RUN_2, { ...END, status: 'failed', error: 'no space left' });
    // A process that was suspended once it had the lease.
    await expect(interruptDeadRuns(ledger.db, lostLease)).rejects.toMatchObject({ kind: 'lease_lost' });
    expect((await runs())[0]).toBe('1 running - false');
    await interruptDeadRuns(ledger.db, lease);
    const second = '2 failed no space left true';
    expect(await runs()).toEqual(['1 interrupted the process died without reporting true', second]);
    await finishRun(ledger.db, RUN_1, { ...END, status: 'complete' });
    expect(await runs()).toEqual(['1 complete - true', second]);
  });
});

test('an instance keeps its API, and its name if that cannot be read', async () => {
  const { db } = ledger;
  const instanceId = '5c00000000000000000000ff';
  const apiUrl = 'https://api.example.com';
  const instance = { instanceId, apiUrl, isConfirmed: true, name: null, controlTotals: 'block' } as const;
  const elsewhere = { ...instance, apiUrl: 'https://elsewhere.example.com' };
  await recordAttempt(db, instanceId);
  await registerInstance(db, { ...elsewhere, isConfirmed: false });
  await requireApiUrl(db, instance);
  await registerInstance(db, { ...instance, name: 'Acme Cloud' });
  await registerInstance(db, { ...instance, isConfirmed: false, controlTotals: 'show' });
  const row = sql`select name, control_totals from losant_usage.instances where instance_id = ${instanceId}`;
  expect(await ledger.list(row)).toEqual(['Acme Cloud show']);
  await requireApiUrl(db, instance);
  const message = `Instance ${instanceId} was loaded from ${apiUrl}, not from ${elsewhere.apiUrl}`;
  const mismatch = { kind: 'database_mismatch', message };
  await expect(requireApiUrl(db, elsewhere)).rejects.toMatchObject(mismatch);
  // Another process may pin the API after that check.
  await expect(registerInstance(db, elsewhere)).rejects.toMatchObject(mismatch);
  const [listedAt, listProblem] = ['2026-11-24T00:15:00.000Z', 'page 2 failed'];
  await updateInstance(ledger.writer({ instanceId }), { listed_at: listedAt, list_problem: listProblem });
  expect(await readInstance(db, instanceId)).toMatchObject({ listedAt, listProblem });
  // The same Losant may have a new address.
  await recordRetirement(ledger.writer({ instanceId }));
  await registerInstance(db, elsewhere);
  await expect(requireApiUrl(db, instance)).rejects.toMatchObject({ kind: 'database_mismatch' });
});

test('an instance is recorded from the first attempt on, with the error of its last run, until it is retired', async () => {
  const { db } = ledger;
  const instanceId = '5c00000000000000000000aa';
  const read = () =>
    ledger.list(sql`select to_char(first_attempt_at, 'HH24:MI') as first, to_char(last_attempt_at, 'HH24:MI') as last,
      api_url, last_error, retired_at is not null as is_retired from losant_usage.instances where instance_id = ${instanceId}`);
  await expect(requireInstance(db, instanceId)).rejects.toThrow(`The database has no instance ${instanceId}`);
  await recordAttempt(db, instanceId);
  await recordAttemptError(db, instanceId, 'HTTP 502\0');
  expect(await read()).toEqual(['12:00 12:00 - HTTP 502\uFFFD false']);
  await recordRetirement(ledger.writer({ instanceId }));
  expect(await read()).toEqual(['12:00 12:00 - HTTP 502\uFFFD true']);
  await ledger.setTime('2026-11-24T13:00:00.000Z');
  await recordAttempt(db, instanceId);
  await recordAttemptError(db, instanceId, null);
  expect(await read()).toEqual(['12:00 13:00 - - false']);
  // A run that began before the retirement has waited for it.
  await recordRetirement(ledger.writer({ instanceId }));
  await syncTracks(ledger.writer({ instanceId }), { streams: ['device_counts'], selection: null });
  expect(await read()).toEqual(['12:00 13:00 - - false']);
  await ledger.setTime('2026-11-24T12:00:00.000Z');
});
