import { expect, test } from 'vitest';
import { estimateLeftMs, PlannedRequests } from '../../src/usage/planned-requests.ts';

test.each([
  ['before anything is done it is what the rate allows', 0, 0, 60_000],
  ['at the pace of the rate it goes down evenly', 600, 30_000, 30_000],
  ['one slow answer at the start moves it little', 1, 1_000, 82_284],
  ['twice as slow as allowed, it is soon known to be', 300, 30_000, 83_571],
  ['at the end nothing is left', 1_200, 70_000, 0],
])('the time left: %s', (_what, done, elapsedMs, left) => {
  expect(Math.round(estimateLeftMs({ done, total: 1_200, elapsedMs, rate: 20 }))).toBe(left);
});

test('requests of discovery and attempts that others follow are not of the plan, and more than it may be needed', () => {
  const requests = new PlannedRequests();
  const answered = { outcome: 'ok', retryReason: null };
  requests.count(answered);
  expect(requests.progress).toBeNull();
  requests.plan({ requests: 2 });
  expect(requests.progress).toEqual({ total: 2, done: 0 });
  requests.count({ outcome: 'server_error', retryReason: 'server_error' });
  requests.count({ outcome: 'aborted', retryReason: null });
  requests.count({ outcome: 'server_error', retryReason: null });
  expect(requests.progress).toEqual({ total: 2, done: 1 });
  requests.count(answered);
  requests.count(answered);
  expect(requests.progress).toEqual({ total: 3, done: 3 });
});
