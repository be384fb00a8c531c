import { scaleLinear } from 'd3-scale';
import { html } from 'hono/html';
import type { DayTotal } from '../queries/usage-totals.ts';
import { count, formatDays, joinParts, showCode, showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import type { Html } from './elements.ts';
import { renderHtmlTable } from './table.ts';

/** A chart of a metric: a bar for each day. */
interface Chart {
  readonly unit: string;
  readonly days: readonly DayTotal[];
  readonly addressOf: (day: UsageDay) => string;
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

export function renderChart(chart: Chart): Html {
  const { days } = chart;
  const values = days.map(({ quantity }) => quantity ?? 0);
  const scale = scaleLinear([0, Math.max(TICKS, ...values)], [BASE, ROOM_ABOVE]).nice(TICKS);
  const y = (value: number) => roundTenth(scale(value));
  const ticks = scale.ticks(TICKS).map((tick) => ({ at: y(tick), label: COMPACT.format(tick) }));
  return html`<figure class="chart">${renderLegend(chart)}
<div class="plot" aria-hidden="true"><svg width="${AXIS_WIDTH}"
  height="${TOTAL_HEIGHT}">${ticks.map(
    ({ at, label }) => html`<text x="${AXIS_WIDTH - 8}" y="${at}" dy="4" text-anchor="end">${label}</text>`,
  )}</svg>
<svg width="100%" height="${TOTAL_HEIGHT}">
${days.map(({ day }, index) => renderShade(day, index, days.length))}
${ticks.map(({ at }) => html`<line class="rule" x1="0" x2="100%" y1="${at}" y2="${at}"/>`)}
${days.map((day, index) => renderDay(chart, index, y, day))}
${renderLabels(days.map(({ day }) => day))}</svg></div>
${renderValues(chart)}</figure>\n`;
}

function percentOf(index: number, days: number): string {
  return `${Math.round((index / days) * 100_000) / 1_000}%`;
}

function renderShade(day: UsageDay, index: number, days: number): Html | string {
  const isWeekend = [0, 6].includes(new Date(day).getUTCDay());
  if (!isWeekend || days > MAX_DAYS_WITH_WEEKENDS) return '';
  return html`<rect class="weekend" x="${percentOf(index, days)}" width="${percentOf(1, days)}" y="${ROOM_ABOVE}"
  height="${HEIGHT}"/>`;
}

/** Renders the mark of a day, and its values, which appear above the plot while it is pointed at. */
function renderDay(chart: Chart, index: number, y: (value: number) => number, chartDay: DayTotal): Html {
  const { days, addressOf } = chart;
  const { day, quantity, expected, notStored } = chartDay;
  const at = (offset: number) => percentOf(index + offset, days.length);
  const renderColumn = (style: string, top = ROOM_ABOVE) =>
    html`<rect class="${style}" x="${at(0)}" width="${percentOf(1, days.length)}" y="${top}" height="${BASE - top}"/>`;
  /** A bar, a circle for zero, a red column for what is not stored, or a band where nothing is expected. */
  const renderMark = () => {
    if (quantity === null) return expected === 0 ? renderColumn('absent', BASE - 5) : renderColumn('not-stored');
    if (quantity === 0) return html`<circle class="zero" cx="${at(0.5)}" cy="${BASE}" r="2"/>`;
    // Any value above 0 is visible, however small.
    const top = Math.min(y(quantity), BASE - 1);
    return html`<rect class="value ${notStored > 0 && 'part'}" x="${at(0.1)}"
  width="${percentOf(0.8, days.length)}" y="${top}" height="${roundTenth(BASE - top)}"/>`;
  };
  const column = renderColumn('day');
  const anchor = ['start', 'middle', 'end'][Math.floor((index / days.length) * 3)];
  return html`<g class="at">${renderMark()}${
    expected === 0 ? column : html`<a href="${addressOf(day)}" tabindex="-1">${column}</a>`
  }<text class="tip" text-anchor="${anchor}">${[showLongDay(day), describeDay(chart, chartDay)].map(
    (text, row) => html`<tspan x="${at(0.5)}" y="${12 + row * 15}">${text}</tspan>`,
  )}</text></g>\n`;
}

function describeDay({ unit }: Chart, { quantity, expected, notStored, standing }: DayTotal): string {
  if (quantity === null) return expected === 0 ? 'not expected' : 'not stored';
  return joinParts(
    ', ',
    `${showNumber(quantity)} ${unit}`,
    notStored > 0 && `${showNumber(notStored)} not stored`,
    standing !== null && showCode(standing),
  );
}

const showLongDay = formatDays({ weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' });
const showWeekday = formatDays({ weekday: 'short', day: 'numeric' });
const showDate = formatDays({ day: 'numeric', month: 'short' });
const showShortMonth = formatDays({ month: 'short' });
const showMonthOfYear = formatDays({ month: 'short', year: 'numeric' });

/** Renders the labels below the axis, of as many days as there is room for: days, weeks, months or quarters. */
function renderLabels(days: readonly UsageDay[]): readonly Html[] {
  return days.map((day, index) => {
    const [text, isMinor = false] = labelDay(day, index, days.length) ?? [];
    const x = percentOf(index + 0.5, days.length);
    return html`${
      text !== undefined &&
      html`<text class="${isMinor && 'minor'}" x="${x}" y="${BASE + 16}" text-anchor="middle">${text}</text>`
    }`;
  });
}

/** Returns the label of a day, and whether it is hidden on a narrow screen; null if it has none. */
function labelDay(day: UsageDay, index: number, days: number): readonly [text: string, isMinor?: boolean] | null {
  const [month, date] = [Number(day.slice(5, 7)), Number(day.slice(8))];
  const isMonday = new Date(day).getUTCDay() === 1;
  if (days <= 10) return [showWeekday(day), index % 2 === 1];
  if (days <= 35) return isMonday ? [showDate(day)] : null;
  if (days <= 100) return [1, 15].includes(date) ? [showDate(day), date !== 1] : null;
  const isQuarter = month % 3 === 1;
  if (date !== 1 || (days > 400 && !isQuarter)) return null;
  return [month === 1 ? showMonthOfYear(day) : showShortMonth(day), !isQuarter];
}

function renderLegend({ days, addressOf }: Chart): Html {
  const newestDays = days.filter(({ expected, quantity }) => expected > 0 && quantity === null).slice(-3);
  const links = newestDays.map(({ day }) => html` <a href="${addressOf(day)}">${day}</a>`);
  const isAbsent = days.some(({ expected, quantity }) => expected === 0 && quantity === null);
  const isZero = days.some(({ quantity }) => quantity === 0);
  const isIncomplete = days.some(({ quantity, notStored }) => quantity !== null && notStored > 0);
  const renderItem = (shape: Html, label: unknown) =>
    html`<li><svg class="swatch" aria-hidden="true" width="18" height="12">${shape}</svg>${label}</li>`;
  return html`<ul class="legend">${[
    isIncomplete && renderItem(html`<rect class="value part" width="12" height="12"/>`, 'incomplete'),
    newestDays.length > 0 &&
      renderItem(html`<rect class="not-stored" width="12" height="12"/>`, html`not stored:${links}`),
    isZero && renderItem(html`<circle class="zero" cx="6" cy="6" r="2"/>`, 'zero'),
    isAbsent && renderItem(html`<rect class="absent" y="4" width="12" height="5"/>`, 'not expected'),
  ]}</ul>`;
}

function renderValues({ days, unit, addressOf }: Chart): Html {
  const rows = days.map((day) => ({ ...day, notStored: day.notStored || null }));
  const table = renderHtmlTable(rows, [
    ['day', 'Day', ({ day }) => html`<a href="${addressOf(day)}">${showLongDay(day)}</a>`],
    ['quantity', `Number (${unit})`],
    'standing',
    ['notStored', 'Not stored'],
  ]);
  return html`<details><summary>Numbers of ${count(days.length, 'day')}</summary>${table}</details>`;
}

function roundTenth(value: number): number {
  return Math.round(value * 10) / 10;
}
