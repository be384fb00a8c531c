import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { CellAnswer, CellOutcome, StoredCell } from '../../src/usage/cell.ts';
import { notebookMinutes } from '../../src/usage/streams/notebook-minutes.ts';
import { payloadSources } from '../../src/usage/streams/payload-sources.ts';
import { payloadTotals } from '../../src/usage/streams/payload-totals.ts';
import type { Fact, Stream } from '../../src/usage/streams/stream.ts';
import { answer, at, FINAL, LAST, missing, PAST, row, stored, YOUNG } from '../database/answers.ts';

const NOON_21 = at('2026-11-21T12:00:00.000Z');
const NOON_22 = at('2026-11-22T12:00:00.000Z');
const fresh = {
  reported: true,
  revision: 1,
  verifiedAtMs: NOON_22,
  attemptedAtMs: NOON_22,
  attempts: 0,
  nextReadAtMs: at('2026-11-23T00:00:00.000Z'),
  error: null,
  sha256: 'a'.repeat(64),
};

describe('a day that is left out', () => {
  const settleMissing = (
    before: StoredCell | null,
    held: readonly Fact[],
    changes: Partial<CellAnswer> = {},
  ) => apply(before, held, answer(missing, changes));

  test('with nothing held means zeros for a count of events', () => {
    expect(settleMissing(null, [], { stream: notebookMinutes })).toEqual({
      result: 'loaded',
      cell: { ...fresh, state: 'loaded', reported: false },
      facts: [row(0, 0, 0, 0, 0)],
      error: null,
    });
  });

  test('with nothing held means no row where rows have further keys', () => {
    expect(settleMissing(null, [], { stream: payloadSources, age: FINAL })).toEqual({
      result: 'loaded',
      cell: { ...fresh, state: 'final', reported: false, nextReadAtMs: at('2026-11-28T00:00:00.000Z') },
      facts: [],
      error: null,
    });
  });

  test('with nothing held is not reported, also where a number was that somebody has deleted', () => {
    const deleted = stored('failed', { reported: true, revision: 2, verifiedAtMs: null });
    expect(settleMissing(deleted, [], { stream: payloadSources })).toMatchObject({
      result: 'loaded',
      cell: { state: 'loaded', reported: false, revision: 3 },
      facts: [],
    });
  });

  test('with nothing held is absent for a level, not zero', () => {
    const error = { code: 'absent', message: 'Losant has no number for this day' };
    expect(settleMissing(null, [])).toEqual({
      result: 'absent',
      cell: { ...fresh, state: 'absent', reported: false, revision: 0, error },
      facts: null,
      error,
    });
  });

  test.each([
    ['young', YOUNG, 'absent'],
    ['at the final age', FINAL, 'absent'],
    ['at the last checkpoint', LAST, 'unavailable'],
    ['past the horizon', PAST, 'unavailable'],
  ])('for a level (%s) ends as it must', (_, age, state) => {
    const settlement = settleMissing(null, [], { age });
    expect(settlement.result).toBe(state);
    expect(settlement.cell?.state).toBe(state);
  });

  test('past the horizon fills nothing with zeros either', () => {
    expect(settleMissing(null, [], { stream: notebookMinutes, age: PAST })).toMatchObject({
      result: 'unavailable',
      cell: { state: 'unavailable', revision: 0, error: { code: 'past_horizon' } },
      facts: null,
    });
  });

  const heldCases: [string, Stream, Fact[], Fact[]][] = [
    ['a level', answer(missing).stream, [row(0, 0, 17)], [row(0, 0, 0)]],
    ['a count of events', notebookMinutes, [row(0, 0, 0, 1, 0)], [row(0, 0, 0, 0, 0)]],
    ['a set of rows', payloadSources, [{ key: ['a', 'b'], values: [1] }], [{ key: ['a', 'b'], values: [0] }]],
  ];

  test.each(heldCases)('never replaces a number of %s, at any age', (_, stream, held) => {
    for (const age of [YOUNG, FINAL, LAST]) {
      for (const state of ['loaded', 'final'] as const) {
        const settlement = settleMissing(stored(state), held, { stream, age });
        expect(settlement).toMatchObject({
          result: 'failed',
          facts: null,
          error: { code: 'bucket_missing' },
        });
        expect(settlement.cell).toMatchObject({
          state,
          revision: 1,
          verifiedAtMs: NOON_21,
          attemptedAtMs: NOON_22,
          attempts: 1,
          nextReadAtMs: at('2026-11-22T14:00:00.000Z'),
          error: { code: 'bucket_missing' },
        });
      }
    }
  });

  test.each(heldCases)('agrees with zeros of %s', (_, stream, __, zeros) => {
    expect(settleMissing(stored('loaded'), zeros, { stream, age: FINAL })).toEqual({
      result: 'unchanged',
      cell: { ...fresh, state: 'final', nextReadAtMs: at('2026-11-28T00:00:00.000Z') },
      facts: null,
      error: null,
    });
  });

  test('agrees with a set of no rows', () => {
    const settlement = settleMissing(stored('loaded', { reported: false }), [], { stream: payloadSources });
    expect(settlement).toMatchObject({ result: 'unchanged', cell: { state: 'loaded', reported: false } });
  });

  test.each([[[row(4, 1, 17)]], [[row(0, 0, 0)]]])(
    'past the horizon changes nothing that is held: %j',
    (held) => {
      expect(settleMissing(stored('loaded'), held, { age: PAST })).toEqual({
        result: 'unchanged',
        cell: stored('loaded'),
        facts: null,
        error: null,
      });
    },
  );

  test('leaves a waived level waived', () => {
    expect(settleMissing(stored('waived'), [])).toMatchObject({ result: 'absent', cell: null });
  });

  test('leaves what was given up given up', () => {
    expect(settleMissing(stored('unavailable'), []).cell?.state).toBe('unavailable');
  });
});

