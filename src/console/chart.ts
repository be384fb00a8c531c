import { scaleLinear } from 'd3-scale';
import { line } from 'd3-shape';
import { html } from 'hono/html';
import { toPair } from '../queries/usage-totals.ts';
import { count, showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import type { Html } from './page.ts';
import { type Columns, renderHtmlTable, showChange, showDifference } from './table.ts';

/** A day of one organization, or of the sum over several. */
export type ChartDay = {
  readonly day: UsageDay;
  /** The standing of its cell; null if none is expected, because nothing existed. A sum has none. */
  readonly standing?: Standing | null;
  /** The value, or the sum of those that are stored; null if none is. */
  readonly quantity: number | null;
  readonly comparedDay: UsageDay | null;
  readonly comparedQuantity: number | null;
  /** Values that are not in a sum, because they are not stored (count). */
  readonly valuesNotStored?: number;
  /** Both sums over what is stored on both days, to be compared. */
  readonly paired?: readonly [quantity: number | null, comparedQuantity: number | null];
};

/** A chart of a metric: a bar for each day, and a line for the days compared with. */
export interface Chart {
  /** The heading with a summary; absent where the page has one. */
  readonly heading?: { readonly title: string; readonly summary: string };
  /** The unit of the values: `payloads`. */
  readonly unit: string;
  readonly days: readonly ChartDay[];
  /** The label of the line; null if there is none. */
  readonly comparison: string | null;
  /** Returns the page of a day; null if days have none. */
  readonly addressOf: ((day: UsageDay) => string) | null;
  /** The largest value that the axis must have, so that charts next to each other have the same; 0 if any will do. */
  readonly maximum?: number;
}

/** In pixels; the width is whatever is available. The room above the plot is for the values of the day pointed at. */
const ROOM_ABOVE = 48;
const HEIGHT = 180;
const BASE = ROOM_ABOVE + HEIGHT;
const TOTAL_HEIGHT = BASE + 22;
const AXIS_WIDTH = 52;
const TICKS = 4;
/** With more days, weekends would be stripes. */
const MAX_DAYS_WITH_WEEKENDS = 100;
/** Formats a value at the axis: `1.2M`. */
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });

/** Renders the chart with its legend, and its values as a table. */
export function renderChart(chart: Chart): Html {
  const { heading, days, comparison, maximum = 0 } = chart;
  const comparedQuantities = days.map((day) => day.comparedQuantity);
  const values = [...days.map(({ quantity }) => quantity ?? 0), ...comparedQuantities.map((value) => value ?? 0)];
  const scale = scaleLinear([0, Math.max(TICKS, maximum, ...values)], [BASE, ROOM_ABOVE]).nice(TICKS);
  const y = (value: number) => roundTenth(scale(value));
  const ticks = scale.ticks(TICKS).map((tick) => ({ at: y(tick), label: COMPACT.format(tick) }));
  const labels = labelDays(days.map(({ day }) => day));
  return html`<figure class="chart">${
    heading !== undefined && html`<figcaption><h2>${heading.title}</h2><p>${heading.summary}</p></figcaption>`
  }
${renderLegend(chart)}
<div class="plot" aria-hidden="true"><svg width="${AXIS_WIDTH}"
  height="${TOTAL_HEIGHT}">${ticks.map(
    ({ at, label }) => html`<text x="${AXIS_WIDTH - 8}" y="${at}" dy="4" text-anchor="end">${label}</text>`,
  )}</svg>
<svg width="100%" height="${TOTAL_HEIGHT}">
${days.map(({ day }, index) => renderShade(day, index, days.length))}
${ticks.map(({ at }) => html`<line class="rule" x1="0" x2="100%" y1="${at}" y2="${at}"/>`)}
${days.map((day, index) => renderDay(chart, day, { index, y, label: labels[index] ?? null }))}
${
  comparison !== null &&
  html`<svg width="100%" height="${TOTAL_HEIGHT}" viewBox="0 0 ${days.length} ${TOTAL_HEIGHT}"
  preserveAspectRatio="none"><path class="compared" vector-effect="non-scaling-stroke"
  d="${toLinePath(comparedQuantities, y)}"/></svg>`
}</svg></div>
${renderValues(chart)}</figure>\n`;
}

/** Returns the position of a day in percent of the width. */
function percentOf(index: number, days: number): string {
  return `${Math.round((index / days) * 100_000) / 1_000}%`;
}

