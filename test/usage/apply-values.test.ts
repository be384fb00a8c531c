/** What an answer with numbers does to a cell. */
import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { Cell } from '../../src/usage/cell.ts';
import type { Fact } from '../../src/usage/streams/stream.ts';
import { answer, at, FINAL, LAST, PAST, row, stored, values, YOUNG } from '../database/answers.ts';

const NOON_22 = at('2026-11-22T12:00:00.000Z');

/** A cell that the answer of noon has given its first number. */
const fresh: Cell = {
  standing: 'stored',
  isStored: true,
  isReported: true,
  omissions: 0,
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
const final: Cell = {
  ...fresh,
  standing: 'final',
  wasFinal: true,
  nextReadAtMs: at('2026-11-28T00:00:00.000Z'),
};

describe('a good answer', () => {
  test.each<[string, typeof YOUNG | typeof LAST, Cell]>([
    ['before the final age', YOUNG, fresh],
    ['at the final age', FINAL, final],
    ['at the last checkpoint', LAST, { ...final, nextReadAtMs: null }],
    ['past the horizon', PAST, { ...final, nextReadAtMs: null }],
  ])('%s fills an empty cell and says when it is read next', (_, age, cell) => {
    expect(apply(null, [], answer(values(row(4, 1, 17)), { age }))).toEqual({
      result: 'loaded',
      cell,
      facts: [row(4, 1, 17)],
      problem: null,
    });
  });

  test.each<Cell['standing']>(['missing', 'unavailable', 'accepted'])(
    'lifts a cell without a number that was %s, and clears its trouble',
    (standing) => {
      const trouble = { attempts: 3, reason: 'server_error', message: 'as it was' };
      const applied = apply(stored(standing, trouble), [], answer(values(row(4, 1, 17))));
      expect(applied.cell).toEqual(fresh);
      expect(applied.facts).toEqual([row(4, 1, 17)]);
    },
  );

  test.each<[string, Partial<Cell>]>([
    ['in doubt since it was left out', { standing: 'in_doubt', reason: 'left_out', attempts: 2 }],
    ['in doubt since it was changed by hand', { standing: 'in_doubt', reason: 'changed_by_hand' }],
    ['accepted as it stands', { standing: 'accepted', isStored: true, revision: 1, reason: 'waived' }],
  ])('that names the number again settles one that is %s', (_, changes) => {
    const before = stored('stored', { message: 'why', ...changes });
    expect(apply(before, [row(4, 1, 17)], answer(values(row(4, 1, 17))))).toEqual({
      result: 'unchanged',
      cell: fresh,
      facts: null,
      problem: null,
    });
  });

  test('that is equal changes no row and no revision, only when it was verified', () => {
    expect(apply(stored('stored'), [row(4, 1, 17)], answer(values(row(4, 1, 17))))).toEqual({
      result: 'unchanged',
      cell: fresh,
      facts: null,
      problem: null,
    });
  });

  test('that is equal at the final age makes the cell final', () => {
    const again = answer(values(row(4, 1, 17)), { age: FINAL });
    expect(apply(stored('stored'), [row(4, 1, 17)], again)).toMatchObject({ cell: final, facts: null });
  });

  test('that differs raises the revision', () => {
    expect(apply(stored('stored'), [row(4, 1, 17)], answer(values(row(5, 1, 18))))).toEqual({
      result: 'loaded',
      cell: { ...fresh, revision: 2 },
      facts: [row(5, 1, 18)],
      problem: null,
    });
  });

  test('that differs after the cell was final leaves it final', () => {
    const before = stored('final', { revision: 3 });
    const applied = apply(before, [row(4, 1, 17)], answer(values(row(0, 0, 17))));
    expect(applied.cell).toEqual({ ...fresh, standing: 'final', wasFinal: true, revision: 4 });
    expect(applied.facts).toEqual([row(0, 0, 17)]);
  });

  test('names zeros that stood for a day that was left out: the same numbers, reported now', () => {
    const before = stored('stored', { isReported: false, omissions: 2 });
    const zeros = answer(values(row(0, 0, 0, 0, 0)), { stream: 'notebook_minutes' });
    expect(apply(before, [row(0, 0, 0, 0, 0)], zeros)).toEqual({
      result: 'unchanged',
      cell: fresh,
      facts: null,
      problem: null,
    });
  });
});

describe('a set of rows is compared by key, whatever its order', () => {
  const a: Fact = { key: ['timer', 'timer.flow'], values: [1] };
  const b: Fact = { key: ['webhook', 'public.rest'], values: [2] };
  const load = (numbers: readonly Fact[], facts: readonly Fact[]) =>
    apply(stored('stored'), numbers, answer(values(...facts), { stream: 'payload_sources' }));

  test.each<[string, readonly Fact[], readonly Fact[], boolean]>([
    ['the same rows', [a, b], [a, b], true],
    ['the same rows in another order', [a, b], [b, a], true],
    ['another count', [a, b], [a, { ...b, values: [3] }], false],
    ['one row more', [a], [a, b], false],
    ['one row less', [a, b], [a], false],
    ['another key', [a], [b], false],
    [
      'keys that join alike',
      [{ key: ['a', 'b.c'], values: [1] }],
      [{ key: ['a.b', 'c'], values: [1] }],
      false,
    ],
  ])('%s', (_, numbers, facts, isEqual) => {
    expect(load(numbers, facts).result).toBe(isEqual ? 'unchanged' : 'loaded');
    expect(load(numbers, facts).cell?.revision).toBe(isEqual ? 1 : 2);
  });
});

describe('past the horizon', () => {
  test.each<Cell['standing']>(['stored', 'final', 'in_doubt'])(
    'a cell that is %s takes no other number, keeps its standing and is not read again',
    (standing) => {
      const before = stored(standing, { nextReadAtMs: NOON_22 });
      const other = answer(values(row(0, 0, 0)), { age: PAST });
      expect(apply(before, [row(4, 1, 17)], other)).toEqual({
        result: 'unchanged',
        cell: { ...before, nextReadAtMs: null },
        facts: null,
        problem: null,
      });
    },
  );

  test('what is unavailable is filled by a number that is named', () => {
    const before = stored('unavailable', { verifiedAtMs: null, reason: 'past_horizon' });
    expect(apply(before, [], answer(values(row(4, 1, 17)), { age: PAST }))).toMatchObject({
      result: 'loaded',
      cell: { standing: 'final', isReported: true, revision: 1, reason: null },
    });
  });
});