describe('a day of which some of the three totals are left out', () => {
  const partial = (facts: readonly Fact[], missingColumns: readonly string[]): CellOutcome => ({
    kind: 'values',
    facts,
    missingColumns,
  });
  const settleTotals = (
    before: StoredCell | null,
    held: readonly Fact[],
    ...[outcome, age = YOUNG]: [CellOutcome, CellAnswer['age']?]
  ) => apply(before, held, answer(outcome, { stream: payloadTotals, age }));

  test('reads zero there when nothing is held, and is not called reported', () => {
    expect(settleTotals(null, [], partial([row(0, 21, 900)], ['billable_count']))).toEqual({
      result: 'loaded',
      cell: { ...fresh, state: 'loaded', reported: false },
      facts: [row(0, 21, 900)],
      error: null,
    });
  });

  test('is not called reported either where a number was that somebody has deleted', () => {
    const deleted = stored('failed', { reported: true, revision: 2, verifiedAtMs: null });
    const settlement = settleTotals(deleted, [], partial([row(0, 21, 900)], ['billable_count']));
    expect(settlement.cell).toMatchObject({ state: 'loaded', reported: false, revision: 3 });
  });

  test('changes nothing when a number other than zero is held there, and names the column', () => {
    const settlement = settleTotals(
      stored('loaded'),
      [row(17, 21, 900)],
      partial([row(0, 22, 950)], ['billable_count']),
    );
    expect(settlement).toMatchObject({
      result: 'failed',
      facts: null,
      cell: { state: 'loaded', revision: 1, attempts: 1, error: { code: 'bucket_missing' } },
    });
    expect(settlement.error?.message).toContain('billable_count');
  });

  test('is accepted when zero is held there', () => {
    const settlement = settleTotals(
      stored('loaded'),
      [row(0, 21, 900)],
      partial([row(0, 22, 950)], ['billable_count']),
    );
    expect(settlement).toMatchObject({ result: 'loaded', cell: { reported: true, revision: 2 } });
    expect(settlement.facts).toEqual([row(0, 22, 950)]);
  });

  test('past the horizon does not fill an empty cell', () => {
    expect(settleTotals(null, [], partial([row(0, 21, 900)], ['billable_count']), PAST)).toMatchObject({
      result: 'unavailable',
      facts: null,
      cell: { state: 'unavailable', error: { code: 'past_horizon' } },
    });
  });
});
