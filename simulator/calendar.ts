/** Days are whole numbers of UTC days since 1970-01-01. */

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** The range of a request in ms, both ends inclusive. */
export interface Window {
  readonly startMs: number;
  readonly endMs: number;
}

export function dayOf(epochMs: number): number {
  return Math.floor(epochMs / DAY_MS);
}

/** Formats a day as `YYYY-MM-DD`. */
export function dayText(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

/** Formats an instant as the API does: ISO 8601 with milliseconds. */
export function isoMs(epochMs: number): string {
  return new Date(epochMs).toISOString();
}

/** Returns the billing period that contains the instant and starts on this day of a month; its end is exclusive. */
export function monthlyPeriod(epochMs: number, dayOfMonth: number): { startMs: number; endMs: number } {
  const at = new Date(epochMs);
  const month = at.getUTCMonth() - (at.getUTCDate() < dayOfMonth ? 1 : 0);
  return {
    startMs: Date.UTC(at.getUTCFullYear(), month, dayOfMonth),
    endMs: Date.UTC(at.getUTCFullYear(), month + 1, dayOfMonth),
  };
}
