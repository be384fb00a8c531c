/** Loads that meet: two workers, a worker and a backfill, a worker and its successor. */
import { type Kysely, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import type { Schema } from '../../src/database/schema.ts';
import { takeLease } from '../../src/ledger/lease.ts';
import { type Batch, loadBatch } from '../../src/ledger/load.ts';
import { trackDays } from '../../src/ledger/tracking.ts';
import type { CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import { addDays } from '../../src/usage/day.ts';
import { answer, at, FINAL, row, values } from './answers.ts';
import {
  addCells,
  addTracking,
  coverageOf,
  devicesOf,
  INSTANCE,
  RUN_1,
  RUN_2,
  RUN_3,
  useLedger,
} from './ledger.ts';

const ledger = useLedger();

const load = (answers: Batch['answers'], runId: string) =>
  loadBatch(ledger.db, { answers, quarantined: [] }, { runId, lease: null });

/** Answers for 30 days of some organizations and two streams. */
function month(orgIds: readonly string[], number: number, sentAt: string): CellAnswer[] {
  const sentAtMs = at(sentAt);
  return orgIds.flatMap((orgId) =>
    Array.from({ length: 30 }, (_, index) => addDays('2026-10-01', index)).flatMap((day) => [
      answer(values(row(number, 0, number)), { orgId, day, sentAtMs }),
      answer(
        values({ key: ['timer', `v${number}`], values: [number] }, { key: ['timer', 'same'], values: [1] }),
        {
          orgId,
          day,
          sentAtMs,
          stream: 'payload_sources',
        },
      ),
    ]),
  );
}

test('two loaders with the same cells in opposite order do not deadlock and end with the newer numbers', async () => {
  const orgIds = [await ledger.newOrg(), await ledger.newOrg(), await ledger.newOrg()];
  const older = month(orgIds, 1, '2026-11-22T12:00:00.000Z');
  const newer = month(orgIds, 2, '2026-11-22T12:00:01.000Z').reverse();
  const batches = Array.from({ length: 6 }, (_, part) => [
    load(
      older.filter((_answer, index) => index % 6 >= part),
      RUN_1,
    ),
    load(
      newer.filter((_answer, index) => index % 6 <= part),
      RUN_2,
    ),
  ]).flat();
  await Promise.all(batches);

  const totals = sql`select total, count(*)::integer as days from losant_usage.device_counts
    where org_id = any (${orgIds}::text[]) group by total`;
  expect(await ledger.ask(totals)).toEqual([{ total: 2, days: 90 }]);
  const sources = sql`select source, count, count(*)::integer as days from losant_usage.payload_sources
    where org_id = any (${orgIds}::text[]) group by source, count order by source`;
  expect(await ledger.ask(sources)).toEqual([
    { source: 'same', count: 1, days: 90 },
    { source: 'v2', count: 2, days: 90 },
  ]);
  const ledgerRows = sql`select standing, verified_at, count(*)::integer as cells,
      bool_and(revision in (1, 2)) as plausible
    from losant_usage.coverage where org_id = any (${orgIds}::text[]) group by standing, verified_at`;
  expect(await ledger.ask(ledgerRows)).toEqual([
    { standing: 'stored', verified_at: '2026-11-22T12:00:01.000Z', cells: 180, plausible: true },
  ]);
});

test('cells are locked in the order of their keys, so two loads stopped at the same cell go on one by one', async () => {
  const orgId = await ledger.newOrg();
  const days = ['2026-10-01', '2026-10-02', '2026-10-03'];
  const batch = (number: number, sentAt: string) =>
    days.map((day) => answer(values(row(number, 0, number)), { orgId, day, sentAtMs: at(sentAt) }));
  const release = await holdCell(orgId, '2026-10-02');
  const older = load(batch(1, '2026-11-22T12:00:00.000Z'), RUN_1);
  await expect.poll(countWaiting).toBe(1);
  const newer = load(batch(2, '2026-11-22T12:00:01.000Z').reverse(), RUN_2);
  await expect.poll(countWaiting).toBe(2);
  await release();
  await Promise.all([older, newer]);
  expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 2 }, { total: 2 }, { total: 2 }]);
});

test('of two first loads of one cell at once, the newer wins and the other is in the record', async () => {
  for (let round = 0; round < 10; round += 1) {
    const orgId = await ledger.newOrg();
    await Promise.all([
      load([answer(values(row(1, 0, 1)), { orgId })], RUN_1),
      load([answer(values(row(2, 0, 2)), { orgId, sentAtMs: at('2026-11-22T12:00:01.000Z') })], RUN_2),
    ]);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 2, run_id: RUN_2 }]);
    const complete = sql`select c.revision = 1 + (select count(*) from losant_usage.revisions r
        where r.org_id = c.org_id) as complete
      from losant_usage.coverage c where c.org_id = ${orgId}`;
    expect(await ledger.ask(complete)).toEqual([{ complete: true }]);
  }
});

