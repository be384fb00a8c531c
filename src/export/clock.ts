import type { DatabaseHandle } from '../database/open.ts';
import { ClockError } from '../errors.ts';
import { readDatabaseClock } from '../ledger/instances.ts';
import { DATABASE_SKEW_MAX_MS } from '../ledger/transaction.ts';

/** The API's clock may differ by this much; beyond it, it is unclear which day is over. */
const API_SKEW_MAX_MS = 5 * 60_000;

/** Throws ClockError if the API's clock, `aheadMs` before this one, is too far off; null is not known. */
export function requireApiClock(aheadMs: number | null): void {
  if (aheadMs === null || Math.abs(aheadMs) <= API_SKEW_MAX_MS) return;
  throw new ClockError(
    `This host's clock is ${Math.round(Math.abs(aheadMs) / 1_000)} s ${aheadMs > 0 ? 'behind' : 'ahead of'} the Losant API's`,
    { hint: 'set the clock (NTP); nothing was loaded, because it is unclear which day is over' },
  );
}

/**
 * A clock that runs with the host's and shows the database's time.
 * Throws ClockError if the two are more than 30 s apart.
 */
export async function readClock(
  { hostNow }: { readonly hostNow: () => number },
  { db, describe }: DatabaseHandle,
): Promise<() => number> {
  const before = hostNow();
  const databaseMs = await readDatabaseClock(db);
  const offsetMs = Math.round(databaseMs - (before + hostNow()) / 2);
  if (Math.abs(offsetMs) <= DATABASE_SKEW_MAX_MS) return () => hostNow() + offsetMs;
  throw new ClockError(
    `This host's clock is ${Math.round(Math.abs(offsetMs) / 1_000)} s ${offsetMs > 0 ? 'behind' : 'ahead of'} that of the database at ${describe}`,
    { hint: 'set the clocks (NTP); nothing was loaded, because it is unclear which day is over' },
  );
}
