import { expect, test } from 'vitest';
import { cacheRead, limitReads, ReadTimeoutError, shareRead } from '../../src/console/cached-reads.ts';

test('a read is shared by all who ask meanwhile and for a while after', async () => {
  let nowMs = 0;
  let reads = 0;
  const read = () => Promise.resolve((reads += 1));
  const shared = shareRead(read, { keepMs: 1_000, timeoutMs: 1_000, now: () => nowMs });
  expect(await Promise.all([shared(), shared(), shared()])).toEqual([1, 1, 1]);
  nowMs = 999;
  expect(await shared()).toBe(1);
  nowMs = 1_000;
  expect(await shared()).toBe(2);
});

test('callers give up on a hanging read, which is not started a second time', async () => {
  let reads = 0;
  const { promise, resolve } = Promise.withResolvers<string>();
  const read = () => {
    reads += 1;
    return promise;
  };
  const shared = shareRead(read, { keepMs: 1_000, timeoutMs: 20, now: () => 0 });
  await expect(shared()).rejects.toBeInstanceOf(ReadTimeoutError);
  resolve('late');
  expect(await shared()).toBe('late');
  expect(reads).toBe(1);
});

test('a read that fails after a while rests for as long', async () => {
  let nowMs = 0;
  let reads = 0;
  const read = () => {
    reads += 1;
    nowMs += 60_000;
    return Promise.reject(new Error('statement timeout'));
  };
  const shared = shareRead(read, { keepMs: 1_000, timeoutMs: 1_000, now: () => nowMs });
  for (const [atMs, begun] of [
    [0, 1],
    [119_999, 1],
    [120_000, 2],
  ] as const) {
    nowMs = atMs;
    await expect(shared()).rejects.toThrow('statement timeout');
    expect(reads).toBe(begun);
  }
});

test('the last good answer stays while a newer one is slow or fails, and the failure is told once', async () => {
  let nowMs = 1_000;
  const told: unknown[] = [];
  const late = Promise.withResolvers<string>();
  const steps: (() => Promise<string>)[] = [
    () => Promise.resolve('good'),
    () => Promise.reject(new Error('gone')),
    () => Promise.reject(new Error('gone still')),
    () => late.promise,
  ];
  const kept = cacheRead(() => (steps.shift() as () => Promise<string>)(), {
    keepMs: 1_000,
    timeoutMs: 20,
    now: () => nowMs,
    onFailure: (error) => told.push(error),
  });
  const good = { value: 'good', atMs: 1_000 };
  expect(await kept()).toEqual(good);
  nowMs = 2_000;
  for (let asked = 0; asked < 3; asked += 1) expect(await kept()).toEqual(good);
  expect(told.map(String)).toEqual(['Error: gone']);
  nowMs = 9_000;
  late.resolve('late');
  expect(await kept()).toEqual({ value: 'late', atMs: 9_000 });
});

test('reads beyond the limit are rejected until one finishes', async () => {
  const bound = limitReads({ max: 2, timeoutMs: 20 });
  const first = Promise.withResolvers<string>();
  const hanging = [bound(() => first.promise), bound(() => new Promise<string>(() => {}))];
  for (const read of hanging) await expect(read).rejects.toBeInstanceOf(ReadTimeoutError);
  await expect(bound(() => Promise.resolve('third'))).rejects.toBeInstanceOf(ReadTimeoutError);
  first.resolve('late');
  await expect.poll(() => bound(() => Promise.resolve('third')).catch(() => 'refused')).toBe('third');
});
