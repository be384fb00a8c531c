import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import type { Html } from './page.ts';

export interface ChartDay {
  readonly day: UsageDay;
  /** The standing of the number; null where it is not wanted. */
  readonly standing: Standing | null;
  /** The number; null where it is not stored. */
  readonly quantity: number | null;
  /** The day with which it is compared, and its number. */
  readonly beforeDay: UsageDay | null;
  readonly before: number | null;
}

/** A chart of one number of an organization by day as bars, with what it is compared with as a line. */
interface Chart {
  readonly orgId: string;
  readonly title: string;
  readonly summary: string;
  readonly days: readonly ChartDay[];
  /** The name of the line. */
  readonly comparison: string;
}

/** The height in pixels; the width is whatever is available. */
const HEIGHT = 200;
const AXIS_WIDTH = 52;
const LABELS_HEIGHT = 22;
const TICKS = 4;
/** The form of a value at an axis: `1.2M`. */
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** Renders the chart with its legend. The numbers are in the titles of its days. */
export function renderChart(chart: Chart): Html {
  const { title, summary, days } = chart;
  const before = days.map((day) => day.before);
  const most = Math.max(
    TICKS,
    ...days.map(({ quantity }) => quantity ?? 0),
    ...before.map((value) => value ?? 0),
  );
  const scale = scaleLinear([0, most], [HEIGHT, 0]).nice(TICKS);
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
${days.map((day, index) => renderDay(chart, day, { place: index, y }))}
<svg width="100%" height="${HEIGHT}" viewBox="0 0 ${days.length} ${HEIGHT}" preserveAspectRatio="none"><path
  class="before" vector-effect="non-scaling-stroke" d="${linePath(before, y)}"/></svg></svg></div></figure>\n`;
}

/** Renders the column of a day: a bar, hatches where it is not stored, its label, and its number as a title. */
function renderDay(
  { orgId, days }: Chart,
  { day, standing, quantity, beforeDay, before }: ChartDay,
  { place, y }: { readonly place: number; readonly y: (value: number) => number },
): Html {
  const at = (count: number) => `${Math.round((count / days.length) * 100_000) / 1_000}%`;
  // Any value above 0 is visible, however small.
  const top = Math.min(y(quantity ?? 0), HEIGHT - 1);
  const beside = before === null ? 'not stored' : showNumber(before);
  const words = [
    `${day}: ${quantity === null || standing === null ? '' : `${showNumber(quantity)}, `}`,
    standing === null ? 'not expected' : STANDINGS[standing].label,
    beforeDay === null ? '' : `; ${beforeDay}: ${beside}`,
  ].join('');
  const column = (className: string) =>
    html`<rect class="${className}" x="${at(place)}" width="${at(1)}" height="${HEIGHT}"><title>${words}</title>
</rect>`;
  const bar = html`<rect class="value" x="${at(place + 0.1)}" width="${at(0.8)}" y="${top}"
    height="${roundTenth(HEIGHT - top)}"/>`;
  return html`${isAbsent({ standing, quantity }) && column('absent')}${(quantity ?? 0) > 0 && bar}${
    standing === null
      ? column('day')
      : html`<a href="/coverage/${orgId}/${day}" tabindex="-1" aria-hidden="true">${column('day')}</a>`
  }${renderTick(day, days.length, at(place + 0.5))}`;
}

/** Whether the number is wanted and not stored, which must never look like zero. */
function isAbsent({ standing, quantity }: Pick<ChartDay, 'standing' | 'quantity'>): boolean {
  return standing !== null && quantity === null;
}

const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });

/** Names a day below the axis: few of them, so that there is room on a narrow screen. */
function renderTick(day: UsageDay, count: number, x: string): Html | string {
  const [month, date] = [Number(day.slice(5, 7)), Number(day.slice(8))];
  const isNamed =
    count > 92 ? date === 1 && month % 3 === 1 : [1, ...(count > 31 ? [15] : [8, 15, 22])].includes(date);
  if (!isNamed) return '';
  const isMinor = count > 31 && date !== 1;
  return html`<text class="${isMinor ? 'minor' : ''}" x="${x}" y="${HEIGHT + 16}" text-anchor="middle">${
    day.endsWith('-01-01') ? day.slice(0, 4) : DAY.format(Date.parse(day))
  }</text>`;
}

function renderLegend({ orgId, days, comparison }: Chart): Html {
  const absent = days.filter(isAbsent).slice(-3);
  const links = absent.map(({ day }) => html` <a href="/coverage/${orgId}/${day}">${day}</a>`);
  const item = (shape: Html, words: unknown) =>
    html`<li><svg class="swatch" aria-hidden="true" width="18" height="12">${shape}</svg>${words}</li>`;
  return html`<ul class="legend">${item(html`<path class="before" d="M0 6H18"/>`, comparison)}${
    absent.length > 0 && item(html`<rect class="absent" width="12" height="12"/>`, html`not stored:${links}`)
  }</ul>`;
}

/** Returns a path from one stored day to the next; an isolated day is a dot. */
function linePath(values: readonly (number | null)[], y: (value: number) => number): string {
  const draw = line<number | null>()
    .defined((value) => value !== null)
    .x((_, place) => place + 0.5)
    .y((value) => y(value ?? 0))
    .digits(1);
  return draw(values) ?? '';
}

function roundTenth(value: number): number {
  return Math.round(value * 10) / 10;
}
