/** Totals of a day that Losant left out, and the sources of the day: loaded in either order, in one batch or in two. */
import * as fc from 'fast-check';
import { sql } from 'kysely';
import { beforeEach, describe, expect, test } from 'vitest';
import type { CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import { answer, at, FINAL, failed, missing, row, values } from './answers.ts';
import { addTracking, coverageOf, RUN_2, revisionsOf, useLedger } from './ledger.ts';

const ledger = useLedger();
let orgId: string;

beforeEach(async () => {
  orgId = await ledger.newOrg();
  await track('payload_totals', 'payload_sources');
});

const track = (...streams: readonly string[]) =>
  addTracking(ledger.db, orgId, { streams, days: '{[2026-11-01,)}' });

const { load } = ledger;

const sentAt = (minute: number) => at('2026-11-22T12:00:00.000Z') + minute * 60_000;
const totals = (outcome: CellOutcome, minute: number, changes: Partial<CellAnswer> = {}) =>
  answer(outcome, { orgId, stream: 'payload_totals', sentAtMs: sentAt(minute), ...changes });
const sources = (outcome: CellOutcome, minute: number, changes: Partial<CellAnswer> = {}) =>
  answer(outcome, { orgId, stream: 'payload_sources', sentAtMs: sentAt(minute), ...changes });
const counting = (count: number) => values({ key: ['timer', 'timer.flow'], values: [count] });

/** What is stored of the day: all payloads, and those by source. */
const storedOf = async () =>
  await ledger.ask(sql`select payload_all_count as totals, payload_source_count as sources
      from losant_usage.usage_days where org_id = ${orgId}`);
/** The ledger's row of the totals. */
const totalsCell = async () =>
  (await coverageOf(ledger.db, orgId)).filter((cell) => 'stream' in cell && cell.stream === 'payload_totals');

const WAYS: [string, (totals: CellAnswer, sources: CellAnswer) => readonly CellAnswer[][]][] = [
  ['the totals first', (first, second) => [[first], [second]]],
  ['the sources first', (second, first) => [[first], [second]]],
  ['both in one batch', (first, second) => [[first, second]]],
];

describe.each(WAYS)('totals left out, with %s', (_, batchesOf) => {
  const loadBoth = async (first: CellAnswer, second: CellAnswer) => {
    for (const batch of batchesOf(first, second)) await load(batch);
  };

  test('are zeros where the sources are empty', async () => {
    await loadBoth(totals(missing, 0), sources(missing, 1));
    expect(await storedOf()).toEqual([{ totals: 0, sources: 0 }]);
    expect(await totalsCell()).toMatchObject([
      {
        standing: 'stored',
        is_reported: false,
        revision: 1,
        reason: null,
        next_read_at: '2026-11-23T00:00:00.000Z',
      },
    ]);
    expect(await revisionsOf(ledger.db, orgId)).toEqual([]);
  });

  test('are missing, and say why, where the sources count something', async () => {
    await loadBoth(totals(missing, 0), sources(counting(8_259_025), 1));
    expect(await storedOf()).toEqual([{ totals: null, sources: 8_259_025 }]);
    expect(await totalsCell()).toMatchObject([
      { standing: 'missing', revision: 0, reason: 'contradicted', next_read_at: '2026-11-23T00:00:00.000Z' },
    ]);
  });
});

test.each<[string, CellOutcome, string, string]>([
  ['totals that are named beside them do not', values(row(0, 21, 900)), 'stored', 'final'],
  ['totals that name zeros do', values(row(0, 0, 0)), 'final', 'final'],
])('empty sources are sure only where something confirms them: %s', async (_, named, ...standings) => {
  await load([totals(named, 0, { age: FINAL }), sources(missing, 1, { age: FINAL })]);
  expect(await coverageOf(ledger.db, orgId)).toMatchObject([
    { stream: 'payload_sources', standing: standings[0], is_reported: false },
    { stream: 'payload_totals', standing: standings[1], is_reported: true },
  ]);
});

test('totals left out are zeros where the sources are not collected', async () => {
  orgId = await ledger.newOrg();
  await track('payload_totals');
  await load([totals(missing, 0)]);
  expect(await storedOf()).toEqual([{ totals: 0, sources: null }]);
});

describe('zeros that stand for totals left out', () => {
  beforeEach(async () => {
    await load([totals(missing, 0), sources(missing, 0)]);
  });

  test.each([
    ['read alone', []],
    ['read with totals that are left out again', [missing]],
    ['read with totals that fail', [failed]],
  ])('are taken back, on record, by sources that turn up later, %s', async (_, again) => {
    const result = await load(
      [sources(counting(3), 60), ...again.map((outcome) => totals(outcome, 60))],
      RUN_2,
    );
    expect(await storedOf()).toEqual([{ totals: null, sources: 3 }]);
    expect(await totalsCell()).toMatchObject([
      {
        standing: 'missing',
        revision: 2,
        reason: 'contradicted',
        next_read_at: '2026-11-22T13:00:00.000Z',
      },
    ]);
    const source = { payload_type: 'timer', source: 'timer.flow' };
    expect(await revisionsOf(ledger.db, orgId)).toMatchObject([
      {
        stream: 'payload_sources',
        revision: 2,
        key: {},
        old: { count: 0 },
        new: { count: 3 },
        run_id: RUN_2,
      },
      {
        stream: 'payload_totals',
        revision: 2,
        old: { billable_count: 0, all_count: 0, all_bytes: 0 },
        new: null,
        run_id: RUN_2,
      },
      { stream: 'payload_sources', revision: 2, key: source, old: null, new: { count: 3 }, run_id: RUN_2 },
    ]);
    const told = [...result.cells, ...result.crossChecked].map(({ isRestated }) => isRestated);
    expect(told).toEqual([true, true]);
  });

  test('are named in the end, as the next revision', async () => {
    await load([sources(counting(3), 60)]);
    await load([totals(values(row(2, 3, 90)), 61)], RUN_2);
    expect(await storedOf()).toEqual([{ totals: 3, sources: 3 }]);
    expect(await totalsCell()).toMatchObject([{ standing: 'stored', revision: 3, reason: null }]);
  });
});

test('a run is told that what it counted as left out got its zeros, another run is not', async () => {
  const told = { day: '2026-11-20', verifiedAtMs: sentAt(0), isRestated: false, wasFinal: false };
  expect(await load([totals(missing, 0)])).toMatchObject({
    cells: [{ result: 'left_out' }],
    crossChecked: [],
  });
  expect(await load([sources(missing, 1)])).toMatchObject({
    crossChecked: [{ ...told, countedAs: 'left_out' }],
  });
  orgId = await ledger.newOrg();
  await track('payload_totals', 'payload_sources');
  await load([totals(missing, 0)]);
  expect(await load([sources(missing, 1)], RUN_2)).toMatchObject({
    crossChecked: [{ ...told, countedAs: null }],
  });
});

type Told = 'silence' | 'number' | 'failure';

/** What reads of the two streams find, by minute. Named zeros and silence do not mix: see the order of one cell's answers. */
const history = fc
  .record({
    totals: fc.array(fc.constantFrom<Told[]>('silence', 'number', 'failure'), { minLength: 1, maxLength: 3 }),
    sources: fc.array(fc.constantFrom<Told[]>('silence', 'number', 'failure'), {
      minLength: 1,
      maxLength: 3,
    }),
  })
  .chain((told) => {
    const places = [...told.totals.keys(), ...[...told.sources.keys()].map((place) => 10 + place)];
    const order = fc.shuffledSubarray(places, { minLength: places.length });
    return fc.record({ told: fc.constant(told), order, splits: fc.array(fc.boolean(), { maxLength: 6 }) });
  });

/** Reads that failed after the totals were left out, and before their sources were there. */
const FAILED_WHILE_WAITING: [
  { told: { totals: Told[]; sources: Told[] }; order: number[]; splits: boolean[] },
][] = [
  [{ told: { totals: ['silence', 'failure'], sources: ['silence'] }, order: [0, 1, 10], splits: [] }],
  [
    {
      told: { totals: ['failure', 'silence', 'failure'], sources: ['silence', 'failure'] },
      order: [1, 2, 11, 0, 10],
      splits: [],
    },
  ],
  [
    {
      told: { totals: ['silence', 'silence', 'failure'], sources: ['failure', 'silence', 'failure'] },
      order: [2, 12, 1, 10, 11, 0],
      splits: [],
    },
  ],
];

test('whatever is read of both streams, in whatever order and batches, ends in the same numbers', async () => {
  await fc.assert(
    fc.asyncProperty(history, async ({ told, order, splits }) => {
      orgId = await ledger.newOrg();
      await track('payload_totals', 'payload_sources');
      const say = (what: string | undefined, number: CellOutcome) =>
        what === 'silence' ? missing : what === 'number' ? number : failed;
      const answers = order.map((place) =>
        place < 10
          ? totals(say(told.totals[place], values(row(5, 5, 50))), place * 2)
          : sources(say(told.sources[place - 10], counting(5)), (place - 10) * 2 + 1),
      );
      let batch: CellAnswer[] = [];
      for (const [index, next] of answers.entries()) {
        const isTwice = batch.some(({ stream }) => stream === next.stream);
        if (isTwice || splits[index]) batch = (await load(batch)) && [];
        batch.push(next);
      }
      await load(batch);
      const sourceCount = told.sources.includes('number') ? 5 : told.sources.includes('silence') ? 0 : null;
      const zeros = told.totals.includes('silence') && sourceCount === 0 ? 0 : null;
      expect(await storedOf()).toEqual([
        { totals: told.totals.includes('number') ? 5 : zeros, sources: sourceCount },
      ]);
    }),
    { numRuns: 80, examples: FAILED_WHILE_WAITING },
  );
});
