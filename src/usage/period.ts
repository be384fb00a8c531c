/** What billing periods are: calendar months in UTC, or each organization's own as seen in Losant. */
export const PERIOD_SOURCES = ['calendar', 'losant'] as const;
export type PeriodSource = (typeof PERIOD_SOURCES)[number];
