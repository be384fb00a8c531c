/**
 * Usage days: UTC dates as `YYYY-MM-DD` text, never a `Date`, so that no local time zone can shift
 * one. All arithmetic is on whole days since 1970-01-01.
 */

/** A UTC date, `YYYY-MM-DD`. */
export type UsageDay = string;

/** An inclusive range of usage days. */
export interface DayRange {
  readonly from: UsageDay;
  readonly to: UsageDay;
}

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** Returns the day for `text`, or null if it is not a real calendar date in the form `YYYY-MM-DD`. */
export function parseDay(text: string): UsageDay | null {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return null;
  const ms = dayStartMs(text);
  return Number.isNaN(ms) || dayAt(ms) !== text ? null : text;
}

/** Returns the UTC day that contains the instant `epochMs`. */
export function dayAt(epochMs: number): UsageDay {
  const place = Math.floor(epochMs / DAY_MS);
  return days.get(place) ?? remember(days, place, new Date(epochMs).toISOString().slice(0, 10));
}

/** Returns the first millisecond of the day. */
export function dayStartMs(day: UsageDay): number {
  return starts.get(day) ?? remember(starts, day, Date.parse(`${day}T00:00:00.000Z`));
}

/**
 * The texts of days by number: an export converts the same few hundred days hundreds of thousands of
 * times.
 */
const days = new Map<number, UsageDay>();
const starts = new Map<UsageDay, number>();
const REMEMBERED_MAX = 2_000;

function remember<K, V>(known: Map<K, V>, key: K, value: V): V {
  if (known.size >= REMEMBERED_MAX) known.clear();
  known.set(key, value);
  return value;
}

/** Returns the end of the day: the first millisecond of the next one. */
export function dayEndMs(day: UsageDay): number {
  return dayStartMs(day) + DAY_MS;
}

/** Returns the day `count` days after `day` (before it, if negative). */
export function addDays(day: UsageDay, count: number): UsageDay {
  return dayAt(dayStartMs(day) + count * DAY_MS);
}

/** Returns the number of days from `from` to `to`; negative if `to` is earlier. */
export function daysFrom(from: UsageDay, to: UsageDay): number {
  return (dayStartMs(to) - dayStartMs(from)) / DAY_MS;
}

/** Returns every day of the inclusive range, oldest first; none if it is empty. */
export function eachDay(range: DayRange): UsageDay[] {
  const count = daysFrom(range.from, range.to) + 1;
  const all: UsageDay[] = [];
  for (let i = 0; i < count; i += 1) all.push(addDays(range.from, i));
  return all;
}

/**
 * Returns the latest of the days, of which at least one must be given. Null and undefined are
 * skipped.
 */
export function latestDay(...days: readonly (UsageDay | null | undefined)[]): UsageDay {
  return present(days).reduce((a, b) => (a > b ? a : b));
}

/**
 * Returns the earliest of the days, of which at least one must be given. Null and undefined
 * are skipped.
 */
export function earliestDay(...days: readonly (UsageDay | null | undefined)[]): UsageDay {
  return present(days).reduce((a, b) => (a < b ? a : b));
}

function present(days: readonly (UsageDay | null | undefined)[]): UsageDay[] {
  return days.filter((day) => day != null);
}

/** Joins neighbouring days into ranges, oldest first. */
export function mergeDays(days: readonly UsageDay[]): DayRange[] {
  const ranges: { from: UsageDay; to: UsageDay }[] = [];
  for (const day of days.toSorted()) {
    const last = ranges.at(-1);
    if (last && addDays(last.to, 1) === day) last.to = day;
    else ranges.push({ from: day, to: day });
  }
  return ranges;
}
