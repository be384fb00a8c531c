/** The comparison of numbers. */
import { describe, expect, test } from 'vitest';
import { findDifferences, hasNonzero, type Numbers } from '../../src/usage/numbers.ts';
import { hours, totals } from './cells.ts';

/** Returns sources under keys that have a meaning in JavaScript. */
const hostile = (count: number): Numbers => ({
  payload_source_count: count,
  payload_sources: JSON.parse(`{"__proto__": {"constructor": ${count}}, "toString": {"__proto__": 1}}`),
});

test.each<[string, Numbers, boolean]>([
  ['zeros', totals(0, 0, 0), false],
  ['one of three', totals(0, 0, 1), true],
  ['a source of zero', { payload_source_count: 0, payload_sources: { a: { b: 0 } } }, false],
  ['a source', { payload_source_count: 0, payload_sources: { a: { b: 0, c: 1 } } }, true],
  ['one hour', hours(0, 1, 0), true],
  ['a hostile key', hostile(1), true],
])('has a nonzero number: %s', (_, numbers, expected) => {
  expect(hasNonzero(numbers)).toBe(expected);
});

describe('the differences', () => {
  const hour5 = { ...hours(1, 2, 3), hours_all_count: hours(1, 9, 3)['hours_all_count'] ?? 0 };

  test.each<[string, Numbers, Numbers]>([
    ['columns', totals(1, 2, 3), totals(1, 2, 3)],
    ['columns in another order', { a: 1, b: 2 }, { b: 2, a: 1 }],
    ['hours', hours(1, 2, 3), hours(1, 2, 3)],
    ['hostile keys', hostile(2), hostile(2)],
    ['sources, of which one lists more zeros', { s: { a: { b: 1 } } }, { s: { a: { b: 1, c: 0 }, d: { e: 0 } } }],
  ])('of equal %s are null', (_, a, b) => {
    expect([findDifferences(a, b), findDifferences(b, a)]).toEqual([null, null]);
  });

  test.each<[string, Numbers, Numbers, object, object]>([
    ['columns', totals(1, 2, 3), totals(1, 5, 3), { payload_all_count: 2 }, { payload_all_count: 5 }],
    ['hours', hours(1, 2, 3), hour5, { hours_all_count: { 5: 2 } }, { hours_all_count: { 5: 9 } }],
    [
      'keys that join alike',
      { s: { a: { 'b.c': 1 } } },
      { s: { 'a.b': { c: 1 } } },
      { s: { a: { 'b.c': 1 }, 'a.b': { c: null } } },
      { s: { a: { 'b.c': null }, 'a.b': { c: 1 } } },
    ],
    [
      'hostile keys',
      hostile(2),
      hostile(3),
      { payload_source_count: 2, payload_sources: JSON.parse('{"__proto__":{"constructor":2}}') },
      { payload_source_count: 3, payload_sources: JSON.parse('{"__proto__":{"constructor":3}}') },
    ],
  ])('of %s', (_, old, ...[next, expectedOld, expectedNew]) => {
    expect(findDifferences(old, next)).toEqual({ old: expectedOld, new: expectedNew });
    expect(findDifferences(next, old)).toEqual({ old: expectedNew, new: expectedOld });
  });
});
