import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import type { UsageDay } from '../usage/day.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import type { Html } from './page.ts';
import {
  barPaths,
  linePath,
  roundTenth,
  runsOf,
  type Scale,
  scaleOf,
  type TickDay,
  tickDays,
} from './shapes.ts';
import { renderStanding } from './standings.ts';
import { column, numberColumn, renderTable } from './table.ts';

export interface Series {
  readonly name: string;
  /** The values by day; null where none is stored. */
  readonly values: readonly (number | null)[];
}

/** A chart of one number per day or hour, or of several that add up to one. */
export interface DailyChart {
  /** The name in addresses and ids. */
  readonly id: string;
  readonly title: string;
  /** The label of the axis, e.g. `Payloads per day`. */
  readonly axis: string;
  readonly unit: 'count' | 'bytes';
  /** The shape: one series as a line, or any number of them stacked as bars, the first at the bottom. */
  readonly shape: 'line' | 'bars';
  readonly days: readonly UsageDay[];
  /** The name of a place on the axis, if it is no UTC day, e.g. `Hour (UTC)`. */
  readonly dayName?: string;
  /** The places that are named on the axis; by default some days. */
  readonly ticks?: readonly TickDay[];
  /** Returns the address of a day's story. */
  readonly storyOf?: (day: UsageDay) => string;
  /** The standings by day; null where the day is not tracked. */
  readonly standings: readonly (Standing | null)[];
  /** Whether a day's zero stands for a day that Losant left out. */
  readonly leftOut: readonly boolean[];
  readonly series: readonly Series[];
  /** Whether the series are parts whose names the legend shows. */
  readonly hasParts: boolean;
  /** A sentence that describes the chart. */
  readonly summary: string;
}

const UTC_DAY = 'UTC day';
/** The height in pixels; the width is whatever is available. */
const HEIGHT = 180;
const LABELS_HEIGHT = 40;
const AXIS_WIDTH = 52;
/** The number of days in the legend that link to their stories; the table has all. */
const MISSING_MAX = 3;

/**
 * `renderDailyChart` renders the chart with its legend and the table behind it. `csv` is the address of
 * the table as a file.
 */
export function renderDailyChart(chart: DailyChart, csv: string): Html {
  const { id, title, axis, summary, days, dayName = UTC_DAY, ticks = tickDays(days) } = chart;
  const scale = scaleOf(chart, HEIGHT);
  return html`<figure class="chart"><figcaption><h3>${title}</h3><p class="quiet">${summary}</p></figcaption>
${renderLegend(chart)}
<p class="axis quiet" aria-hidden="true">${axis}</p>
<div class="plot"><svg aria-hidden="true" width="${AXIS_WIDTH}" height="${HEIGHT + LABELS_HEIGHT}">
${scale.ticks.map(({ y, label }) => html`<text x="${AXIS_WIDTH - 8}" y="${y}" dy="4" text-anchor="end">${label}</text>`)}</svg>
<svg role="${days.length > LINKED_DAYS_MAX ? 'img' : 'group'}" aria-labelledby="${id}-title ${id}-desc" width="100%" height="${HEIGHT + LABELS_HEIGHT}">
<title id="${id}-title">${title}: ${axis}</title><desc id="${id}-desc">${summary}</desc>
${scale.ticks.map(({ y }) => html`<line class="rule" x1="0" x2="100%" y1="${y}" y2="${y}"/>`)}
${renderAbsences(chart)}
${chart.shape === 'line' ? renderLine(chart, scale) : renderBars(chart, scale)}
${chart.leftOut.map((isLeftOut, place) => (isLeftOut ? html`<circle class="zeros" cx="${percent(place + 0.5, days)}" cy="${HEIGHT - 4}" r="2.5"/>` : ''))}
${days.map((_, place) => renderDay(chart, place, scale))}
${ticks.map(({ place, label, anchor, isMinor }) => html`<text class="${isMinor ? 'minor' : ''}" x="${percent(place + 0.5, days)}" y="${HEIGHT + 16}" text-anchor="${anchor}">${label}</text>`)}
<text x="50%" y="${HEIGHT + 34}" text-anchor="middle">${dayName}</text></svg></div>
<details><summary>The same as a table</summary>
<p><a href="${csv}" download>Download as CSV</a></p>
${renderDays(chart)}</details></figure>\n`;
}

/** The most days whose columns are links; the table behind a chart leads to each day of a longer one. */
const LINKED_DAYS_MAX = 92;

