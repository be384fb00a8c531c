/** Maps of days: organizations by days, and streams by days over all organizations. */
import { html, raw } from 'hono/html';
import type { CoverageLine, HeatCell, OpenDay } from '../queries/coverage.ts';
import { showNumber } from '../terminal/words.ts';
import { type DayRange, eachDay, type UsageDay } from '../usage/day.ts';
import { isGap, STANDINGS, type Standing, worstOf } from '../usage/standing.ts';
import { addressOf } from './lists.ts';
import { type Html, renderDay } from './page.ts';
import { describeCounts } from './standings.ts';
import { column, renderTable } from './table.ts';

export interface CoverageGrid {
  readonly lines: readonly CoverageLine[];
  readonly range: DayRange;
  /** The stream; null for every stream, where a day shows its worst cell. */
  readonly stream: string | null;
}

/** `renderGrid` renders organizations by days; each day links to its story. */
export function renderGrid({ lines, range, stream }: CoverageGrid): Html {
  const days = eachDay(range);
  const months = [...Map.groupBy(days, (day) => day.slice(0, 7))];
  return html`<div class="map" role="region" tabindex="0" aria-label="Organizations by days; scrolls sideways where it is wider than the screen">
<table class="grid ${days.length > 31 ? 'grid-90' : 'grid-30'}"><caption class="hidden">How each day of each organization stands, ${range.from} to ${range.to}</caption>
<colgroup><col class="names"><col span="${days.length}"></colgroup>
<thead><tr><td></td>${months.map(([month, { length }]) => html`<th class="month" scope="colgroup" colspan="${length}">${renderMonth(month, length, days.length)}</th>`)}</tr>
<tr><th class="name" scope="col">Organization</th>${days.map((day) => renderHead(day, days.length))}</tr></thead>
<tbody>${lines.map((line) => renderLine(line, days, stream))}</tbody></table></div>`;
}

/** `renderMonth` renders a month. If its days leave no room for its name, the name is only read out. */
function renderMonth(month: string, length: number, shown: number): Html {
  return html`<span class="${length * 30 >= shown * 2 ? '' : 'hidden'}">${month}</span>`;
}

/** `renderHead` renders the day of the month; where days are narrow, only that of Mondays. */
function renderHead(day: UsageDay, shown: number): Html {
  const isShown = shown <= 31 || new Date(`${day}T00:00:00Z`).getUTCDay() === 1;
  return html`<th scope="col"><span class="hidden">${renderDay(day)}</span><span aria-hidden="true" title="${day}">${isShown ? day.slice(8) : ''}</span></th>`;
}

function renderLine(line: CoverageLine, days: readonly UsageDay[], stream: string | null): Html {
  const { orgId, name, tracked } = line;
  const open = new Map(line.days.map((day) => [day.day, day]));
  const isTracked = (day: UsageDay) => tracked.some(({ from, to }) => from <= day && day <= to);
  const suffix = stream === null ? '' : `/${stream}`;
  const cells = days.map((day) => {
    const address = `/coverage/${orgId}/${day}${suffix}`;
    const known = open.get(day);
    if (known) return renderOpen(known, name, address);
    return isTracked(day) ? renderFinal(day, address) : UNTRACKED;
  });
  return html`<tr><th class="name" scope="row" title="${name}"><a href="/organizations/${orgId}">${name}</a></th>${cells}</tr>\n`;
}

const UNTRACKED = raw('<td class="m-untracked" aria-label="not tracked"></td>');

/**
 * `renderFinal` renders a final cell, as most are. Its parts, a day and an address of this server, need no
 * escaping.
 */
function renderFinal(day: UsageDay, address: string): ReturnType<typeof raw> {
  return raw(`<td class="m-good"><a href="${address}" tabindex="-1" title="${day}: final"></a></td>`);
}

function renderOpen({ day, counts }: OpenDay, name: string, address: string): Html {
  const { tone, symbol } = STANDINGS[worstOf(counts) ?? 'final'];
  const said = `${day}: ${describeCounts(counts)}`;
  return html`<td class="m-${tone}"><a href="${address}" title="${said}" aria-label="${name}, ${said}">${symbol}</a></td>`;
}

/** The size of a day's cell in pixels, large enough to be hit. */
const CELL = 24;
const MONTHS_HEIGHT = 16;
const WEEK_DAYS = ['Mon', '', 'Wed', '', 'Fri', '', 'Sun'] as const;
const NAMES_WIDTH = 30;

