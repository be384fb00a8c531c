import { expect, test } from 'vitest';
import {
  horizonStart,
  isFinalRead,
  isLastRead,
  lastCompleteDay,
  latestCheckpointMs,
  retryDelayMs,
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
  ['2026-11-23T23:59:59.999Z', null],
  ['2026-11-24T00:00:00.000Z', '2026-11-24T00:00:00.000Z'],
  ['2026-11-24T05:59:59.999Z', '2026-11-24T00:00:00.000Z'],
  ['2026-11-24T06:00:00.000Z', '2026-11-24T06:00:00.000Z'],
  ['2026-11-25T00:15:00.000Z', '2026-11-25T00:00:00.000Z'],
  ['2026-11-26T00:15:00.000Z', '2026-11-26T00:00:00.000Z'],
  ['2026-11-30T23:00:00.000Z', '2026-11-27T00:00:00.000Z'],
  ['2026-12-01T00:00:00.000Z', '2026-12-01T00:00:00.000Z'],
  ['2026-12-24T00:00:00.000Z', '2026-12-24T00:00:00.000Z'],
  ['2027-06-01T00:00:00.000Z', '2026-12-24T00:00:00.000Z'],
])('at %s the newest checkpoint of 2026-11-23 is %s', (now, checkpoint) => {
  expect(latestCheckpointMs('2026-11-23', at(now), policy)).toBe(checkpoint === null ? null : at(checkpoint));
});

test.each([
  ['2026-11-26T23:59:59.999Z', false, false],
  ['2026-11-27T00:00:00.000Z', true, false],
  ['2026-12-23T23:59:59.999Z', true, false],
  ['2026-12-24T00:00:00.000Z', true, true],
])('a read of 2026-11-23 sent at %s: final %s, the last %s', (sentAt, isFinal, isLast) => {
  expect(isFinalRead('2026-11-23', at(sentAt), policy)).toBe(isFinal);
  expect(isLastRead('2026-11-23', at(sentAt), policy)).toBe(isLast);
});

test.each([
  [1, 2],
  [2, 4],
  [3, 8],
  [4, 16],
  [5, 24],
  [6, 24],
  [1000, 24],
])('after %d failures in a row the next try waits %d hours', (attempts, hours) => {
  expect(retryDelayMs(attempts)).toBe(hours * 3_600_000);
});