describe('a load that has waited for a closing', () => {
  const read = { sentAtMs: at('2026-11-22T12:00:00.000Z'), age: FINAL };

  /** Loads while the loads are held, as for a closing; the moment at which they are let go. */
  async function loadHeld(answers: readonly CellAnswer[]): Promise<string> {
    let loading: Promise<unknown> = Promise.resolve();
    const moment = await ledger.db.transaction().execute(async (trx) => {
      await sql`lock table losant_usage.load_lock in share mode`.execute(trx);
      loading = load(answers, RUN_2);
      await expect.poll(countWaiting).toBe(1);
      const { rows } = await sql<{ now: string }>`select clock_timestamp()::text as now`.execute(trx);
      return rows[0]?.now ?? '';
    });
    await loading;
    return moment;
  }
  const knownAt = (orgId: string, moment: string) =>
    ledger.ask(
      sql`select devices_total, is_final from losant_usage.usage_as_of(${moment}::timestamptz) where org_id = ${orgId}`,
    );

  test('was not known at it, nor final', async () => {
    const orgId = await ledger.newOrg();
    await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: '{[2026-11-20,2026-11-21)}' });
    const moment = await loadHeld([answer(values(row(4, 1, 17)), { orgId, ...read })]);
    expect(await knownAt(orgId, moment)).toEqual([]);
    const times = sql`select first_loaded_at > ${moment}::timestamptz as loaded, finalized_at > ${moment}::timestamptz as final
      from losant_usage.coverage where org_id = ${orgId}`;
    expect(await ledger.ask(times)).toEqual([{ loaded: true, final: true }]);
  });

  test('leaves what was known at it, and became final after it', async () => {
    const orgId = await ledger.newOrg();
    await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: '{[2026-11-20,2026-11-21)}' });
    await load([answer(values(row(4, 1, 17)), { orgId })], RUN_1);
    const later = { ...read, sentAtMs: at('2026-11-24T12:00:00.000Z') };
    const moment = await loadHeld([answer(values(row(4, 1, 18)), { orgId, ...later })]);
    expect(await knownAt(orgId, moment)).toEqual([{ devices_total: 17, is_final: false }]);
    const [clock] = await ledger.ask(sql`select clock_timestamp()::text as now`);
    const now = (clock as { now: string }).now;
    expect(await knownAt(orgId, now)).toEqual([{ devices_total: 18, is_final: true }]);
    const record = sql`select was_final from losant_usage.revisions where org_id = ${orgId}`;
    expect(await ledger.ask(record)).toEqual([{ was_final: false }]);
  });
});

describe('a load under a lease', () => {
  const lapse = sql`update losant_usage.leases set until = clock_timestamp() where instance_id = ${INSTANCE}`;

  test('is refused, as a whole, once another process has taken over', async () => {
    const orgId = await ledger.newOrg();
    const lease = await takeLease(ledger.db, { instanceId: INSTANCE, runId: RUN_1, host: 'one' });
    await loadBatch(
      ledger.db,
      { answers: [answer(values(row(1, 0, 1)), { orgId })], quarantined: [] },
      { runId: RUN_1, lease },
    );
    await lapse.execute(ledger.db);
    const successor = await takeLease(ledger.db, { instanceId: INSTANCE, runId: RUN_2, host: 'two' });

    const late = answer(values(row(9, 0, 9)), { orgId, sentAtMs: at('2026-11-23T12:00:00.000Z') });
    await expect(
      loadBatch(ledger.db, { answers: [late], quarantined: [] }, { runId: RUN_1, lease }),
    ).rejects.toMatchObject({ name: 'HeldError', kind: 'lease_lost' });
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 1, run_id: RUN_1 }]);
    expect(await coverageOf(ledger.db, orgId)).toMatchObject([{ verified_at: '2026-11-22T12:00:00.000Z' }]);

    await loadBatch(ledger.db, { answers: [late], quarantined: [] }, { runId: RUN_2, lease: successor });
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 9, run_id: RUN_2 }]);
  });

  test('keeps a successor waiting until it has ended', async () => {
    const orgId = await ledger.newOrg();
    await lapse.execute(ledger.db);
    const lease = await takeLease(ledger.db, { instanceId: INSTANCE, runId: RUN_1, host: 'one' });
    await lapse.execute(ledger.db);
    const release = await holdCell(orgId, '2026-11-20');
    const loading = loadBatch(
      ledger.db,
      { answers: [answer(values(row(1, 0, 1)), { orgId })], quarantined: [] },
      { runId: RUN_1, lease },
    );
    await expect.poll(countWaiting).toBe(1);
    const taking = takeLease(ledger.db, { instanceId: INSTANCE, runId: RUN_3, host: 'three' });
    await expect.poll(countWaiting).toBe(2);
    await release();
    expect(await loading).toMatchObject({ cells: [{ result: 'loaded' }] });
    expect((await taking).epoch).toBeGreaterThan(lease.epoch);
    expect(await devicesOf(ledger.db, orgId)).toMatchObject([{ total: 1 }]);
  });
});

