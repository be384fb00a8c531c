/** When days have ended, or are past the horizon, and when reads are retried. Tests run in Auckland. */
import { expect, test } from 'vitest';
import { floorToWakeUp, horizonStart, lastEndedDay, retryAtMs } from '../../src/usage/policy.ts';
import { HOUR_MS, POLICY } from './cells.ts';

const at = (instant: string) => Date.parse(instant);

test.each([
  ['2026-11-24T00:00:00.000Z', '2026-11-23'],
  ['2026-11-24T23:59:59.999Z', '2026-11-23'],
  ['2024-03-01T00:15:00.000Z', '2024-02-29'],
  ['2027-01-01T00:15:00.000Z', '2026-12-31'],
])('at %s the last ended day is %s', (now, day) => {
  expect(lastEndedDay(at(now))).toBe(day);
});

test.each([
  ['2026-11-24T00:00:00.000Z', 90, '2026-08-26'],
  ['2026-11-24T23:59:59.999Z', 90, '2026-08-26'],
  ['2027-03-01T12:00:00.000Z', 90, '2026-12-01'],
  ['2026-11-24T12:00:00.000Z', 9_999, '2015-01-01'],
])('at %s a horizon of %d days begins on %s', (now, horizonDays, day) => {
  expect(horizonStart(at(now), { ...POLICY, horizonDays })).toBe(day);
});

test.each([
  ['server_error', 1, 0],
  ['timeout', 1, 0],
  ['timeout', 2, 4],
  ['not_found', 1, 2],
  ['not_supported', 1, 2],
  ['invalid_value', 1, 2],
  ['omitted', 3, 8],
  ['omitted', 4, 16],
  ['omitted', 5, 24],
  ['omitted', 1_000, 24],
  ['toString', 1, 2],
])('after %s, with %d failed reads in a row, a cell is read again %d hours later', (code, failedReads, hours) => {
  const failedAtMs = at('2026-11-24T00:15:00.000Z');
  expect(retryAtMs(failedAtMs, failedReads, code)).toBe(failedAtMs + hours * HOUR_MS);
});

test('times are rounded down to five minutes, so that none just misses a wake-up', () => {
  expect(floorToWakeUp(at('2026-11-24T00:15:04.250Z'))).toBe(at('2026-11-24T00:15:00.000Z'));
  expect(floorToWakeUp(at('2026-11-24T00:19:59.999Z'))).toBe(at('2026-11-24T00:15:00.000Z'));
  expect(retryAtMs(at('2026-11-24T00:19:59.999Z'), 2, 'timeout')).toBe(at('2026-11-24T04:15:00.000Z'));
});
