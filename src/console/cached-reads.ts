export interface ReadingOptions {
  /** The time for which an answer is kept; one that took long is kept ten times as long as it took. */
  readonly keepMs: number;
  /** The time that a caller waits. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** Thrown when an answer did not come in time. */
export class ReadTimeoutError extends Error {
  override readonly name = 'SlowReadingError';
}

/** An answer, and the time at which it came. */
export interface Snapshot<T> {
  readonly value: T;
  readonly atMs: number;
}

const REST_FACTOR = 10;
/** Callers who would get nothing, or a very old result, wait at least this long. */
const FIRST_MS = 300;

/**
 * Shares an expensive read: at most one is running, and its result is cached, so that readers cannot overload the
 * database however many they are. A failed read is not repeated for as long as it took. The returned function
 * rejects with the read's error, or with ReadTimeoutError.
 */
export function shareRead<T>(
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

/**
 * Shares a read as {@link shareRead} does, and returns the last good answer with its
 * age if a read is slow or fails: `onFailure` is called for the first failure after a success. The returned function
 * resolves to null before the first answer.
 */
export function cacheRead<T>(
  read: () => Promise<T>,
  options: ReadingOptions & { readonly onFailure: (error: unknown) => void },
): (waitMs?: number) => Promise<Snapshot<T> | null> {
  const { keepMs, timeoutMs, now, onFailure } = options;
  let latest: Snapshot<T> | null = null;
  let isFailing = false;
  const shared = shareRead(async () => {
    try {
      const value = await read();
      latest = { value, atMs: now() };
      isFailing = false;
    } catch (error) {
      if (!isFailing) onFailure(error);
      isFailing = true;
      throw error;
    }
  }, options);
  return async (waitMs = timeoutMs) => {
    const isOld = latest === null || now() - latest.atMs > keepMs * REST_FACTOR;
    // The failure has been reported; a slow read continues for the next caller.
    await shared(isOld ? Math.max(waitMs, FIRST_MS) : waitMs).catch(() => undefined);
    return latest;
  };
}

/**
 * Runs at most `max` reads at once and refuses others with a SlowReadingError, so that a reader with
 * many requests takes no connection from the others. A read that its caller has given up still counts
 * until it ends.
 */
export function limitReads({ max, timeoutMs }: { readonly max: number; readonly timeoutMs: number }) {
  let underWay = 0;
  return async <T>(read: () => Promise<T>): Promise<T> => {
    if (underWay >= max) throw new ReadTimeoutError(`${max} page queries are already running`);
    underWay += 1;
    const work = read().finally(() => {
      underWay -= 1;
    });
    return await within(timeoutMs, work);
  };
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new ReadTimeoutError(`no response within ${ms} ms`)), ms);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
