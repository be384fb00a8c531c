/** Numbers changed by hand, in SQL: on record like any other change, and known to the ledger. */
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadBatch } from '../../src/ledger/load.ts';
import type { CellAnswer } from '../../src/usage/settlement.ts';
import { payloadSources } from '../../src/usage/streams/payload-sources.ts';
import { answer, at, FINAL, row, values } from './answers.ts';
import {
  addTracking,
  coverageOf,
  devicesOf,
  type Ledger,
  openLedger,
  RUN_1,
  RUN_2,
  revisionsOf,
  rowsOf,
  sourcesOf,
} from './ledger.ts';

describe('a change by hand', () => {
  let ledger: Ledger;

  beforeAll(async () => {
    ledger = await openLedger('postgres');
  });

  afterAll(() => ledger.close());

  const load = (answers: readonly CellAnswer[], runId = RUN_1) =>
    loadBatch(ledger.db, { answers, quarantined: [] }, { runId, lease: null });
  const loadedOrg = async () => {
    const orgId = await ledger.newOrg();
    await load([answer(values(row(4, 1, 17)), { orgId, age: FINAL })]);
    return orgId;
  };
  const update = (orgId: string, total: number) =>
    sql`update losant_usage.usage_days set devices_total = ${total}::bigint where org_id = ${orgId}`.execute(
      ledger.db,
    );

  test('of a number is the next revision, with nobody’s run and somebody’s name', async () => {
    const orgId = await loadedOrg();
    await update(orgId, 18);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 18, revision: 2, run_id: null }]);
    expect(await revisionsOf(ledger.db, orgId)).toEqual([
      {
        stream: 'device_counts',
        usage_date: '2026-11-20',
        revision: 2,
        key: {},
        old: { created: 4, deleted: 1, total: 17 },
        new: { created: 4, deleted: 1, total: 18 },
        run_id: null,
      },
    ]);
    const names = sql`select changed_by = session_user as by_me, changed_at > now() - interval '1 minute' as now
      from losant_usage.revisions where org_id = ${orgId}`;
    expect(await rowsOf(ledger.db, names)).toEqual([{ by_me: true, now: true }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { state: 'final', revision: 2, verified_at: '2026-11-22T12:00:00.000Z' },
    ]);
  });

  test('is itself restated by the next answer, in the same chain', async () => {
    const orgId = await loadedOrg();
    await update(orgId, 18);
    await load([answer(values(row(4, 1, 17)), { orgId, sentAtMs: at('2026-11-28T12:00:00.000Z') })], RUN_2);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 17, revision: 3, run_id: RUN_2 }]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, old: { total: 17 }, new: { total: 18 }, run_id: null },
      { revision: 3, old: { total: 18 }, new: { total: 17 }, run_id: RUN_2 },
    ]);
  });

  test('in a session that has loaded before is still one by hand', async () => {
    const orgId = await loadedOrg();
    await ledger.db.connection().execute(async (connection) => {
      await loadBatch(
        connection,
        {
          answers: [answer(values(row(5, 1, 18)), { orgId, sentAtMs: at('2026-11-23T12:00:00.000Z') })],
          quarantined: [],
        },
        { runId: RUN_1, lease: null },
      );
      await sql`update losant_usage.usage_days set devices_total = 99 where org_id = ${orgId}`.execute(
        connection,
      );
    });
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, run_id: RUN_1 },
      { revision: 3, new: { total: 99 }, run_id: null },
    ]);
  });

  test('that adds a number nobody asked for is on record, held, and due to be read', async () => {
    const orgId = await ledger.newOrg();
    await sql`insert into losant_usage.usage_days (usage_date, org_id, devices_created, devices_deleted, devices_total)
      values ('2026-11-20', ${orgId}, 1, 0, 5)`.execute(ledger.db);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 5, revision: 1, run_id: null }]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 1, old: null, new: { created: 1, deleted: 0, total: 5 }, run_id: null },
    ]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { state: 'loaded', revision: 1, verified_at: null },
    ]);
    await load([answer(values(row(1, 0, 6)), { orgId })], RUN_2);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 6, revision: 2, run_id: RUN_2 }]);
  });

  test('that removes a cell’s last row opens the cell again, and the next answer fills it', async () => {
    const orgId = await loadedOrg();
    await sql`delete from losant_usage.usage_days where org_id = ${orgId}`.execute(ledger.db);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { state: 'failed', revision: 2, verified_at: null, error_code: 'deleted_by_hand' },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, old: { created: 4, deleted: 1, total: 17 }, new: null, run_id: null },
    ]);
    const due = sql`select next_read_at <= now() as due from losant_usage.coverage where org_id = ${orgId}`;
    expect(await rowsOf(ledger.db, due)).toEqual([{ due: true }]);

    await load([answer(values(row(4, 1, 17)), { orgId, sentAtMs: at('2026-11-22T11:00:00.000Z') })], RUN_2);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 17, revision: 3 }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { state: 'loaded', revision: 3, error_code: null },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2 },
      { revision: 3, old: null, new: { created: 4, deleted: 1, total: 17 }, run_id: RUN_2 },
    ]);
  });

  test('that removes one of several rows leaves the cell held, and due to be read', async () => {
    const orgId = await ledger.newOrg();
    const both = [
      { key: ['timer', 'timer.flow'], values: [1] },
      { key: ['webhook', 'public.rest'], values: [2] },
    ];
    await load([answer(values(...both), { orgId, stream: payloadSources })]);
    await sql`delete from losant_usage.payload_sources
      where org_id = ${orgId} and payload_type = 'timer'`.execute(ledger.db);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { state: 'loaded', revision: 2, verified_at: null },
    ]);
    await load([answer(values(...both), { orgId, stream: payloadSources })], RUN_2);
    expect(await sourcesOf(ledger.db, orgId)).toMatchObject([
      { payload_type: 'timer', count: 1, revision: 3 },
      { payload_type: 'webhook', count: 2, revision: 1 },
    ]);
  });

  test('that writes the same number again is no revision in the record', async () => {
    const orgId = await loadedOrg();
    await update(orgId, 17);
    expect(await revisionsOf(ledger.db, orgId)).toEqual([]);
  });

  test('of a row’s day or organization is refused', async () => {
    const orgId = await loadedOrg();
    await expect(
      sql`update losant_usage.usage_days set usage_date = '2026-11-19' where org_id = ${orgId}`.execute(
        ledger.db,
      ),
    ).rejects.toThrow('the key of a row in losant_usage.usage_days cannot change');
  });

  test('that renames a source is on record as one that went and one that came', async () => {
    const orgId = await ledger.newOrg();
    await load([
      answer(values({ key: ['timer', 'timer.flow'], values: [7] }), { orgId, stream: payloadSources }),
    ]);
    await sql`update losant_usage.payload_sources set source = 'renamed' where org_id = ${orgId}`.execute(
      ledger.db,
    );
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      { revision: 2, key: { source: 'renamed' }, old: null, new: { count: 7 } },
      { revision: 2, key: { source: 'timer.flow' }, old: { count: 7 }, new: null },
    ]);
    const sum = sql`select payload_source_count::integer as sum from losant_usage.usage_days where org_id = ${orgId}`;
    expect(await rowsOf(ledger.db, sum)).toEqual([{ sum: 7 }]);
  });

  test('of the sum over sources is refused: it follows the sources', async () => {
    const orgId = await ledger.newOrg();
    await load([
      answer(values({ key: ['timer', 'timer.flow'], values: [7] }), { orgId, stream: payloadSources }),
    ]);
    const change = sql`update losant_usage.usage_days set payload_source_count = 8 where org_id = ${orgId}`;
    await expect(change.execute(ledger.db)).rejects.toThrow('is the sum of losant_usage.payload_sources');
  });

  test.each(['usage_days', 'payload_sources'])(
    'that empties %s is on record, a gap, and read again',
    async (table) => {
      const own = await openLedger('postgres');
      try {
        const orgId = await own.newOrg();
        const sources = answer(values({ key: ['timer', 'timer.flow'], values: [7] }), {
          orgId,
          stream: payloadSources,
        });
        const batch = { answers: [answer(values(row(4, 1, 17)), { orgId }), sources], quarantined: [] };
        await loadBatch(own.db, batch, { runId: RUN_1, lease: null });
        await sql`truncate ${sql.table(`losant_usage.${table}`)}`.execute(own.db);
        const stream = table === 'usage_days' ? 'device_counts' : 'payload_sources';
        const emptied = sql`select state, error_code, revision from losant_usage.coverage where stream = ${stream}`;
        const deleted = [{ state: 'failed', error_code: 'deleted_by_hand', revision: 2 }];
        expect(await rowsOf(own.db, emptied)).toEqual(deleted);
        expect(await revisionsOf(own.db, orgId)).toMatchObject([{ stream, new: null, run_id: null }]);
        const held = sql`select num_nonnulls(devices_total, payload_source_count) as held from losant_usage.usage_days`;
        expect(await rowsOf(own.db, held)).toEqual([{ held: 1 }]);
        await sql`truncate losant_usage.coverage`.execute(own.db);
        expect(await rowsOf(own.db, emptied)).toEqual(deleted);
      } finally {
        await own.close();
      }
    },
  );

  test.each(['delete from', 'truncate'])(
    'to the ledger (%s) is read again, and heals with the next load',
    async (how) => {
      const own = await openLedger('postgres');
      try {
        const orgId = await own.newOrg();
        await addTracking(own.db, orgId, { streams: ['device_counts'], days: '{[2026-11-20,2026-11-21)}' });
        const load = (total: number, sentAt: string) =>
          loadBatch(
            own.db,
            { answers: [answer(values(row(4, 1, total)), { orgId, sentAtMs: at(sentAt) })], quarantined: [] },
            { runId: RUN_1, lease: null },
          );
        await load(17, '2026-11-22T12:00:00.000Z');
        await sql.raw(`${how} losant_usage.coverage`).execute(own.db);
        expect(await coverageOf(own.db, orgId)).toMatchObject([
          { state: 'loaded', error_code: 'changed_by_hand', verified_at: null },
        ]);
        const gaps = sql`select stream, state from losant_usage.coverage_gaps_at('2026-11-24T00:00:00Z')`;
        expect(await rowsOf(own.db, gaps)).toEqual([{ stream: 'device_counts', state: 'loaded' }]);
        await load(18, '2026-11-23T12:00:00.000Z');
        expect(await devicesOf(own.db, orgId)).toMatchObject([{ total: 18, revision: 2 }]);
        expect(await rowsOf(own.db, gaps)).toEqual([]);
      } finally {
        await own.close();
      }
    },
  );

  test('of a state in the ledger is found: the cell is read again, and a gap until then', async () => {
    const orgId = await loadedOrg();
    await sql`update losant_usage.coverage set verified_at = '2027-01-01T00:00:00Z' where org_id = ${orgId}`.execute(
      ledger.db,
    );
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { state: 'final', error_code: 'changed_by_hand' },
    ]);
    const due = sql`select next_read_at <= now() as due from losant_usage.coverage where org_id = ${orgId}`;
    expect(await rowsOf(ledger.db, due)).toEqual([{ due: true }]);
  });

  test.each([
    ['called final is not, and is read again', `state = 'final'`, 'loaded'],
    [
      'called failed is held all the same, and read again',
      `state = 'failed', error_code = 'timeout'`,
      'loaded',
    ],
  ])('of a cell that is %s', async (_, change, state) => {
    const orgId = await ledger.newOrg();
    await load([answer(values(row(4, 1, 17)), { orgId })]);
    await sql`update losant_usage.coverage set ${sql.raw(change)} where org_id = ${orgId}`.execute(ledger.db);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([{ state, error_code: 'changed_by_hand' }]);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 17, revision: 1 }]);
    await load([answer(values(row(4, 1, 17)), { orgId, sentAtMs: at('2026-11-22T13:00:00.000Z') })], RUN_2);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([{ state, revision: 1, error_code: null }]);
  });

  test('of a missing cell that is called held is not believed', async () => {
    const orgId = await ledger.newOrg();
    await load([answer({ kind: 'failed', code: 'timeout', message: 'too slow' }, { orgId })]);
    await sql`update losant_usage.coverage set state = 'loaded' where org_id = ${orgId}`.execute(ledger.db);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([
      { state: 'failed', revision: 0, error_code: 'changed_by_hand' },
    ]);
  });

  test('of the record itself is refused', async () => {
    const orgId = await loadedOrg();
    await update(orgId, 18);
    for (const change of [
      sql`update losant_usage.revisions set old = null where org_id = ${orgId}`,
      sql`delete from losant_usage.revisions where org_id = ${orgId}`,
      sql`truncate losant_usage.revisions`,
    ]) {
      await expect(change.execute(ledger.db)).rejects.toThrow('losant_usage.revisions is append-only');
    }
  });
});
