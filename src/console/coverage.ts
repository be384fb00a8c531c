/** Maps of days: organizations by days, and streams by days over all organizations. */
import { html, raw } from 'hono/html';
import {
  type CoverageLine,
  type CoverageMap,
  type CoverageQuery,
  type HeatCell,
  type OpenDay,
  ORGANIZATIONS_PER_MAP,
  readCoverageMap,
} from '../queries/coverage.ts';
import { readInstanceNames } from '../queries/organizations.ts';
import { showNumber } from '../terminal/words.ts';
import { addDays, dayAt, eachDay, parseDay, type UsageDay } from '../usage/day.ts';
import { isGap, STANDINGS, type Standing, standings, worstOf } from '../usage/standing.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import {
  addressOf,
  column,
  describeOrganizations,
  type Query,
  readChoice,
  readInstanceId,
  readPageNumber,
  readSearch,
  renderHidden,
  renderInstanceChoice,
  renderPages,
  renderSearch,
  renderSelect,
  renderTable,
} from './lists.ts';
import {
  describeCounts,
  type Html,
  renderAway,
  renderDay,
  renderPage,
  renderStanding,
  worstFirst,
} from './page.ts';
import { type ConsolePage, type Names, readOrNull } from './sources.ts';

const PATH = '/coverage';
/** The lengths of the map in days: a month of any length, and a quarter of a year. */
const MONTH = '31';
const QUARTER = '90';
/** The filters of organizations: those with a gap of either kind, or with one standing. */
const CHOICES = ['gap', ...worstFirst.filter((standing) => standing !== 'final')] as const;
/** The first day that can be stored. */
const FIRST_DAY = '2015-01-01';

export const coveragePage: ConsolePage = {
  path: PATH,
  open: (sources) => async (c) => {
    const yesterday = addDays(dayAt(sources.now()), -1);
    const filters = readFilters(c.req.query(), yesterday);
    const query = queryOf(filters, readPageNumber(c.req.query('page')), yesterday);
    const found = await readOrNull(sources, async (db) => ({
      map: await readCoverageMap(db, query),
      names: await readInstanceNames(db),
    }));
    const body = html`<h1>Coverage</h1>
<p class="quiet">How each organization and UTC day stands: by the worst of its numbers. Each day leads to its story.</p>
${renderForm(filters, found?.names ?? new Map())}
${found === null ? renderAway() : renderMap(filters, query, found.map, yesterday)}`;
    return await c.html(renderPage({ title: 'Coverage', path: PATH, body }), found === null ? 503 : 200);
  },
};

/** The filters as addresses have them; '' for one that is not set or not valid. */
type Filters = ReturnType<typeof readFilters>;

function readFilters(given: Query, yesterday: UsageDay) {
  const to = parseDay(given['to'] ?? '') ?? '';
  return {
    q: readSearch(given['q']),
    instance: readInstanceId(given['instance']),
    stream: readChoice(given['stream'], streamNames),
    only: readChoice(given['only'], CHOICES),
    days: readChoice(given['days'], [QUARTER]),
    /** The last day of the map; '' for yesterday. */
    to: to >= yesterday || to < FIRST_DAY ? '' : to,
  };
}

function queryOf(filters: Filters, page: number, yesterday: UsageDay): CoverageQuery {
  const { q, instance, stream, only, days, to } = filters;
  const last = to || yesterday;
  return {
    search: q,
    instanceId: instance || null,
    stream: stream || null,
    only: only === '' ? null : only === 'gap' ? standings.filter(isGap) : [only],
    range: { from: addDays(last, 1 - Number(days || MONTH)), to: last },
    page,
  };
}

function renderForm(filters: Filters, names: Names): Html {
  const choices = CHOICES.map((choice) => {
    const text = choice === 'gap' ? 'with a gap' : `with a number ${STANDINGS[choice].label}`;
    return [choice, text] as const;
  });
  return html`<form method="get" action="${PATH}" role="search">
${renderSearch(filters.q)}
${renderInstanceChoice(names, filters.instance)}
${renderSelect('stream', 'Stream', [['', 'all'], ...streamNames], filters.stream)}
${renderSelect('only', 'Organizations', [['', 'all'], ...choices], filters.only)}
${renderSelect('days', 'Days', [MONTH, QUARTER], filters.days || MONTH)}
${renderHidden('to', filters.to)}
<button type="submit">Show</button></form>`;
}

