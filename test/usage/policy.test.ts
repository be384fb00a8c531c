import { expect, test } from 'vitest';
import {
  ageOfRead,
  horizonStart,
  lastCompleteDay,
  lastDueDay,
  nextCheckpointMs,
  retryAtMs,
} from '../../src/usage/policy.ts';
import { at, policy } from './tracks.ts';

test.each([
  ['2026-11-24T00:00:00.000Z', '2026-11-23'],
  ['2026-11-24T23:59:59.999Z', '2026-11-23'],
  ['2026-11-25T00:00:00.000Z', '2026-11-24'],
  ['2026-03-01T00:15:00.000Z', '2026-02-28'],
  ['2024-03-01T00:15:00.000Z', '2024-02-29'],
  ['2027-01-01T00:15:00.000Z', '2026-12-31'],
])('at %s the newest day that is over is %s', (now, day) => {
  expect(lastCompleteDay(at(now))).toBe(day);
});

test.each([
  ['2026-11-24T00:00:00.000Z', '2026-08-26'],
  ['2026-11-24T23:59:59.999Z', '2026-08-26'],
  ['2027-03-01T12:00:00.000Z', '2026-12-01'],
])('at %s the horizon of 90 days begins on %s', (now, day) => {
  expect(horizonStart(at(now), policy)).toBe(day);
});

test.each([
  [null, '2026-11-24T00:00:00.000Z'],
  ['2026-11-23T23:59:59.999Z', '2026-11-24T00:00:00.000Z'],
  ['2026-11-24T00:00:00.000Z', '2026-11-24T06:00:00.000Z'],
  ['2026-11-24T05:59:59.999Z', '2026-11-24T06:00:00.000Z'],
  ['2026-11-24T06:00:00.000Z', '2026-11-25T00:00:00.000Z'],
  ['2026-11-25T00:15:00.000Z', '2026-11-26T00:00:00.000Z'],
  ['2026-11-26T00:15:00.000Z', '2026-11-27T00:00:00.000Z'],
  ['2026-11-30T23:00:00.000Z', '2026-12-01T00:00:00.000Z'],
  ['2026-12-01T00:00:00.000Z', '2026-12-24T00:00:00.000Z'],
  ['2026-12-24T00:00:00.000Z', null],
  ['2027-06-01T00:00:00.000Z', null],
])('2026-11-23, accepted as of %s, is read next at %s', (verifiedAt, next) => {
  const verifiedAtMs = verifiedAt === null ? null : at(verifiedAt);
  expect(nextCheckpointMs('2026-11-23', verifiedAtMs, policy)).toBe(next === null ? null : at(next));
});

test.each([
  ['2026-11-24T05:59:59.999Z', [0, 6], '2026-11-23'],
  ['2026-11-24T05:59:59.999Z', [6, 24], '2026-11-22'],
  ['2026-11-24T06:00:00.000Z', [6, 24], '2026-11-23'],
])('at %s with checkpoints %j the newest day to be read is %s', (now, readAtHours, day) => {
  expect(lastDueDay(at(now), { ...policy, readAtHours })).toBe(day);
});

test.each([
  ['2026-11-26T23:59:59.999Z', false, false],
  ['2026-11-27T00:00:00.000Z', true, false],
  ['2026-12-23T23:59:59.999Z', true, false],
  ['2026-12-24T00:00:00.000Z', true, true],
])('a read of 2026-11-23 sent at %s: final %s, the last %s', (sentAt, isFinal, isLast) => {
  const age = ageOfRead('2026-11-23', at(sentAt), policy);
  expect(at(sentAt) >= age.finalFromMs).toBe(isFinal);
  expect(age.isLastRead).toBe(isLast);
});

test.each([
  [1, 2],
  [2, 4],
  [3, 8],
  [4, 16],
  [5, 24],
  [6, 24],
  [1000, 24],
])('after %d failures in a row the next try is %d hours later', (attempts, hours) => {
  const failedAtMs = at('2026-11-24T00:15:00.000Z');
  expect(retryAtMs(failedAtMs, attempts)).toBe(failedAtMs + hours * 3_600_000);
});

test('a retry is rounded down to five minutes, so that it does not miss the wake-up some seconds before it', () => {
  expect(retryAtMs(at('2026-11-24T00:15:04.250Z'), 1)).toBe(at('2026-11-24T02:15:00.000Z'));
  expect(retryAtMs(at('2026-11-24T00:19:59.999Z'), 1)).toBe(at('2026-11-24T02:15:00.000Z'));
});