describe('a cell that is closed because its day is not tracked', () => {
  const closed: CellOutcome = { kind: 'closed', code: 'not_tracked', message: 'the day is not tracked' };
  const [day, other] = ['2026-11-02', '2026-11-03'];
  const nextReads = async (orgId: string) =>
    await ledger.ask(sql`select usage_date, next_read_at is not null as is_open from losant_usage.coverage
        where org_id = ${orgId} order by usage_date`);
  const missingOn = (day: string) =>
    ({ day, standing: 'missing', reason: 'server_error', nextReadAt: '2026-11-22T00:00:00Z' }) as const;

  test('stays open if it is tracked by then', async () => {
    const orgId = await ledger.newOrg();
    await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: `{[${day},${other})}` });
    await addCells(ledger.db, orgId, [missingOn(day), missingOn(other)]);
    await load([answer(closed, { orgId, day }), answer(closed, { orgId, day: other })], RUN_1);
    expect(await nextReads(orgId)).toEqual([
      { usage_date: day, is_open: true },
      { usage_date: other, is_open: false },
    ]);
  });

  test('is open again if its day is tracked while it is being closed', async () => {
    const orgId = await ledger.newOrg();
    await addTracking(ledger.db, orgId, { streams: ['device_counts'], days: `{[${other},)}` });
    await addCells(ledger.db, orgId, [missingOn(day)]);
    const release = await holding((trx) =>
      sql`select from losant_usage.coverage where org_id = ${orgId} for update`.execute(trx),
    );
    const closing = load([answer(closed, { orgId, day })], RUN_1);
    await expect.poll(countWaiting).toBe(1);
    const scope = {
      instanceId: INSTANCE,
      orgIds: [orgId],
      streams: ['device_counts'],
      horizon: '2026-10-01',
    };
    const tracking = trackDays(ledger.db, scope, { from: day, to: day });
    await expect.poll(countWaiting).toBe(2);
    await release();
    await Promise.all([closing, tracking]);
    expect(await nextReads(orgId)).toEqual([{ usage_date: day, is_open: true }]);
  });
});

test.each([
  ['nobody tracks stays in doubt and is not asked for again', false, 'left_out', false],
  ['is tracked stays in doubt and is asked for again', true, 'failed', true],
])(
  'a number typed in by hand that Losant leaves out of a day that %s',
  async (_, isTracked, result, isReadAgain) => {
    const orgId = await ledger.newOrg();
    const days = isTracked ? '{[2026-11-20,)}' : '{[2026-11-21,)}';
    await addTracking(ledger.db, orgId, { streams: ['device_counts'], days });
    await sql
      .raw(`insert into losant_usage.usage_days
    (usage_date, org_id, devices_created, devices_deleted, devices_total) values ('2026-11-20', '${orgId}', 1, 0, 5)`)
      .execute(ledger.db);
    const { cells } = await load([answer({ kind: 'missing' }, { orgId })], RUN_2);
    expect(cells).toMatchObject([{ result }]);
    const [cell] = await coverageOf(ledger.db, orgId);
    expect(cell).toMatchObject({ standing: 'in_doubt', reason: 'left_out' });
    expect(Reflect.get(cell ?? {}, 'next_read_at') !== null).toBe(isReadAgain);
  },
);

/** Locks a cell's row from outside, so that a load stops in its middle until it is released. */
async function holdCell(orgId: string, day: string): Promise<() => Promise<void>> {
  return await holding((trx) => addCells(trx, orgId, [{ day, standing: 'missing', reason: 'server_error' }]));
}

async function holding(lock: (trx: Kysely<Schema>) => Promise<unknown>): Promise<() => Promise<void>> {
  const isHeld = Promise.withResolvers<undefined>();
  const mayEnd = Promise.withResolvers<undefined>();
  const outside = ledger.db.transaction().execute(async (trx) => {
    await lock(trx);
    isHeld.resolve(undefined);
    await mayEnd.promise;
  });
  await isHeld.promise;
  return async () => {
    mayEnd.resolve(undefined);
    await outside;
  };
}

/** Sessions that wait for a lock of another. */
async function countWaiting(): Promise<number | undefined> {
  const { rows } = await sql<{ waiting: number }>`select count(*)::integer as waiting from pg_stat_activity
    where datname = current_database() and wait_event_type = 'Lock'`.execute(ledger.db);
  return rows[0]?.waiting;
}
