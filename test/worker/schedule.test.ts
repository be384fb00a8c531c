import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { scheduleWakeUps } from '../../src/worker/schedule.ts';
import { until } from '../support/wait.ts';

const MINUTE_MS = 60_000;

beforeEach(() => {
  const toFake = ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] as const;
  vi.useFakeTimers({ toFake: [...toFake], now: Date.UTC(2026, 10, 24, 10, 0, 30) });
  return () => vi.useRealTimers();
});

/** Schedules a wake-up each minute. Returns the numbers of missed wake-ups, one per call. */
function scheduleEachMinute(): readonly number[] {
  const calls: number[] = [];
  const { stop } = scheduleWakeUps('* * * * *', (missedWakeUps) => calls.push(missedWakeUps));
  onTestFinished(stop);
  return calls;
}

test('2,880 wake-ups missed in two days make one call, together with the current one', async () => {
  const calls = scheduleEachMinute();
  vi.setSystemTime(Date.UTC(2026, 10, 26, 10, 0, 30));
  await vi.advanceTimersToNextTimerAsync();
  await until('it is called', () => calls.length > 0);
  await vi.advanceTimersByTimeAsync(MINUTE_MS);
  await until('the next one', () => calls.length > 1);
  expect(calls).toEqual([2_880, 0]);
});

test('a clock that is a day ahead for a while, and then set back, delays no later wake-up', async () => {
  const calls = scheduleEachMinute();
  vi.setSystemTime(Date.UTC(2026, 10, 25, 10, 0, 30));
  await vi.advanceTimersToNextTimerAsync();
  await until('it is called', () => calls.length === 1);
  vi.setSystemTime(Date.UTC(2026, 10, 24, 10, 1, 30));
  await vi.advanceTimersByTimeAsync(3 * MINUTE_MS);
  await until('the next one', () => calls.length > 1);
  expect(calls.slice(0, 2)).toEqual([1_440, 0]);
});

test('a clock that is set back a day right after the start delays no wake-up', async () => {
  const calls = scheduleEachMinute();
  vi.setSystemTime(Date.UTC(2026, 10, 23, 10, 0, 30));
  await vi.advanceTimersByTimeAsync(3 * MINUTE_MS);
  await until('it is called', () => calls.length > 0);
  expect(calls[0]).toBe(0);
});
