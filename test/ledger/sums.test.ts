/** Our sums of a day: whatever changes a cell or an organization invalidates them, and no computation is lost or stale. */
import { type RawBuilder, sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { computeOurSums } from '../../src/ledger/instances.ts';
import { upsertOrganizations } from '../../src/ledger/organizations.ts';
import { readWrongSums } from '../../src/queries/reconciliation.ts';
import type { Numbers } from '../../src/usage/numbers.ts';
import { until } from '../support/wait.ts';
import { failed, hours, omitted, report, totals } from '../usage/cells.ts';
import { COMPUTE_SUMS, cellResponse, deviceResponse, INSTANCE, type TestResponse, useFreshLedger } from './ledger.ts';

const DAY = '2026-11-20';
const DAYS = { from: '2026-11-18', to: DAY };
const OTHER = '5c00000000000000000000ff';
/** A read at this time is final for every day here. */
const ledger = useFreshLedger('2026-11-24T12:00:00.000Z');

const compute = () => ledger.asProgram(COMPUTE_SUMS);
const readSums = () =>
  ledger.list(sql`select to_char(usage_date, 'MM-DD') as day, our_sum, orgs_unsettled, orgs_expected
    from losant_usage.instance_totals where instance_id = ${INSTANCE} and metric = 'devices_total' order by usage_date`);
const readInvalid = (column = sql`to_char(usage_date, 'MM-DD')`) =>
  ledger.list(sql`select distinct ${column} as key from losant_usage.instance_totals where our_sum is null order by 1`);

/** Creates an organization of another instance, with cells on the day. */
async function createOtherOrg(...streams: readonly string[]): Promise<string> {
  await ledger.createInstance(OTHER);
  const orgId = await ledger.createOrg({ createdOn: DAY, instanceId: OTHER });
  await ledger.expectDays({ from: DAY, to: DAY }, streams, orgId);
  return orgId;
}

/** Lists an organization here that the other instance no longer lists. */
async function move(orgId: string): Promise<void> {
  await ledger.setOrg(orgId, sql`unlisted_on = '2026-11-23'`);
  await upsertOrganizations(ledger.writer(), [{ orgId, problem: 'no name' }]);
}

/**
 * Starts `work` while a load is in flight that has written everything but its quarantined response, and lets the load
 * end once `work` waits for it or is done.
 */
async function duringLoad(batch: readonly TestResponse[], work: () => Promise<unknown>, instanceId = INSTANCE) {
  const orgId = await ledger.expectDays({ from: DAY, to: DAY }, ['notebook_minutes']);
  const verdict = { kind: 'quarantined', code: 'invalid_value', detail: 'negative' } as const;
  const invalid = cellResponse(orgId, 'notebook_minutes', DAY, verdict);
  const hold = 'perform pg_advisory_xact_lock(17); return new;';
  await ledger.withTrigger('quarantine', hold, async () => {
    const ends: Promise<unknown>[] = [];
    await ledger.db.transaction().execute(async (trx) => {
      await sql`select pg_advisory_xact_lock(17)`.execute(trx);
      ends.push(ledger.load([...batch, invalid], { instanceId }));
      await until('the load is in flight', async () => (await ledger.countWaiting()) === 1);
      let isDone = false;
      ends.push(work().finally(() => (isDone = true)));
      await until('the work waits or is done', async () => isDone || (await ledger.countWaiting()) === 2);
    });
    await Promise.all(ends);
  });
}

describe('while a load is in flight, and the sum is not computed yet,', () => {
  test('a computation waits for it', async () => {
    const orgId = await ledger.expectDays({ from: DAY, to: DAY }, ['device_counts']);
    await ledger.load([deviceResponse(orgId, DAY, 17)]);
    await duringLoad([deviceResponse(orgId, DAY, 20)], () => computeOurSums(ledger.writer(), DAY));
    expect(await readSums()).toEqual(['11-20 20 0 2']);
  });

  test('a waiver adds up what the load has stored', async () => {
    const orgId = await ledger.expectDays({ from: DAY, to: DAY }, ['device_counts']);
    const waivedId = await ledger.expectDays({ from: DAY, to: DAY }, ['device_counts']);
    await ledger.load([deviceResponse(orgId, DAY, 17), cellResponse(waivedId, 'device_counts', DAY, failed)]);
    await duringLoad([deviceResponse(orgId, DAY, 20)], () => ledger.waiveDays(waivedId, DAY));
    expect(await readSums()).toEqual(['11-20 20 0 3']);
  });

  test('an organization moves after it, with what it has stored', async () => {
    const orgId = await createOtherOrg('payload_totals', 'payload_hours');
    const responses = (all: Numbers) => [
      cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 21, 900))),
      cellResponse(orgId, 'payload_hours', DAY, report(all)),
    ];
    await ledger.load(responses(hours(17, 20, 900)), { instanceId: OTHER });
    const readDifferences = () =>
      ledger.list(sql`select instance_id, our_sum, counterpart_sum, orgs_differing
        from losant_usage.instance_totals where metric = 'payload_all_count' order by instance_id`);
    await compute();
    expect(await readDifferences()).toEqual([`${OTHER} 21 20 1`]);
    const moveAndCompute = async () => {
      await move(orgId);
      await computeOurSums(ledger.writer(), DAY);
    };
    await duringLoad(responses(hours(17, 21, 900)), moveAndCompute, OTHER);
    await compute();
    expect(await readDifferences()).toEqual([`${INSTANCE} 21 21 0`, `${OTHER} 0 - -`]);
  });
});

