import { expect, test } from 'vitest';
import {
  countGaps,
  isGap,
  isSettled,
  type Standing,
  standings,
  sumStandings,
  worstOf,
  worstStanding,
} from '../../src/usage/standing.ts';

test('standings are listed from best to worst', () => {
  expect(standings).toEqual(['final', 'accepted', 'stored', 'waiting', 'unavailable', 'in_doubt', 'missing']);
});

test.each<[Standing, boolean, boolean]>([
  ['final', false, true],
  ['accepted', false, true],
  ['stored', false, false],
  ['waiting', false, false],
  ['unavailable', false, false],
  ['in_doubt', true, false],
  ['missing', true, false],
])('%s: a gap %s, settled %s', (standing, gap, settled) => {
  expect(isGap(standing)).toBe(gap);
  expect(isSettled(standing)).toBe(settled);
});

test.each<[Standing[], Standing | null]>([
  [[], null],
  [['final'], 'final'],
  [['final', 'accepted'], 'accepted'],
  [['stored', 'final', 'waiting'], 'waiting'],
  [['in_doubt', 'unavailable'], 'in_doubt'],
  [['missing', 'in_doubt', 'final'], 'missing'],
])('the standing of %j is that of the worst: %s', (several, worst) => {
  expect(worstStanding(several)).toBe(worst);
});

test('counts of cells are added up by standing, with gaps and the worst of them', () => {
  const sums = sumStandings([{ final: 2, missing: 1 }, { final: 1, in_doubt: 3 }, {}]);
  expect(sums).toEqual({
    final: 3,
    accepted: 0,
    stored: 0,
    waiting: 0,
    unavailable: 0,
    in_doubt: 3,
    missing: 1,
  });
  expect(countGaps(sums)).toBe(4);
  expect(worstOf(sums)).toBe('missing');
  expect(worstOf({ final: 0 })).toBeNull();
});
