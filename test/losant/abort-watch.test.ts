import { expect, it } from 'vitest';
import { AbortWatch } from '../../src/losant/abort-watch.ts';

function member() {
  const reasons: unknown[] = [];
  return { reasons, abort: (reason: unknown) => void reasons.push(reason) };
}

/** Counts the listeners of a signal. */
function countListeners(signal: AbortSignal): () => number {
  let count = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    count += 1;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    count -= 1;
    remove(...args);
  };
  return () => count;
}

it('passes an abort on to all that are under way with the signal, by one listener', () => {
  const [one, other] = [new AbortController(), new AbortController()];
  const listeners = countListeners(one.signal);
  const watch = new AbortWatch();
  const [first, second, gone, elsewhere] = [member(), member(), member(), member()];
  for (const each of [first, second, gone]) watch.add(one.signal, each);
  watch.add(other.signal, elsewhere);
  watch.delete(one.signal, gone);
  expect(listeners()).toBe(1);
  one.abort('reason');
  expect([first, second, gone, elsewhere].map(({ reasons }) => reasons)).toEqual([
    ['reason'],
    ['reason'],
    [],
    [],
  ]);
});

it('leaves no listener when nothing is under way any more', () => {
  const { signal } = new AbortController();
  const listeners = countListeners(signal);
  const watch = new AbortWatch();
  const [first, second] = [member(), member()];
  watch.add(signal, first);
  watch.add(signal, second);
  watch.delete(signal, first);
  watch.delete(signal, first);
  expect(listeners()).toBe(1);
  watch.delete(signal, second);
  expect(listeners()).toBe(0);
});
