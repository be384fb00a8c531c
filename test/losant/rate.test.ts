import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LosantError } from '../../src/errors.ts';
import { Gate } from '../../src/losant/rate.ts';

const REQUEST = { action: 'instance.get', signal: new AbortController().signal };
const createGate = ({ concurrency = 500, requestsPerSecond = 1000 } = {}) =>
  new Gate({ concurrency, requestsPerSecond });
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Queues `count` requests that take `ms`, and records when each starts, in ms since the start of the test. */
function queueRequests(gate: Gate, count: number, ms = 0) {
  const starts: number[] = [];
  const send = async () => {
    await gate.waitForTurn(REQUEST);
    starts.push(performance.now());
    if (ms > 0) await sleep(ms);
  };
  return { starts, done: Array.from({ length: count }, () => gate.run(send)) };
}

/** Runs all fake timers until the requests are done. */
async function finishAll<T>(done: Promise<T>[]): Promise<T[]> {
  await vi.runAllTimersAsync();
  return Promise.all(done);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'], now: 0 });
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('a gate', () => {
  it('runs no more requests at once than its concurrency, in order of arrival', async () => {
    const gate = createGate({ concurrency: 2, requestsPerSecond: 100_000 });
    const { starts, done } = queueRequests(gate, 5, 100);
    await finishAll(done);
    expect(starts.map(Math.floor)).toEqual([0, 1, 100, 101, 200]);
  });

  it('gives the place of a request that failed to the next', async () => {
    const gate = createGate({ concurrency: 1 });
    const results = Promise.allSettled([
      gate.run(() => Promise.reject(new Error('failed'))),
      gate.run(() => Promise.resolve('done')),
    ]);
    expect(await results).toMatchObject([{ status: 'rejected' }, { value: 'done' }]);
  });

  it.each([
    { requestsPerSecond: 40, count: 9, spacingMs: 25 },
    { requestsPerSecond: 0.5, count: 3, spacingMs: 2_000 },
  ])('spaces starts evenly at $requestsPerSecond per second', async ({ requestsPerSecond, count, spacingMs }) => {
    const { starts, done } = queueRequests(createGate({ requestsPerSecond }), count);
    await finishAll(done);
    expect(starts).toEqual(starts.map((_, index) => index * spacingMs));
  });

  it('starts as many as the rate allows in any stretch of time, and no more', async () => {
    const { starts, done } = queueRequests(createGate({ requestsPerSecond: 400 }), 300);
    await finishAll(done);
    const counts = starts.map((from) => starts.filter((at) => at >= from && at < from + 200).length);
    expect(Math.max(...counts)).toBeLessThanOrEqual(81);
    expect(Math.abs((starts.at(-1) as number) - 299 * 2.5)).toBeLessThanOrEqual(1);
  });

  it('keeps the rate if timers are late', async () => {
    let lateMs = 0;
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + lateMs);
    const { starts, done } = queueRequests(createGate({ requestsPerSecond: 40 }), 41);
    lateMs = 30;
    await finishAll(done);
    expect(starts.at(-1)).toBe(40 * 25 + 30);
  });

  it('pauses all requests, including waiting ones, and spaces them afterward', async () => {
    const gate = createGate({ requestsPerSecond: 20 });
    const { starts, done } = queueRequests(gate, 3);
    await vi.advanceTimersByTimeAsync(10);
    gate.pauseFor(300);
    gate.pauseFor(1);
    expect(gate.pauseLeftMs).toBe(300);
    const later = queueRequests(gate, 1);
    await finishAll([...done, ...later.done]);
    expect([...starts, ...later.starts].toSorted((a, b) => a - b)).toEqual([0, 310, 360, 410]);
    expect(gate.pauseLeftMs).toBe(0);
  });

  it('caps a pause at an hour, and sends nothing in one of more than 15 minutes', async () => {
    const gate = createGate();
    const running = gate.run(() => sleep(50));
    gate.pauseFor(86_400_000);
    expect(gate.pauseLeftMs).toBe(3_600_000);
    await expect(gate.waitForTurn(REQUEST)).rejects.toThrow(LosantError);
    await finishAll([running]);
  });
});
