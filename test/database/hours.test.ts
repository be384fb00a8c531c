/** Hours of a day in the ledger: stored, restated, left out, changed by hand, and beside the totals of the day. */
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import type { CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import { HOURS } from '../../src/usage/streams/payload-hours.ts';
import { answer, at, failed, missing, row, values } from './answers.ts';
import { addTracking, coverageOf, RUN_2, revisionsOf, useLedger } from './ledger.ts';

const ledger = useLedger();
let orgId: string;

beforeEach(async () => {
  orgId = await ledger.newOrg();
  await addTracking(ledger.db, orgId, {
    streams: ['payload_totals', 'payload_hours'],
    days: '{[2026-11-01,)}',
  });
});

const { load } = ledger;

const sentAt = (minute: number) => at('2026-11-22T12:00:00.000Z') + minute * 60_000;
/** An hour of 5 billable payloads, 7 in all and 90 bytes at each place; 0 everywhere else. */
const outcomeOf = (...places: readonly number[]): CellOutcome & { kind: 'values' } => ({
  kind: 'values',
  facts: HOURS.map((hour, place) => ({
    key: [hour],
    values: places.includes(place) ? [5, 7, 90] : [0, 0, 0],
  })),
  missingColumns: [],
});
const lacking = (hour: string, outcome: CellOutcome & { kind: 'values' }): CellOutcome => ({
  ...outcome,
  missingColumns: ['billable_count', 'all_count', 'all_bytes'].map((column) => `${column} ${hour}`),
});
const hours = (outcome: CellOutcome, minute: number, changes: Partial<CellAnswer> = {}) =>
  answer(outcome, { orgId, stream: 'payload_hours', sentAtMs: sentAt(minute), ...changes });
const totals = (outcome: CellOutcome, minute: number, changes: Partial<CellAnswer> = {}) =>
  answer(outcome, { orgId, stream: 'payload_totals', sentAtMs: sentAt(minute), ...changes });
const twoHours = values(row(10, 14, 180));

const storedOf = async () => {
  const rows = await ledger.ask(
    sql`select billable_counts, all_counts, all_bytes from losant_usage.payload_hours where org_id = ${orgId}`,
  );
  return rows as { billable_counts: number[]; all_counts: number[]; all_bytes: number[] }[];
};
const placesOf = (numbers: readonly number[] | undefined) =>
  (numbers ?? []).flatMap((value, place) => (value === 0 ? [] : [[place, value]]));
/** The ledger's rows by stream. */
const cellsOf = async () => {
  const rows = (await coverageOf(ledger.db, orgId)) as { stream: string }[];
  return Object.fromEntries(rows.map(({ stream, ...cell }) => [stream, cell]));
};

test('a day is one row of 24 numbers of each kind, and counts as one row', async () => {
  const { rows } = await load([hours(outcomeOf(0, 23), 0)]);
  expect(rows).toEqual({ payload_hours: { inserted: 1, updated: 0, deleted: 0, unchanged: 0 } });
  const [stored] = await storedOf();
  expect(stored?.billable_counts).toHaveLength(24);
  expect(placesOf(stored?.billable_counts)).toEqual([
    [0, 5],
    [23, 5],
  ]);
  expect(placesOf(stored?.all_counts)).toEqual([
    [0, 7],
    [23, 7],
  ]);
  expect(placesOf(stored?.all_bytes)).toEqual([
    [0, 90],
    [23, 90],
  ]);
  expect(await revisionsOf(ledger.db, orgId)).toEqual([]);
  const again = await load([hours(outcomeOf(0, 23), 60)]);
  expect(again.rows).toEqual({ payload_hours: { inserted: 0, updated: 0, deleted: 0, unchanged: 1 } });
});

test('a restated hour is on record, with old and new', async () => {
  await load([hours(outcomeOf(3), 0)]);
  await load([hours(outcomeOf(4), 60)], RUN_2);
  const [revision] = (await revisionsOf(ledger.db, orgId)) as {
    old: { all_counts: number[] };
    new: { all_counts: number[] };
  }[];
  expect(revision).toMatchObject({ stream: 'payload_hours', revision: 2, key: {}, run_id: RUN_2 });
  expect(placesOf(revision?.old.all_counts)).toEqual([[3, 7]]);
  expect(placesOf(revision?.new.all_counts)).toEqual([[4, 7]]);
  expect(
    await ledger.ask(sql`select metric, hour, old_quantity, new_quantity, difference, unit from losant_usage.restatements
        where org_id = ${orgId} and metric <> 'payload_all_bytes' order by metric, hour`),
  ).toEqual([
    {
      metric: 'payload_all_count',
      hour: 3,
      old_quantity: 7,
      new_quantity: 0,
      difference: -7,
      unit: 'payloads',
    },
    {
      metric: 'payload_all_count',
      hour: 4,
      old_quantity: 0,
      new_quantity: 7,
      difference: 7,
      unit: 'payloads',
    },
    {
      metric: 'payload_billable_count',
      hour: 3,
      old_quantity: 5,
      new_quantity: 0,
      difference: -5,
      unit: 'payloads',
    },
    {
      metric: 'payload_billable_count',
      hour: 4,
      old_quantity: 0,
      new_quantity: 5,
      difference: 5,
      unit: 'payloads',
    },
  ]);
});

describe('an hour that Losant leaves out', () => {
  test('never replaces a number other than zero: the day is in doubt and says which', async () => {
    await load([hours(outcomeOf(3, 4), 0)]);
    await load([hours(lacking('04:00', outcomeOf(3)), 60)]);
    expect(placesOf((await storedOf())[0]?.all_counts)).toEqual([
      [3, 7],
      [4, 7],
    ]);
    const [cell] = await ledger.ask(sql`select standing, reason, message from losant_usage.cells
      where org_id = ${orgId} and stream = 'payload_hours' and usage_date = '2026-11-20'`);
    expect(cell).toEqual({
      standing: 'in_doubt',
      reason: 'left_out',
      message:
        'Losant left out billable_count 04:00, all_count 04:00, all_bytes 04:00, for which a number other than zero is stored',
    });
  });

  test('and whose number an older answer has is in doubt with that number', async () => {
    await load([hours(lacking('04:00', outcomeOf(3)), 60)]);
    await load([hours(outcomeOf(3, 4), 0)]);
    expect(placesOf((await storedOf())[0]?.all_counts)).toEqual([
      [3, 7],
      [4, 7],
    ]);
    expect((await cellsOf())['payload_hours']).toMatchObject({ standing: 'in_doubt', reason: 'left_out' });
  });
});

describe('a day of which every hour is left out', () => {
  test.each([
    ['the total first', true],
    ['the hours first', false],
  ])('is missing where its total is above 0, with %s', async (_, isTotalFirst) => {
    const both = [totals(twoHours, 0), hours(missing, 1)];
    for (const each of isTotalFirst ? both : both.toReversed()) await load([each]);
    expect(await storedOf()).toEqual([]);
    expect((await cellsOf())['payload_hours']).toMatchObject({ standing: 'missing', reason: 'contradicted' });
    expect((await cellsOf())['payload_totals']).toMatchObject({ standing: 'stored' });
  });
});

test('totals left out are missing beside hours that count something, which their message names', async () => {
  await load([totals(missing, 0), hours(outcomeOf(3), 1)]);
  const cell = sql`select standing, is_stored, reason, message from losant_usage.coverage
    where org_id = ${orgId} and stream = 'payload_totals'`;
  expect(await ledger.ask(cell)).toEqual([
    {
      ...{ standing: 'missing', is_stored: false, reason: 'contradicted' },
      message: 'Losant left out numbers of the day, but its payload_hours add up to 7',
    },
  ]);
});

test('totals left out wait for hours that are collected and not stored yet', async () => {
  await load([totals(missing, 0)]);
  expect((await cellsOf())['payload_totals']).toMatchObject({ standing: 'missing', reason: 'unconfirmed' });
  await load([hours(missing, 1)]);
  expect((await cellsOf())['payload_totals']).toMatchObject({ standing: 'stored', reason: null });
});

describe('hours that do not add up to the total', () => {
  test.each([
    ['hours', 0, 1],
    ['totals', 1, 0],
  ])(
    'put the %s in doubt if they were read later, until a later read agrees',
    async (later, totalsAt, hoursAt) => {
      await load([totals(twoHours, totalsAt), hours(outcomeOf(3), hoursAt)]);
      const earlier = later === 'hours' ? 'totals' : 'hours';
      expect(await cellsOf()).toMatchObject({
        [`payload_${later}`]: { standing: 'in_doubt', reason: 'contradicted', attempts: 0 },
        [`payload_${earlier}`]: { standing: 'stored', reason: null },
      });
      const soon = await ledger.ask(sql`select min(next_read_at) as first, max(next_read_at) as last
        from losant_usage.coverage where org_id = ${orgId}`);
      expect(soon).toEqual([{ first: '2026-11-22T13:00:00.000Z', last: '2026-11-22T13:00:00.000Z' }]);
      await load([totals(twoHours, 70), hours(outcomeOf(3, 4), 71)]);
      expect(await cellsOf()).toMatchObject({
        payload_totals: { standing: 'stored', reason: null },
        payload_hours: { standing: 'stored', reason: null },
      });
    },
  );

  test('stay stored, with both figures', async () => {
    await load([totals(twoHours, 0)]);
    const { cells } = await load([hours(outcomeOf(3), 1)]);
    expect(cells).toMatchObject([{ result: 'loaded', problem: null }]);
    expect(placesOf((await storedOf())[0]?.all_counts)).toEqual([[3, 7]]);
    const [cell] = await ledger.ask(sql`select message from losant_usage.cells
        where org_id = ${orgId} and stream = 'payload_hours' and usage_date = '2026-11-20'`);
    expect(cell).toEqual({
      message:
        'the hours do not add up to the total of the day: billable_count 5 by payload_hours, 10 by payload_totals; all_count 7 by payload_hours, 14 by payload_totals; all_bytes 90 by payload_hours, 180 by payload_totals',
    });
  });
});

test('whatever is read of totals and hours, in whatever order and batches, ends in the same numbers', async () => {
  const told = (kinds: readonly string[]) =>
    fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 3 });
  const history = fc
    .record({
      hours: told(['number', 'silence', 'part', 'failure']),
      totals: told(['number', 'silence', 'failure']),
    })
    .chain((said) => {
      const places = [...said.hours.keys(), ...[...said.totals.keys()].map((place) => place + 10)];
      const order = fc.shuffledSubarray(places, { minLength: places.length });
      return fc.record({
        said: fc.constant(said),
        order,
        splits: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
      });
    });
  // All hours are 0 but one, which a part leaves out.
  const outcomes: Readonly<Record<string, CellOutcome>> = {
    ...{ number: outcomeOf(3), silence: missing, part: lacking('03:00', outcomeOf()), failure: failed },
  };
  await fc.assert(
    fc.asyncProperty(history, async ({ said, order, splits }) => {
      orgId = await ledger.newOrg();
      await addTracking(ledger.db, orgId, {
        streams: ['payload_totals', 'payload_hours'],
        days: '{[2026-11-01,)}',
      });
      const answers = order.map((place) =>
        place < 10
          ? hours(outcomes[said.hours[place] ?? ''] as CellOutcome, place * 2)
          : totals(
              said.totals[place - 10] === 'number'
                ? values(row(5, 7, 90))
                : (outcomes[said.totals[place - 10] ?? ''] as CellOutcome),
              (place - 10) * 2 + 1,
            ),
      );
      let batch: CellAnswer[] = [];
      for (const [index, next] of answers.entries()) {
        if (splits[index] || batch.some(({ stream }) => stream === next.stream)) {
          await load(batch);
          batch = [];
        }
        batch.push(next);
      }
      await load(batch);
      const isNamed = { hours: said.hours.includes('number'), totals: said.totals.includes('number') };
      const isSilent = said.hours.some((kind) => kind === 'silence' || kind === 'part');
      const ofHours = isNamed.hours ? 7 : isSilent && !isNamed.totals ? 0 : null;
      const ofTotals = isNamed.totals ? 7 : said.totals.includes('silence') && ofHours === 0 ? 0 : null;
      expect(
        await ledger.ask(sql`select payload_all_count as totals, (
              select sum(n)::bigint from losant_usage.payload_hours h, unnest(h.all_counts) as n where h.org_id = u.org_id
            ) as hours from losant_usage.usage_days u where org_id = ${orgId}`),
      ).toEqual([{ totals: ofTotals, hours: ofHours }]);
    }),
    { numRuns: 60 },
  );
});
