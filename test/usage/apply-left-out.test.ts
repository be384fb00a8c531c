/** What an answer does to a cell when it leaves out its day, or a part of it. */
import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { Cell, CellAnswer, CellOutcome } from '../../src/usage/cell.ts';
import type { Fact } from '../../src/usage/streams/stream.ts';
import { answer, at, FINAL, LAST, missing, PAST, row, stored, values, YOUNG } from '../database/answers.ts';

const NOON_21 = at('2026-11-21T12:00:00.000Z');
const NOON_22 = at('2026-11-22T12:00:00.000Z');
const HOUR_MS = 3_600_000;

/** Zeros that stand for a day that the answer of noon left out. */
const zeroCell: Cell = {
  standing: 'stored',
  isStored: true,
  isReported: false,
  omissions: 1,
  revision: 1,
  verifiedAtMs: NOON_22,
  attemptedAtMs: NOON_22,
  attempts: 0,
  nextReadAtMs: at('2026-11-23T00:00:00.000Z'),
  wasFinal: false,
  reason: null,
  message: null,
  sha256: 'a'.repeat(64),
};
const kept = { result: 'unchanged', facts: null, problem: null };
const applyMissing = (before: Cell | null, numbers: readonly Fact[], changes: Partial<CellAnswer> = {}) =>
  apply(before, numbers, answer(missing, changes));

describe('a day that is left out while nothing is stored', () => {
  test('means zeros for a count of events, which Losant has not named', () => {
    expect(applyMissing(null, [], { stream: 'notebook_minutes' })).toEqual({
      result: 'loaded',
      cell: zeroCell,
      facts: [row(0, 0, 0, 0, 0)],
      problem: null,
    });
  });

  test('means no row where rows have further keys', () => {
    expect(applyMissing(null, [], { stream: 'payload_sources' })).toEqual({
      result: 'loaded',
      cell: zeroCell,
      facts: [],
      problem: null,
    });
  });

  test('is not reported, also where a number was that somebody has removed', () => {
    const removed = stored('missing', { isReported: true, revision: 2, verifiedAtMs: null });
    expect(applyMissing(removed, [], { stream: 'payload_sources' })).toMatchObject({
      result: 'loaded',
      cell: { standing: 'stored', isReported: false, revision: 3 },
      facts: [],
    });
  });

  test('is missing for a level, and not zero', () => {
    const problem = { code: 'left_out', message: 'Losant has no number for this day' };
    expect(applyMissing(null, [])).toEqual({
      result: 'left_out',
      cell: {
        ...zeroCell,
        standing: 'missing',
        isStored: false,
        omissions: 0,
        revision: 0,
        reason: 'left_out',
        message: problem.message,
      },
      facts: null,
      problem,
    });
  });

  test.each<[string, CellAnswer['age'], string, string, string, string | null]>([
    ['before the final age', YOUNG, 'left_out', 'missing', 'left_out', '2026-11-23T00:00:00.000Z'],
    ['at the final age', FINAL, 'left_out', 'missing', 'left_out', '2026-11-28T00:00:00.000Z'],
    ['at the last checkpoint', LAST, 'unavailable', 'unavailable', 'left_out', null],
    ['past the horizon', PAST, 'unavailable', 'unavailable', 'past_horizon', null],
  ])('ends for a level, %s, as it must', (_, age, ...[result, standing, reason, next]) => {
    const nextReadAtMs = next === null ? null : at(next);
    expect(applyMissing(null, [], { age })).toMatchObject({
      result,
      cell: { standing, reason, nextReadAtMs },
      facts: null,
    });
  });

  test('is filled with no zeros past the horizon', () => {
    expect(applyMissing(null, [], { stream: 'notebook_minutes', age: PAST })).toMatchObject({
      result: 'unavailable',
      cell: { standing: 'unavailable', revision: 0, reason: 'past_horizon' },
      facts: null,
    });
  });

  test('leaves an accepted level accepted', () => {
    expect(applyMissing(stored('accepted'), [])).toMatchObject({ result: 'left_out', cell: null });
  });

  test('leaves what was given up given up', () => {
    expect(applyMissing(stored('unavailable'), []).cell?.standing).toBe('unavailable');
  });
});