function renderDay(chart: DailyChart, place: number, scale: Scale): Html {
  const { days, standings, storyOf } = chart;
  const column = html`<rect class="day" x="${percent(place, days)}" width="${percent(1, days)}" height="${HEIGHT}"><title>${describeDay(chart, place, scale)}</title></rect>`;
  if (storyOf === undefined || standings[place] == null || days.length > LINKED_DAYS_MAX) return column;
  return html`<a href="${storyOf(days[place] ?? '')}" tabindex="-1">${column}</a>`;
}

function renderLine({ days, series }: DailyChart, scale: Scale): Html {
  return html`<svg width="100%" height="${HEIGHT}" viewBox="0 0 ${days.length} ${HEIGHT}" preserveAspectRatio="none"><path class="curve" vector-effect="non-scaling-stroke" d="${linePath(series[0]?.values ?? [], scale)}"/></svg>`;
}

/**
 * `renderBars` renders the bars. A layer is a rectangle over the complete plot with a clip whose units are the
 * plot's, so that bars are as wide as the screen allows and the patterns that fill them are not
 * stretched.
 */
function renderBars(chart: DailyChart, scale: Scale): Html[] {
  return barPaths(chart.series, scale).map(
    (path, place) =>
      html`<clipPath id="${chart.id}-${place}" clipPathUnits="objectBoundingBox"><path d="${path}"/></clipPath><rect width="100%" height="${HEIGHT}" fill="${fillOf(chart, place)}" clip-path="url(#${chart.id}-${place})"/>`,
  );
}

/** Whether the day is tracked and its number is not stored. */
function isNotStored({ standings, series }: DailyChart, place: number): boolean {
  return standings[place] != null && series[0]?.values[place] == null;
}

/** `renderAbsences` renders days that are not stored as hatched, because they must never look like zero. */
function renderAbsences(chart: DailyChart): Html[] {
  const { days, standings } = chart;
  const notStored = days.map((_, place) => isNotStored(chart, place));
  const untracked = standings.map((standing) => standing === null);
  const draw = (holds: readonly boolean[], fill: string) =>
    runsOf(holds).map(
      ({ from, count }) =>
        html`<rect x="${percent(from, days)}" width="${percent(count, days)}" height="${HEIGHT}" fill="url(#${fill})"/>`,
    );
  return [...draw(notStored, 'not-stored'), ...draw(untracked, 'untracked')];
}

function renderLegend(chart: DailyChart): Html {
  const { series, standings, leftOut, hasParts, days } = chart;
  const entry = (swatch: Html, text: string | Html) => html`<li>${swatch} ${text}</li>`;
  const notStored = [...days.keys()].filter((place) => isNotStored(chart, place));
  const words = [...new Set(notStored.flatMap((place) => standings[place] ?? []))];
  const labels = words.map((standing) => STANDINGS[standing].label).join(', ');
  return html`<ul class="legend">${!hasParts ? '' : series.map(({ name }, place) => entry(renderSwatch(fillOf(chart, place)), name))}
${notStored.length === 0 ? '' : entry(renderSwatch('url(#not-stored)'), html`${labels}${renderWhy(chart, notStored)}`)}
${standings.includes(null) ? entry(renderSwatch('url(#untracked)'), 'not tracked') : ''}
${leftOut.includes(true) ? entry(html`<svg class="swatch" aria-hidden="true" width="12" height="12"><circle class="zeros" cx="6" cy="6" r="2.5"/></svg>`, 'zero, as Losant left the day out') : ''}</ul>`;
}

function renderWhy({ days, storyOf }: DailyChart, notStored: readonly number[]): Html | string {
  if (storyOf === undefined) return '';
  const newest = notStored.slice(-MISSING_MAX).map((place) => days[place] ?? '');
  return html`: why ${newest.map((day) => html`<a href="${storyOf(day)}">${day}</a> `)}`;
}

function describeDay(chart: DailyChart, place: number, { show }: Scale): string {
  const { days, standings, leftOut, series } = chart;
  const standing = standings[place] ?? null;
  const shown = series.map(({ name, values }) => ({ name, value: values[place] ?? null }));
  const values = shown.flatMap(({ name, value }) =>
    value === null ? [] : [shown.length === 1 ? show(value) : `${name} ${show(value)}`],
  );
  const words = [
    ...(values.length === 0 ? [] : [values.join(', ')]),
    standing === null ? 'not tracked' : STANDINGS[standing].label,
    ...(leftOut[place] ? ['left out by Losant'] : []),
  ];
  return `${days[place]}: ${words.join(', ')}`;
}

