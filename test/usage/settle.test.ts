import { describe, expect, test } from 'vitest';
import { apply } from '../../src/usage/apply.ts';
import type { StoredCell } from '../../src/usage/cell.ts';
import { notebookMinutes } from '../../src/usage/streams/notebook-minutes.ts';
import { payloadSources } from '../../src/usage/streams/payload-sources.ts';
import type { Fact } from '../../src/usage/streams/stream.ts';
import { answer, at, FINAL, LAST, PAST, row, stored, values, YOUNG } from '../database/answers.ts';

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

describe('a good answer', () => {
  test.each([
    ['young', YOUNG, 'loaded', '2026-11-23T00:00:00.000Z'],
    ['at the final age', FINAL, 'final', '2026-11-28T00:00:00.000Z'],
    ['at the last checkpoint', LAST, 'final', null],
    ['past the horizon', PAST, 'final', null],
  ])('fills an empty cell (%s) and says when it is read next', (_, age, state, nextReadAt) => {
    expect(apply(null, [], answer(values(row(4, 1, 17)), { age }))).toEqual({
      result: 'loaded',
      cell: { ...fresh, state, nextReadAtMs: nextReadAt === null ? null : at(nextReadAt) },
      facts: [row(4, 1, 17)],
      error: null,
    });
  });

  test.each<[StoredCell['state']]>([['absent'], ['quarantined'], ['failed'], ['unavailable'], ['waived']])(
    'lifts a cell that was %s, and clears its trouble',
    (state) => {
      const before = stored(state, {
        revision: 0,
        attempts: 3,
        nextReadAtMs: at('2026-11-23T00:00:00.000Z'),
        error: { code: state, message: 'as it was' },
      });
      const settlement = apply(before, [], answer(values(row(4, 1, 17))));
      expect(settlement.cell).toEqual({ ...fresh, state: 'loaded' });
      expect(settlement.facts).toEqual([row(4, 1, 17)]);
    },
  );

  test('that is equal changes no row and no revision, only when it was verified', () => {
    expect(apply(stored('loaded'), [row(4, 1, 17)], answer(values(row(4, 1, 17))))).toEqual({
      result: 'unchanged',
      cell: { ...fresh, state: 'loaded' },
      facts: null,
      error: null,
    });
  });

  test('that is equal at the final age makes the cell final', () => {
    const settlement = apply(
      stored('loaded'),
      [row(4, 1, 17)],
      answer(values(row(4, 1, 17)), { age: FINAL }),
    );
    expect(settlement.cell?.state).toBe('final');
    expect(settlement.facts).toBeNull();
  });

  test('that differs raises the revision', () => {
    const settlement = apply(stored('loaded'), [row(4, 1, 17)], answer(values(row(5, 1, 18))));
    expect(settlement).toEqual({
      result: 'loaded',
      cell: { ...fresh, state: 'loaded', revision: 2 },
      facts: [row(5, 1, 18)],
      error: null,
    });
  });

  test('that differs after the cell was final leaves it final', () => {
    const settlement = apply(
      stored('final', { revision: 3 }),
      [row(4, 1, 17)],
      answer(values(row(0, 0, 17))),
    );
    expect(settlement.cell).toEqual({ ...fresh, state: 'final', revision: 4 });
    expect(settlement.facts).toEqual([row(0, 0, 17)]);
  });

  test('names zeros that stood for a left-out day: same rows, now reported', () => {
    const before = stored('loaded', { reported: false });
    const zeros = answer(values(row(0, 0, 0, 0, 0)), { stream: notebookMinutes });
    expect(apply(before, [row(0, 0, 0, 0, 0)], zeros)).toEqual({
      result: 'unchanged',
      cell: { ...fresh, state: 'loaded' },
      facts: null,
      error: null,
    });
  });
});

describe('a set of rows is compared by key, whatever its order', () => {
  const a: Fact = { key: ['timer', 'timer.flow'], values: [1] };
  const b: Fact = { key: ['webhook', 'public.rest'], values: [2] };
  const settle = (held: readonly Fact[], facts: readonly Fact[]) =>
    apply(stored('loaded'), held, answer(values(...facts), { stream: payloadSources }));

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
  ])('%s', (_, held, facts, isEqual) => {
    expect(settle(held, facts).result).toBe(isEqual ? 'unchanged' : 'loaded');
    expect(settle(held, facts).cell?.revision).toBe(isEqual ? 1 : 2);
  });
});

describe('past the horizon', () => {
  test('a held cell takes no other number', () => {
    const other = answer(values(row(0, 0, 0)), { age: PAST });
    expect(apply(stored('loaded'), [row(4, 1, 17)], other)).toEqual({
      result: 'unchanged',
      cell: stored('loaded'),
      facts: null,
      error: null,
    });
  });

  test('what is unavailable is filled by a number that is named', () => {
    const before = stored('unavailable', { revision: 0, reported: false, verifiedAtMs: null });
    const settlement = apply(before, [], answer(values(row(4, 1, 17)), { age: PAST }));
    expect(settlement).toMatchObject({
      result: 'loaded',
      cell: { state: 'final', reported: true, revision: 1 },
    });
  });
});
