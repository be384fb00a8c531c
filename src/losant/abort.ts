/** All that waits on a signal, behind one listener. */
class Waits {
  readonly callbacks = new Set<() => void>();
  readonly listener = () => {
    for (const call of this.callbacks) call();
  };
}

const waitsOf = new WeakMap<AbortSignal, Waits>();

/**
 * Calls back once the signal aborts, unless the returned function is called before. However much waits on a signal
 * at once, it has one listener: adding and removing one for each wait would be a tenth of a request. The last to
 * leave takes the listener away, with which a signal made of others would never be freed.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const waits = waitsOf.get(signal) ?? new Waits();
  const { callbacks, listener } = waits;
  if (callbacks.size === 0) {
    waitsOf.set(signal, waits);
    signal.addEventListener('abort', listener);
  }
  callbacks.add(callback);
  return () => {
    if (callbacks.delete(callback) && callbacks.size === 0) signal.removeEventListener('abort', listener);
  };
}
