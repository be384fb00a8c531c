import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { AttemptError } from '../../src/losant/attempt.ts';
import { Gate } from '../../src/losant/gate.ts';

const never = new AbortController().signal;
const gateOf = (options: { concurrency?: number; requestsPerSecond?: number } = {}) =>
  new Gate({ concurrency: 4, requestsPerSecond: 1000, ...options });

/** Starts `count` tasks and records when each began. */
function startMany(gate: Gate, count: number, signal: AbortSignal = never) {
  const starts: number[] = [];
  const done = Array.from({ length: count }, () =>
    gate.run(async () => {
      starts.push(Date.now());
    }, signal),
  );
  return { starts, done };
}

describe('Gate', () => {
  it('lets no more tasks run at once than allowed', async () => {
    const gate = gateOf({ concurrency: 3 });
    let running = 0;
    let most = 0;
    const task = async () => {
      running += 1;
      most = Math.max(most, running);
      await sleep(10);
      running -= 1;
    };
    await Promise.all(Array.from({ length: 12 }, () => gate.run(task, never)));
    expect(most).toBe(3);
  });

  it.each([
    { requestsPerSecond: 40, count: 9, leastMs: 190 },
    { requestsPerSecond: 75, count: 17, leastMs: 180 },
    { requestsPerSecond: 200, count: 41, leastMs: 180 },
  ])(
    'spaces starts evenly at $requestsPerSecond per second',
    async ({ requestsPerSecond, count, leastMs }) => {
      const { starts, done } = startMany(gateOf({ concurrency: 50, requestsPerSecond }), count);
      await Promise.all(done);
      expect((starts.at(-1) as number) - (starts[0] as number)).toBeGreaterThanOrEqual(leastMs);
    },
  );

  it('starts no more than the rate in any stretch of time, but for what is due within 20 ms', async () => {
    const { starts, done } = startMany(gateOf({ concurrency: 500, requestsPerSecond: 400 }), 300);
    await Promise.all(done);
    const most = Math.max(
      ...starts.map((from) => starts.filter((at) => at >= from && at < from + 200).length),
    );
    // 80 start in 200 ms, 8 in the next 20 ms, and a timer late by up to 100 ms catches up with 40.
    expect(most).toBeLessThanOrEqual(80 + 8 + 40 + 1);
  });

  it('starts what waits also where its turn comes between two readings of the clock', async () => {
    const clock = vi.spyOn(performance, 'now');
    try {
      for (const endsAtMs of [99.55, 99.65, 99.75, 99.85, 99.95, 100.05]) {
        let timeMs = 0;
        clock.mockImplementation(() => timeMs);
        const gate = gateOf({ concurrency: 1, requestsPerSecond: 10 });
        const first = Promise.withResolvers<void>();
        const ended = gate.run(() => first.promise, never);
        const waiting = gate.run(() => Promise.resolve('started'), never);
        clock.mockImplementation(() => (timeMs += 0.1));
        timeMs = endsAtMs;
        first.resolve();
        await ended;
        expect(await waiting).toBe('started');
      }
    } finally {
      clock.mockRestore();
    }
  }, 5_000);

  it('keeps the rate up though timers are late', async () => {
    const { starts, done } = startMany(gateOf({ concurrency: 500, requestsPerSecond: 500 }), 301);
    const busy = setInterval(() => {
      const until = performance.now() + 30;
      while (performance.now() < until);
    }, 60);
    await Promise.all(done);
    clearInterval(busy);
    const tookMs = (starts.at(-1) as number) - (starts[0] as number);
    expect(tookMs).toBeGreaterThanOrEqual(575);
    expect(tookMs).toBeLessThan(800);
  });

  it('makes up for no time in which nothing was asked for', async () => {
    const gate = gateOf({ requestsPerSecond: 20 });
    await gate.run(async () => undefined, never);
    await sleep(300);
    const { starts, done } = startMany(gate, 3);
    await Promise.all(done);
    expect((starts[2] as number) - (starts[0] as number)).toBeGreaterThanOrEqual(90);
  });

  it('lets a task that waits for nothing start before anything else happens', () => {
    const gate = gateOf();
    let hasStarted = false;
    const done = gate.run(async () => {
      hasStarted = true;
    }, never);
    expect(hasStarted).toBe(true);
    return done;
  });

  it('frees waiting tasks as soon as the signal aborts, and runs none of them', async () => {
    const gate = gateOf({ concurrency: 2, requestsPerSecond: 0.01 });
    const stop = new AbortController();
    const { starts, done } = startMany(gate, 6, stop.signal);
    await done[0];
    stop.abort(new Error('stopped'));
    const results = await Promise.allSettled(done);
    expect(
      results.slice(1).map((result) => (result.status === 'rejected' ? String(result.reason) : 'ran')),
    ).toEqual(Array(5).fill('Error: stopped'));
    expect(starts).toHaveLength(1);
    expect(gate.waiting).toBe(0);
  });

  it('pauses every task, also those that wait already, and goes on afterwards', async () => {
    const gate = gateOf({ requestsPerSecond: 20 });
    const { starts, done } = startMany(gate, 3);
    await done[0];
    gate.pauseFor(300);
    const pausedAt = Date.now();
    gate.pauseFor(1);
    await Promise.all(done);
    expect((starts[1] as number) - pausedAt).toBeGreaterThanOrEqual(290);
    expect(gate.pauseLeftMs).toBe(0);
  });

  it('frees a paused task as soon as its signal aborts', async () => {
    const gate = gateOf();
    gate.pauseFor(60_000);
    const stop = new AbortController();
    const { starts, done } = startMany(gate, 1, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(done[0]).rejects.toThrow('stopped');
    expect(starts).toEqual([]);
  });

  it('refuses all waiting and new tasks at a pause longer than 15 minutes, but not those under way', async () => {
    const gate = gateOf({ concurrency: 2, requestsPerSecond: 1000 });
    const underWay = gate.run(async () => {
      await sleep(50);
      return 'done';
    }, never);
    await sleep(10);
    const waiting = [1, 2, 3].map(() => gate.run(() => sleep(1_000), never));
    const refused = Promise.allSettled(waiting.slice(1));
    gate.pauseFor(16 * 60_000);
    for (const result of await refused) {
      expect(result).toMatchObject({ status: 'rejected', reason: { kind: 'rate_limited', isFinal: true } });
    }
    await expect(gate.run(async () => undefined, never)).rejects.toThrow(AttemptError);
    await Promise.allSettled(waiting);
    await expect(underWay).resolves.toBe('done');
  });

  it('believes no pause longer than an hour', () => {
    const gate = gateOf();
    gate.pauseFor(86_400_000);
    expect(gate.pauseLeftMs).toBeLessThanOrEqual(3_600_000);
  });

  it('changes the rate for the tasks that wait already', async () => {
    const gate = gateOf({ concurrency: 8, requestsPerSecond: 0.01 });
    const { starts, done } = startMany(gate, 8);
    await done[0];
    gate.setRate(500);
    await Promise.all(done);
    expect(starts).toHaveLength(8);
  });

  it('keeps a pause when the rate changes', async () => {
    const gate = gateOf();
    gate.pauseFor(200);
    const pausedAt = Date.now();
    const { starts, done } = startMany(gate, 1);
    gate.setRate(500);
    await Promise.all(done);
    expect((starts[0] as number) - pausedAt).toBeGreaterThanOrEqual(190);
  });

  it('passes a task the time it waited', async () => {
    const gate = gateOf();
    gate.pauseFor(100);
    const waitedMs = await gate.run(async (ms) => ms, never);
    expect(waitedMs).toBeGreaterThanOrEqual(90);
  });
});
