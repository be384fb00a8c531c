/** A payload total that was left out, and what the payloads by source say about it. */
import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { CellAnswer, CellOutcome, StoredCell, Witness } from '../../src/usage/cell.ts';
import { settleByWitness } from '../../src/usage/cross-check.ts';
import { payloadTotals } from '../../src/usage/streams/payload-totals.ts';
import { answer, at, failed, missing, PAST, row, stored, values, YOUNG } from '../database/answers.ts';

const settle = (outcome: CellOutcome, witness: Witness, before: Parameters<typeof apply>[0] = null) =>
  apply(before, [], answer(outcome, { stream: payloadTotals }), witness);
const counted = (count: number): Witness => ({ kind: 'counted', count });
const lacking = (facts: ReturnType<typeof row>, ...missingColumns: string[]): CellOutcome => ({
  kind: 'values',
  facts: [facts],
  missingColumns,
});

describe('a day that Losant left out, of which nothing is held', () => {
  test.each<[string, Witness]>([
    ['the sources of the day are held and empty', counted(0)],
    ['the sources are not collected', { kind: 'none' }],
  ])('is zero where %s', (_, witness) => {
    expect(settle(missing, witness)).toMatchObject({
      result: 'loaded',
      cell: { state: 'loaded', reported: false, revision: 1 },
      facts: [row(0, 0, 0)],
    });
  });

  test('is absent beside a source count above 0, and says so', () => {
    expect(settle(missing, counted(8_259_025))).toMatchObject({
      result: 'absent',
      cell: { state: 'absent', revision: 0, nextReadAtMs: at('2026-11-23T00:00:00.000Z') },
      facts: null,
      error: {
        code: 'contradicted',
        message: 'Losant left out numbers of the day, but its payload_sources add up to 8259025',
      },
    });
  });

  test('is absent until its sources are held', () => {
    expect(settle(missing, { kind: 'unknown' })).toMatchObject({
      result: 'absent',
      cell: { state: 'absent' },
      facts: null,
      error: { code: 'unwitnessed' },
    });
  });
});

describe('a day of which some totals were left out', () => {
  test('has no billable payloads where only that one is lacking, whatever the sources count', () => {
    expect(settle(lacking(row(0, 21, 900), 'billable_count'), counted(21))).toMatchObject({
      result: 'loaded',
      facts: [row(0, 21, 900)],
    });
  });

  test.each([
    [lacking(row(5, 0, 900), 'all_count')],
    [lacking(row(5, 21, 0), 'all_bytes')],
    [lacking(row(5, 0, 0), 'all_count', 'all_bytes')],
  ])('is absent where another number of the day contradicts the zero', (outcome) => {
    expect(settle(outcome, counted(0))).toMatchObject({
      result: 'absent',
      error: { code: 'contradicted' },
      facts: null,
    });
  });

  test('is absent where it names only zeros, and the sources count something', () => {
    expect(settle(lacking(row(0, 0, 0), 'billable_count'), counted(3))).toMatchObject({
      result: 'absent',
      error: { code: 'contradicted' },
    });
    expect(settle(lacking(row(0, 0, 0), 'billable_count'), counted(0))).toMatchObject({
      result: 'loaded',
      facts: [row(0, 0, 0)],
    });
  });

  test('waits for its sources where it names only zeros', () => {
    expect(settle(lacking(row(0, 0, 0), 'all_count'), { kind: 'unknown' })).toMatchObject({
      result: 'absent',
      error: { code: 'unwitnessed' },
    });
  });

  test('keeps what is held: a gap, not a zero', () => {
    const { result, cell } = apply(
      stored('loaded'),
      [row(0, 0, 0)],
      answer(lacking(row(5, 0, 900), 'all_count'), { stream: payloadTotals }),
      counted(5),
    );
    expect(result).toBe('failed');
    expect(cell).toMatchObject({ state: 'loaded', error: { code: 'bucket_missing' } });
  });
});

