export interface ReadingOptions {
  /** How long an answer is good for. One that took long is good for ten times as long. */
  readonly keepMs: number;
  /** How long a caller waits. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** An answer had not come in time. */
export class SlowReadingError extends Error {
  override readonly name = 'SlowReadingError';
}

/** An answer, and when it came. */
export interface Reading<T> {
  readonly value: T;
  readonly atMs: number;
  readonly tookMs: number;
}

const REST_FACTOR = 10;

/**
 * Shares an expensive read among all who ask: at most one is under way, and its
 * answer is kept for a while, so that no number of readers can load the database.
 * The returned function rejects with the read's error or a SlowReadingError. A
 * read that fails rests for as long as it took.
 */
export function shareReading<T>(
  read: () => Promise<T>,
  { keepMs, timeoutMs, now }: ReadingOptions,
): (waitMs?: number) => Promise<T> {
  let current: Promise<T> | null = null;
  let goodUntilMs = Number.POSITIVE_INFINITY;
  const begin = async (): Promise<T> => {
    const since = now();
    try {
      const answer = await read();
      goodUntilMs = now() + Math.max(keepMs, (now() - since) * REST_FACTOR);
      return answer;
    } catch (error) {
      goodUntilMs = now() + (now() - since);
      throw error;
    }
  };
  return async (waitMs = timeoutMs) => {
    if (current === null || now() >= goodUntilMs) {
      goodUntilMs = Number.POSITIVE_INFINITY;
      current = begin();
    }
    return await within(waitMs, current);
  };
}

export interface KeptReadingOptions extends ReadingOptions {
  /** Told of a read that failed after one that did not. */
  readonly onFailure: (error: unknown) => void;
  /** How long a caller waits who would be given nothing, or a very old answer; like others if not said. */
  readonly firstTimeoutMs?: number;
  /** From which age on an answer is very old; ten times `keepMs` if not said. */
  readonly oldAfterMs?: number;
}

/**
 * The same, but the last good answer is kept for those who would get none: a read
 * that is slow or fails leaves an old answer, with its age. The returned function
 * returns null before the first.
 */
export function keepReading<T>(
  read: () => Promise<T>,
  { onFailure, firstTimeoutMs, oldAfterMs, ...options }: KeptReadingOptions,
): (waitMs?: number) => Promise<Reading<T> | null> {
  const { now } = options;
  let last: Reading<T> | null = null;
  let isFailing = false;
  const shared = shareReading(async () => {
    const since = now();
    try {
      const value = await read();
      last = { value, atMs: now(), tookMs: now() - since };
      isFailing = false;
    } catch (error) {
      if (!isFailing) onFailure(error);
      isFailing = true;
      throw error;
    }
  }, options);
  return async (waitMs) => {
    // What is to be said of a failure was said; a slow read goes on for the next who asks.
    const isOld = last === null || now() - last.atMs > (oldAfterMs ?? options.keepMs * REST_FACTOR);
    await shared(isOld ? firstTimeoutMs : waitMs).catch(() => undefined);
    return last;
  };
}

/** The same for each of many things that may be read, of which the last `max` that were asked for are kept. */
export function keepReadings<K, T>(
  read: (key: K) => Promise<T>,
  { max, ...options }: KeptReadingOptions & { readonly max: number },
): (key: K) => Promise<Reading<T> | null> {
  const kept = new Map<K, () => Promise<Reading<T> | null>>();
  return async (key) => {
    const reading = kept.get(key) ?? keepReading(() => read(key), options);
    // The one that was asked for last stands last.
    kept.delete(key);
    kept.set(key, reading);
    for (const oldest of [...kept.keys()].slice(0, -max)) kept.delete(oldest);
    return await reading();
  };
}

/**
 * At most `max` reads at once: another one is refused with a SlowReadingError, so
 * that readers who ask for much take no connection from the others. A read that
 * its caller has given up still counts until it ends.
 */
export function boundReads({ max, timeoutMs }: { readonly max: number; readonly timeoutMs: number }) {
  let underWay = 0;
  return async <T>(read: () => Promise<T>): Promise<T> => {
    if (underWay >= max) throw new SlowReadingError(`${max} reads are under way`);
    underWay += 1;
    const work = read().finally(() => {
      underWay -= 1;
    });
    return await within(timeoutMs, work);
  };
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new SlowReadingError(`no answer within ${ms} ms`)), ms);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
