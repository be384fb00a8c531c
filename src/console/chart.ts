import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import type { Html } from './page.ts';
import { linePath, roundTenth, scaleOf, tickDays, type Values } from './shapes.ts';

/** A day of a chart. */
export interface ChartDay {
  readonly day: string;
  /** The standing of the number; null where it is not wanted. */
  readonly standing: Standing | null;
  /** Whether its zero stands for a day that Losant left out. */
  readonly isLeftOut: boolean;
  /** The number; null where it is not stored. */
  readonly quantity: number | null;
  /** The day with which it is compared, and its number. */
  readonly beforeDay: string | null;
  readonly before: number | null;
}

/** A chart of one number by day as bars, with what it is compared with as a line. */
export interface Chart {
  readonly id: string;
  readonly title: string;
  readonly summary: string;
  readonly days: readonly ChartDay[];
  /** The name of the line; null without a comparison. */
  readonly comparison: string | null;
  /** Returns the address of a day's story. */
  readonly addressOfDay?: (day: string) => string;
  readonly show: (value: number) => string;
}

/** The height in pixels; the width is whatever is available. */
const HEIGHT = 200;
const AXIS_WIDTH = 52;
const LABELS_HEIGHT = 22;

/** Renders the chart with its legend. The numbers are in the titles of its days. */
export function renderChart(chart: Chart): Html {
  const { id, title, summary, days, comparison } = chart;
  const scale = scaleOf(
    days.flatMap(({ quantity, before }) => [quantity, comparison === null ? null : before]),
    HEIGHT,
  );
  const at = (place: number) => `${Math.round((place / days.length) * 100_000) / 1_000}%`;
  const bar = days.length > 180 ? 1 : 0.8;
  const bars = days.map(({ quantity }, place) => {
    if (quantity === null || quantity === 0) return '';
    // Any value above 0 is visible, however small.
    const top = Math.min(scale.y(quantity), HEIGHT - 1);
    return html`<rect class="value" x="${at(place + (1 - bar) / 2)}" width="${at(bar)}" y="${top}"
      height="${roundTenth(HEIGHT - top)}"/>`;
  });
  return html`<figure class="chart" aria-labelledby="${id}-title"><figcaption><h2
    id="${id}-title">${title}</h2><p>${summary}</p></figcaption>
${renderLegend(chart)}
<div class="plot"><svg aria-hidden="true" width="${AXIS_WIDTH}" height="${HEIGHT + LABELS_HEIGHT}">${scale.ticks.map(
    ({ y, label }) => html`<text x="${AXIS_WIDTH - 8}" y="${y}" dy="4" text-anchor="end">${label}</text>`,
  )}</svg>
<svg role="group" aria-label="${title}" width="100%" height="${HEIGHT + LABELS_HEIGHT}">
${scale.ticks.map(({ y }) => html`<line class="rule" x1="0" x2="100%" y1="${y}" y2="${y}"/>`)}
${days.map((day, place) =>
  isAbsent(day)
    ? html`<rect x="${at(place)}" width="${at(1)}" height="${HEIGHT}"
  fill="url(#absent)"/>`
    : '',
)}
${bars}
${days.map(({ isLeftOut }, place) =>
  isLeftOut ? html`<circle class="zeros" cx="${at(place + 0.5)}" cy="${HEIGHT - 4}" r="2.5"/>` : '',
)}
${
  comparison === null
    ? ''
    : renderBefore(
        days.map(({ before }) => before),
        scale.y,
      )
}
${days.map((day, place) =>
  renderDay(
    chart,
    day,
    html`<rect class="day" x="${at(place)}" width="${at(1)}"
  height="${HEIGHT}"><title>${describeDay(chart, day)}</title></rect>`,
  ),
)}
${tickDays(days.map(({ day }) => day)).map(
  ({ place, label, anchor, isMinor }) =>
    html`<text class="${isMinor ? 'minor' : ''}" x="${at(place + 0.5)}" y="${HEIGHT + 16}"
      text-anchor="${anchor}">${label}</text>`,
)}</svg></div></figure>\n`;
}

