import { expect, test } from 'vitest';
import { type CachedRead, cacheRead, limitReads } from '../../src/console/cached-reads.ts';

const valueOf = async (read: Promise<CachedRead<unknown>>) => (await read).snapshot?.value;

test('a read is shared by all callers while it runs and until its result expires', async () => {
  let nowMs = 0;
  let reads = 0;
  const read = () => Promise.resolve((reads += 1));
  const cached = cacheRead(read, { keepMs: 1_000, timeoutMs: 1_000, now: () => nowMs });
  expect(await Promise.all([cached(), cached(), cached()].map(valueOf))).toEqual([1, 1, 1]);
  nowMs = 999;
  expect(await valueOf(cached())).toBe(1);
  nowMs = 1_000;
  expect(await valueOf(cached())).toBe(2);
});

test('a result expires when the clock is set back', async () => {
  let nowMs = 3_600_000;
  let reads = 0;
  const read = () => Promise.resolve((reads += 1));
  const cached = cacheRead(read, { keepMs: 1_000, timeoutMs: 1_000, now: () => nowMs });
  expect(await valueOf(cached())).toBe(1);
  nowMs = 0;
  expect([await valueOf(cached()), await valueOf(cached())]).toEqual([2, 2]);
});

test('callers give up on a hanging read, which is not started a second time', async () => {
  let reads = 0;
  const { promise, resolve } = Promise.withResolvers<string>();
  const read = () => {
    reads += 1;
    return promise;
  };
  const cached = cacheRead(read, { keepMs: 1_000, timeoutMs: 20, now: () => 5_000 });
  expect(await cached()).toMatchObject({ snapshot: null, startedAtMs: 5_000, error: undefined });
  resolve('late');
  expect(await valueOf(cached())).toBe('late');
  expect(reads).toBe(1);
});

test('a read that fails is not repeated for as long as it took', async () => {
  let nowMs = 0;
  let reads = 0;
  const read = () => {
    reads += 1;
    nowMs += 60_000;
    return Promise.reject(new Error('statement timeout'));
  };
  const cached = cacheRead(read, { keepMs: 1_000, timeoutMs: 1_000, now: () => nowMs });
  for (const [atMs, startedReads] of [
    [0, 1],
    [119_999, 1],
    [120_000, 2],
  ] as const) {
    nowMs = atMs;
    expect(await cached()).toMatchObject({ error: new Error('statement timeout') });
    expect(reads).toBe(startedReads);
  }
});

test('the last snapshot stays while a newer read is slow or fails, and the failure is reported once', async () => {
  let nowMs = 1_000;
  const failures: unknown[] = [];
  const late = Promise.withResolvers<string>();
  const steps: (() => Promise<string>)[] = [
    () => Promise.resolve('good'),
    () => Promise.reject(new Error('gone')),
    () => Promise.reject(new Error('gone still')),
    () => late.promise,
  ];
  const readSnapshot = cacheRead(() => (steps.shift() as () => Promise<string>)(), {
    keepMs: 1_000,
    timeoutMs: 20,
    now: () => nowMs,
    onFailure: (error) => failures.push(error),
  });
  const good = { value: 'good', atMs: 1_000 };
  expect(await readSnapshot()).toEqual({ snapshot: good, startedAtMs: null, error: undefined, nowMs: 1_000 });
  nowMs = 2_000;
  for (const error of ['gone', 'gone still'])
    expect(await readSnapshot()).toEqual({ snapshot: good, startedAtMs: null, error: new Error(error), nowMs: 2_000 });
  expect(await readSnapshot()).toMatchObject({ snapshot: good, startedAtMs: 2_000 });
  expect(failures.map(String)).toEqual(['Error: gone']);
  nowMs = 9_000;
  late.resolve('late');
  const snapshot = { value: 'late', atMs: 9_000 };
  expect(await readSnapshot()).toEqual({ snapshot, startedAtMs: null, error: undefined, nowMs: 9_000 });
});

test('queued reads take turns, and one that hangs gives up its turn', async () => {
  const queue = limitReads({ max: 1, timeoutMs: 20, waitMs: null });
  const hanging = queue(() => new Promise<string>(() => {}));
  const order: string[] = [];
  const next = ['first', 'second'].map((name) => queue(() => Promise.resolve(order.push(name))));
  await expect(hanging).rejects.toThrow('the query took more than 0.02 s');
  await Promise.all(next);
  expect(order).toEqual(['first', 'second']);
});

test('reads beyond the limit wait for a moment, and are rejected if none has finished by then', async () => {
  const limit = limitReads({ max: 2, timeoutMs: 20, waitMs: 40 });
  const first = Promise.withResolvers<string>();
  const hanging = [limit(() => first.promise), limit(() => new Promise<string>(() => {}))];
  for (const read of hanging) await expect(read).rejects.toThrow('the query took more than 0.02 s');
  await expect(limit(() => Promise.resolve('third'))).rejects.toThrow('2 other queries are already running');
  const others = ['fourth', 'fifth'].map((name) => limit(() => Promise.resolve(name)));
  first.resolve('late');
  expect(await Promise.all(others)).toEqual(['fourth', 'fifth']);
});
