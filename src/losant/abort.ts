/** The listeners of each signal that has any. */
const listeners = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls `listener` once the signal aborts, until the returned function is called. All requests of a run have the same
 * signal, and a signal looks through all its listeners whenever one is added or removed. So it gets a single one.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  let ofSignal = listeners.get(signal);
  if (ofSignal === undefined) {
    const created = new Set<() => void>();
    listeners.set(signal, created);
    signal.addEventListener('abort', () => {
      for (const each of created) each();
    });
    ofSignal = created;
  }
  ofSignal.add(listener);
  const subscribed = ofSignal;
  return () => {
    subscribed.delete(listener);
  };
}
