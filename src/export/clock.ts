import { ClockError } from '../errors.ts';

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
