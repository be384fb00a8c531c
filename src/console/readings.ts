export interface ReadingOptions {
  /** The time for which an answer is kept; one that took long is kept ten times as long as it took. */
  readonly keepMs: number;
  /** The time that a caller waits. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** Thrown when an answer did not come in time. */
export class SlowReadingError extends Error {
  override readonly name = 'SlowReadingError';
}

/** An answer, and the time at which it came. */
export interface Reading<T> {
  readonly value: T;
  readonly atMs: number;
}

const REST_FACTOR = 10;
/** The time that a caller waits at least who would otherwise get nothing, or an answer ten times as old as others. */
const FIRST_MS = 300;

/**
 * Shares an expensive read among all callers: at most one is under way, and its answer is kept for a
 * while, so that no number of readers can overload the database. The returned function rejects with
 * the read's error or a SlowReadingError. A read that fails is not repeated for as long as it took.
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

/**
 * Shares a read as {@link shareReading} does, and returns the last good answer with its
 * age if a read is slow or fails: `onFailure` is called for the first failure after a success. The returned function
 * resolves to null before the first answer.
 */
export function keepReading<T>(
  read: () => Promise<T>,
  options: ReadingOptions & { readonly onFailure: (error: unknown) => void },
): (waitMs?: number) => Promise<Reading<T> | null> {
  const { keepMs, timeoutMs, now, onFailure } = options;
  let last: Reading<T> | null = null;
  let isFailing = false;
  const shared = shareReading(async () => {
    try {
      const value = await read();
      last = { value, atMs: now() };
      isFailing = false;
    } catch (error) {
      if (!isFailing) onFailure(error);
      isFailing = true;
      throw error;
    }
  }, options);
  return async (waitMs = timeoutMs) => {
    const isOld = last === null || now() - last.atMs > keepMs * REST_FACTOR;
    // The failure has been reported; a slow read continues for the next caller.
    await shared(isOld ? Math.max(waitMs, FIRST_MS) : waitMs).catch(() => undefined);
    return last;
  };
}

/**
 * Runs at most `max` reads at once and refuses others with a SlowReadingError, so that a reader with
 * many requests takes no connection from the others. A read that its caller has given up still counts
 * until it ends.
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
