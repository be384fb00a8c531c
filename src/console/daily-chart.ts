import { html } from 'hono/html';
import { showNumber } from '../terminal/words.ts';
import type { DailyChart, DayState } from './chart.ts';
import { fillOf, renderSwatch } from './fills.ts';
import { type Html, renderTable } from './page.ts';
import { type Scale, scaleOf } from './scale.ts';
import { barPaths, linePath, runsOf, tickDays } from './shapes.ts';

/** In pixels; the width is whatever there is. */
const HEIGHT = 180;
const LABELS_HEIGHT = 40;
const AXIS_WIDTH = 52;
/** Days in the legend that lead to their stories; the table has all. */
const MISSING_MAX = 3;

/** The chart with its legend, and the table behind it. `csv`: the address of the table as a file. */
export function renderDailyChart(chart: DailyChart, csv: string): Html {
  const { id, title, axis, summary, days } = chart;
  const scale = scaleOf(chart, HEIGHT);
  return html`<figure class="chart"><figcaption><h3>${title}</h3><p class="quiet">${summary}</p></figcaption>
${renderLegend(chart)}
<p class="axis quiet" aria-hidden="true">${axis}</p>
<div class="plot"><svg aria-hidden="true" width="${AXIS_WIDTH}" height="${HEIGHT + LABELS_HEIGHT}">
${scale.ticks.map(({ y, label }) => html`<text x="${AXIS_WIDTH - 8}" y="${y}" dy="4" text-anchor="end">${label}</text>`)}</svg>
<svg role="img" aria-labelledby="${id}-title ${id}-desc" width="100%" height="${HEIGHT + LABELS_HEIGHT}">
<title id="${id}-title">${title}: ${axis}</title><desc id="${id}-desc">${summary}</desc>
${scale.ticks.map(({ y }) => html`<line class="rule" x1="0" x2="100%" y1="${y}" y2="${y}"/>`)}
${renderAbsences(chart)}
${chart.shape === 'line' ? renderLine(chart, scale) : renderBars(chart, scale)}
${chart.states.map((state, place) => (state === 'zeros' ? html`<circle class="zeros" cx="${percent(place + 0.5, days)}" cy="${HEIGHT - 4}" r="2.5"/>` : ''))}
${days.map((_, place) => html`<rect class="day" x="${percent(place, days)}" width="${percent(1, days)}" height="${HEIGHT}"><title>${describeDay(chart, place, scale)}</title></rect>`)}
${tickDays(days).map(({ place, label, anchor }) => html`<text x="${percent(place + 0.5, days)}" y="${HEIGHT + 16}" text-anchor="${anchor}">${label}</text>`)}
<text x="50%" y="${HEIGHT + 34}" text-anchor="middle">UTC day</text></svg></div>
<details><summary>The same as a table</summary>
<p><a href="${csv}" download>Download as CSV</a></p>
${renderDays(chart)}</details></figure>\n`;
}

function renderLine({ days, series }: DailyChart, scale: Scale): Html {
  return html`<svg width="100%" height="${HEIGHT}" viewBox="0 0 ${days.length} ${HEIGHT}" preserveAspectRatio="none"><path class="curve" vector-effect="non-scaling-stroke" d="${linePath(series[0]?.values ?? [], scale)}"/></svg>`;
}

/**
 * A layer of bars is a rectangle over the whole plot with a clip, whose units are the plot's:
 * so the bars are as wide as the screen allows, and the patterns that fill them are not stretched.
 */
function renderBars(chart: DailyChart, scale: Scale): Html[] {
  return barPaths(chart.series, scale).map(
    (path, place) =>
      html`<clipPath id="${chart.id}-${place}" clipPathUnits="objectBoundingBox"><path d="${path}"/></clipPath><rect width="100%" height="${HEIGHT}" fill="${fillOf(chart, place)}" clip-path="url(#${chart.id}-${place})"/>`,
  );
}

/** Days that are not held are hatched: they are never drawn as zero. */
function renderAbsences({ days, states }: DailyChart): Html[] {
  const absences = (['missing', 'untracked'] as const).flatMap((state) =>
    runsOf(states, state).map((run) => ({ state, ...run })),
  );
  return absences.map(
    ({ state, from, count }) =>
      html`<rect x="${percent(from, days)}" width="${percent(count, days)}" height="${HEIGHT}" fill="url(#${state})"/>`,
  );
}

function renderLegend(chart: DailyChart): Html {
  const { series, states, hasParts } = chart;
  const entry = (swatch: Html, text: string) => html`<li>${swatch} ${text}</li>`;
  return html`<ul class="legend">${!hasParts ? '' : series.map(({ name }, place) => entry(renderSwatch(fillOf(chart, place)), name))}
${states.includes('missing') ? html`<li>${renderSwatch('url(#missing)')} not held${renderMissing(chart)}</li>` : ''}
${states.includes('untracked') ? entry(renderSwatch('url(#untracked)'), 'not tracked') : ''}
${states.includes('zeros') ? entry(html`<svg class="swatch" aria-hidden="true" width="12" height="12"><circle class="zeros" cx="6" cy="6" r="2.5"/></svg>`, 'zero, as Losant left the day out') : ''}</ul>`;
}

/** The newest of the days that are not held, each with its story. */
function renderMissing({ days, states, storyOf }: DailyChart): Html | string {
  if (storyOf === undefined) return '';
  const missing = days.filter((_, place) => states[place] === 'missing').slice(-MISSING_MAX);
  return html`: why ${missing.map((day) => html`<a href="${storyOf(day)}">${day}</a> `)}`;
}

const ABSENCE: Readonly<Partial<Record<DayState, string>>> = {
  missing: 'not held',
  untracked: 'not tracked',
};

function describeDay({ days, states, series }: DailyChart, place: number, { show }: Scale): string {
  const state = states[place] ?? 'missing';
  const values = series.map(({ name, values: all }) => `${name} ${show(all[place] ?? 0)}`);
  const text =
    ABSENCE[state] ?? (values.length === 1 ? show(series[0]?.values[place] ?? 0) : values.join(', '));
  return `${days[place]}: ${text}${state === 'zeros' ? ', as Losant left the day out' : ''}`;
}

function renderDays({ days, states, series, storyOf }: DailyChart): Html {
  const rows = days.map((day, place) => {
    const state = states[place] ?? 'missing';
    const said =
      state === 'missing' && storyOf !== undefined
        ? html`<a href="${storyOf(day)}">${STATES[state]}</a>`
        : STATES[state];
    const cells = series.map(({ values }) => {
      const value = values[place] ?? null;
      return value === null ? '–' : showNumber(value);
    });
    return [html`<time datetime="${day}">${day}</time>`, ...cells, said];
  });
  return html`<div class="days">${renderTable({
    columns: [
      { name: 'UTC day' },
      ...series.map(({ name }) => ({ name, isNumber: true })),
      { name: 'State' },
    ],
    rows: rows.reverse(),
  })}</div>`;
}

const STATES: Readonly<Record<DayState, string>> = {
  held: 'held',
  zeros: 'left out by Losant',
  missing: 'not held',
  untracked: 'not tracked',
};

function percent(place: number, days: readonly unknown[]): string {
  return `${Math.round((place / days.length) * 100_000) / 1_000}%`;
}
