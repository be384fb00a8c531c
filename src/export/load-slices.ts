import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { isConnectionLost, isRefusedForData, isRetryable } from '../database/sqlstate.ts';
import { type Batch, type LoadOptions, type LoadResult, loadBatch } from '../ledger/load.ts';
import { quarantineSlice, type SliceResult } from './extract.ts';

/** The waits between attempts to load after a conflict or a lost connection: half a minute in all. */
const RETRY_AFTER_MS = [100, 500, 1_000, 2_000, 4_000, 8_000, 15_000];

/**
 * `loadSlices` loads slices in one transaction. Conflicts and lost connections are retried (a batch may be loaded
 * twice). A batch that the database refuses for its data is halved until the bad slice stands alone;
 * its cells are quarantined. Throws any other error, such as a database that stays unreachable or a
 * lost lease.
 */
export async function loadSlices(
  db: Kysely<Schema>,
  slices: readonly SliceResult[],
  options: LoadOptions & { readonly signal: AbortSignal },
): Promise<LoadResult[]> {
  try {
    return [await loadWithRetries(db, joinSlices(slices), options)];
  } catch (error) {
    if (!isRefusedForData(error)) throw error;
    if (slices.length > 1) {
      const middle = Math.ceil(slices.length / 2);
      const first = await loadSlices(db, slices.slice(0, middle), options);
      return [...first, ...(await loadSlices(db, slices.slice(middle), options))];
    }
    return [await loadWithRetries(db, joinSlices(slices.map((it) => refusedByDatabase(it, error))), options)];
  }
}

async function loadWithRetries(
  db: Kysely<Schema>,
  batch: Batch,
  { signal, ...options }: LoadOptions & { readonly signal: AbortSignal },
): Promise<LoadResult> {
  for (const waitMs of RETRY_AFTER_MS) {
    try {
      return await loadBatch(db, batch, options);
    } catch (error) {
      if (!isRetryable(error) && !isConnectionLost(error)) throw error;
      await sleep(waitMs, undefined, { signal });
    }
  }
  return await loadBatch(db, batch, options);
}

function joinSlices(slices: readonly SliceResult[]): Batch {
  return {
    answers: slices.flatMap(({ answers }) => answers),
    quarantined: slices.flatMap(({ quarantined }) => quarantined),
  };
}

/** `refusedByDatabase` returns the quarantined slice whose numbers Postgres does not take. */
function refusedByDatabase(result: SliceResult, error: unknown): SliceResult {
  const problem = error instanceof Error ? error.message : String(error);
  return quarantineSlice(result, 'database_refused', problem);
}
