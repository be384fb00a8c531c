import { describe, expect, it } from 'vitest';
import { planRetry, type RetryState, readRetryAfter } from '../../src/losant/retry.ts';

const state = {
  attempt: 1,
  attempts: 5,
  failure: { kind: 'server_error', isFinal: false, retryAfterMs: null },
  waits: 0,
  waitedMs: 0,
  random: 0,
} satisfies RetryState;

const retryIn = (delayMs: number) => ({ retry: true, delayMs, pauseAllMs: 0, spendsAttempt: true });
const pauseAll = (pauseAllMs: number) => ({ retry: true, delayMs: 0, pauseAllMs, spendsAttempt: false });
const giveUp = { retry: false, delayMs: 0, pauseAllMs: 0, spendsAttempt: true };

describe('backoff', () => {
  it.each([
    { attempt: 1, random: 0, delayMs: 250 },
    { attempt: 1, random: 0.5, delayMs: 375 },
    { attempt: 2, random: 0, delayMs: 500 },
    { attempt: 3, random: 0, delayMs: 1000 },
    { attempt: 6, random: 0.5, delayMs: 12_000 },
    { attempt: 7, random: 0, delayMs: 10_000 },
    { attempt: 30, random: 0, delayMs: 10_000 },
  ])('waits $delayMs ms after attempt $attempt with random $random', ({ attempt, random, delayMs }) => {
    expect(planRetry({ ...state, attempts: 99, attempt, random })).toEqual(retryIn(delayMs));
  });

  it.each(['server_error', 'unreachable', 'timeout', 'bad_body'] as const)('retries %s', (kind) => {
    expect(planRetry({ ...state, failure: { ...state.failure, kind } })).toEqual(retryIn(250));
  });

  it.each(['unauthorized', 'forbidden', 'not_found', 'not_supported', 'refused'] as const)(
    'never retries %s',
    (kind) => {
      expect(planRetry({ ...state, failure: { ...state.failure, kind } })).toEqual(giveUp);
    },
  );

  it('gives up after the last attempt', () => {
    expect(planRetry({ ...state, attempt: 4 }).retry).toBe(true);
    expect(planRetry({ ...state, attempt: 5 })).toEqual(giveUp);
  });

  it('does not retry a failure that must repeat itself', () => {
    expect(planRetry({ ...state, failure: { kind: 'bad_body', isFinal: true, retryAfterMs: null } })).toEqual(
      giveUp,
    );
  });
});

describe('pauses the API asks for', () => {
  const limited = (retryAfterMs: number | null, more: Partial<RetryState> = {}) =>
    planRetry({ ...state, failure: { kind: 'rate_limited', isFinal: false, retryAfterMs }, ...more });

  it('pause all requests for as long as asked and spend no attempt, not even the last', () => {
    expect(limited(7_000)).toEqual(pauseAll(7_000));
    expect(limited(7_000, { attempt: 5 })).toEqual(pauseAll(7_000));
  });

  it.each([
    [0, 1_000],
    [1, 2_000],
    [2, 4_000],
    [5, 32_000],
    [6, 60_000],
    [40, 60_000],
  ])('without Retry-After double from 1 s to 60 s: wait %i lasts %i ms', (waits, ms) => {
    expect(limited(null, { waits })).toEqual(pauseAll(ms));
  });

  it('last at least a second, so that Retry-After: 0 for ever reaches the bound', () => {
    expect(limited(0)).toEqual(pauseAll(1_000));
  });

  it('end with 15 minutes per request; the pause is still due for the others', () => {
    expect(limited(60_000, { waitedMs: 840_000 })).toEqual(pauseAll(60_000));
    expect(limited(60_000, { waitedMs: 840_001 })).toMatchObject({ retry: false, pauseAllMs: 60_000 });
    expect(limited(3_600_000)).toMatchObject({ retry: false, pauseAllMs: 3_600_000 });
  });
});

describe('readRetryAfter', () => {
  const answeredAtMs = Date.parse('2026-11-24T12:00:00Z');

  it.each([
    [null, null],
    ['', null],
    ['soon', null],
    ['0', 0],
    ['120', 120_000],
    [' 5 ', 5_000],
    ['Tue, 24 Nov 2026 12:00:30 GMT', 30_000],
    ['Tue, 24 Nov 2026 11:59:00 GMT', 0],
  ])('reads %j as %s ms', (header, ms) => {
    expect(readRetryAfter(header, answeredAtMs)).toBe(ms);
  });
});
