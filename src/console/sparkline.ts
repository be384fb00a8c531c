import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import type { Html } from './page.ts';

const WIDTH = 120;
const HEIGHT = 24;
/** The room for the width of the line. */
const MARGIN = 1.5;

/**
 * `renderSparkline` renders a line through one number per day. Days that are not stored are shown as bars
 * and break the line, because they must never look like zero. `name` names what is counted.
 */
export function renderSparkline(values: readonly (number | null)[], name: string): Html {
  const step = WIDTH / Math.max(values.length, 1);
  const gaps = values.flatMap((value, index) => (value === null ? [index * step] : []));
  const bars = gaps.map(
    (x) => html`<rect class="spark-gap" x="${round(x)}" y="0" width="${round(step)}" height="${HEIGHT}"/>`,
  );
  return html`<svg role="img" aria-label="${describe(values, name)}" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}">${bars}<path class="spark" d="${linesThrough(values)}"/></svg>`;
}

/** `linesThrough` returns the path of the line from one stored day to the next; an isolated stored day is a dot. */
export function linesThrough(values: readonly (number | null)[]): string {
  const most = Math.max(1, ...values.map((value) => value ?? 0));
  const step = WIDTH / Math.max(values.length, 1);
  return values
    .map((value, index) => {
      if (value === null) return '';
      const isFirst = index === 0 || values[index - 1] === null;
      const y = HEIGHT - MARGIN - (value / most) * (HEIGHT - 2 * MARGIN);
      const point = `${round((index + 0.5) * step)} ${round(y)}`;
      return isFirst ? `M${point}h0` : `L${point}`;
    })
    .join('');
}

function describe(values: readonly (number | null)[], name: string): string {
  const stored = values.filter((value) => value !== null);
  if (stored.length === 0) return `${name}: none of ${values.length} days is stored`;
  const missing = values.length - stored.length;
  const range = `from ${showNumber(Math.min(...stored))} to ${showNumber(Math.max(...stored))}`;
  return `${name} by day, ${range}${missing === 0 ? '' : `; ${missing} of ${values.length} days are not stored`}`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