function renderBefore(values: Values, y: (value: number) => number): Html {
  return html`<svg width="100%" height="${HEIGHT}" viewBox="0 0 ${values.length} ${HEIGHT}"
    preserveAspectRatio="none"><path class="before" vector-effect="non-scaling-stroke" d="${linePath(
      values,
      y,
    )}"/></svg>`;
}

/** Whether the number is wanted and not stored, which must never look like zero. */
function isAbsent({ standing, quantity }: ChartDay): boolean {
  return standing !== null && quantity === null;
}

function renderDay({ addressOfDay }: Chart, { day, standing }: ChartDay, column: Html): Html {
  if (addressOfDay === undefined || standing === null) return column;
  return html`<a href="${addressOfDay(day)}" tabindex="-1" aria-hidden="true">${column}</a>`;
}

function describeDay(
  { comparison, show }: Chart,
  { day, standing, isLeftOut, quantity, beforeDay, before }: ChartDay,
): string {
  const number = quantity === null || standing === null ? '' : `${show(quantity)}, `;
  const words = standing === null ? 'not wanted' : STANDINGS[standing].label;
  const beside =
    comparison === null || beforeDay === null
      ? ''
      : `; ${beforeDay}: ${before === null ? 'not stored' : show(before)}`;
  return `${day}: ${number}${words}${isLeftOut ? ', left out by Losant' : ''}${beside}`;
}

function renderLegend({ days, comparison, addressOfDay }: Chart): Html {
  const absent = days.filter(isAbsent);
  const links =
    addressOfDay === undefined
      ? ''
      : absent.slice(-3).map(({ day }) => html` <a href="${addressOfDay(day)}">${day}</a>`);
  return html`<ul class="legend">
${
  comparison === null
    ? ''
    : html`<li><svg class="swatch" aria-hidden="true" width="18" height="10"><path
  class="before" d="M0 5H18"/></svg>${comparison}</li>`
}
${
  absent.length === 0
    ? ''
    : html`<li><svg class="swatch" aria-hidden="true" width="12" height="12"><rect width="12"
  height="12" fill="url(#absent)"/></svg>not stored:${links}</li>`
}
${
  days.some(({ isLeftOut }) => isLeftOut)
    ? html`<li><svg class="swatch" aria-hidden="true" width="12"
  height="12"><circle class="zeros" cx="6" cy="6" r="2.5"/></svg>zero, as Losant left the day out</li>`
    : ''
}</ul>
<svg class="hidden" aria-hidden="true" width="0" height="0"><defs><pattern id="absent" width="6" height="6"
  patternUnits="userSpaceOnUse"><rect class="not-stored" width="6" height="6"/><path class="hatch"
    d="M-1 1l2-2M0 6l6-6M5 7l2-2"/></pattern></defs></svg>`;
}

/** The size of a sparkline in pixels, and the room for the width of the line. */
const SPARK_WIDTH = 140;
const SPARK_HEIGHT = 28;
const MARGIN = 1.5;

/**
 * Renders a line through one number per day, from the least to the greatest, with days that are not stored as bars.
 * `name` names what is counted.
 */
export function renderSparkline(values: Values, name: string): Html {
  const stored = values.filter((value) => value !== null);
  const [least, most] = [Math.min(...stored), Math.max(...stored)];
  const step = SPARK_WIDTH / Math.max(values.length, 1);
  const y = (value: number) => {
    const share = most === least ? 0.5 : (value - least) / (most - least);
    return SPARK_HEIGHT - MARGIN - share * (SPARK_HEIGHT - 2 * MARGIN);
  };
  const bars = values.map((value, place) =>
    value === null
      ? html`<rect class="spark-gap" x="${roundTenth(place * step)}" y="0" width="${roundTenth(step)}"
        height="${SPARK_HEIGHT}"/>`
      : '',
  );
  const range = stored.length === 0 ? 'none is stored' : `from ${showNumber(least)} to ${showNumber(most)}`;
  return html`<svg role="img" aria-label="${name} by day, ${range}" width="${SPARK_WIDTH}" height="${SPARK_HEIGHT}"
    viewBox="0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}">${bars}<path class="spark" d="${linePath(values, y, step)}"/></svg>`;
}
