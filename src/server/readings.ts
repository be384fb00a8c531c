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

const REST_FACTOR = 10;

/**
 * Shares an expensive read among all who ask: at most one is under way, and its
 * answer is kept for a while, so that no number of readers can load the database.
 * The returned function rejects with the read's error or a SlowReadingError.
 */
export function shareReading<T>(
  read: () => Promise<T>,
  { keepMs, timeoutMs, now }: ReadingOptions,
): () => Promise<T> {
  let current: Promise<T> | null = null;
  let goodUntilMs = Number.POSITIVE_INFINITY;
  const begin = async (): Promise<T> => {
    const since = now();
    try {
      const answer = await read();
      goodUntilMs = now() + Math.max(keepMs, (now() - since) * REST_FACTOR);
      return answer;
    } catch (error) {
      goodUntilMs = now();
      throw error;
    }
  };
  return async () => {
    if (current === null || now() >= goodUntilMs) {
      goodUntilMs = Number.POSITIVE_INFINITY;
      current = begin();
    }
    return await within(timeoutMs, current);
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
