export interface ReadOptions {
  /** How long a result is reused; one that took long is reused for ten times as long as it took. */
  readonly keepMs: number;
  /** How long a caller waits. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** Thrown when a read takes longer than its caller waits. */
export class ReadTimeoutError extends Error {
  override readonly name = 'ReadTimeoutError';
}

/** The result of a read, and the time at which it arrived. */
export interface Snapshot<T> {
  readonly value: T;
  readonly atMs: number;
}

const REST_FACTOR = 10;
/** Callers who would get nothing, or a very old result, wait at least this long. */
const MIN_WAIT_MS = 300;

/**
 * Shares an expensive read: at most one is running, and its result is cached, so that readers cannot overload the
 * database however many they are. A failed read is not repeated for as long as it took. The returned function
 * rejects with the read's error, or with ReadTimeoutError.
 */
export function shareRead<T>(
  read: () => Promise<T>,
  { keepMs, timeoutMs, now }: ReadOptions,
): (waitMs?: number) => Promise<T> {
  let current: Promise<T> | null = null;
  let validUntilMs = Number.POSITIVE_INFINITY;
  const startRead = async (): Promise<T> => {
    const startMs = now();
    try {
      const value = await read();
      validUntilMs = now() + Math.max(keepMs, (now() - startMs) * REST_FACTOR);
      return value;
    } catch (error) {
      validUntilMs = now() + (now() - startMs);
      throw error;
    }
  };
  return async (waitMs = timeoutMs) => {
    if (current === null || now() >= validUntilMs) {
      validUntilMs = Number.POSITIVE_INFINITY;
      current = startRead();
    }
    return await withTimeout(waitMs, current);
  };
}

/**
 * Shares a read like {@link shareRead}, and returns the last good result with its age if a read is slow or fails. The
 * returned function resolves to null until there is one. `onFailure` is called for the first failure after a success.
 */
export function cacheRead<T>(
  read: () => Promise<T>,
  options: ReadOptions & { readonly onFailure: (error: unknown) => void },
): (waitMs?: number) => Promise<Snapshot<T> | null> {
  const { keepMs, timeoutMs, now, onFailure } = options;
  let latest: Snapshot<T> | null = null;
  let isFailing = false;
  const sharedRead = shareRead(async () => {
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
    await sharedRead(isOld ? Math.max(waitMs, MIN_WAIT_MS) : waitMs).catch(() => undefined);
    return latest;
  };
}

/**
 * Runs at most `max` reads at once and rejects others with ReadTimeoutError, so that one reader with many requests
 * does not take all connections. A read whose caller has given up counts until it ends.
 */
export function limitReads({ max, timeoutMs }: { readonly max: number; readonly timeoutMs: number }) {
  let runningReads = 0;
  return async <T>(read: () => Promise<T>): Promise<T> => {
    if (runningReads >= max) throw new ReadTimeoutError(`${max} queries are already running`);
    runningReads += 1;
    const work = read().finally(() => {
      runningReads -= 1;
    });
    return await withTimeout(timeoutMs, work);
  };
}

async function withTimeout<T>(ms: number, work: Promise<T>): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new ReadTimeoutError(`no response within ${ms} ms`)), ms);
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
