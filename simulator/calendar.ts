/** UTC days as whole numbers since 1970-01-01, and their text form. */

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** A window in ms, both ends inclusive. */
export interface Window {
  readonly startMs: number;
  readonly endMs: number;
}

/** Returns the day that contains the instant. */
export function dayOf(epochMs: number): number {
  return Math.floor(epochMs / DAY_MS);
}

/** Returns a day number as `YYYY-MM-DD`. */
export function dayText(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** Returns the instant in ISO 8601 with milliseconds, as the API writes every date. */
export function isoMs(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/**
 * Returns the half-open billing period [start, end) in ms that contains the instant and begins on this
 * day of a month.
 */
export function monthlyPeriod(epochMs: number, dayOfMonth: number): { startMs: number; endMs: number } {
  const at = new Date(epochMs);
  const month = at.getUTCMonth() - (at.getUTCDate() < dayOfMonth ? 1 : 0);
  return {
    startMs: Date.UTC(at.getUTCFullYear(), month, dayOfMonth),
    endMs: Date.UTC(at.getUTCFullYear(), month + 1, dayOfMonth),
  };
}