function renderDays({ days, dayName = UTC_DAY, standings, leftOut, series, storyOf }: DailyChart): Html {
  const renderWord = (place: number) => {
    const standing = standings[place] ?? null;
    // Most days are final: without a colour and a title the page of a year stays small.
    const word = html`${standing === 'final' ? `${STANDINGS.final.symbol} ${STANDINGS.final.label}` : renderStanding(standing)}${leftOut[place] ? ', left out by Losant' : ''}`;
    if (storyOf === undefined || standing === null) return word;
    return html`<a href="${storyOf(days[place] ?? '')}">${word}</a>`;
  };
  return html`<div class="days">${renderTable([...days.keys()].reverse(), [
    column(dayName, (place) => days[place] ?? null),
    ...series.map(({ name, values }) => numberColumn(name, (place: number) => values[place] ?? null)),
    column('Standing', renderWord),
  ])}</div>`;
}

function percent(place: number, days: readonly unknown[]): string {
  return `${Math.round((place / days.length) * 100_000) / 1_000}%`;
}

/** The number of fills: series differ in pattern and in lightness as well as in colour. */
const SERIES_FILLS = 7;

/** `fillOf` returns the fill of the series at a place; a single series is plain. */
function fillOf({ series }: Pick<DailyChart, 'series'>, place: number): string {
  return `url(#series-${series.length === 1 ? 0 : place % SERIES_FILLS})`;
}

function renderSwatch(fill: string): Html {
  return html`<svg class="swatch" aria-hidden="true" width="12" height="12"><rect width="12" height="12" fill="${fill}"/></svg>`;
}

/** `renderFills` defines the fills of charts, once on each page that has one. */
export function renderFills(): Html {
  return html`<svg class="hidden" aria-hidden="true" width="0" height="0"><defs>
${MARKS.map((mark, place) => html`<pattern id="series-${place}" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="series-${place}" width="6" height="6"/>${mark}</pattern>`)}
<pattern id="not-stored" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="not-stored" width="6" height="6"/><path class="hatch" d="M-1 1l2-2M0 6l6-6M5 7l2-2"/></pattern>
<pattern id="untracked" width="6" height="6" patternUnits="userSpaceOnUse"><rect class="not-stored" width="6" height="6"/><path class="rule" d="M-1 5l2 2M0 0l6 6M5-1l2 2"/></pattern>
</defs></svg>`;
}

const mark = (path: string) => html`<path class="mark" d="${path}"/>`;

const MARKS: readonly (Html | string)[] = [
  '',
  mark('M-1 1l2-2M0 6l6-6M5 7l2-2'),
  mark('M0 3h6'),
  mark('M2 2h2v2h-2z'),
  mark('M-1 5l2 2M0 0l6 6M5-1l2 2'),
  mark('M3 0v6'),
  mark('M0 3h6M3 0v6'),
];

/** The size of a sparkline in pixels, and the room for the width of the line. */
const SPARK_WIDTH = 120;
const SPARK_HEIGHT = 24;
const MARGIN = 1.5;

/**
 * `renderSparkline` renders a line through one number per day. Days that are not stored are shown as bars
 * and break the line, because they must never look like zero. `name` names what is counted.
 */
export function renderSparkline(values: readonly (number | null)[], name: string): Html {
  const step = SPARK_WIDTH / Math.max(values.length, 1);
  const gaps = values.flatMap((value, index) => (value === null ? [index * step] : []));
  const bars = gaps.map(
    (x) =>
      html`<rect class="spark-gap" x="${roundTenth(x)}" y="0" width="${roundTenth(step)}" height="${SPARK_HEIGHT}"/>`,
  );
  return html`<svg role="img" aria-label="${describeSpark(values, name)}" width="${SPARK_WIDTH}" height="${SPARK_HEIGHT}" viewBox="0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}">${bars}<path class="spark" d="${linesThrough(values)}"/></svg>`;
}

/** `linesThrough` returns the path of the line from one stored day to the next; an isolated stored day is a dot. */
export function linesThrough(values: readonly (number | null)[]): string {
  const most = Math.max(1, ...values.map((value) => value ?? 0));
  const step = SPARK_WIDTH / Math.max(values.length, 1);
  return values
    .map((value, index) => {
      if (value === null) return '';
      const isFirst = index === 0 || values[index - 1] === null;
      const y = SPARK_HEIGHT - MARGIN - (value / most) * (SPARK_HEIGHT - 2 * MARGIN);
      const point = `${roundTenth((index + 0.5) * step)} ${roundTenth(y)}`;
      return isFirst ? `M${point}h0` : `L${point}`;
    })
    .join('');
}

function describeSpark(values: readonly (number | null)[], name: string): string {
  const stored = values.filter((value) => value !== null);
  if (stored.length === 0) return `${name}: none of ${values.length} days is stored`;
  const missing = values.length - stored.length;
  const range = `from ${showNumber(Math.min(...stored))} to ${showNumber(Math.max(...stored))}`;
  return `${name} by day, ${range}${missing === 0 ? '' : `; ${missing} of ${values.length} days are not stored`}`;
}
