import { describe, expect, test } from 'vitest';
import {
  count,
  showDays,
  showDistance,
  showDuration,
  showInstant,
  showNumber,
  showWhen,
} from '../../src/terminal/words.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const NOW = Date.UTC(2026, 10, 24, 22, 57);

test.each([
  [400, '0.4 s'],
  [9_999, '10.0 s'],
  [59_999, '59 s'],
  [MINUTE, '1 min'],
  [4 * MINUTE + 35 * SECOND, '4 min 35 s'],
  [2 * HOUR, '2 h'],
  [HOUR + 54 * MINUTE, '1 h 54 min'],
  [74 * HOUR, '3 d 2 h'],
])('%i ms are %s', (ms, shown) => {
  expect(showDuration(ms)).toBe(shown);
});

describe('an instant', () => {
  test('is in UTC and says so', () => {
    expect(showInstant('2026-11-25T00:57:02.409Z')).toBe('2026-11-25 00:57 UTC');
  });

  test.each([
    ['of today', '2026-11-24T23:57:00.000Z', '23:57 UTC (in 1 h)'],
    ['of another day', '2026-11-25T00:57:02.000Z', '2026-11-25 00:57 UTC (in 2 h)'],
    ['that is over', '2026-11-24T22:50:00.000Z', '22:50 UTC (7 min ago)'],
    ['that is almost here', '2026-11-24T22:57:30.000Z', '22:57 UTC (in a moment)'],
  ])('%s shows how far it is', (_which, instant, shown) => {
    expect(showWhen(instant, NOW)).toBe(shown);
  });

  test('that has just passed', () => {
    expect(showDistance(-30 * SECOND)).toBe('just now');
    expect(showDistance(0)).toBe('just now');
  });

  test.each([
    [59 * 24 * HOUR, 'in 59 d'],
    [-60 * 24 * HOUR, '2 months ago'],
    [-700 * 24 * HOUR, '23 months ago'],
    [-2_568 * 24 * HOUR, '7 years ago'],
  ])('%i ms away is %s', (ms, shown) => {
    expect(showDistance(ms)).toBe(shown);
  });
});

describe('words', () => {
  test.each([
    [0, '0 numbers'],
    [1, '1 number'],
    [1_234_567, '1,234,567 numbers'],
  ])('%i is counted as %s', (number, shown) => {
    expect(count(number, 'number')).toBe(shown);
  });

  test('days are one or a range, numbers have separators', () => {
    expect(showDays({ from: '2026-11-23', to: '2026-11-23' })).toBe('2026-11-23');
    expect(showDays({ from: '2026-11-01', to: '2026-11-23' })).toBe('2026-11-01..2026-11-23');
    expect(showNumber(9_007_199_254_740_991)).toBe('9,007,199,254,740,991');
  });
});
