/** The small chart of the home page: all organizations by day, beside the same weekdays before. */
import { scaleLinear } from 'd3-scale';
import { html } from 'hono/html';
import { type MonthDay, type MonthSum, SUM_LABELS } from '../queries/month-sums.ts';
import { count, showNumber } from '../terminal/words.ts';
import { countDays, daysOfMonth, type UsageDay } from '../usage/day.ts';
import type { Html } from './page.ts';
import { renderHtmlTable } from './table.ts';

/** In pixels; the width is whatever is available. */
const HEIGHT = 120;
const TICKS = 3;
/** The part of a day's width that its bar takes. */
const BAR_WIDTH = 0.74;
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 });
const DATE = new Intl.DateTimeFormat('en-GB', {
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  timeZone: 'UTC',
});

/** Renders the days so far in a month-wide chart, with their numbers as a table. */
export function renderTotals({ metric, from, days }: MonthSum): Html {
  const width = countDays(from, daysOfMonth(from.slice(0, 7)).to) + 1;
  const maximum = Math.max(
    1,
    ...days.flatMap(({ total, previous_total: previous }) => [total ?? 0, previous ?? 0]),
  );
  const scale = scaleLinear([0, maximum], [HEIGHT, 4]).nice(TICKS);
  const y = (value: number) => Math.round(scale(value) * 10) / 10;
  const percent = (position: number) => `${Math.round((position / width) * 100_000) / 1_000}%`;
  const label = `${SUM_LABELS[metric]} by day`;
  return html`<svg class="totals" role="img" aria-label="${label}; the table below has the numbers" width="100%"
  height="${HEIGHT + 20}">${scale
    .ticks(TICKS)
    .map(
      (tick) =>
        html`<line class="rule" x1="0" x2="100%" y1="${y(tick)}" y2="${y(tick)}"/>${
          tick > 0 && html`<text x="100%" y="${y(tick) - 4}" text-anchor="end">${COMPACT.format(tick)}</text>`
        }`,
    )}
${days.map((day) => renderBar(day, { at: (part) => percent(countDays(from, day.day) + part), percent, y }))}
<svg width="100%" height="${HEIGHT}" viewBox="0 0 ${width} ${HEIGHT}" preserveAspectRatio="none"><path class="compared"
  vector-effect="non-scaling-stroke" d="${toLinePath(days, from, y)}"/></svg></svg>
${renderLegend(days)}
<details><summary>Numbers by day</summary>${renderHtmlTable(days, {
    day: ['Day', ({ day }) => showDate(day)],
    total: SUM_LABELS[metric],
    previous_day: ['Compared with', ({ previous_day: previousDay }) => showDate(previousDay)],
    previous_total: 'Then',
    values_not_stored: 'Not stored',
  })}</details>`;
}

export function showDate(day: UsageDay): string {
  return DATE.format(Date.parse(day)).replace(',', '');
}

interface Place {
  /** Returns the position within the day, from 0 to 1, in the chart. */
  readonly at: (part: number) => string;
  readonly percent: (days: number) => string;
  readonly y: (value: number) => number;
}

/** Renders the bar of a day, pale if it is incomplete, with the numbers of the day as its title. */
function renderBar(day: MonthDay, { at, percent, y }: Place): Html {
  const { total, values_not_stored: notStored, previous_day: previousDay, previous_total: previous } = day;
  const title = [
    `${showDate(day.day)}: ${total === null ? 'nothing is stored' : showNumber(total)}`,
    notStored > 0 && total !== null ? `${count(notStored, 'value is', 'values are')} not stored` : '',
    previous === null ? '' : `${showDate(previousDay)}: ${showNumber(previous)}`,
  ].filter((part) => part !== '');
  // Any value above 0 is visible, however small.
  const top = total === 0 ? HEIGHT : Math.min(y(total ?? 0), HEIGHT - 1);
  return html`<g>${
    total !== null &&
    html`<rect class="${notStored > 0 ? 'part' : 'value'}" x="${at((1 - BAR_WIDTH) / 2)}" width="${percent(BAR_WIDTH)}"
      y="${top}" height="${HEIGHT - top}"/>`
  }<rect class="day" x="${at(0)}" width="${percent(1)}" height="${HEIGHT}"><title>${title.join('\n')}</title></rect>${
    Number(day.day.slice(8)) % 7 === 1 &&
    html`<text x="${at(0.5)}" y="${HEIGHT + 16}" text-anchor="middle">${Number(day.day.slice(8))}</text>`
  }</g>\n`;
}

function renderLegend(days: readonly MonthDay[]): Html {
  const renderItem = (shape: Html, label: string) =>
    html`<li><svg class="swatch" aria-hidden="true" width="18" height="10">${shape}</svg>${label}</li>`;
  return html`<ul class="legend">${renderItem(html`<path class="compared" d="M0 5H18"/>`, 'same weekdays before')}${
    days.some(({ values_not_stored: notStored }) => notStored > 0) &&
    renderItem(html`<rect class="part" width="12" height="10"/>`, 'incomplete')
  }</ul>`;
}

/** Returns the path of the line, which has a break where nothing is stored. */
function toLinePath(days: readonly MonthDay[], from: UsageDay, y: (value: number) => number): string {
  let command = 'M';
  return days
    .map(({ day, previous_total: previous }) => {
      const start = command;
      command = previous === null ? 'M' : 'L';
      return previous === null ? '' : `${start}${countDays(from, day) + 0.5} ${y(previous)}`;
    })
    .join('');
}