/** `renderHeatMap` draws a calendar of weeks for each stream, and shows the same as a table. */
export function renderHeatMap(cells: readonly HeatCell[]): Html {
  const streams = [...Map.groupBy(cells, ({ stream }) => stream)];
  const days = streams[0]?.[1].map(({ day }) => day) ?? [];
  const [first = null, last = null] = [days[0], days.at(-1)];
  const shown = [...new Set(cells.flatMap((cell) => standingOf(cell) ?? []))];
  const sample = (standing: Standing) =>
    html`<span class="whole"><svg class="sample" aria-hidden="true" width="16" height="16" viewBox="0 0 ${CELL} ${CELL}">${renderShape(standing, 0, 0)}</svg> ${STANDINGS[standing].label}</span> `;
  return html`<h2>The last ${days.length} days</h2>
<p class="quiet">A cell for each stream and UTC day, ${renderDay(first)} to ${renderDay(last)}, by week: the worst of all organizations; blank where nothing is tracked.
${shown.map(sample)}<a class="whole" href="/coverage">By organization and day</a></p>
<div class="heat">${streams.map(([stream, row]) => renderWeeks(stream, row))}</div>
<details><summary>The same as a table</summary>
${renderTable([...days.keys()].reverse(), [
  column('Day', (place) => renderDay(days[place] ?? null)),
  ...streams.map(([stream, row]) => column(stream, (place: number) => renderLink(row[place] as HeatCell))),
])}</details>`;
}

function standingOf({ tracked, counts }: HeatCell): Standing | null {
  return worstOf(counts) ?? (tracked === 0 ? null : 'final');
}

function weekDayOf(day: UsageDay): number {
  return (new Date(`${day}T00:00:00Z`).getUTCDay() + 6) % 7;
}

function renderWeeks(stream: string, row: readonly HeatCell[]): Html {
  const gaps = row.filter((cell) => isGap(standingOf(cell) ?? 'final')).length;
  const label = `${stream}: gaps on ${gaps} of ${row.length} days`;
  const offset = weekDayOf(row[0]?.day ?? '1970-01-01');
  const xOf = (place: number) => NAMES_WIDTH + Math.floor((place + offset) / 7) * CELL;
  const cells = row.map((cell, place) => {
    const [x, y] = [xOf(place), MONTHS_HEIGHT + weekDayOf(cell.day) * CELL];
    const standing = standingOf(cell);
    const shape = html`<title>${cell.day}: ${describeCell(cell)}</title><rect class="heat-ground" x="${x + 1}" y="${y + 1}" width="${CELL - 2}" height="${CELL - 2}"/>${standing === null ? '' : renderShape(standing, x, y)}`;
    return html`<a href="${coverageOf(cell, standing)}" tabindex="-1">${shape}</a>`;
  });
  const months = row.flatMap(({ day }, place) =>
    day.endsWith('-01')
      ? [html`<text x="${xOf(place)}" y="${MONTHS_HEIGHT - 5}">${day.slice(0, 7)}</text>`]
      : [],
  );
  const weekDays = WEEK_DAYS.map((name, place) =>
    name === '' ? '' : html`<text x="0" y="${MONTHS_HEIGHT + place * CELL + 16}">${name}</text>`,
  );
  const width = xOf(row.length - 1) + CELL;
  return html`<figure class="weeks"><figcaption>${stream}</figcaption><svg role="group" aria-label="${label}" width="${width}" height="${MONTHS_HEIGHT + 7 * CELL}">${months}${weekDays}${cells}</svg></figure>\n`;
}

/** `renderShape` renders the shape of a standing in its cell: tones differ in shape as well as in colour. */
function renderShape(standing: Standing, x: number, y: number): Html {
  const { tone } = STANDINGS[standing];
  const bar = (from: number, height: number) =>
    html`<rect class="heat-${tone}" x="${x + 1}" y="${y + from}" width="${CELL - 2}" height="${height}"/>`;
  switch (tone) {
    case 'good':
      return bar(1, 22);
    case 'calm':
      return bar(12, 11);
    case 'open':
      return bar(20, 3);
    case 'known':
      return bar(16, 7);
    case 'bad':
      return html`${bar(1, 9)}${bar(14, 9)}`;
  }
}

function renderLink(cell: HeatCell): Html {
  return html`<a href="${coverageOf(cell, standingOf(cell))}">${describeCell(cell)}</a>`;
}

function coverageOf({ stream, day }: HeatCell, standing: Standing | null): string {
  const only = standing === null || standing === 'final' ? '' : standing;
  return addressOf('/coverage', { stream, to: day, only });
}

function describeCell(cell: HeatCell): string {
  const { tracked, counts } = cell;
  if (standingOf(cell) === null) return 'not tracked';
  const open = describeCounts(counts);
  return open === '' ? `all ${showNumber(tracked)} final` : `${open} of ${showNumber(tracked)}`;
}
