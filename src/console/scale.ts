import { scaleLinear } from 'd3-scale';
import { showNumber } from '../terminal/words.ts';
import type { DailyChart } from './chart.ts';

/** From 0 to at least the greatest value, with a few round numbers between. */
export interface Scale {
  /** The top of a value, in pixels from the top of the plot. */
  readonly y: (value: number) => number;
  readonly height: number;
  readonly ticks: readonly { readonly y: number; readonly label: string }[];
  /** A value in full. */
  readonly show: (value: number) => string;
}

const TICKS = 4;

export function scaleOf({ series, unit }: Pick<DailyChart, 'series' | 'unit'>, height: number): Scale {
  const sums = (series[0]?.values ?? []).map((_, place) =>
    series.reduce((sum, { values }) => sum + (values[place] ?? 0), 0),
  );
  const most = sums.reduce((a, b) => Math.max(a, b), 0);
  // Nothing is counted in halves.
  const scale = scaleLinear([0, Math.max(most, TICKS)], [height, 0]).nice(TICKS);
  const y = (value: number) => round(scale(value));
  const show = unit === 'bytes' ? showBytes : showNumber;
  const label = unit === 'bytes' ? showBytes : showCompact;
  return { y, height, show, ticks: scale.ticks(TICKS).map((tick) => ({ y: y(tick), label: label(tick) })) };
}

const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** For an axis: `1.2M`. */
function showCompact(value: number): string {
  return COMPACT.format(value);
}

const SIZES = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;

/** In the largest decimal unit of which there is one: `1.2 GB`. */
export function showBytes(value: number): string {
  const power = value < 1 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), SIZES.length - 1);
  const shown = value / 1_000 ** power;
  return `${showNumber(power === 0 ? shown : Math.round(shown * 10) / 10)} ${SIZES[power]}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
