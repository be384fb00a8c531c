import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import { STANDINGS, type Standing } from '../usage/standing.ts';
import { column, numberColumn, renderTable } from './lists.ts';
import { type Html, renderStanding } from './page.ts';
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

/** A day of a chart, or an hour. */
export interface ChartDay {
  /** The UTC day, or the name of another place on the axis. */
  readonly day: string;
  /** The standing; null where the day is not tracked. */
  readonly standing: Standing | null;
  /** Whether its zero stands for a day that Losant left out. */
  readonly isLeftOut: boolean;
  /** The value of each series; null where none is stored. */
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
  /** The names of the series. */
  readonly series: readonly string[];
  /** Whether the series are parts whose names the legend shows. */
  readonly hasParts?: boolean;
  readonly days: readonly ChartDay[];
  /** The name of a place on the axis, if it is no UTC day, e.g. `Hour (UTC)`. */
  readonly dayName?: string;
  /** The places that are named on the axis; by default some days. */
  readonly ticks?: readonly TickDay[];
  /** Returns the address of a day's story. */
  readonly storyOf?: (day: string) => string;
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
  const { id, title, axis, summary, days, dayName = UTC_DAY } = chart;
  const ticks = chart.ticks ?? tickDays(days.map(({ day }) => day));
  const scale = scaleOf(days, chart.unit, HEIGHT);
  const at = (place: number) => percent(place, days.length);
  return html`<figure class="chart"><figcaption><h3>${title}</h3><p class="quiet">${summary}</p></figcaption>
${renderLegend(chart)}
<p class="axis quiet" aria-hidden="true">${axis}</p>
<div class="plot">${renderAxis(scale, HEIGHT + LABELS_HEIGHT)}
<svg role="${days.length > LINKED_DAYS_MAX ? 'img' : 'group'}" aria-labelledby="${id}-title ${id}-desc" width="100%" height="${HEIGHT + LABELS_HEIGHT}">
<title id="${id}-title">${title}: ${axis}</title><desc id="${id}-desc">${summary}</desc>
${scale.ticks.map(({ y }) => html`<line class="rule" x1="0" x2="100%" y1="${y}" y2="${y}"/>`)}
${renderAbsences(days)}
${chart.shape === 'line' ? renderLine(days, scale) : renderBars(chart, scale)}
${days.map(({ isLeftOut }, place) => (isLeftOut ? html`<circle class="zeros" cx="${at(place + 0.5)}" cy="${HEIGHT - 4}" r="2.5"/>` : ''))}
${days.map((day, place) => renderDay(chart, day, html`<rect class="day" x="${at(place)}" width="${at(1)}" height="${HEIGHT}"><title>${describeDay(chart, day, scale)}</title></rect>`))}
${ticks.map(({ place, label, anchor, isMinor }) => html`<text class="${isMinor ? 'minor' : ''}" x="${at(place + 0.5)}" y="${HEIGHT + 16}" text-anchor="${anchor}">${label}</text>`)}
<text x="50%" y="${HEIGHT + 34}" text-anchor="middle">${dayName}</text></svg></div>
<details><summary>The same as a table</summary>
<p><a href="${csv}" download>Download as CSV</a></p>
${renderDays(chart)}</details></figure>\n`;
}

/** `renderAxis` renders the axis beside a plot, whose height is that of both. */
export function renderAxis({ ticks }: Scale, height: number): Html {
  return html`<svg aria-hidden="true" width="${AXIS_WIDTH}" height="${height}">${ticks.map(({ y, label }) => html`<text x="${AXIS_WIDTH - 8}" y="${y}" dy="4" text-anchor="end">${label}</text>`)}</svg>`;
}

/** The most days whose columns are links; the table behind a chart leads to each day of a longer one. */
const LINKED_DAYS_MAX = 92;

function renderDay({ days, storyOf }: DailyChart, { day, standing }: ChartDay, column: Html): Html {
  if (storyOf === undefined || standing === null || days.length > LINKED_DAYS_MAX) return column;
  return html`<a href="${storyOf(day)}" tabindex="-1">${column}</a>`;
}

function renderLine(days: readonly ChartDay[], { y }: Scale): Html {
  const values = days.map((day) => day.values[0] ?? null);
  return html`<svg width="100%" height="${HEIGHT}" viewBox="0 0 ${days.length} ${HEIGHT}" preserveAspectRatio="none"><path class="curve" vector-effect="non-scaling-stroke" d="${linePath(values, y)}"/></svg>`;
}

/**
 * `renderBars` renders the bars. A layer is a rectangle over the complete plot with a clip whose units are the
 * plot's, so that bars are as wide as the screen allows and the patterns that fill them are not
 * stretched.
 */
function renderBars({ id, series, days }: DailyChart, scale: Scale): Html[] {
  return barPaths(days, scale).map(
    (path, place) =>
      html`<clipPath id="${id}-${place}" clipPathUnits="objectBoundingBox"><path d="${path}"/></clipPath><rect width="100%" height="${HEIGHT}" fill="${fillOf(series, place)}" clip-path="url(#${id}-${place})"/>`,
  );
}