describe('a day that is left out while a number is stored', () => {
  const cases: [string, string, Fact[], Fact[]][] = [
    ['a level', answer(missing).stream, [row(0, 0, 17)], [row(0, 0, 0)]],
    ['a count of events', 'notebook_minutes', [row(0, 0, 0, 1, 0)], [row(0, 0, 0, 0, 0)]],
    [
      'a set of rows',
      'payload_sources',
      [{ key: ['a', 'b'], values: [1] }],
      [{ key: ['a', 'b'], values: [0] }],
    ],
  ];

  test.each(cases)('never replaces a number of %s at any age: it is in doubt', (_, stream, numbers) => {
    for (const age of [YOUNG, FINAL, LAST]) {
      for (const standing of ['stored', 'final', 'in_doubt'] as const) {
        const applied = applyMissing(stored(standing), numbers, { stream, age });
        expect(applied).toMatchObject({ result: 'failed', facts: null, problem: { code: 'left_out' } });
        expect(applied.cell).toMatchObject({
          standing: 'in_doubt',
          isReported: true,
          revision: 1,
          verifiedAtMs: NOON_21,
          attemptedAtMs: NOON_22,
          attempts: 1,
          nextReadAtMs: at('2026-11-22T14:00:00.000Z'),
          wasFinal: standing === 'final',
          reason: 'left_out',
        });
      }
    }
  });

  test('puts the number in doubt also where a later read has failed meanwhile', () => {
    const failing = { attemptedAtMs: NOON_22 + HOUR_MS, attempts: 1, reason: 'server_error', message: 'x' };
    expect(applyMissing(stored('stored', failing), [row(0, 0, 17)]).cell).toMatchObject({
      standing: 'in_doubt',
      reason: 'left_out',
      attemptedAtMs: NOON_22 + HOUR_MS,
    });
  });

  test.each(cases)('agrees with zeros of %s that Losant has named', (_, stream, __, zeros) => {
    expect(applyMissing(stored('stored'), zeros, { stream, age: FINAL })).toMatchObject({
      ...kept,
      cell: { standing: 'final', isReported: true, omissions: 0, verifiedAtMs: NOON_22 },
    });
  });

  test.each(['stored', 'final', 'in_doubt'] as const)('changes nothing past the horizon: %s', (standing) => {
    for (const numbers of [[row(4, 1, 17)], [row(0, 0, 0)]]) {
      const before = stored(standing, { nextReadAtMs: NOON_22 });
      expect(applyMissing(before, numbers, { age: PAST })).toEqual({
        ...kept,
        cell: { ...before, nextReadAtMs: null },
      });
    }
  });

  test.each([
    ['a number', [row(4, 1, 17)]],
    ['a zero', [row(0, 0, 0)]],
  ])('leaves %s alone that a person accepted, and reads it at its next checkpoint', (_, numbers) => {
    const before = stored('accepted', {
      isStored: true,
      revision: 1,
      reason: 'waived',
      nextReadAtMs: NOON_22,
    });
    expect(applyMissing(before, numbers)).toEqual({
      ...kept,
      cell: { ...before, nextReadAtMs: at('2026-11-23T00:00:00.000Z') },
    });
  });

  test('leaves one that was accepted and is not asked for any more as it is', () => {
    const before = stored('accepted', { isStored: true, revision: 1, reason: 'waived', nextReadAtMs: null });
    expect(applyMissing(before, [row(4, 1, 17)])).toEqual({ ...kept, cell: before });
  });
});

describe('a zero that Losant never named is final only after three answers, an hour apart, have left it out', () => {
  const zeros = row(0, 0, 0, 0, 0);
  const leftOut: CellOutcome = missing;
  const noBillable: CellOutcome = {
    kind: 'values',
    facts: [row(0, 21, 900)],
    missingColumns: ['billable_count'],
  };

  /** Reads on 2026-11-28, when the day has long been of the final age, at these minutes after midnight. */
  function readAt(minutes: readonly number[], stream: string, outcome: CellOutcome, age: CellAnswer['age']) {
    const midnight = at('2026-11-28T00:00:00.000Z');
    let cell: Cell | null = null;
    let numbers: readonly Fact[] = [];
    for (const minute of minutes) {
      const sentAtMs = midnight + minute * 60_000;
      const applied = apply(cell, numbers, answer(outcome, { stream, sentAtMs, age }));
      cell = applied.cell ?? cell;
      numbers = applied.facts ?? numbers;
    }
    return { cell, numbers };
  }

  test.each<[string, number[], Cell['standing'], number, string | null]>([
    ['one', [0], 'stored', 1, '2026-11-28T01:00:00.000Z'],
    ['two an hour apart', [0, 60], 'stored', 2, '2026-11-28T02:00:00.000Z'],
    ['two less than an hour apart', [0, 59], 'stored', 1, '2026-11-28T01:59:00.000Z'],
    ['three, of which two are close', [0, 60, 90], 'stored', 2, '2026-11-28T02:30:00.000Z'],
    ['three an hour apart', [0, 60, 120], 'final', 3, null],
    ['three days apart', [0, 1440, 2880], 'final', 3, null],
  ])('%s', (_, minutes, ...[standing, omissions, next]) => {
    const { cell, numbers } = readAt(minutes, 'notebook_minutes', leftOut, LAST);
    expect(numbers).toEqual([zeros]);
    expect(cell).toMatchObject({ standing, omissions, isReported: false, revision: 1 });
    expect(cell?.nextReadAtMs).toBe(next === null ? null : at(next));
  });

  test.each<[string, string, CellOutcome, Fact[]]>([
    ['notebook minutes', 'notebook_minutes', leftOut, [zeros]],
    ['billable payloads beside others', 'payload_totals', noBillable, [row(0, 21, 900)]],
    ['payloads of which only the totals are collected', 'payload_totals', leftOut, [row(0, 0, 0)]],
    ['payloads of which only the sources are collected', 'payload_sources', leftOut, []],
  ])('%s', (_, stream, outcome, numbers) => {
    expect(readAt([0, 60], stream, outcome, LAST).cell?.standing).toBe('stored');
    expect(readAt([0, 60, 120], stream, outcome, LAST)).toMatchObject({
      cell: { standing: 'final', isReported: false },
      numbers,
    });
  });

  test('reads before the final age count, and only the age decides then', () => {
    expect(
      readAt([0, 60, 120], 'notebook_minutes', leftOut, {
        ...YOUNG,
        finalFromMs: at('2026-11-29T00:00:00.000Z'),
      }),
    ).toMatchObject({
      cell: { standing: 'stored', omissions: 3 },
    });
  });

  test('a number that is named meanwhile begins the count anew', () => {
    const named = apply(
      stored('stored', { isReported: false, omissions: 2 }),
      [zeros],
      answer(values(row(0, 1, 0, 0, 0)), { stream: 'notebook_minutes' }),
    );
    expect(named.cell).toMatchObject({ isReported: true, omissions: 0 });
  });

  test('one that stands for a number which was changed by hand begins with one', () => {
    const before = stored('in_doubt', { isReported: false, reason: 'changed_by_hand', wasFinal: true });
    expect(applyMissing(before, [zeros], { stream: 'notebook_minutes' }).cell).toMatchObject({
      standing: 'stored',
      omissions: 1,
      isReported: false,
    });
  });
});

