import { setTimeout as sleep } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { isConnectionLost, isRefusedForData, isRetryable } from '../database/sqlstate.ts';
import { type Batch, type LoadOptions, type LoadResult, loadBatch } from '../ledger/load.ts';
import type { Slice } from '../usage/plan.ts';
import type { SliceVerdict } from './validate.ts';

/** A settled slice, ready to be loaded. */
export interface LoadableSlice extends SliceVerdict {
  readonly slice: Slice;
}

/** Waits between tries to load after a conflict or a lost connection: half a minute in all. */
const RETRY_AFTER_MS = [100, 500, 1_000, 2_000, 4_000, 8_000, 15_000];

/**
 * Loads slices in one transaction. Conflicts and lost connections are tried
 * again (a batch may be loaded twice). A batch the database refuses for its data
 * is halved until the bad slice stands alone; its cells are quarantined.
 * Throws what is left: a database that stays away, a lost lease.
 */
export async function loadSlices(
  db: Kysely<Schema>,
  slices: readonly LoadableSlice[],
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

function joinSlices(slices: readonly LoadableSlice[]): Batch {
  return {
    answers: slices.flatMap(({ answers }) => answers),
    quarantined: slices.flatMap(({ quarantined }) => quarantined),
  };
}

/** The verdict on a slice whose numbers Postgres would not take. */
function refusedByDatabase(loadable: LoadableSlice, error: unknown): LoadableSlice {
  const { slice, answers, texts } = loadable;
  const code = 'database_refused';
  const problem = error instanceof Error ? error.message : String(error);
  const { orgId, stream, window } = slice;
  const asked = slice.days.map(({ day }) => day);
  return {
    ...loadable,
    answers: answers.map((answer) => ({
      ...answer,
      sha256: null,
      outcome: { kind: 'quarantined', code, message: problem },
    })),
    quarantined: [{ orgId, stream, ...window, asked, code, problem, bodies: texts }],
  };
}
