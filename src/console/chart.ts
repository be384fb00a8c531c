import type { UsageDay } from '../usage/day.ts';

/** How a day stands in a chart. `zeros`: held, but Losant left the day out and zeros stand for it. */
export type DayState = 'held' | 'zeros' | 'missing' | 'untracked';

export interface Series {
  readonly name: string;
  /** By day; null where it is not held. */
  readonly values: readonly (number | null)[];
}

/** One number per UTC day, or several that add up to one. */
export interface DailyChart {
  /** In addresses and ids. */
  readonly id: string;
  readonly title: string;
  /** What the axis counts, e.g. `Payloads per day`. */
  readonly axis: string;
  readonly unit: 'count' | 'bytes';
  /** One series as a line, or any number of them stacked as bars, the first at the bottom. */
  readonly shape: 'line' | 'bars';
  readonly days: readonly UsageDay[];
  /** The address at which it is told why a day is not held. */
  readonly storyOf?: (day: UsageDay) => string;
  readonly states: readonly DayState[];
  readonly series: readonly Series[];
  /** Whether the series are parts whose names the legend tells. */
  readonly hasParts: boolean;
  /** What the chart shows, in a sentence. */
  readonly summary: string;
}
