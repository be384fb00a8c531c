/** The callbacks of all that waits, by the signal that ends it. */
const callbacksOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back once the signal aborts, unless the returned function was called before. A signal has one listener
 * however much waits on it, and keeps it: one added and removed for each wait would be a tenth of a request.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  let callbacks = callbacksOf.get(signal);
  if (callbacks === undefined) {
    const all = new Set<() => void>();
    signal.addEventListener('abort', () => all.forEach((call) => call()), { once: true });
    callbacksOf.set(signal, all);
    callbacks = all;
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}
