import { type DayRange, dayAt } from './day.ts';

/** A calendar month in UTC, `YYYY-MM`. */
export type Month = string;

const MONTH = /^(20(?:1[5-9]|[2-4]\d))-(0[1-9]|1[0-2])$/;

/** Returns the month for `text`, or null if it is not a month for which usage can be stored: 2015-01 to 2049-12. */
export function parseMonth(text: string): Month | null {
  return MONTH.test(text) ? text : null;
}

/** Returns the first and last day of the month. */
export function daysOfMonth(month: Month): DayRange {
  const [year, number] = month.split('-').map(Number) as [number, number];
  return { from: `${month}-01`, to: dayAt(Date.UTC(year, number, 0)) };
}