function renderShade(day: UsageDay, index: number, days: number): Html | string {
  const isWeekend = [0, 6].includes(new Date(day).getUTCDay());
  if (!isWeekend || days > MAX_DAYS_WITH_WEEKENDS) return '';
  return html`<rect class="weekend" x="${percentOf(index, days)}" width="${percentOf(1, days)}" y="${ROOM_ABOVE}"
  height="${HEIGHT}"/>`;
}

interface Position {
  readonly index: number;
  readonly y: (value: number) => number;
  readonly label: DayLabel | null;
}

/** Renders the mark of a day, its label, and its values, which appear above the plot while it is pointed at. */
function renderDay(chart: Chart, chartDay: ChartDay, { index, y, label }: Position): Html {
  const { days, addressOf } = chart;
  const { day, standing } = chartDay;
  const at = (offset: number) => percentOf(index + offset, days.length);
  const width = (share: number) => percentOf(share, days.length);
  const column = html`<rect class="day" x="${at(0)}" width="${width(1)}" y="${ROOM_ABOVE}" height="${HEIGHT}"/>`;
  const third = Math.floor((index / days.length) * 3);
  const [values, comparison] = describeDay(chart, chartDay);
  return html`<g class="at">${renderMark(chartDay, { at, width, y })}${
    standing === null || addressOf === null ? column : html`<a href="${addressOf(day)}" tabindex="-1">${column}</a>`
  }<text class="tip" y="12" text-anchor="${['start', 'middle', 'end'][third]}"><tspan
  x="${at(0.5)}">${showLongDay(day)}</tspan><tspan x="${at(0.5)}" dy="15">${values}</tspan></text>${
    comparison !== '' &&
    html`<text class="tip" x="${at(0.5)}" y="42"
      text-anchor="${['start', 'middle', 'end'][third]}">${comparison}</text>`
  }</g>${
    label !== null &&
    html`<text class="${label.isMinor && 'minor'}" x="${at(0.5)}" y="${BASE + 16}"
  text-anchor="middle">${label.text}</text>`
  }\n`;
}

interface MarkPosition {
  readonly at: (offset: number) => string;
  readonly width: (share: number) => string;
  readonly y: (value: number) => number;
}

/** Renders a bar, a circle for zero, a red column for what is not stored, or a band where nothing existed. */
function renderMark({ standing, quantity, valuesNotStored = 0 }: ChartDay, { at, width, y }: MarkPosition): Html {
  if (standing === null)
    return html`<rect class="absent" x="${at(0)}" width="${width(1)}" y="${BASE - 5}" height="5"/>`;
  if (quantity === null)
    return html`<rect class="not-stored" x="${at(0)}" width="${width(1)}" y="${ROOM_ABOVE}" height="${HEIGHT}"/>`;
  if (quantity === 0) return html`<circle class="zero" cx="${at(0.5)}" cy="${BASE}" r="2"/>`;
  // Any value above 0 is visible, however small.
  const top = Math.min(y(quantity), BASE - 1);
  return html`<rect class="value ${valuesNotStored > 0 && 'part'}" x="${at(0.1)}" width="${width(0.8)}" y="${top}"
  height="${roundTenth(BASE - top)}"/>`;
}

/** Describes the value of a day, and the change from the day that it is compared with. */
function describeDay({ unit, comparison }: Chart, chartDay: ChartDay): readonly [string, string] {
  const { standing, quantity, comparedDay, comparedQuantity, valuesNotStored = 0 } = chartDay;
  if (standing === null) return ['did not exist', ''];
  const value = quantity === null ? 'not stored' : `${showNumber(quantity)} ${unit}`;
  const remark =
    valuesNotStored > 0 ? `${showNumber(valuesNotStored)} not stored` : standing && STANDINGS[standing].label;
  const values = quantity === null || remark === undefined ? value : `${value}, ${remark}`;
  if (comparison === null || comparedDay === null) return [values, ''];
  if (comparedQuantity === null) return [values, `${showLongDay(comparedDay)}: not stored`];
  const compared = `${showNumber(comparedQuantity)} on ${showLongDay(comparedDay)}`;
  const change = showDayChange(chartDay);
  return [values, change === null ? compared : `${change} from ${compared}`];
}

/** Returns the change in percent, or the difference from zero; null if either value is not stored. */
function showDayChange(day: ChartDay): string | null {
  const [quantity, comparedQuantity] = toPair(day);
  if (day.standing === null || quantity === null || comparedQuantity === null) return null;
  return comparedQuantity === 0 ? showDifference(quantity) : showChange(quantity / comparedQuantity - 1);
}