describe('a day of which some of the three totals are left out', () => {
  const partial = (facts: readonly Fact[], ...missingColumns: readonly string[]): CellOutcome => ({
    kind: 'values',
    facts,
    missingColumns,
  });
  const applyTotals = (
    before: Cell | null,
    numbers: readonly Fact[],
    ...[outcome, age = YOUNG]: [CellOutcome, CellAnswer['age']?]
  ) => apply(before, numbers, answer(outcome, { stream: 'payload_totals', age }));

  test('reads zero there when nothing is stored, and is not called reported', () => {
    expect(applyTotals(null, [], partial([row(0, 21, 900)], 'billable_count'))).toEqual({
      result: 'loaded',
      cell: zeroCell,
      facts: [row(0, 21, 900)],
      problem: null,
    });
  });

  test('is not called reported either where a number was that somebody has removed', () => {
    const removed = stored('missing', { isReported: true, revision: 2, verifiedAtMs: null });
    expect(applyTotals(removed, [], partial([row(0, 21, 900)], 'billable_count')).cell).toMatchObject({
      standing: 'stored',
      isReported: false,
      revision: 3,
    });
  });

  test('changes nothing when a number other than zero is stored there, and names the column', () => {
    const applied = applyTotals(
      stored('stored'),
      [row(17, 21, 900)],
      partial([row(0, 22, 950)], 'billable_count'),
    );
    expect(applied).toMatchObject({
      result: 'failed',
      facts: null,
      cell: { standing: 'in_doubt', revision: 1, attempts: 1, reason: 'left_out' },
    });
    expect(applied.problem?.message).toContain('billable_count');
  });

  test('is taken when zero is stored there', () => {
    const applied = applyTotals(
      stored('stored'),
      [row(0, 21, 900)],
      partial([row(0, 22, 950)], 'billable_count'),
    );
    expect(applied).toMatchObject({ result: 'loaded', cell: { isReported: true, revision: 2 } });
    expect(applied.facts).toEqual([row(0, 22, 950)]);
  });

  test.each<[string, Fact, Partial<Cell>, string]>([
    ['as it stands, where the number is left out', row(17, 21, 900), { isReported: true }, 'unchanged'],
    ['as zero, where the others are equal', row(0, 21, 900), { isReported: false }, 'unchanged'],
    ['as zero, where the others differ: it is lifted', row(0, 22, 950), { isReported: false }, 'loaded'],
  ])('leaves what was accepted %s', (_, number, changes, result) => {
    const before = stored('accepted', { isStored: true, revision: 1, nextReadAtMs: NOON_22, ...changes });
    const applied = applyTotals(before, [number], partial([row(0, 21, 900)], 'billable_count'));
    expect(applied.result).toBe(result);
    expect(applied.cell?.standing).toBe(result === 'unchanged' ? 'accepted' : 'stored');
  });

  test('past the horizon does not fill an empty cell', () => {
    expect(applyTotals(null, [], partial([row(0, 21, 900)], 'billable_count'), PAST)).toMatchObject({
      result: 'unavailable',
      facts: null,
      cell: { standing: 'unavailable', reason: 'past_horizon' },
    });
  });
});
