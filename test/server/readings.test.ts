import { expect, test } from 'vitest';
import { boundReads, keepReading, SlowReadingError, shareReading } from '../../src/console/readings.ts';

test('a read is shared by all who ask meanwhile and for a while after', async () => {
  let nowMs = 0;
  let reads = 0;
  const read = () => Promise.resolve((reads += 1));
  const shared = shareReading(read, { keepMs: 1_000, timeoutMs: 1_000, now: () => nowMs });
  expect(await Promise.all([shared(), shared(), shared()])).toEqual([1, 1, 1]);
  nowMs = 999;
  expect(await shared()).toBe(1);
  nowMs = 1_000;
  expect(await shared()).toBe(2);
});

test('a read that hangs is given up by those who ask, and is not begun again beside itself', async () => {
  let reads = 0;
  const { promise, resolve } = Promise.withResolvers<string>();
  const read = () => {
    reads += 1;
    return promise;
  };
  const shared = shareReading(read, { keepMs: 1_000, timeoutMs: 20, now: () => 0 });
  await expect(shared()).rejects.toBeInstanceOf(SlowReadingError);
  await expect(shared()).rejects.toBeInstanceOf(SlowReadingError);
  resolve('late');
  expect(await shared()).toBe('late');
  expect(reads).toBe(1);
});

test('a read that fails is tried again by the next who asks', async () => {
  const answers = [Promise.reject(new Error('gone')), Promise.resolve('back')];
  for (const answer of answers) answer.catch(() => {});
  const shared = shareReading(() => answers.shift() as Promise<string>, {
    keepMs: 1_000,
    timeoutMs: 1_000,
    now: () => 0,
  });
  await expect(shared()).rejects.toThrow('gone');
  expect(await shared()).toBe('back');
});

test('a read that fails after a while rests for as long', async () => {
  let nowMs = 0;
  let reads = 0;
  const read = () => {
    reads += 1;
    nowMs += 60_000;
    return Promise.reject(new Error('statement timeout'));
  };
  const shared = shareReading(read, { keepMs: 1_000, timeoutMs: 1_000, now: () => nowMs });
  await expect(shared()).rejects.toThrow('statement timeout');
  nowMs = 119_999;
  await expect(shared()).rejects.toThrow('statement timeout');
  expect(reads).toBe(1);
  nowMs = 120_000;
  await expect(shared()).rejects.toThrow('statement timeout');
  expect(reads).toBe(2);
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
  const kept = keepReading(() => (steps.shift() as () => Promise<string>)(), {
    keepMs: 1_000,
    timeoutMs: 20,
    now: () => nowMs,
    onFailure: (error) => told.push(error),
  });
  const good = { value: 'good', atMs: 1_000 };
  expect(await kept()).toEqual(good);
  nowMs = 2_000;
  expect(await kept()).toEqual(good);
  expect(await kept()).toEqual(good);
  expect(told.map(String)).toEqual(['Error: gone']);
  expect(await kept()).toEqual(good);
  nowMs = 9_000;
  late.resolve('late');
  expect(await kept()).toEqual({ value: 'late', atMs: 9_000 });
});

test('who waits little is given the last answer until it is old', async () => {
  let nowMs = 0;
  const answers = [Promise.resolve('first'), new Promise<string>(() => {})];
  const kept = keepReading(() => answers.shift() as Promise<string>, {
    keepMs: 1_000,
    timeoutMs: 60_000,
    now: () => nowMs,
    onFailure: () => {},
  });
  await kept();
  nowMs = 10_000;
  const since = performance.now();
  expect(await kept(20)).toEqual({ value: 'first', atMs: 0 });
  // A very old one is waited for, but not for all of the time that others wait.
  nowMs = 100_000;
  expect(await kept(20)).toEqual({ value: 'first', atMs: 0 });
  expect(performance.now() - since).toBeGreaterThan(300);
  expect(performance.now() - since).toBeLessThan(30_000);
});

test('more reads than may be under way at once are refused, until one of them ends', async () => {
  const bound = boundReads({ max: 2, timeoutMs: 20 });
  const first = Promise.withResolvers<string>();
  const hanging = [bound(() => first.promise), bound(() => new Promise<string>(() => {}))];
  for (const read of hanging) await expect(read).rejects.toBeInstanceOf(SlowReadingError);
  await expect(bound(() => Promise.resolve('third'))).rejects.toBeInstanceOf(SlowReadingError);
  first.resolve('late');
  await expect.poll(() => bound(() => Promise.resolve('third')).catch(() => 'refused')).toBe('third');
});
