import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Wait, WaitWatch } from '../../src/export/wait-watch.ts';
import { createLogger } from '../../src/logger.ts';

/** A watched run, with a request that never ends unless the test ends it. */
function watchRun({ pauseLeftMs = 0 } = {}) {
  const logged: string[] = [];
  const waits: (Wait | null)[] = [];
  const watch = new WaitWatch({
    logger: createLogger({
      level: 'info',
      pretty: false,
      destination: { write: (line) => logged.push(line) },
    }),
    instanceId: '5c0000000000000000000001',
    hostNow: Date.now,
    pauseLeftMs: () => pauseLeftMs,
    onWait: (wait) => waits.push(wait),
  });
  const { promise } = Promise.withResolvers<never>();
  const client = watch.watch({ get: () => promise });
  const { signal } = new AbortController();
  const ask = () => void client.get({ action: 'instanceOrg.deviceCounts', path: '', query: {}, signal });
  const messages = () => logged.map((line) => (JSON.parse(line) as { msg: string }).msg);
  return { watch, ask, waits, messages, last: () => waits.at(-1) ?? null };
}

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 24, 10, 15) });
  return () => vi.useRealTimers();
});
afterEach(() => vi.clearAllTimers());

describe('a run that has not moved for a minute waits', () => {
  test('for Losant while requests are under way that fail', () => {
    const run = watchRun();
    run.watch.start();
    run.ask();
    run.watch.noteAttempt({ outcome: 'server_error' });
    vi.advanceTimersByTime(59_000);
    expect(run.last()).toBeNull();
    vi.advanceTimersByTime(2_000);
    expect(run.last()).toMatchObject({
      waitsFor: 'losant',
      message: 'Losant has not answered for 1 min 1 s: the newest request ended with server_error',
    });
    vi.advanceTimersByTime(600_000);
    expect(run.messages()).toEqual(['waiting']);
    run.watch.noteAttempt({ outcome: 'ok' });
    expect(run.last()).toBeNull();
    expect(run.messages()).toEqual(['waiting', 'no longer waiting']);
  });

  test('for the pause that Losant asks for', () => {
    const run = watchRun({ pauseLeftMs: 40_000 });
    run.watch.start();
    run.ask();
    run.watch.noteAttempt({ outcome: 'rate_limited' });
    vi.advanceTimersByTime(61_000);
    expect(run.last()?.message).toBe(
      'Losant has not answered for 1 min 1 s: it asks for a pause (429, or 503 with Retry-After)',
    );
  });

  test('for the database while none is', () => {
    const run = watchRun();
    run.watch.start();
    vi.advanceTimersByTime(61_000);
    expect(run.last()).toMatchObject({
      waitsFor: 'database',
      message: 'the database has not got on for 1 min 1 s',
    });
    run.watch.moved();
    expect(run.last()).toBeNull();
  });
});

describe('a run that moves does not wait', () => {
  test('while answers come, refusals among them, or anything is loaded', () => {
    const run = watchRun();
    run.watch.start();
    run.ask();
    for (const outcome of ['ok', 'not_found', 'forbidden'] as const) {
      vi.advanceTimersByTime(50_000);
      run.watch.noteAttempt({ outcome });
    }
    vi.advanceTimersByTime(50_000);
    run.watch.moved();
    vi.advanceTimersByTime(50_000);
    expect(run.waits).toEqual([]);
  });

  test('once it is over', () => {
    const run = watchRun();
    run.watch.start();
    vi.advanceTimersByTime(61_000);
    run.watch.stop();
    expect(run.last()).toBeNull();
    vi.advanceTimersByTime(600_000);
    expect(run.last()).toBeNull();
    expect(run.messages()).toEqual(['waiting', 'no longer waiting']);
  });
});
