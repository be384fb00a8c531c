import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AttemptError } from '../../src/losant/attempt.ts';
import { Gate, Rate } from '../../src/losant/rate.ts';

const createRequest = (signal = new AbortController().signal) => ({ action: 'instance.get', signal });
const REQUEST = createRequest();
const createGate = (options: { concurrency?: number; requestsPerSecond?: number } = {}) => {
  const { concurrency = 4, requestsPerSecond = 1000 } = options;
  return new Gate({ concurrency, rate: new Rate(requestsPerSecond) });
};

const createTask = (ms: number) => () => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Queues `count` tasks that take `ms`, and records when each starts, in ms since the start of the test. */
function queueTasks(gate: Gate, count: number, { request = REQUEST, ms = 0 } = {}) {
  const starts: number[] = [];
  const task = async () => {
    starts.push(performance.now());
    if (ms > 0) await createTask(ms)();
  };
  const done = Array.from({ length: count }, () => gate.run(task, request));
  return { starts, done };
}

/** Runs all fake timers until the tasks are done. */
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

describe('Gate', () => {
  it('starts the next task as soon as a running one has released its place', async () => {
    const gate = createGate({ concurrency: 1 });
    const started: string[] = [];
    const first = gate.run(async (_, release) => {
      started.push('first');
      await createTask(10)();
      release();
      release();
      await createTask(100)();
    }, REQUEST);
    const others = ['second', 'third'].map((name) =>
      gate.run(async () => {
        started.push(name);
        await createTask(1_000)();
      }, REQUEST),
    );
    await vi.advanceTimersByTimeAsync(50);
    expect(started).toEqual(['first', 'second']);
    await finishAll([first, ...others]);
    expect(started).toEqual(['first', 'second', 'third']);
  });

  it.each([
    { requestsPerSecond: 40, count: 9, spacingMs: 25 },
    { requestsPerSecond: 0.5, count: 3, spacingMs: 2_000 },
  ])('spaces starts evenly at $requestsPerSecond per second', async (options) => {
    const { requestsPerSecond, count, spacingMs } = options;
    const { starts, done } = queueTasks(createGate({ concurrency: 50, requestsPerSecond }), count);
    await finishAll(done);
    expect(starts).toEqual(starts.map((_, index) => (starts[0] as number) + index * spacingMs));
  });

  // Guarantee (Losant): Requests respect the configured rate and concurrency, and a pause requested by Losant applies
  // to all requests of a token.
  it('starts no more than the rate in any stretch of time', async () => {
    const { starts, done } = queueTasks(createGate({ concurrency: 500, requestsPerSecond: 400 }), 300);
    await finishAll(done);
    const counts = starts.map((from) => starts.filter((at) => at >= from && at < from + 200).length);
    expect(Math.max(...counts)).toBe(80);
    const tookMs = (starts.at(-1) as number) - (starts[0] as number);
    expect(Math.abs(tookMs - 299 * 2.5)).toBeLessThanOrEqual(20);
  });

  it('starts a waiting task even if its turn comes between two reads of the clock', async () => {
    const clock = vi.spyOn(performance, 'now');
    for (const endsAtMs of [99.55, 99.65, 99.75, 99.85, 99.95, 100.05]) {
      let timeMs = 0;
      clock.mockImplementation(() => timeMs);
      const gate = createGate({ concurrency: 1, requestsPerSecond: 10 });
      const first = Promise.withResolvers<void>();
      const done = gate.run(() => first.promise, REQUEST);
      const waiting = gate.run(() => Promise.resolve('started'), REQUEST);
      clock.mockImplementation(() => (timeMs += 0.1));
      timeMs = endsAtMs;
      first.resolve();
      await done;
      await vi.runAllTimersAsync();
      expect(await waiting).toBe('started');
    }
  }, 5_000);

  it('keeps the rate despite late timers, catching up by at most 100 ms', async () => {
    let lateMs = 0;
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + lateMs);
    const { starts, done } = queueTasks(createGate({ concurrency: 500, requestsPerSecond: 40 }), 61);
    while (starts.length < 41) {
      lateMs += 30;
      await vi.advanceTimersToNextTimerAsync();
    }
    expect((starts[40] as number) - (starts[0] as number)).toBeLessThan(40 * 25 + 60);
    const before = starts.length;
    lateMs += 1_000;
    await vi.advanceTimersToNextTimerAsync();
    expect(starts.length - before).toBe(5);
    await finishAll(done);
  });

  it('leaves no listener on a signal, which would keep the signal of each run in memory', async () => {
    const { signal } = new AbortController();
    const gate = createGate();
    await finishAll(queueTasks(gate, 3, { request: createRequest(signal) }).done);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('pauses all tasks, including waiting ones, and continues afterward', async () => {
    const gate = createGate({ requestsPerSecond: 20 });
    const { starts, done } = queueTasks(gate, 3);
    await done[0];
    gate.rate.pauseFor(300);
    gate.rate.pauseFor(1);
    expect(gate.rate.pauseLeftMs).toBe(300);
    const waitMs = gate.run(async (ms) => ms, REQUEST);
    await finishAll(done);
    expect(starts).toEqual([0, 300, 350]);
    expect(await waitMs).toBe(400);
    expect(gate.rate.pauseLeftMs).toBe(0);
  });

  it('caps a pause at an hour', () => {
    const rate = new Rate(1000);
    rate.pauseFor(86_400_000);
    expect(rate.pauseLeftMs).toBe(3_600_000);
  });

  it('rejects all waiting and new tasks at a pause longer than 15 minutes, but not running ones', async () => {
    const gate = createGate({ concurrency: 2, requestsPerSecond: 1000 });
    const running = [1, 2].map(async (name) => {
      await gate.run(createTask(50), REQUEST);
      return `done ${name}`;
    });
    const waiting = [1, 2, 3].map(() => gate.run(createTask(1_000), REQUEST));
    const results = Promise.allSettled(waiting);
    vi.advanceTimersByTime(10);
    gate.rate.pauseFor(16 * 60_000);
    const limited = { status: 'rejected', reason: { kind: 'rate_limited' } };
    expect(await results).toMatchObject([limited, limited, limited]);
    await expect(gate.run(async () => undefined, REQUEST)).rejects.toThrow(AttemptError);
    expect(await finishAll(running)).toEqual(['done 1', 'done 2']);
  });
});

describe('Gates of one rate', () => {
  // Guarantee (Losant): Instances with the same token share its rate and its pauses.
  it('share it in the order in which requests arrive', async () => {
    const rate = new Rate(100);
    const first = queueTasks(new Gate({ concurrency: 50, rate }), 3);
    const second = queueTasks(new Gate({ concurrency: 50, rate }), 3);
    await finishAll([...first.done, ...second.done]);
    expect(first.starts).toEqual([0, 10, 20]);
    expect(second.starts).toEqual([30, 40, 50]);
  });

  it('each have a concurrency, so that a gate whose requests hang delays no other', async () => {
    const rate = new Rate(100);
    const hanging = queueTasks(new Gate({ concurrency: 2, rate }), 5, { ms: 60_000 });
    const swift = queueTasks(new Gate({ concurrency: 2, rate }), 3);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(hanging.starts).toEqual([0, 10]);
    expect(swift.starts).toEqual([20, 30, 40]);
    await finishAll([...hanging.done, ...swift.done]);
    expect(hanging.starts).toEqual([0, 10, 60_000, 60_010, 120_000]);
  });

  it('all wait for a pause that one of them was asked for', async () => {
    const rate = new Rate(1000);
    new Gate({ concurrency: 4, rate }).rate.pauseFor(300);
    const { starts, done } = queueTasks(new Gate({ concurrency: 4, rate }), 1);
    await finishAll(done);
    expect(starts).toEqual([300]);
  });

  it('use the lowest of the rates that are set', async () => {
    const rate = new Rate(100);
    rate.limitTo(1000);
    rate.limitTo(50);
    const { starts, done } = queueTasks(new Gate({ concurrency: 4, rate }), 3);
    await finishAll(done);
    expect(starts).toEqual([0, 20, 40]);
  });
});
