import { describe, expect, it } from 'vitest';
import { readRetryAfter } from '../../src/losant/answer.ts';
import { backoffOf, pauseOf } from '../../src/losant/client.ts';

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
    expect(backoffOf(attempt, random)).toBe(delayMs);
  });
});

describe('pauses the API asks for', () => {
  it('last as long as asked, and at least a second, so that Retry-After: 0 for ever reaches the bound', () => {
    expect(pauseOf(7_000, 0)).toBe(7_000);
    expect(pauseOf(3_600_000, 3)).toBe(3_600_000);
    expect(pauseOf(0, 0)).toBe(1_000);
  });

  it.each([
    [0, 1_000],
    [1, 2_000],
    [2, 4_000],
    [5, 32_000],
    [6, 60_000],
    [40, 60_000],
  ])('without Retry-After double from 1 s to 60 s: wait %i lasts %i ms', (waits, ms) => {
    expect(pauseOf(null, waits)).toBe(ms);
  });
});

describe('readRetryAfter', () => {
  const receivedAtMs = Date.parse('2026-11-24T12:00:00Z');

  it.each([
    ['', null],
    ['soon', null],
    ['0', 0],
    ['120', 120_000],
    [' 5 ', 5_000],
    ['Tue, 24 Nov 2026 12:00:30 GMT', 30_000],
    ['Tue, 24 Nov 2026 11:59:00 GMT', 0],
  ])('reads %j as %s ms', (header, ms) => {
    const date = 'Tue, 24 Nov 2026 12:00:00 GMT';
    expect(readRetryAfter({ 'retry-after': header, date }, 0)).toBe(ms);
    expect(readRetryAfter({ 'retry-after': header }, receivedAtMs)).toBe(ms);
  });

  it('is null without the header', () => {
    expect(readRetryAfter({}, receivedAtMs)).toBeNull();
  });
});
