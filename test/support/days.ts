const DAY_MS = 86_400_000;

/** Returns the UTC day that ended `back` midnights ago: 1 is yesterday, the newest that can be read. */
export function daysAgo(back: number): string {
  return new Date(Date.now() - back * DAY_MS).toISOString().slice(0, 10);
}
