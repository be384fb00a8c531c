import { expect, test } from 'vitest';
import { findWorstStanding, isGap, isSettled, standings, sumStandings } from '../../src/usage/standing.ts';

test('standings are listed from best to worst; two are gaps, and two are settled', () => {
  expect(standings).toEqual(['final', 'waived', 'stored', 'waiting', 'unavailable', 'in_doubt', 'missing']);
  expect(standings.filter(isSettled)).toEqual(['final', 'waived']);
  expect(standings.filter(isGap)).toEqual(['in_doubt', 'missing']);
});

test('counts add up by standing, and the worst standing counts for all', () => {
  const sums = sumStandings([{ final: 2, missing: 1 }, { final: 1, in_doubt: 3 }, {}]);
  const zeros = { waived: 0, stored: 0, waiting: 0, unavailable: 0 };
  expect(sums).toEqual({ ...zeros, final: 3, in_doubt: 3, missing: 1 });
  expect([findWorstStanding(['stored', 'final', 'waiting']), findWorstStanding([])]).toEqual(['waiting', null]);
});