test('what another instance has, settled or not, is in no sum', async () => {
  const orgId = await ledger.expectDays({ from: DAY, to: DAY }, ['device_counts']);
  await ledger.load([deviceResponse(orgId, DAY, 17)]);
  await createOtherOrg('device_counts');
  await compute();
  expect(await readSums()).toEqual(['11-20 17 0 1']);
});

test('a load that waits for an organization to move invalidates the sums of its new instance', async () => {
  const { db } = ledger;
  const orgId = await createOtherOrg('device_counts');
  await ledger.waiveDays(orgId, DAY);
  const load = () => ledger.load([deviceResponse(orgId, DAY, 20)], { instanceId: OTHER });
  const waiting = (text: string) => until(`${text} waits`, async () => (await ledger.countWaiting(text)) === 1);
  const ends: Promise<unknown>[] = [];
  const hold = 'perform pg_advisory_xact_lock(17); return new;';
  await ledger.withTrigger('organization_history', hold, async () => {
    // Holds the load at its end, where it lifts the waiver.
    await db.transaction().execute(async (waiver) => {
      await sql`select from losant_usage.waivers for update`.execute(waiver);
      await db.transaction().execute(async (trx) => {
        await sql`select pg_advisory_xact_lock(17)`.execute(trx);
        ends.push(move(orgId));
        await waiting('organization_history');
        ends.push(load());
        await waiting('coverage');
      });
      await waiting('waivers');
      let isDone = false;
      ends.push(computeOurSums(ledger.writer(), DAY).finally(() => (isDone = true)));
      await until('the computation waits or is done', async () => isDone || (await ledger.countWaiting()) === 2);
    });
    await Promise.all(ends);
  });
  expect(await readSums()).toEqual(['11-20 20 0 1']);
});

