import { expect, test } from 'vitest';
import {
  addDays,
  countDays,
  dayAt,
  dayEndMs,
  dayStartMs,
  daysOfMonth,
  eachDay,
  earliestDay,
  latestDay,
  mergeDays,
  parseDay,
  parseMonth,
} from '../../src/usage/day.ts';

test.each([
  ['2026-11-24', '2026-11-24'],
  ['2024-02-29', '2024-02-29'],
  ['2015-01-01', '2015-01-01'],
  ['2049-12-31', '2049-12-31'],
  ['2026-02-29', null],
  ['2014-12-31', null],
  ['2050-01-01', null],
  ['2026-13-01', null],
  ['2026-1-2', null],
  ['2026-11-24T00:00:00Z', null],
  [' 2026-11-24', null],
  ['2026-11-24\n', null],
  ['', null],
])('%j is parsed as %j', (text, day) => {
  expect(parseDay(text)).toBe(day);
});

test('a day starts at UTC midnight and ends at the start of the next', () => {
  expect(dayStartMs('2025-11-25')).toBe(1_764_028_800_000);
  expect(dayEndMs('2025-11-25')).toBe(1_764_115_200_000);
  expect([dayAt(1_764_115_199_999), dayAt(1_764_115_200_000)]).toEqual(['2025-11-25', '2025-11-26']);
});

test.each([
  ['2026-12-31', 1, '2027-01-01'],
  ['2024-03-01', -1, '2024-02-29'],
  ['2026-02-28', 1, '2026-03-01'],
  // Clocks change on these days in New York and in Auckland.
  ['2026-03-08', 1, '2026-03-09'],
  ['2026-09-27', 1, '2026-09-28'],
  ['2026-11-24', -90, '2026-08-26'],
])('%s plus %d days is %s', (day, count, result) => {
  expect(addDays(day, count)).toBe(result);
  expect(countDays(day, result)).toBe(count);
});

test.each([
  ['2024-02-28', '2024-03-01', ['2024-02-28', '2024-02-29', '2024-03-01']],
  ['2026-11-24', '2026-11-24', ['2026-11-24']],
  ['2026-11-25', '2026-11-24', []],
])('the days of %s to %s are %j', (from, to, days) => {
  expect(eachDay({ from, to })).toEqual(days);
});

test('finds the latest and earliest day, ignoring null and undefined', () => {
  const days = [null, '2026-09-30', '2026-10-01', undefined, '2025-12-31'];
  expect([latestDay(...days), earliestDay(...days)]).toEqual(['2026-10-01', '2025-12-31']);
});

test.each([
  [[], []],
  [['2026-11-24'], ['2026-11-24..2026-11-24']],
  [
    ['2026-12-01', '2026-11-30', '2026-11-28'],
    ['2026-11-28..2026-11-28', '2026-11-30..2026-12-01'],
  ],
])('the days %j become the ranges %j', (days, ranges) => {
  expect(mergeDays(days).map(({ from, to }) => `${from}..${to}`)).toEqual(ranges);
});

test.each([
  ['2015-01', { from: '2015-01-01', to: '2015-01-31' }],
  ['2024-02', { from: '2024-02-01', to: '2024-02-29' }],
  ['2049-12', { from: '2049-12-01', to: '2049-12-31' }],
  ['2014-12', null],
  ['2050-01', null],
  ['2026-13', null],
  ['2026-11-01', null],
])('the month %s has the days %j', (text, range) => {
  const month = parseMonth(text);
  expect(month === null ? null : daysOfMonth(month)).toEqual(range);
});