function renderMap(
  filters: Filters,
  query: CoverageQuery,
  { count: found, deleted, organizations }: CoverageMap,
  yesterday: UsageDay,
): Html {
  const { range, page } = query;
  const what = describeOrganizations(found - deleted, deleted);
  if (organizations.length === 0) return html`<p>${what}${found === 0 ? '' : ', none on this page'}.</p>`;
  const before = addDays(range.from, -1);
  const after = addDays(range.to, Number(filters.days || MONTH));
  const step = (to: UsageDay, text: string) =>
    html`<a href="${addressOf(PATH, { ...filters, to: to >= yesterday ? '' : to })}">${text}</a> `;
  const steps = html`<span class="whole">${before < FIRST_DAY ? '' : step(before, 'Earlier')} ${range.to === yesterday ? '' : step(after, 'Later')}</span>`;
  return html`<p>${what}, ${renderDay(range.from)} to ${renderDay(range.to)}. ${steps}</p>
${renderKeys()}
${renderGrid(organizations, query)}
${renderGlossary()}
${renderPages({ path: PATH, query: filters, page, found, perPage: ORGANIZATIONS_PER_MAP })}`;
}

/** `renderKeys` explains the signs and colours of maps of days. */
function renderKeys(): Html {
  const keys = [
    ...standings.map((each) => STANDINGS[each]),
    { tone: 'untracked', symbol: ' ', label: 'not tracked' },
  ];
  return html`<p class="quiet">${keys.map(({ tone, symbol, label }) => html`<span class="whole"><span class="key m-${tone}" aria-hidden="true">${symbol}</span> ${label}</span> `)}</p>`;
}

/** `renderGlossary` explains each standing in a sentence. */
function renderGlossary(): Html {
  return html`<details><summary>What the words mean</summary><dl class="list">${standings.map(
    (standing) => html`<dt>${renderStanding(standing)}</dt><dd>${STANDINGS[standing].sentence}</dd>\n`,
  )}</dl></details>`;
}

/** `renderGrid` renders organizations by days; each day links to its story. */
function renderGrid(lines: readonly CoverageLine[], { range, stream }: CoverageQuery): Html {
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
  const shown = [...new Set(cells.flatMap((cell) => heatOf(cell) ?? []))];
  const sample = (standing: Standing) =>
    html`<span class="whole"><svg class="sample" aria-hidden="true" width="16" height="16" viewBox="0 0 ${CELL} ${CELL}">${renderShape(standing, 0, 0)}</svg> ${STANDINGS[standing].label}</span> `;
  return html`<h2>The last ${days.length} days</h2>
<p class="quiet">A cell for each stream and UTC day, ${renderDay(first)} to ${renderDay(last)}, by week: the worst of all organizations; blank where nothing is tracked.
${shown.map(sample)}<a class="whole" href="/coverage">By organization and day</a></p>
<div class="heat">${streams.map(([stream, row]) => renderWeeks(stream, row))}</div>
<details><summary>The same as a table</summary>
${renderTable([...days.keys()].reverse(), [
  column('Day', (place) => renderDay(days[place] ?? null)),
  ...streams.map(([stream, row]) =>
    column(stream, (place: number) => renderHeatLink(row[place] as HeatCell)),
  ),
])}</details>`;
}

function heatOf({ tracked, counts }: HeatCell): Standing | null {
  return worstOf(counts) ?? (tracked === 0 ? null : 'final');
}

function weekDayOf(day: UsageDay): number {
  return (new Date(`${day}T00:00:00Z`).getUTCDay() + 6) % 7;
}

function renderWeeks(stream: string, row: readonly HeatCell[]): Html {
  const gaps = row.filter((cell) => isGap(heatOf(cell) ?? 'final')).length;
  const label = `${stream}: gaps on ${gaps} of ${row.length} days`;
  const offset = weekDayOf(row[0]?.day ?? '1970-01-01');
  const xOf = (place: number) => NAMES_WIDTH + Math.floor((place + offset) / 7) * CELL;
  const cells = row.map((cell, place) => {
    const [x, y] = [xOf(place), MONTHS_HEIGHT + weekDayOf(cell.day) * CELL];
    const standing = heatOf(cell);
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

function renderHeatLink(cell: HeatCell): Html {
  return html`<a href="${coverageOf(cell, heatOf(cell))}">${describeCell(cell)}</a>`;
}

function coverageOf({ stream, day }: HeatCell, standing: Standing | null): string {
  const only = standing === null || standing === 'final' ? '' : standing;
  return addressOf('/coverage', { stream, to: day, only });
}

function describeCell(cell: HeatCell): string {
  const { tracked, counts } = cell;
  if (heatOf(cell) === null) return 'not tracked';
  const open = describeCounts(counts);
  return open === '' ? `all ${showNumber(tracked)} final` : `${open} of ${showNumber(tracked)}`;
}