describe('zeros that nobody reported, and a new answer beside sources that count something', () => {
  const zeros = stored('loaded', { reported: false });
  test.each([
    ['leaves the day out again', missing],
    ['fails', failed],
    ['is older', missing],
  ])('are taken back where it %s', (what, outcome) => {
    const sentAtMs = at(what === 'is older' ? '2026-11-21T11:59:59.999Z' : '2026-11-22T12:00:00.000Z');
    const again = answer(outcome, { stream: payloadTotals, sentAtMs });
    expect(apply(zeros, [row(0, 0, 0)], again, counted(3))).toMatchObject({
      result: 'absent',
      cell: { state: 'absent', revision: 2, error: { code: 'contradicted' } },
      facts: [],
    });
  });

  test('stay where Losant names them', () => {
    const named = answer(values(row(0, 0, 0)), { stream: payloadTotals });
    expect(apply(zeros, [row(0, 0, 0)], named, counted(3))).toMatchObject({
      result: 'unchanged',
      cell: { state: 'loaded', reported: true, revision: 1 },
    });
  });

  test('stay past the horizon, where no stored cell changes', () => {
    const past = answer(missing, { stream: payloadTotals, age: PAST });
    expect(apply(zeros, [row(0, 0, 0)], past, counted(3))).toMatchObject({
      result: 'unchanged',
      facts: null,
    });
  });
});

describe('a witness that comes later', () => {
  const zeros = [row(0, 0, 0)];
  const by = (count: number, age: CellAnswer['age'] = YOUNG) => ({
    stream: payloadTotals,
    count,
    age,
    atMs: at('2026-11-22T12:03:04.000Z'),
  });
  const waiting = (state: 'absent' | 'unavailable', changes: Partial<StoredCell> = {}) =>
    stored(state, { reported: false, revision: 0, error: { code: 'unwitnessed', message: 'x' }, ...changes });

  test('above 0 takes zeros back that nobody reported, and has the cell read again', () => {
    const before = stored('final', { reported: false, revision: 1 });
    expect(settleByWitness(before, zeros, by(3))).toMatchObject({
      cell: {
        state: 'absent',
        revision: 2,
        nextReadAtMs: at('2026-11-22T12:00:00.000Z'),
        error: { code: 'contradicted' },
      },
      facts: [],
    });
  });

  test('leaves zeros alone that Losant named, and numbers', () => {
    expect(settleByWitness(stored('loaded', { reported: true }), zeros, by(3))).toBeNull();
    expect(settleByWitness(stored('loaded', { reported: false }), [row(0, 3, 90)], by(3))).toBeNull();
  });

  test('leaves everything alone past the horizon', () => {
    expect(settleByWitness(stored('loaded', { reported: false }), zeros, by(3, PAST))).toBeNull();
    expect(settleByWitness(waiting('unavailable'), [], by(0, PAST))).toBeNull();
  });

  test.each([
    ['before the final age', '2026-11-23T23:59:59.999Z', 'loaded'],
    ['at the final age', '2026-11-24T00:00:00.000Z', 'final'],
  ])(
    'of 0 makes zeros of a day that waited for it, read %s, with its next read as it was',
    (_, read, state) => {
      const nextReadAtMs = at('2026-11-28T00:00:00.000Z');
      const before = waiting('absent', { verifiedAtMs: at(read), nextReadAtMs });
      expect(settleByWitness(before, [], by(0))).toMatchObject({
        cell: { state, reported: false, revision: 1, error: null, nextReadAtMs },
        facts: zeros,
      });
    },
  );

  test('of 0 makes zeros of a day that waited for it at its last checkpoint', () => {
    const before = waiting('unavailable', { verifiedAtMs: at('2026-12-21T00:00:00.000Z') });
    expect(settleByWitness(before, [], by(0))).toMatchObject({
      cell: { state: 'final', reported: false, revision: 1, error: null, nextReadAtMs: null },
      facts: zeros,
    });
  });

  test('above 0 says so to a day that waited for it, and changes nothing else', () => {
    const nextReadAtMs = at('2026-11-23T00:00:00.000Z');
    const before = waiting('absent', { nextReadAtMs });
    const error = {
      code: 'contradicted',
      message: 'Losant left out numbers of the day, but its payload_sources add up to 3',
    };
    expect(settleByWitness(before, [], by(3))).toEqual({
      result: 'absent',
      cell: { ...before, error },
      facts: null,
      error,
    });
  });

  test('of 0 says nothing of a day that is absent for another reason', () => {
    const before = stored('absent', { revision: 0, error: { code: 'contradicted', message: 'x' } });
    expect(settleByWitness(before, [], by(0))).toBeNull();
  });
});

test('an answer with numbers needs no witness', () => {
  expect(settle(values(row(4, 5, 600)), { kind: 'unknown' })).toMatchObject({
    result: 'loaded',
    facts: [row(4, 5, 600)],
  });
});
