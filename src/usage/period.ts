import { type DayRange, dayAt } from './day.ts';

/**
 * The sources of billing periods: calendar months in UTC, or each organization's own period as seen in
 * Losant.
 */
export const PERIOD_SOURCES = ['calendar', 'losant'] as const;
export type PeriodSource = (typeof PERIOD_SOURCES)[number];

/** The effect of a control total that differs from final numbers on their period. */
export const CONTROL_TOTAL_USES = ['block', 'show'] as const;
export type ControlTotalUse = (typeof CONTROL_TOTAL_USES)[number];

/** A calendar month in UTC, `YYYY-MM`. A closed period is named by the month in which it ends. */
export type Month = string;

const MONTH = /^(20(?:1[5-9]|[2-4]\d))-(0[1-9]|1[0-2])$/;

/**
 * `parseMonth` returns the month for `text`, or null if it is not a month for which usage can be stored: 2015-01 to
 * 2049-12.
 */
export function parseMonth(text: string): Month | null {
  return MONTH.test(text) ? text : null;
}

/** `daysOfMonth` returns the first and last day of the month. */
export function daysOfMonth(month: Month): DayRange {
  const [year, number] = month.split('-').map(Number) as [number, number];
  return { from: `${month}-01`, to: dayAt(Date.UTC(year, number, 0)) };
}
