import { setTimeout as sleep } from 'node:timers/promises';
import { isConflict } from './sqlstate.ts';

/** The waits between attempts: half a minute in all. */
const RETRY_AFTER_MS = [100, 500, 1_000, 2_000, 4_000, 8_000, 15_000];

interface RetryOptions {
  /** Whether the same work may succeed later; by default after a conflict or a deadlock, which stored nothing. */
  readonly canRetry?: (error: unknown) => boolean;
  readonly signal?: AbortSignal;
}

/** Calls `work`, a single statement or a complete transaction, until it succeeds or fails for good. */
export async function retryTransaction<T>(
  work: () => Promise<T>,
  { canRetry = isConflict, signal }: RetryOptions = {},
): Promise<T> {
  for (const waitMs of RETRY_AFTER_MS) {
    try {
      return await work();
    } catch (error) {
      if (!canRetry(error)) throw error;
      await sleep(waitMs, undefined, { signal });
    }
  }
  return await work();
}
