/** Waits, conflicts and deadlocks: a writer that meets another one ends as if it had been alone. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Schema } from '../../src/database/schema.ts';
import { applyPolicy } from '../../src/ledger/due.ts';
import { syncTracks } from '../../src/ledger/expected.ts';
import { recordAttempt, recordDigest } from '../../src/ledger/instance.ts';
import { acquireLease, inTransaction, releaseLease, renewLease } from '../../src/ledger/lease.ts';
import { markDeleted, upsertOrganizations } from '../../src/ledger/organizations.ts';
import { finishRun, interruptDeadRuns, recordFailedRun, startRun } from '../../src/ledger/runs.ts';
import { asAdministrator, asOwner, openAs } from '../support/databases.ts';
import { endsLockWaits, until } from '../support/wait.ts';
import { deviceResponse, INSTANCE, RUN_1, RUN_2, useFreshLedger } from './ledger.ts';

const ledger = useFreshLedger('2026-11-24T12:00:00.000Z');
const DAY = '2026-11-20';
const range = { from: DAY, to: DAY };

let orgId = '';
beforeEach(async () => {
  orgId = await ledger.expectDays(range, ['device_counts']);
});

/** Opens the database with other defaults for its sessions, which it has until the end of the test. */
async function openWithDefaults(defaults: Readonly<Record<string, string>>): Promise<Kysely<Schema>> {
  const name = new URL(ledger.url).pathname.slice(1);
  for (const [setting, value] of Object.entries(defaults)) {
    await asAdministrator(`alter database ${name} set ${setting} = '${value}'`);
    onTestFinished(() => asAdministrator(`alter database ${name} reset ${setting}`));
  }
  const handle = await openAs('writer', ledger.url);
  onTestFinished(() => handle.close());
  return handle.db;
}

const cell = () => sql`update losant_usage.coverage set revision = revision where org_id = ${orgId}`;

/** Starts `work` while another transaction has changed a row, and ends that one once `work` has waited for it. */
async function meet<T>(change: RawBuilder<unknown>, work: () => Promise<T>, waitMs = 0): Promise<T> {
  let working: Promise<T> | undefined;
  await inTransaction({ db: ledger.db, lease: null }, async (trx) => {
    await change.execute(trx);
    working = work();
    working.catch(() => {});
    await until('it waits', async () => (await ledger.countWaiting()) === 1);
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  });
  return await (working as Promise<T>);
}

test('a load waits for a lock longer than any timeout that the database sets for its sessions', async () => {
  const timeouts = await ledger.list(sql`select name from pg_settings
    where name like '%timeout' and context = 'user' and name not in ('tcp_user_timeout', 'wal_sender_timeout')`);
  const db = await openWithDefaults(Object.fromEntries(timeouts.map((name) => [name, '500ms'])));
  const batch = [deviceResponse(orgId, DAY)];
  const load = () => ledger.load(batch, { db });
  expect(await meet(cell(), load, 1_200)).toMatchObject([{ cell: { isStored: true } }]);
});

test.each(['repeatable read', 'serializable'])(
  'a backfill that meets another writer marks its days, even if the default of the database is %s',
  async (isolation) => {
    const db = await openWithDefaults({ default_transaction_isolation: isolation });
    const markDays = () => ledger.backfill(DAY, { force: true }, { db });
    expect(await meet(cell(), markDays)).toBe(1);
  },
);

test.runIf(endsLockWaits)('of two transactions that end in a deadlock, both take effect', async () => {
  const otherOrgId = await ledger.expectDays(range, ['device_counts']);
  let waiting = 0;
  const { promise: bothWait, resolve } = Promise.withResolvers<void>();
  const attempts: string[] = [];
  const write = (first: string, second: string) =>
    inTransaction({ db: ledger.db, lease: null }, async (trx) => {
      attempts.push(first);
      const raise = (id: string) =>
        sql`update losant_usage.coverage set failed_reads = failed_reads + 1 where org_id = ${id}`.execute(trx);
      await raise(first);
      waiting += 1;
      if (waiting === 2) resolve();
      await bothWait;
      await raise(second);
    });
  await Promise.all([write(orgId, otherOrgId), write(otherOrgId, orgId)]);
  expect(attempts).toHaveLength(3);
  const counts = sql`select failed_reads from losant_usage.coverage where org_id in (${orgId}, ${otherOrgId})`;
  expect(await ledger.listAsWriter(counts)).toEqual(['2', '2']);
});