describe('the sums of a day become invalid', () => {
  test('by new cells, and only those of their metrics', async () => {
    const orgId = await ledger.expectDays(DAYS, ['device_counts', 'payload_totals']);
    expect(await readInvalid()).toEqual(['11-18', '11-19', '11-20']);
    await compute();
    expect(await readInvalid()).toEqual([]);
    await ledger.load([deviceResponse(orgId, DAY, 17)]);
    const devicesOnly = ['devices_created', 'devices_deleted', 'devices_total'];
    expect(await readInvalid(sql`metric`)).toEqual(devicesOnly);
    const otherId = await ledger.createOrg();
    await compute();
    await ledger.asProgram(sql`insert into losant_usage.coverage (usage_date, org_id, stream, reason)
      values (${DAY}, ${otherId}, 'device_counts', 'never_read')`);
    const ofDay = devicesOnly.map((metric) => `11-20 ${metric}`);
    expect(await readInvalid(sql`to_char(usage_date, 'MM-DD ') || metric`)).toEqual(ofDay);
  });

  test('if cells become settled or unsettled, but not if they are only read again', async () => {
    const orgId = await ledger.expectDays({ from: DAY, to: DAY }, ['device_counts']);
    await ledger.load([deviceResponse(orgId, DAY, 17)]);
    await compute();
    await ledger.load([{ ...deviceResponse(orgId, DAY, 17), sentAtMs: ledger.nowMs + 1_000 }]);
    expect(await readInvalid()).toEqual([]);
    const doubtful = cellResponse(orgId, 'device_counts', DAY, omitted);
    await ledger.load([{ ...doubtful, sentAtMs: ledger.nowMs + 2_000 }]);
    expect(await readInvalid()).toEqual(['11-20']);
    await compute();
    await ledger.load([{ ...deviceResponse(orgId, DAY, 17), sentAtMs: ledger.nowMs + 3_000 }]);
    expect(await readInvalid()).toEqual(['11-20']);
  });

  test('if the program waives cells before a creation date that moved later', async () => {
    const orgId = await ledger.expectDays(DAYS, ['device_counts']);
    await compute();
    expect(await readSums()).toEqual(['11-18 0 1 1', '11-19 0 1 1', '11-20 0 1 1']);
    await ledger.setOrg(orgId, sql`created_on = '2026-11-20'`);
    await ledger.prepare({ streams: ['device_counts'] });
    await compute();
    expect((await readSums()).slice(0, 3)).toEqual(['11-18 0 0 0', '11-19 0 0 0', '11-20 0 1 1']);
  });

  test('of a metric if its counterpart changes, whose control total stays', async () => {
    const orgId = await ledger.expectDays({ from: DAY, to: DAY }, ['payload_totals', 'payload_hours']);
    await ledger.load([
      cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 21, 900))),
      cellResponse(orgId, 'payload_hours', DAY, report(hours(17, 21, 900))),
    ]);
    await compute();
    await ledger.asProgram(sql`update losant_usage.instance_totals set last_read_at = now()`);
    const isRead = sql`metric || case when last_read_at is null then ' due' else '' end`;
    await ledger.load([cellResponse(orgId, 'payload_hours', DAY, report(hours(17, 20, 900)))]);
    const metrics = ['payload_all_bytes', 'payload_all_count', 'payload_billable_count'];
    expect(await readInvalid(isRead)).toEqual(metrics);
    await ledger.load([cellResponse(orgId, 'payload_totals', DAY, report(totals(17, 20, 900)))]);
    expect(await readInvalid(isRead)).toEqual(metrics.map((metric) => `${metric} due`));
  });

  test('of a day that changes, whose control total alone is requested again', async () => {
    const orgId = await ledger.expectDays(DAYS, ['device_counts']);
    await ledger.load(['2026-11-19', DAY].map((day) => deviceResponse(orgId, day, 17)));
    await compute();
    await ledger.asProgram(sql`update losant_usage.instance_totals set last_read_at = now()`);
    await ledger.load([deviceResponse(orgId, DAY, 20)]);
    const dueDays = sql`select distinct usage_date from losant_usage.instance_totals where last_read_at is null`;
    expect(await ledger.list(dueDays)).toEqual([DAY]);
  });

  test('on the days between two creation or deletion dates, and from the creation of a new organization on', async () => {
    const orgId = await ledger.expectDays(DAYS, ['device_counts']);
    const moves: readonly [RawBuilder<unknown>, readonly string[]][] = [
      [sql`created_on = '2026-11-19'`, ['11-18']],
      [sql`created_on = '2026-11-20'`, ['11-19']],
      [sql`created_on = '2026-11-18'`, ['11-18', '11-19']],
      [sql`name = 'Other'`, []],
      [sql`deleted_on = '2026-11-19'`, ['11-20']],
      [sql`deleted_on = null`, ['11-20']],
    ];
    for (const [assignment, days] of moves) {
      await compute();
      await ledger.setOrg(orgId, assignment);
      expect([assignment, await readInvalid()]).toEqual([assignment, days]);
    }
    await compute();
    await ledger.createOrg({ createdOn: '2026-11-19' });
    expect(await readInvalid()).toEqual(['11-19', '11-20']);
    await compute();
    expect(await readSums()).toEqual(['11-18 0 1 1', '11-19 0 1 2', '11-20 0 1 2']);
  });
});

test.each([
  ['from its creation on', DAY],
  ['on its days before a creation date that moved later', '2026-11-21'],
])('an organization that moves invalidates the sums of both instances %s', async (_, createdOn) => {
  const orgId = await createOtherOrg('device_counts');
  await ledger.setOrg(orgId, sql`created_on = ${createdOn}`);
  await ledger.expectDays({ from: DAY, to: DAY }, ['device_counts']);
  await compute();
  await move(orgId);
  expect(await readInvalid(sql`instance_id`)).toEqual([INSTANCE, OTHER]);
});

test('a sum that is not that of the stored numbers is found in every month', async () => {
  const days = { from: '2026-10-31', to: '2026-11-01' };
  const orgId = await ledger.expectDays(days, ['device_counts']);
  await ledger.load([deviceResponse(orgId, days.from), deviceResponse(orgId, days.to)]);
  for (const day of [days.from, days.to]) await computeOurSums(ledger.writer(), day);
  expect(await readWrongSums(ledger.db, INSTANCE)).toEqual([]);
  await ledger.asProgram(sql`update losant_usage.usage_days set devices_total = devices_total + 1
    where org_id = ${orgId}`);
  const wrong = [days.from, days.to].map((day) => ({ day, metrics: ['devices_total'] }));
  expect(await readWrongSums(ledger.db, INSTANCE)).toEqual(wrong);
});
