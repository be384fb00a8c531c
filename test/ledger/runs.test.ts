/** The instance, the lease, and the record of runs. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import {
  confirmInstance,
  readInstance,
  recordAttempt,
  recordAttemptError,
  requireInstance,
  updateInstance,
} from '../../src/ledger/instance.ts';
import { acquireLease, beginWriting, type Lease, releaseLease, renewLease } from '../../src/ledger/lease.ts';
import { finishRun, interruptDeadRuns, type RunCounts, startRun } from '../../src/ledger/runs.ts';
import { asOwner } from '../support/databases.ts';
import { containing, matching } from '../support/texts.ts';
import { endsLockWaits, until } from '../support/wait.ts';
import { INSTANCE, RUN_1, RUN_2, useLedger } from './ledger.ts';

const ledger = useLedger('2026-11-24T12:00:00.000Z');

describe('a lease', () => {
  beforeEach(async () => {
    await sql`delete from losant_usage.lease`.execute(ledger.db);
  });

  const write = (lease: Lease) => ledger.db.transaction().execute((trx) => beginWriting(trx, { lease }));
  const acquire = (runId = RUN_1, host = 'one') => acquireLease(ledger.db, { runId, host });
  const leases = () =>
    ledger.listAsWriter(sql`select right(run_id::text, 1), host,
      round(extract(epoch from expires_at - clock_timestamp()))::integer as seconds
      from losant_usage.lease order by epoch`);
  const letPass = (interval: string) =>
    sql`update losant_usage.lease set expires_at = expires_at - ${interval}::interval`.execute(ledger.db);

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
    const message = /^Usage is being loaded by a process on one \(since \d{4}-\d\d-\d\dT/;
    await expect(acquire(RUN_2, 'two')).rejects.toMatchObject({
      name: 'BusyError',
      kind: 'lease_busy',
      message: matching(message),
      hint: matching(
        /^try again when it has ended \(run --wait SECONDS waits for that\); .* its lease expires at \d{4}-\d\d-\d\dT[\d:.]+Z/,
      ),
    });
  });

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
  /** Acquires the lease in a session that waits for a lock no longer than this. */
  const acquireWithin = (lockTimeout: string) =>
    ledger.db.connection().execute(async (session) => {
      await sql`select set_config('lock_timeout', ${lockTimeout}, false)`.execute(session);
      try {
        return await acquireLease(session, { runId: RUN_2, host: 'two' });
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
  const newRun = (runId: string) => ({ ...defaults, run_id: runId });
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
    await sql`delete from losant_usage.lease`.execute(ledger.db);
    const acquire = () => acquireLease(ledger.db, { runId: RUN_1, host: 'one' });
    const lostLease = await acquire();
    await sql`update losant_usage.lease set expires_at = expires_at - interval '60 seconds'`.execute(ledger.db);
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

describe('the instance', () => {
  const instanceId = '5c00000000000000000000ff';
  const apiUrl = 'https://api.example.com';
  const settings = { instanceId, apiUrl };

  beforeEach(async () => {
    await ledger.setTime('2026-11-24T12:00:00.000Z');
    await asOwner(ledger.url, 'delete from losant_usage.instance');
  });

  test('keeps its API, and its name if that cannot be read', async () => {
    const { db } = ledger;
    const confirmation = { apiUrl, isConfirmed: true, name: null, controlTotals: 'block' } as const;
    const elsewhere = { apiUrl: 'https://elsewhere.example.com' };
    await requireInstance(db, settings);
    await recordAttempt(db, instanceId);
    await confirmInstance(db, { ...confirmation, ...elsewhere, isConfirmed: false });
    await confirmInstance(db, { ...confirmation, name: 'Acme Cloud' });
    await confirmInstance(db, { ...confirmation, ...elsewhere, controlTotals: 'show' });
    await updateInstance(ledger.writer(), { list_problem: 'page 2 failed' });
    const controlTotals = sql`select control_totals from losant_usage.instance`;
    expect(await ledger.list(controlTotals)).toEqual(['show']);
    expect(await readInstance(db)).toMatchObject({ apiUrl, name: 'Acme Cloud', listProblem: 'page 2 failed' });
    await requireInstance(db, settings);
    const message = `The usage was loaded from ${apiUrl}, not from ${elsewhere.apiUrl}`;
    await expect(requireInstance(db, { ...settings, ...elsewhere })).rejects.toMatchObject({
      kind: 'database_mismatch',
      message,
    });
  });

  test('is recorded from the first attempt on, with the error of its last run; another one is rejected', async () => {
    const { db } = ledger;
    const read = () =>
      ledger.list(sql`select instance_id, to_char(first_attempt_at, 'HH24:MI') as first,
        to_char(last_attempt_at, 'HH24:MI') as last, last_error from losant_usage.instance`);
    await recordAttempt(db, instanceId);
    await recordAttemptError(db, 'HTTP 502\0');
    expect(await read()).toEqual([`${instanceId} 12:00 12:00 HTTP 502\uFFFD`]);
    await ledger.setTime('2026-11-24T13:00:00.000Z');
    await recordAttempt(db, instanceId);
    await recordAttemptError(db, null);
    expect(await read()).toEqual([`${instanceId} 12:00 13:00 -`]);
    await expect(requireInstance(db, { ...settings, instanceId: INSTANCE })).rejects.toMatchObject({
      kind: 'settings',
      message:
        `This database belongs to instance ${instanceId}; LOSANT_INSTANCE_ID is ${INSTANCE}. ` +
        'Use another database for another instance.',
    });
  });
});