describe('a conflict', () => {
  beforeEach(async () => {
    await asOwner(
      ledger.url,
      `drop sequence if exists public.writes; create sequence public.writes;
      grant usage on sequence public.writes to losant_usage_writer; delete from losant_usage.runs`,
    );
    await sql`delete from losant_usage.lease`.execute(ledger.db);
  });

  const FAILS_FIRST = `if nextval('public.writes') = 1 then raise deadlock_detected; end if;
    return case tg_op when 'DELETE' then old else new end;`;
  const COUNTS = {
    orgs: 0,
    cells: { planned: 0, loaded: 0, unchanged: 0, omitted: 0, failed: 0, quarantined: 0, unavailable: 0 },
    rows: { inserted: 0, updated: 0, deleted: 0, unchanged: 0 },
    requests: 0,
  };
  const finished = { status: 'complete', range: null, counts: COUNTS, failures: [], error: null } as const;
  const run = { kind: 'manual', is_full: true, host: 'one', version: '1' } as const;
  const candidate = { runId: RUN_1, host: 'one' };
  const listedOrg = { orgId: 'f'.repeat(24), problem: 'no name' };

  test.each<[string, string, (db: Kysely<Schema>) => Promise<unknown>, failure?: string]>([
    ['an attempt', 'instance', (db) => recordAttempt(db, INSTANCE)],
    ['a digest', 'instance', () => recordDigest(ledger.writer(), DAY)],
    ['a changed policy', 'instance', () => applyPolicy(ledger.writer())],
    ['a list', 'organizations', () => upsertOrganizations(ledger.writer(), [listedOrg])],
    ['a deletion', 'organizations', () => markDeleted(ledger.writer(), { orgIds: [orgId], today: DAY })],
    ['chosen streams', 'tracks', () => syncTracks(ledger.writer(), { streams: ['payload_totals'], selection: null })],
    ['a backfill', 'coverage', () => ledger.backfill(DAY, { force: true })],
    ['a load', 'usage_days', () => ledger.load([deviceResponse(orgId, DAY)])],
    ['a waiver', 'waivers', () => ledger.waiveDays(orgId, DAY)],
    ['the start of a run', 'runs', (db) => startRun(db, { ...run, run_id: RUN_1 })],
    ['a start', 'runs', (db) => startRun(db, { ...run, run_id: RUN_1 }), 'serialization_failure'],
    ['a run that never began', 'runs', (db) => recordFailedRun(db, { ...run, run_id: RUN_1 }, 'no')],
    ['a lease', 'lease', (db) => acquireLease(db, candidate)],
  ])('of %s is tried again', async (_, table, work, failure = 'deadlock_detected') => {
    const fails = FAILS_FIRST.replace('deadlock_detected', failure);
    await ledger.withTrigger(table, fails, () => work(ledger.db), 'before insert or update');
    const repeated = await asOwner(ledger.url, 'select from public.writes where last_value > 1');
    expect(repeated).toHaveLength(1);
  });

  test('of what ends a run or a lease is tried again', async () => {
    const lease = await acquireLease(ledger.db, candidate);
    await startRun(ledger.db, { ...run, run_id: RUN_1 });
    await startRun(ledger.db, { ...run, run_id: RUN_2 });
    const fails = (table: string, work: () => Promise<unknown>) =>
      asOwner(ledger.url, 'alter sequence public.writes restart').then(() =>
        ledger.withTrigger(table, FAILS_FIRST, work, 'before update or delete'),
      );
    await fails('runs', () => finishRun(ledger.db, RUN_1, finished));
    await fails('runs', () => interruptDeadRuns(ledger.db, lease));
    await fails('lease', () => renewLease(ledger.db, lease));
    await fails('lease', () => releaseLease(ledger.db, lease));
    const statuses = sql`select status from losant_usage.runs order by run_id`;
    expect(await ledger.list(statuses)).toEqual(['complete', 'interrupted']);
    expect(await ledger.listAsWriter(sql`select from losant_usage.lease`)).toEqual([]);
  });
});
