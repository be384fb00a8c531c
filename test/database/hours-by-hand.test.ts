/** Hours that a person changes, adds or removes in SQL, or accepts, and hours in the embedded database. */
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import { waiveCells } from '../../src/ledger/waive.ts';
import { hours } from '../views/loads.ts';
import { answer, at, missing, row, values } from './answers.ts';
import { addTracking, coverageOf, openLedger, useLedger } from './ledger.ts';

const ledger = useLedger();
let orgId: string;

beforeEach(async () => {
  orgId = await ledger.newOrg();
  await addTracking(ledger.db, orgId, {
    streams: ['payload_totals', 'payload_hours'],
    days: '{[2026-11-01,)}',
  });
});

const byHand = (statement: string) => sql.raw(statement).execute(ledger.db);

test('a changed hour is on record and in doubt, a removed day is missing', async () => {
  await ledger.load([hours(orgId, '2026-11-20', () => [5, 7, 90])]);
  await byHand(`update losant_usage.payload_hours set all_counts[6] = 8 where org_id = '${orgId}'`);
  expect(await coverageOf(ledger.db, orgId)).toMatchObject([
    { stream: 'payload_hours', standing: 'in_doubt', reason: 'changed_by_hand', revision: 2 },
  ]);
  expect(
    await ledger.ask(
      sql`select metric, hour, old_quantity, new_quantity, by_hand from losant_usage.restatements where org_id = ${orgId}`,
    ),
  ).toEqual([{ metric: 'payload_all_count', hour: 5, old_quantity: 7, new_quantity: 8, by_hand: true }]);
  await byHand(`delete from losant_usage.payload_hours where org_id = '${orgId}'`);
  expect(await coverageOf(ledger.db, orgId)).toMatchObject([
    { standing: 'missing', reason: 'changed_by_hand', revision: 3 },
  ]);
});

test('an added day is in doubt and has its row in daily_usage', async () => {
  await byHand(`insert into losant_usage.payload_hours
    select '2026-11-18', '${orgId}', array_fill(1::bigint, '{24}'), array_fill(1::bigint, '{24}'), array_fill(1::bigint, '{24}')`);
  expect(await coverageOf(ledger.db, orgId)).toMatchObject([
    { usage_date: '2026-11-18', standing: 'in_doubt', revision: 1 },
  ]);
  expect(
    await ledger.ask(sql`select streams_expected, streams_stored from losant_usage.daily_usage
        where org_id = ${orgId} and usage_date = '2026-11-18'`),
  ).toEqual([{ streams_expected: 2, streams_stored: 1 }]);
});

describe('a waiver', () => {
  const waive = (asZero: boolean) =>
    waiveCells(ledger.db, {
      ...{ orgId, stream: 'payload_hours', range: { from: '2026-11-20', to: '2026-11-20' } },
      ...{ reason: 'a test plant', asZero },
    });
  const totals = () =>
    answer(values(row(240, 240, 240)), {
      orgId,
      stream: 'payload_totals',
      sentAtMs: at('2026-11-22T11:00:00.000Z'),
    });
  const cell = async () =>
    (await coverageOf(ledger.db, orgId)).find((each) => 'stream' in each && each.stream === 'payload_hours');

  test('accepts hours that do not add up to the total as they stand, until they agree with it', async () => {
    await ledger.load([totals(), hours(orgId, '2026-11-20', () => [9, 9, 9])]);
    expect(await cell()).toMatchObject({ standing: 'in_doubt', reason: 'contradicted' });
    await waive(false);
    await ledger.load([{ ...totals(), sentAtMs: at('2026-11-22T14:00:00.000Z') }]);
    expect(await cell()).toMatchObject({ standing: 'accepted', reason: 'waived' });
    const right = {
      ...hours(orgId, '2026-11-20', () => [10, 10, 10]),
      sentAtMs: at('2026-11-22T15:00:00.000Z'),
    };
    await ledger.load([right]);
    expect(await cell()).toMatchObject({ standing: 'stored', reason: null });
  });

  test('as zero stores 24 zeros', async () => {
    await ledger.load([totals(), { ...hours(orgId, '2026-11-20', () => [0, 0, 0]), outcome: missing }]);
    expect(await cell()).toMatchObject({ standing: 'missing', reason: 'contradicted' });
    await waive(true);
    expect(await cell()).toMatchObject({ standing: 'accepted' });
    expect(
      await ledger.ask(sql`select cardinality(all_counts) as hours, 0 = all (all_counts) as is_zero from losant_usage.payload_hours
          where org_id = ${orgId}`),
    ).toEqual([{ hours: 24, is_zero: true }]);
  });
});

test('the embedded database stores, restates and shows them as well', async () => {
  const embedded = await openLedger('embedded');
  try {
    const org = await embedded.newOrg();
    await addTracking(embedded.db, org, { streams: ['payload_hours'], days: '{[2026-11-01,)}' });
    for (const [minute, place] of [
      [0, 3],
      [60, 4],
    ] as const) {
      const sentAtMs = at('2026-11-22T12:00:00.000Z') + minute * 60_000;
      const day = hours(org, '2026-11-20', (hour) => (hour === place ? [5, 7, 90] : [0, 0, 0]));
      await embedded.load([{ ...day, sentAtMs }]);
    }
    expect(
      await embedded.ask(sql`select hour, old_quantity, new_quantity from losant_usage.restatements
        where org_id = ${org} and metric = 'payload_all_count' order by hour`),
    ).toEqual([
      { hour: 3, old_quantity: 7, new_quantity: 0 },
      { hour: 4, old_quantity: 0, new_quantity: 7 },
    ]);
    expect(
      await embedded.ask(sql`select hours, hours_stored, payload_all_count from losant_usage.local_daily_usage('UTC')
        where org_id = ${org} and local_date = '2026-11-20'`),
    ).toEqual([{ hours: 24, hours_stored: 24, payload_all_count: 7 }]);
    await expect(
      embedded.ask(sql`select * from losant_usage.local_daily_usage('Asia/Kolkata')`),
    ).rejects.toThrow('off UTC by a part of an hour');
  } finally {
    await embedded.close();
  }
});
