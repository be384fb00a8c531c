/** Reads that pages share, limit, or wait for in turn. */
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { isConnectionLost, isStatementTimeout } from '../database/sqlstate.ts';
import type { Logger } from '../logger.ts';

interface ReadOptions {
  /** How long a result is reused; one that took long is reused for ten times as long as it took. */
  readonly keepMs: number;
  /** How long a caller waits. */
  readonly timeoutMs: number;
  readonly now: () => number;
  /** Called for the first failure after a success. */
  readonly onFailure?: (error: unknown) => void;
}

/** Thrown when a read takes longer than its caller waits. Its message completes "could not be read: ". */
export class ReadTimeoutError extends Error {
  override readonly name = 'ReadTimeoutError';
}

export interface Snapshot<T> {
  readonly value: T;
  readonly atMs: number;
}

export interface CachedRead<T> {
  /** The last good result; null before the first. */
  readonly snapshot: Snapshot<T> | null;
  /** When the current read began; null if none is running. */
  readonly startedAtMs: number | null;
  /** Why the last read failed; undefined if it did not. */
  readonly error: unknown;
  /** When this was known. */
  readonly nowMs: number;
}

const REST_FACTOR = 10;
const ALWAYS = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;
/** Callers who would get nothing, or a very old result, wait at least this long. */
const MIN_WAIT_MS = 300;

/**
 * Shares an expensive read: at most one is running, and its result is cached, so that readers cannot overload the
 * database however many they are. A failed read is not repeated for as long as it took. The returned function waits
 * for the read, for a limited time, and resolves to the last good result and the failure since, if there was one.
 */
export function cacheRead<T>(
  read: () => Promise<T>,
  { keepMs, timeoutMs, now, onFailure }: ReadOptions,
): (waitMs?: number) => Promise<CachedRead<T>> {
  let result: Omit<CachedRead<T>, 'nowMs'> = { snapshot: null, startedAtMs: null, error: undefined };
  let current: Promise<void> | null = null;
  let [validFromMs, validUntilMs] = ALWAYS;
  const startRead = async (startedAtMs: number): Promise<void> => {
    result = { ...result, startedAtMs };
    try {
      const value = await read();
      result = { snapshot: { value, atMs: now() }, startedAtMs: null, error: undefined };
      [validFromMs, validUntilMs] = [now(), now() + Math.max(keepMs, (now() - startedAtMs) * REST_FACTOR)];
    } catch (error) {
      if (result.error === undefined) onFailure?.(error);
      result = { ...result, startedAtMs: null, error };
      [validFromMs, validUntilMs] = [now(), now() + (now() - startedAtMs)];
    }
  };
  return async (waitMs = timeoutMs) => {
    // A clock that was set back would keep an old result for as long as it was set back.
    if (current === null || now() >= validUntilMs || now() < validFromMs) {
      [validFromMs, validUntilMs] = ALWAYS;
      current = startRead(now());
    }
    const isOld = result.snapshot === null || now() - result.snapshot.atMs > keepMs * REST_FACTOR;
    // A slow read continues for the next caller.
    await withTimeout(isOld ? Math.max(waitMs, MIN_WAIT_MS) : waitMs, current).catch(() => undefined);
    return { ...result, nowMs: now() };
  };
}

export type ReadPage = <T>(query: (db: Kysely<Schema>) => Promise<T>) => Promise<T>;

export type Recall = ReturnType<typeof createRecall>;

/** Pages hardly wait for a slow query: they say that it is being read, and reload. */
const SLOW_READ = { keepMs: 60_000, timeoutMs: 50 };

const MAX_RESULTS = 50;

/** Reads in the background what pages do not wait for: each with its own state, so that none holds up another. */
export function createRecall(read: ReadPage, { now, logger }: { now: () => number; logger: Logger }) {
  const results = new Map<string, unknown>();
  /** Returns what is known of a slow query, which is shared by its key. */
  return async <T>(key: readonly unknown[], query: (db: Kysely<Schema>) => Promise<T>) => {
    const name = JSON.stringify(key);
    const onFailure = (error: unknown) => logger.warn({ err: error, subject: key[0] }, 'count failed');
    const result =
      (results.get(name) as ReturnType<typeof cacheRead<T>> | undefined) ??
      cacheRead(() => read(query), { ...SLOW_READ, now, onFailure });
    // The one that nobody has needed for the longest time is first.
    results.delete(name);
    results.set(name, result);
    const [oldest = ''] = results.keys();
    if (results.size > MAX_RESULTS) results.delete(oldest);
    return await result();
  };
}

interface ReadLimit {
  readonly max: number;
  readonly timeoutMs: number;
  /** How long other reads wait for their turn, before they are rejected with ReadTimeoutError; null: forever. */
  readonly waitMs: number | null;
}

/**
 * Runs at most `max` reads at once, so that one reader with many requests does not take all connections. A read whose
 * caller has given up counts until it ends; if callers wait without a limit, only until its caller gives up.
 */
export function limitReads({ max, timeoutMs, waitMs }: ReadLimit) {
  let runningReads = 0;
  const waitingReads = new Set<() => void>();
  const endTurn = () => {
    const [startNext] = waitingReads;
    if (startNext === undefined) runningReads -= 1;
    else if (waitingReads.delete(startNext)) startNext();
  };
  const waitForTurn = async () => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    waitingReads.add(resolve);
    const giveUp = () => {
      if (waitingReads.delete(resolve)) reject(new ReadTimeoutError(`${max} other queries are already running`));
    };
    const timer = waitMs === null ? undefined : setTimeout(giveUp, waitMs);
    await promise.finally(() => clearTimeout(timer));
  };
  return async <T>(read: () => Promise<T>): Promise<T> => {
    if (runningReads < max) runningReads += 1;
    else await waitForTurn();
    if (waitMs === null) return await withTimeout(timeoutMs, read()).finally(endTurn);
    return await withTimeout(timeoutMs, read().finally(endTurn));
  };
}

/** Completes "could not be read: ", without anything confidential. */
export function describeReadFailure(error: unknown): string {
  if (error instanceof ReadTimeoutError) return error.message;
  if (isConnectionLost(error)) return 'the database is not responding';
  if (isStatementTimeout(error)) return 'the query took too long';
  return 'the query failed; see the log';
}

async function withTimeout<T>(ms: number, work: Promise<T>): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const error = new ReadTimeoutError(`the query took more than ${ms / 1_000} s`);
  const timer = setTimeout(() => reject(error), ms);
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
