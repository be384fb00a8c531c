/** The geometry of charts: scales, paths and ticks. */
import { scaleLinear } from 'd3-scale';
import { line, stack } from 'd3-shape';
import { showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';

/** A scale from 0 to at least the greatest value, with a few round numbers between. */
export interface Scale {
  /** The top of a value, in pixels from the top of the plot. */
  readonly y: (value: number) => number;
  readonly height: number;
  readonly ticks: readonly { readonly y: number; readonly label: string }[];
  /** Returns a value in full. */
  readonly show: (value: number) => string;
}

const TICKS = 4;

/** Values; null where none is stored. */
type Values = readonly (number | null)[];
/** A place of a chart, whose values are drawn above each other. */
interface Stacked {
  readonly values: Values;
}

/** `scaleOf` returns the scale of a plot of a height in pixels. */
export function scaleOf(days: readonly Stacked[], unit: 'count' | 'bytes', height: number): Scale {
  const most = days.map(({ values }) => sumOf(values)).reduce((a, b) => Math.max(a, b), 0);
  // Counts have no halves, so the axis is at least as long as its number of ticks.
  const scale = scaleLinear([0, Math.max(most, TICKS)], [height, 0]).nice(TICKS);
  const y = (value: number) => roundTenth(scale(value));
  const show = unit === 'bytes' ? showBytes : showNumber;
  const label = unit === 'bytes' ? showBytes : (value: number) => COMPACT.format(value);
  return { y, height, show, ticks: scale.ticks(TICKS).map((tick) => ({ y: y(tick), label: label(tick) })) };
}

/** `sumOf` adds up what is stored. */
export function sumOf(values: Values): number {
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

/** The form of a value at an axis: `1.2M`. */
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

const SIZES = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** `showBytes` returns bytes in the largest decimal unit that yields at least 1: `1.2 GB`. */
export function showBytes(value: number): string {
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), SIZES.length - 1);
  const shown = value / 1_000 ** power;
  return `${showNumber(power === 0 ? shown : Math.round(shown * 10) / 10)} ${SIZES[power]}`;
}

export function roundTenth(value: number): number {
  return Math.round(value * 10) / 10;
}

/** `linePath` returns a path from one stored day to the next, each `step` wide; an isolated day is a dot. */
export function linePath(values: Values, y: Scale['y'], step = 1): string {
  const draw = line<number | null>()
    .defined((value) => value !== null)
    .x((_, place) => (place + 0.5) * step)
    .y((value) => y(value ?? 0))
    .digits(1);
  return draw(values) ?? '';
}

/** The number of days from which bars touch, because there is no room between them. */
const TOUCHING_DAYS = 180;

/**
 * `barPaths` returns the bars of each series, above those of the series before, in shares of the plot's width and
 * height.
 */
export function barPaths(days: readonly Stacked[], { y, height }: Scale): string[] {
  const layers = stack<Stacked, number>()
    .keys(days[0]?.values.keys() ?? [])
    .value(({ values }, series) => values[series] ?? 0)(days);
  const width = days.length < TOUCHING_DAYS ? 0.76 : 1;
  return layers.map((layer) =>
    layer
      .map(([from, to], place) => {
        if (to === from) return '';
        const left = share((place + (1 - width) / 2) / days.length);
        const wide = share(width / days.length);
        // Any value above 0 is visible, however small.
        const high = share(Math.max((y(from) - y(to)) / height, 1 / height));
        return `M${left} ${share(y(from) / height - high)}h${wide}v${high}h${-wide}z`;
      })
      .join(''),
  );
}

/** `runsOf` joins neighbouring days that are true. */
export function runsOf(holds: readonly boolean[]): { from: number; count: number }[] {
  const runs: { from: number; count: number }[] = [];
  for (const [place, holdsHere] of holds.entries()) {
    const last = runs.at(-1);
    if (!holdsHere) continue;
    if (last && last.from + last.count === place) last.count += 1;
    else runs.push({ from: place, count: 1 });
  }
  return runs;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

export interface TickDay {
  readonly place: number;
  readonly label: string;
  readonly anchor: 'start' | 'middle' | 'end';
  /** Whether it is left out where there is little room. */
  readonly isMinor: boolean;
}

/** `tickDays` returns the days that are named on the axis, few enough for a narrow screen. */
export function tickDays(days: readonly UsageDay[]): TickDay[] {
  return [...days.entries()]
    .filter(([, day]) => isTick(day, days.length))
    .map(([place, day]) => ({
      place,
      label: labelOf(day),
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

function labelOf(day: UsageDay): string {
  const month = MONTHS[Number(day.slice(5, 7)) - 1];
  const date = Number(day.slice(8));
  return day.slice(5) === '01-01' ? `${day.slice(0, 4)}` : `${date} ${month}`;
}

function anchorOf(share: number): TickDay['anchor'] {
  if (share < 0.05) return 'start';
  return share > 0.95 ? 'end' : 'middle';
}

function share(value: number): number {
  return Math.round(value * 100_000) / 100_000;
}