/** Whether the day is tracked and its number is not stored. */
function isNotStored({ standing, values }: ChartDay): boolean {
  return standing !== null && values[0] == null;
}

/** `renderAbsences` renders days that are not stored as hatched, because they must never look like zero. */
function renderAbsences(days: readonly ChartDay[]): Html[] {
  const draw = (holds: readonly boolean[], fill: string) =>
    runsOf(holds).map(
      ({ from, count }) =>
        html`<rect x="${percent(from, days.length)}" width="${percent(count, days.length)}" height="${HEIGHT}" fill="url(#${fill})"/>`,
    );
  const untracked = days.map(({ standing }) => standing === null);
  return [...draw(days.map(isNotStored), 'not-stored'), ...draw(untracked, 'untracked')];
}

function renderLegend({ series, hasParts, days, storyOf }: DailyChart): Html {
  const entry = (swatch: Html, text: string | Html) => html`<li>${swatch} ${text}</li>`;
  const notStored = days.filter(isNotStored);
  const words = [...new Set(notStored.flatMap(({ standing }) => standing ?? []))];
  const labels = words.map((standing) => STANDINGS[standing].label).join(', ');
  const links = (of: (day: string) => string) =>
    notStored.slice(-MISSING_MAX).map(({ day }) => html`<a href="${of(day)}">${day}</a> `);
  const why = storyOf === undefined ? '' : html`: why ${links(storyOf)}`;
  return html`<ul class="legend">${!hasParts ? '' : series.map((name, place) => entry(renderSwatch(fillOf(series, place)), name))}
${notStored.length === 0 ? '' : entry(renderSwatch('url(#not-stored)'), html`${labels}${why}`)}
${days.some(({ standing }) => standing === null) ? entry(renderSwatch('url(#untracked)'), 'not tracked') : ''}
${days.some(({ isLeftOut }) => isLeftOut) ? entry(html`<svg class="swatch" aria-hidden="true" width="12" height="12"><circle class="zeros" cx="6" cy="6" r="2.5"/></svg>`, 'zero, as Losant left the day out') : ''}</ul>`;
}

function describeDay(
  { series }: DailyChart,
  { day, standing, isLeftOut, values }: ChartDay,
  { show }: Scale,
): string {
  const stored = values.flatMap((value, place) =>
    value === null ? [] : [series.length === 1 ? show(value) : `${series[place]} ${show(value)}`],
  );
  const words = [...stored, standing === null ? 'not tracked' : STANDINGS[standing].label];
  return `${day}: ${[...words, ...(isLeftOut ? ['left out by Losant'] : [])].join(', ')}`;
}

function renderDays({ days, dayName = UTC_DAY, series, storyOf }: DailyChart): Html {
  const renderWord = ({ day, standing, isLeftOut }: ChartDay) => {
    // Most days are final: without a colour and a title the page of a year stays small.
    const word = html`${standing === 'final' ? `${STANDINGS.final.symbol} ${STANDINGS.final.label}` : renderStanding(standing)}${isLeftOut ? ', left out by Losant' : ''}`;
    return storyOf === undefined || standing === null ? word : html`<a href="${storyOf(day)}">${word}</a>`;
  };
  return html`<div class="days">${renderTable(days.toReversed(), [
    column(dayName, ({ day }) => day),
    ...series.map((name, place) => numberColumn<ChartDay>(name, ({ values }) => values[place] ?? null)),
    column('Standing', renderWord),
  ])}</div>`;
}

function percent(places: number, of: number): string {
  return `${Math.round((places / of) * 100_000) / 1_000}%`;
}

/** The number of fills: series differ in pattern and in lightness as well as in colour. */
const SERIES_FILLS = 7;

/** `fillOf` returns the fill of the series at a place; a single series is plain. */
function fillOf(series: readonly string[], place: number): string {
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
  const most = Math.max(1, ...values.map((value) => value ?? 0));
  const step = SPARK_WIDTH / Math.max(values.length, 1);
  const y = (value: number) => SPARK_HEIGHT - MARGIN - (value / most) * (SPARK_HEIGHT - 2 * MARGIN);
  const bars = values.map((value, place) =>
    value === null
      ? html`<rect class="spark-gap" x="${roundTenth(place * step)}" y="0" width="${roundTenth(step)}" height="${SPARK_HEIGHT}"/>`
      : '',
  );
  return html`<svg role="img" aria-label="${describeSpark(values, name)}" width="${SPARK_WIDTH}" height="${SPARK_HEIGHT}" viewBox="0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}">${bars}<path class="spark" d="${linePath(values, y, step)}"/></svg>`;
}

function describeSpark(values: readonly (number | null)[], name: string): string {
  const stored = values.filter((value) => value !== null);
  if (stored.length === 0) return `${name}: none of ${values.length} days is stored`;
  const missing = values.length - stored.length;
  const range = `from ${showNumber(Math.min(...stored))} to ${showNumber(Math.max(...stored))}`;
  return `${name} by day, ${range}${missing === 0 ? '' : `; ${missing} of ${values.length} days are not stored`}`;
}
