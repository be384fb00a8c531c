/** What holds in each transaction of the program, whatever the server's defaults and the host's clock. */
import { type Kysely, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { createDatabase } from '../../src/database/open.ts';
import type { Schema } from '../../src/database/schema.ts';
import { readDatabaseClock } from '../../src/ledger/instances.ts';
import { type LoadOptions, loadBatch } from '../../src/ledger/load.ts';
import { markRemoved } from '../../src/ledger/organizations.ts';
import { waiveCells } from '../../src/ledger/waive.ts';
import { queryOnce } from '../support/databases.ts';
import { answer, failed, row, values } from './answers.ts';
import { addTracking, coverageOf, openLedger, RUN_1, rowsOf, useLedger } from './ledger.ts';

const ledger = useLedger();

const load = (db: Kysely<Schema>, orgId: string, now?: LoadOptions['now'], more = {}) =>
  loadBatch(
    db,
    { answers: [answer(values(row(4, 1, 17)), { orgId, ...more })], quarantined: [] },
    { runId: RUN_1, lease: null, now },
  );

describe('a load of a run whose host clock has moved against the database’s', () => {
  test.each([
    ['four days ahead', 345_600_000],
    ['31 s ahead', 31_000],
    ['31 s behind', -31_000],
    ['an hour behind', -3_600_000],
  ])('%s writes nothing', async (_, aheadMs) => {
    const orgId = await ledger.newOrg();
    const startMs = await readDatabaseClock(ledger.db);
    const startedAt = performance.now();
    const now = () => startMs + aheadMs + performance.now() - startedAt;
    await expect(load(ledger.db, orgId, now)).rejects.toMatchObject({
      name: 'ClockError',
      message: `This host's clock has moved by ${Math.abs(aheadMs) / 1_000} s against the database's since the run began`,
      hint: expect.stringContaining('NTP') as string,
    });
    expect(await coverageOf(ledger.db, orgId)).toEqual([]);
  });

  test.each([29_000, -29_000, 0])('by %d ms loads', async (aheadMs) => {
    const orgId = await ledger.newOrg();
    const startMs = await readDatabaseClock(ledger.db);
    const startedAt = performance.now();
    await load(ledger.db, orgId, () => startMs + aheadMs + performance.now() - startedAt);
    expect(await coverageOf(ledger.db, orgId)).toHaveLength(1);
  });
});

describe('an answer from the time of a host clock that had jumped and is right again is not loaded', () => {
  test.each([
    ['sent in the future', () => Date.now() + 40_000],
    ['sent before its day was over', () => Date.UTC(2026, 10, 20, 23, 59)],
  ])('%s', async (_, sentAt) => {
    const orgId = await ledger.newOrg();
    const loading = load(ledger.db, orgId, Date.now, { sentAtMs: sentAt() });
    await expect(loading).rejects.toThrow(/This host's clock has moved by (40|60) s/);
    expect(await coverageOf(ledger.db, orgId)).toEqual([]);
  });
});

describe('on a server that commits asynchronously by default', () => {
  /** What `work` writes to the ledger is committed how? */
  async function commitsOf(usual: string, work: (db: Kysely<Schema>, orgId: string) => Promise<unknown>) {
    const own = await openLedger('postgres');
    const database = new URL(own.url).pathname.slice(1);
    await queryOnce(own.url, `alter database ${database} set synchronous_commit = '${usual}'`);
    await sql`create table losant_usage.seen (setting text)`.execute(own.db);
    await sql`create function losant_usage.see() returns trigger language plpgsql as $$
      begin
        insert into losant_usage.seen values (current_setting('synchronous_commit'));
        return null;
      end $$`.execute(own.db);
    await sql`create trigger see after insert or update on losant_usage.coverage
      for each statement execute function losant_usage.see()`.execute(own.db);
    const orgId = await own.newOrg();
    const handle = await createDatabase({
      url: own.url,
      applicationName: 'transaction test',
      poolSize: 1,
    });
    try {
      // As behind a pooler, which gives a transaction a session that somebody else has set up.
      await sql`select set_config('synchronous_commit', ${usual}, false)`.execute(handle.db);
      await work(handle.db, orgId);
      return await rowsOf(own.db, sql`select distinct setting from losant_usage.seen`);
    } finally {
      await handle.close();
      await own.close();
    }
  }

  test('a load commits synchronously', async () => {
    expect(await commitsOf('off', load)).toEqual([{ setting: 'on' }]);
  });

  test('a waiver and a removal commit synchronously', async () => {
    const write = async (db: Kysely<Schema>, orgId: string) => {
      await addTracking(db, orgId, { streams: ['device_counts'], days: '{[2025-11-20,2025-11-21)}' });
      const range = { from: '2025-11-20', to: '2025-11-20' };
      await waiveCells(db, { orgId, stream: 'device_counts', range, reason: 'Acme agreed', asZero: false });
      const answers = [answer(failed, { orgId })];
      await loadBatch(db, { answers, quarantined: [] }, { runId: RUN_1, lease: null });
      await markRemoved(db, [orgId], '2025-11-22T00:00:00.000Z');
    };
    expect(await commitsOf('off', write)).toEqual([{ setting: 'on' }]);
  });

  test('what the operator chose instead of it is kept', async () => {
    expect(await commitsOf('local', load)).toEqual([{ setting: 'local' }]);
  });
});
