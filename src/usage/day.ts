/** Usage days: UTC dates as `YYYY-MM-DD` text, never a `Date`, so that no local time zone can shift one; and months. */

/** A UTC date, `YYYY-MM-DD`. */
export type UsageDay = string;

/** An inclusive range of usage days. */
export interface DayRange {
  readonly from: UsageDay;
  readonly to: UsageDay;
}

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;

/** The days for which usage can be stored; the database has the same bounds. */
export const FIRST_DAY: UsageDay = '2015-01-01';
export const LAST_DAY: UsageDay = '2049-12-31';

/** Returns the day for `text`, or null if it is not a real calendar date within these bounds, as `YYYY-MM-DD`. */
export function parseDay(text: string): UsageDay | null {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text) || text < FIRST_DAY || text > LAST_DAY) return null;
  const ms = Date.parse(`${text}T00:00:00.000Z`);
  return Number.isNaN(ms) || dayAt(ms) !== text ? null : text;
}

/** A load asks thousands of times for the same few days, and making a date takes as long as the rest of a rule. */
const dayByNumber = new Map<number, UsageDay>();
const startByDay = new Map<UsageDay, number>();

export function dayAt(epochMs: number): UsageDay {
  const number = Math.floor(epochMs / DAY_MS);
  const day = dayByNumber.get(number) ?? new Date(epochMs).toISOString().slice(0, 10);
  dayByNumber.set(number, day);
  return day;
}

export function dayStartMs(day: UsageDay): number {
  const startMs = startByDay.get(day) ?? Date.parse(`${day}T00:00:00.000Z`);
  startByDay.set(day, startMs);
  return startMs;
}

/** Returns the end of the day, exclusive: the first millisecond of the next one. */
export function dayEndMs(day: UsageDay): number {
  return dayStartMs(day) + DAY_MS;
}

export function addDays(day: UsageDay, count: number): UsageDay {
  return dayAt(dayStartMs(day) + count * DAY_MS);
}

/** Counts the days from `from` to `to`, exclusive; negative if `to` is earlier. */
export function countDays(from: UsageDay, to: UsageDay): number {
  return (dayStartMs(to) - dayStartMs(from)) / DAY_MS;
}

/** Returns the days of the range, oldest first; none if `to` is before `from`. */
export function eachDay(range: DayRange): UsageDay[] {
  const length = Math.max(0, countDays(range.from, range.to) + 1);
  return Array.from({ length }, (_, index) => addDays(range.from, index));
}

/** Returns the latest day. Skips null and undefined; at least one must be a day. */
export function latestDay(...days: readonly (UsageDay | null | undefined)[]): UsageDay {
  return days.filter((day) => day != null).reduce((a, b) => (a > b ? a : b));
}

/** Returns the earliest day. Skips null and undefined; at least one must be a day. */
export function earliestDay(...days: readonly (UsageDay | null | undefined)[]): UsageDay {
  return days.filter((day) => day != null).reduce((a, b) => (a < b ? a : b));
}

/** Joins consecutive days into ranges, oldest first. */
export function mergeDays(days: readonly UsageDay[]): DayRange[] {
  const ranges: { from: UsageDay; to: UsageDay }[] = [];
  for (const day of days.toSorted()) {
    const last = ranges.at(-1);
    if (last && addDays(last.to, 1) === day) last.to = day;
    else ranges.push({ from: day, to: day });
  }
  return ranges;
}

/** A calendar month in UTC, `YYYY-MM`. */
export type Month = string;

const MONTH = /^(20(?:1[5-9]|[2-4]\d))-(0[1-9]|1[0-2])$/;

/** Returns the month for `text`, or null if it is not a month for which usage can be stored: 2015-01 to 2049-12. */
export function parseMonth(text: string): Month | null {
  return MONTH.test(text) ? text : null;
}

export function daysOfMonth(month: Month): DayRange {
  const [year, number] = month.split('-').map(Number) as [number, number];
  return { from: `${month}-01`, to: dayAt(Date.UTC(year, number, 0)) };
}
