/** The geometry of charts: scales, paths and ticks. */
import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import { showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';

/** A scale from 0 to at least the greatest value, with a few round numbers between. */
export interface Scale {
  /** The top of a value, in pixels from the top of the plot. */
  readonly y: (value: number) => number;
  readonly ticks: readonly { readonly y: number; readonly label: string }[];
}

const TICKS = 4;

/** Values; null where none is stored. */
export type Values = readonly (number | null)[];

/** Returns the scale of a plot of a height in pixels. */
export function scaleOf(values: Values, height: number): Scale {
  const most = values.reduce<number>((a, b) => Math.max(a, b ?? 0), 0);
  // Counts have no halves, so the axis is at least as long as its number of ticks.
  const scale = scaleLinear([0, Math.max(most, TICKS)], [height, 0]).nice(TICKS);
  const y = (value: number) => roundTenth(scale(value));
  return { y, ticks: scale.ticks(TICKS).map((tick) => ({ y: y(tick), label: COMPACT.format(tick) })) };
}

/** The form of a value at an axis: `1.2M`. */
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

const SIZES = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** Returns bytes in the largest decimal unit that yields at least 1: `1.2 GB`. */
export function showBytes(value: number): string {
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), SIZES.length - 1);
  const shown = value / 1_000 ** power;
  return `${showNumber(power === 0 ? shown : Math.round(shown * 10) / 10)} ${SIZES[power]}`;
}

export function roundTenth(value: number): number {
  return Math.round(value * 10) / 10;
}

/** Returns a path from one stored day to the next, each `step` wide; an isolated day is a dot. */
export function linePath(values: Values, y: Scale['y'], step = 1): string {
  const draw = line<number | null>()
    .defined((value) => value !== null)
    .x((_, place) => (place + 0.5) * step)
    .y((value) => y(value ?? 0))
    .digits(1);
  return draw(values) ?? '';
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

export interface TickDay {
  readonly place: number;
  readonly label: string;
  readonly anchor: 'start' | 'middle' | 'end';
  /** Whether it is left out where there is little room. */
  readonly isMinor: boolean;
}

/** Returns the days that are named on the axis, few enough for a narrow screen. */
export function tickDays(days: readonly UsageDay[]): TickDay[] {
  return [...days.entries()]
    .filter(([, day]) => isTick(day, days.length))
    .map(([place, day]) => ({
      place,
      label: day.endsWith('-01-01')
        ? day.slice(0, 4)
        : `${Number(day.slice(8))} ${MONTHS[Number(day.slice(5, 7)) - 1]}`,
      anchor: anchorOf(place / days.length),
      isMinor: days.length > 31 && !day.endsWith('-01'),
    }));
}

function isTick(day: UsageDay, count: number): boolean {
  const [month, date] = [Number(day.slice(5, 7)), Number(day.slice(8))];
  if (count <= 31) return [1, 8, 15, 22].includes(date);
  if (count <= 92) return date === 1 || date === 15;
  return date === 1 && month % 3 === 1;
}

function anchorOf(share: number): TickDay['anchor'] {
  if (share < 0.05) return 'start';
  return share > 0.95 ? 'end' : 'middle';
}
