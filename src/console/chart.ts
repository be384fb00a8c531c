import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import type { Html } from './page.ts';

export interface ChartDay {
  readonly day: UsageDay;
  /** Null if the cell is not expected. */
  readonly standing: Standing | null;
  /** Null if it is not stored. */
  readonly quantity: number | null;
  readonly comparedDay: UsageDay | null;
  readonly comparedQuantity: number | null;
  /** Values that are not in a sum over several organizations, because they are not stored (count). */
  readonly valuesNotStored?: number;
}

/** A chart of a metric of an organization: a bar for each day, and a line for the days compared with. */
interface Chart {
  readonly title: string;
  readonly summary: string;
  /** The unit of the values: `payloads`. */
  readonly unit: string;
  readonly days: readonly ChartDay[];
  /** The label of the line; null if there is none. */
  readonly comparison: string | null;
  /** Returns the page of a day; null if days have none. */
  readonly addressOf: ((day: UsageDay) => string) | null;
}

/** In pixels; the width is whatever is available. */
const HEIGHT = 200;
const AXIS_WIDTH = 52;
const LABELS_HEIGHT = 22;
const TICKS = 4;
/** Formats a value at the axis: `1.2M`. */
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** Renders the chart with its legend. The titles of the days have the exact numbers. */
export function renderChart(chart: Chart): Html {
  const { title, summary, days } = chart;
  const comparedQuantities = days.map((day) => day.comparedQuantity);
  const maximum = Math.max(
    TICKS,
    ...days.map(({ quantity }) => quantity ?? 0),
    ...comparedQuantities.map((quantity) => quantity ?? 0),
  );
  const scale = scaleLinear([0, maximum], [HEIGHT, 0]).nice(TICKS);
  const y = (value: number) => roundTenth(scale(value));
  const ticks = scale.ticks(TICKS).map((tick) => ({ at: y(tick), label: COMPACT.format(tick) }));
  return html`<figure class="chart" aria-labelledby="days-title"><figcaption><h2 id="days-title">${title}</h2>
<p>${summary}</p></figcaption>
${renderLegend(chart)}
<div class="plot"><svg aria-hidden="true" width="${AXIS_WIDTH}" height="${HEIGHT + LABELS_HEIGHT}">${ticks.map(
    ({ at, label }) => html`<text x="${AXIS_WIDTH - 8}" y="${at}" dy="4" text-anchor="end">${label}</text>`,
  )}</svg>
<svg role="group" aria-label="${title}" width="100%" height="${HEIGHT + LABELS_HEIGHT}">
${ticks.map(({ at }) => html`<line class="rule" x1="0" x2="100%" y1="${at}" y2="${at}"/>`)}
${days.map((day, index) => renderDay(chart, day, { index, y }))}
<svg width="100%" height="${HEIGHT}" viewBox="0 0 ${days.length} ${HEIGHT}" preserveAspectRatio="none"><path
  class="compared" vector-effect="non-scaling-stroke"
  d="${toLinePath(comparedQuantities, y)}"/></svg></svg></div></figure>\n`;
}

/** Renders the column of a day: a bar, or a red column if it is not stored, and the label and title of the day. */
function renderDay(
  { days, addressOf }: Chart,
  { day, standing, quantity, comparedDay, comparedQuantity }: ChartDay,
  { index, y }: { readonly index: number; readonly y: (value: number) => number },
): Html {
  const at = (count: number) => `${Math.round((count / days.length) * 100_000) / 1_000}%`;
  // Any value above 0 is visible, however small.
  const top = Math.min(y(quantity ?? 0), HEIGHT - 1);
  const comparedText = comparedQuantity === null ? 'not stored' : showNumber(comparedQuantity);
  const title = [
    `${day}: ${quantity === null || standing === null ? '' : `${showNumber(quantity)}, `}`,
    standing === null ? 'not expected' : STANDINGS[standing].label,
    comparedDay === null ? '' : `; ${comparedDay}: ${comparedText}`,
  ].join('');
  const column = (className: string) =>
    html`<rect class="${className}" x="${at(index)}" width="${at(1)}" height="${HEIGHT}"><title>${title}</title>
</rect>`;
  const bar = html`<rect class="value" x="${at(index + 0.1)}" width="${at(0.8)}" y="${top}"
    height="${roundTenth(HEIGHT - top)}"/>`;
  return html`${isNotStored({ standing, quantity }) && column('not-stored')}${(quantity ?? 0) > 0 && bar}${
    standing === null || addressOf === null
      ? column('day')
      : html`<a href="${addressOf(day)}" tabindex="-1" aria-hidden="true">${column('day')}</a>`
  }${renderTick(day, days.length, at(index + 0.5))}`;
}

/** Whether the cell is expected and not stored, which must never look like zero. */
function isNotStored({ standing, quantity }: Pick<ChartDay, 'standing' | 'quantity'>): boolean {
  return standing !== null && quantity === null;
}

const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });

/** Renders the label of a day below the axis. Only a few days have one, to leave room on a narrow screen. */
function renderTick(day: UsageDay, count: number, x: string): Html | string {
  const [month, date] = [Number(day.slice(5, 7)), Number(day.slice(8))];
  const hasLabel =
    count > 92 ? date === 1 && month % 3 === 1 : [1, ...(count > 31 ? [15] : [8, 15, 22])].includes(date);
  if (!hasLabel) return '';
  const isMinor = count > 31 && date !== 1;
  return html`<text class="${isMinor ? 'minor' : ''}" x="${x}" y="${HEIGHT + 16}" text-anchor="middle">${
    day.endsWith('-01-01') ? day.slice(0, 4) : DAY.format(Date.parse(day))
  }</text>`;
}

function renderLegend({ days, comparison, addressOf }: Chart): Html {
  const newestDays = days.filter(isNotStored).slice(-3);
  const links = newestDays.map(({ day }) =>
    addressOf === null ? ` ${day}` : html` <a href="${addressOf(day)}">${day}</a>`,
  );
  const renderItem = (shape: Html, label: unknown) =>
    html`<li><svg class="swatch" aria-hidden="true" width="18" height="12">${shape}</svg>${label}</li>`;
  return html`<ul class="legend">${comparison !== null && renderItem(html`<path class="compared" d="M0 6H18"/>`, comparison)}${
    newestDays.length > 0 &&
    renderItem(html`<rect class="not-stored" width="12" height="12"/>`, html`not stored:${links}`)
  }</ul>`;
}

/** Returns the path of the line, which has a break where a day is not stored. */
function toLinePath(values: readonly (number | null)[], y: (value: number) => number): string {
  const draw = line<number | null>()
    .defined((value) => value !== null)
    .x((_, index) => index + 0.5)
    .y((value) => y(value ?? 0))
    .digits(1);
  return draw(values) ?? '';
}

function roundTenth(value: number): number {
  return Math.round(value * 10) / 10;
}