const LONG_DAY = new Intl.DateTimeFormat('en-GB', {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
  timeZone: 'UTC',
});
const WEEKDAY = new Intl.DateTimeFormat('en-GB', { weekday: 'short', day: 'numeric', timeZone: 'UTC' });
const DATE = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', timeZone: 'UTC' });
const MONTH = new Intl.DateTimeFormat('en-GB', { month: 'short', timeZone: 'UTC' });
const MONTH_OF_YEAR = new Intl.DateTimeFormat('en-GB', { month: 'short', year: 'numeric', timeZone: 'UTC' });

export function showLongDay(day: UsageDay): string {
  return LONG_DAY.format(Date.parse(day));
}

interface DayLabel {
  readonly text: string;
  /** Whether it is hidden on a narrow screen. */
  readonly isMinor: boolean;
}

/** Returns the labels below the axis, of as many days as there is room for: days, weeks, months or quarters. */
function labelDays(days: readonly UsageDay[]): readonly (DayLabel | null)[] {
  return days.map((day, index) => {
    const [time, month, date] = [Date.parse(day), Number(day.slice(5, 7)), Number(day.slice(8))];
    const isMonday = new Date(time).getUTCDay() === 1;
    if (days.length <= 10) return { text: WEEKDAY.format(time), isMinor: index % 2 === 1 };
    if (days.length <= 35) return isMonday ? { text: DATE.format(time), isMinor: false } : null;
    if (days.length <= 100) return [1, 15].includes(date) ? { text: DATE.format(time), isMinor: date !== 1 } : null;
    const isQuarter = month % 3 === 1;
    if (date !== 1 || (days.length > 400 && !isQuarter)) return null;
    return { text: (month === 1 ? MONTH_OF_YEAR : MONTH).format(time), isMinor: !isQuarter };
  });
}

function renderLegend({ days, comparison, addressOf }: Chart): Html {
  const newestDays = days.filter(({ standing, quantity }) => standing !== null && quantity === null).slice(-3);
  const links = newestDays.map(({ day }) =>
    addressOf === null ? ` ${day}` : html` <a href="${addressOf(day)}">${day}</a>`,
  );
  const hasZero = days.some(({ standing, quantity }) => standing !== null && quantity === 0);
  const isIncomplete = days.some(({ quantity, valuesNotStored = 0 }) => quantity !== null && valuesNotStored > 0);
  const items: readonly (readonly [isVisible: boolean, shape: Html, label: unknown])[] = [
    [comparison !== null, html`<path class="compared" d="M0 6H18"/>`, comparison],
    [isIncomplete, html`<rect class="value part" width="12" height="12"/>`, 'incomplete: a value is not stored'],
    [newestDays.length > 0, html`<rect class="not-stored" width="12" height="12"/>`, html`not stored:${links}`],
    [hasZero, html`<circle class="zero" cx="6" cy="6" r="2"/>`, 'zero'],
    [
      days.some(({ standing }) => standing === null),
      html`<rect class="absent" y="4" width="12" height="5"/>`,
      'did not exist',
    ],
  ];
  return html`<ul class="legend">${items
    .filter(([isVisible]) => isVisible)
    .map(
      ([, shape, label]) =>
        html`<li><svg class="swatch" aria-hidden="true" width="18" height="12">${shape}</svg>${label}</li>`,
    )}</ul>`;
}

function renderValues(chart: Chart): Html {
  const { days, unit, comparison, addressOf } = chart;
  const rows = days.map((day) => ({
    day: day.day,
    quantity: day.quantity,
    standing: day.standing ?? null,
    valuesNotStored: day.valuesNotStored || null,
    comparedDay: comparison === null ? null : day.comparedDay,
    comparedQuantity: comparison === null ? null : day.comparedQuantity,
    change: comparison === null ? null : showDayChange(day),
  }));
  const columns: Columns<(typeof rows)[number]> = {
    day: [
      'Day',
      ({ day }) => (addressOf === null ? showLongDay(day) : html`<a href="${addressOf(day)}">${showLongDay(day)}</a>`),
    ],
    quantity: `Value (${unit})`,
    standing: 'Standing',
    valuesNotStored: 'Values not stored',
    comparedDay: ['Compared with', ({ comparedDay }) => (comparedDay === null ? '' : showLongDay(comparedDay))],
    comparedQuantity: 'Compared value',
    change: 'Change',
  };
  const table = renderHtmlTable(rows, columns);
  return html`<details><summary>Values of ${count(days.length, 'day')}</summary>${table}</details>`;
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
