/** Zeros that Losant did not name, and what the other stream of payloads says about them. */
import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { Cell, CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import { applyCrossCheck, type CrossCheck } from '../../src/usage/cross-check.ts';
import type { CrossCheckRule, Fact } from '../../src/usage/streams/stream.ts';
import {
  answer,
  at,
  FINAL,
  failed,
  LAST,
  missing,
  PAST,
  row,
  stored,
  values,
  YOUNG,
} from '../database/answers.ts';

const applyTotals = (outcome: CellOutcome, crossCheck: CrossCheck, age: CellAnswer['age'] = YOUNG) =>
  apply(null, [], answer(outcome, { stream: 'payload_totals', age }), crossCheck);
const BY_SOURCES: CrossCheckRule = {
  ...{ stream: 'payload_sources', column: 'count', weight: 'required' },
  columns: ['all_count', 'all_bytes'],
};
const BY_TOTALS: CrossCheckRule = {
  ...{ stream: 'payload_totals', column: 'all_count', weight: 'confirms' },
  columns: [],
};
const counted = (count: number): CrossCheck => ({ kind: 'counted', by: BY_SOURCES, count });
const unknown: CrossCheck = { kind: 'unknown', by: BY_SOURCES };
const none: CrossCheck = { kind: 'none' };
const lacking = (facts: Fact, ...missingColumns: string[]): CellOutcome => ({
  kind: 'values',
  facts: [facts],
  missingColumns,
});

describe('totals of a day that Losant left out, of which nothing is stored', () => {
  test.each<[string, CrossCheck, CellAnswer['age'], Cell['standing'], number]>([
    ['the sources are stored and empty, young', counted(0), YOUNG, 'stored', 3],
    ['the sources are stored and empty, at the final age', counted(0), FINAL, 'final', 3],
    ['the sources are not collected', none, FINAL, 'stored', 1],
  ])('are zero where %s', (_, crossCheck, age, ...[standing, omissions]) => {
    expect(applyTotals(missing, crossCheck, age)).toMatchObject({
      result: 'loaded',
      cell: { standing, omissions, isReported: false, revision: 1 },
      facts: [row(0, 0, 0)],
    });
  });

  test.each<[string, CellAnswer['age'], string, string]>([
    ['before the last checkpoint', YOUNG, 'left_out', 'missing'],
    ['at the last checkpoint', LAST, 'unavailable', 'unavailable'],
  ])('are missing beside a source count above 0, and say so: %s', (_, age, result, standing) => {
    expect(applyTotals(missing, counted(8_259_025), age)).toMatchObject({
      result,
      cell: { standing, reason: 'contradicted', revision: 0, nextReadAtMs: age.nextCheckpointMs },
      facts: null,
      problem: {
        code: 'contradicted',
        message: 'Losant left out numbers of the day, but its payload_sources add up to 8259025',
      },
    });
  });

  test('are missing until their sources are stored', () => {
    expect(applyTotals(missing, unknown)).toMatchObject({
      result: 'left_out',
      cell: { standing: 'missing', reason: 'unconfirmed' },
      facts: null,
    });
  });
});

describe('a day of which some totals were left out', () => {
  test.each<[string, CrossCheck]>([
    ['count as many', counted(21)],
    ['are empty', counted(0)],
    ['are not stored', unknown],
    ['are not collected', none],
  ])(
    'has no billable payloads where only they are lacking, and is not sure of it: its sources %s',
    (_, crossCheck) => {
      expect(applyTotals(lacking(row(0, 21, 900), 'billable_count'), crossCheck, FINAL)).toMatchObject({
        result: 'loaded',
        cell: { standing: 'stored', omissions: 1, isReported: false },
        facts: [row(0, 21, 900)],
      });
    },
  );

  test.each([
    [lacking(row(5, 0, 900), 'all_count')],
    [lacking(row(5, 21, 0), 'all_bytes')],
    [lacking(row(5, 0, 0), 'all_count', 'all_bytes')],
  ])('is missing where another number of the day contradicts the zero', (outcome) => {
    expect(applyTotals(outcome, counted(0))).toMatchObject({
      result: 'left_out',
      cell: { standing: 'missing', reason: 'contradicted' },
      facts: null,
    });
  });

  test.each<[CrossCheck, string, string | null]>([
    [counted(3), 'left_out', 'contradicted'],
    [counted(0), 'loaded', null],
  ])('that names only zeros hangs on its sources: %j', (crossCheck, result, reason) => {
    expect(applyTotals(lacking(row(0, 0, 0), 'billable_count'), crossCheck)).toMatchObject({
      result,
      cell: { reason },
    });
  });

  test('that names only zeros waits for its sources', () => {
    expect(applyTotals(lacking(row(0, 0, 0), 'all_count'), unknown)).toMatchObject({
      result: 'left_out',
      cell: { standing: 'missing', reason: 'unconfirmed' },
    });
  });

  test.each<[string, CellOutcome, CrossCheck, Fact, string, string | null]>([
    [
      'beside other numbers',
      lacking(row(5, 0, 900), 'all_count'),
      counted(5),
      row(0, 0, 0),
      'in_doubt',
      'contradicted',
    ],
    [
      'beside sources that count something',
      lacking(row(0, 0, 0), 'all_count'),
      counted(5),
      row(0, 0, 0),
      'in_doubt',
      'contradicted',
    ],
    [
      'that is stored with a number',
      lacking(row(0, 0, 0), 'all_count'),
      counted(0),
      row(0, 5, 0),
      'in_doubt',
      'left_out',
    ],
    [
      'beside zeros, with nothing against it',
      lacking(row(0, 0, 0), 'all_count'),
      unknown,
      row(0, 0, 0),
      'stored',
      null,
    ],
  ])(
    'keeps what is stored, in doubt where something speaks against it: %s',
    (_, outcome, ...[check, number, standing, reason]) => {
      const partial = answer(outcome, { stream: 'payload_totals' });
      expect(apply(stored('stored'), [number], partial, check)).toMatchObject({
        result: standing === 'stored' ? 'unchanged' : 'failed',
        cell: { standing, reason },
        facts: null,
      });
    },
  );
});

describe('zeros that nobody named, and a new answer beside sources that count something', () => {
  const zeros = stored('stored', { isReported: false, omissions: 3 });
  test.each([
    ['leaves the day out again', missing],
    ['fails', failed],
    ['is older', missing],
  ])('are taken back where it %s, and read again by the next wake-up', (what, outcome) => {
    const sentAtMs = at(what === 'is older' ? '2026-11-21T11:59:59.999Z' : '2026-11-22T12:01:02.000Z');
    const again = answer(outcome, { stream: 'payload_totals', sentAtMs });
    const wakeUp = at(what === 'is older' ? '2026-11-21T11:55:00.000Z' : '2026-11-22T12:00:00.000Z');
    expect(apply(zeros, [row(0, 0, 0)], again, counted(3))).toMatchObject({
      result: 'left_out',
      cell: {
        standing: 'missing',
        isStored: false,
        omissions: 0,
        revision: 2,
        reason: 'contradicted',
        nextReadAtMs: wakeUp,
      },
      facts: [],
    });
  });

  test('stay where Losant names them', () => {
    const named = answer(values(row(0, 0, 0)), { stream: 'payload_totals' });
    expect(apply(zeros, [row(0, 0, 0)], named, counted(3))).toMatchObject({
      result: 'unchanged',
      cell: { standing: 'stored', isReported: true, revision: 1 },
    });
  });

  test('stay past the horizon, where no stored cell changes', () => {
    const past = answer(missing, { stream: 'payload_totals', age: PAST });
    expect(apply(zeros, [row(0, 0, 0)], past, counted(3))).toMatchObject({
      result: 'unchanged',
      facts: null,
    });
  });

  test('stay where a person accepted them', () => {
    const accepted = stored('accepted', { isStored: true, revision: 1, reason: 'waived' });
    const again = answer(missing, { stream: 'payload_totals' });
    expect(apply(accepted, [row(0, 0, 0)], again, counted(3))).toMatchObject({
      result: 'unchanged',
      cell: { standing: 'accepted' },
      facts: null,
    });
  });
});

describe('a count that comes later', () => {
  const zeros = [row(0, 0, 0)];
  const by = (count: number, age: CellAnswer['age'] = YOUNG) => ({
    stream: 'payload_totals',
    by: BY_SOURCES,
    count,
    age,
    sentAtMs: at('2026-11-22T12:03:04.000Z'),
  });
  const waiting = (standing: 'missing' | 'unavailable', changes: Partial<Cell> = {}) =>
    stored(standing, { reason: 'unconfirmed', message: 'x', ...changes });

  test('above 0 takes zeros back that nobody named, final ones too, and has the cell read again', () => {
    const before = stored('final', { isReported: false, omissions: 3 });
    expect(applyCrossCheck(before, zeros, by(3))).toMatchObject({
      cell: {
        standing: 'missing',
        isStored: false,
        revision: 2,
        wasFinal: true,
        nextReadAtMs: at('2026-11-22T12:00:00.000Z'),
        reason: 'contradicted',
      },
      facts: [],
    });
  });

  test.each<[string, Cell, Fact[]]>([
    ['zeros that Losant named', stored('stored'), zeros],
    ['numbers', stored('stored', { isReported: false }), [row(0, 3, 90)]],
    [
      'what a person accepted',
      stored('accepted', { isStored: true, isReported: false, reason: 'waived' }),
      zeros,
    ],
    ['a day that is missing for another reason', stored('missing', { reason: 'contradicted' }), []],
  ])('leaves %s alone', (_, cell, numbers) => {
    expect(applyCrossCheck(cell, numbers, by(3))).toBeNull();
    expect(applyCrossCheck(cell, numbers, by(0))).toBeNull();
  });

  test('leaves everything alone past the horizon', () => {
    expect(applyCrossCheck(stored('stored', { isReported: false }), zeros, by(3, PAST))).toBeNull();
    expect(applyCrossCheck(waiting('unavailable'), [], by(0, PAST))).toBeNull();
  });

  test.each<[string, string, Cell['standing']]>([
    ['before the final age', '2026-11-23T23:59:59.999Z', 'stored'],
    ['at the final age', '2026-11-24T00:00:00.000Z', 'final'],
  ])(
    'of 0 makes zeros of a day that waited for it, read %s, with its next read as it was',
    (_, read, standing) => {
      const nextReadAtMs = at('2026-11-28T00:00:00.000Z');
      const before = waiting('missing', { verifiedAtMs: at(read), nextReadAtMs });
      expect(applyCrossCheck(before, [], by(0))).toMatchObject({
        result: 'loaded',
        cell: { standing, isReported: false, omissions: 3, revision: 1, reason: null, nextReadAtMs },
        facts: zeros,
      });
    },
  );

  test('of 0 makes zeros of a day that waited for it at its last checkpoint', () => {
    const before = waiting('unavailable', { verifiedAtMs: at('2026-12-21T00:00:00.000Z') });
    expect(applyCrossCheck(before, [], by(0))).toMatchObject({
      cell: { standing: 'final', isReported: false, revision: 1, reason: null, nextReadAtMs: null },
      facts: zeros,
    });
  });

  test.each<['missing' | 'unavailable', string]>([
    ['missing', 'left_out'],
    ['unavailable', 'unavailable'],
  ])(
    'above 0 says so to a day that waited for it and is %s, and changes nothing else',
    (standing, result) => {
      const before = waiting(standing, { nextReadAtMs: at('2026-11-23T00:00:00.000Z') });
      const message = 'Losant left out numbers of the day, but its payload_sources add up to 3';
      expect(applyCrossCheck(before, [], by(3))).toEqual({
        result,
        cell: { ...before, reason: 'contradicted', message },
        facts: null,
        problem: { code: 'contradicted', message },
      });
    },
  );

  test.each<[string, string, CrossCheckRule, Fact[], string, Cell['standing']]>([
    ['totals, young', 'payload_totals', BY_SOURCES, zeros, '2026-11-21T12:00:00.000Z', 'stored'],
    ['totals of the final age', 'payload_totals', BY_SOURCES, zeros, '2026-11-24T12:00:00.000Z', 'final'],
    ['sources of the final age', 'payload_sources', BY_TOTALS, [], '2026-11-24T12:00:00.000Z', 'final'],
  ])('of 0 confirms zeros that nobody named: %s', (_, stream, ...[rule, numbers, read, standing]) => {
    const before = stored('stored', { isReported: false, omissions: 1, verifiedAtMs: at(read) });
    expect(applyCrossCheck(before, numbers, { ...by(0), stream, by: rule })).toMatchObject({
      result: 'unchanged',
      cell: { standing, omissions: 3, isReported: false, revision: 1 },
      facts: null,
    });
  });

  test('of all payloads takes no empty sources back: they count another way', () => {
    const before = stored('stored', { isReported: false, omissions: 1 });
    expect(applyCrossCheck(before, [], { ...by(3), stream: 'payload_sources', by: BY_TOTALS })).toBeNull();
  });
});

test('an answer with numbers needs no cross-check', () => {
  expect(applyTotals(values(row(4, 5, 600)), unknown)).toMatchObject({
    result: 'loaded',
    facts: [row(4, 5, 600)],
  });
});
