import { html } from 'hono/html';
import type { HeatCell } from '../queries/heat-map.ts';
import { showNumber } from '../terminal/words.ts';
import { renderDay } from './instants.ts';
import { type Html, renderTable } from './page.ts';

/** A row of cells, in units of its own: it is stretched to the width there is. */
const ROW_HEIGHT = 16;

export type HeatState = 'untracked' | 'gap' | 'known' | 'open' | 'final';

/** The worst of what is to be said of a cell. */
export function stateOf({ tracked, gaps, knownMissing, open }: HeatCell): HeatState {
  if (gaps > 0) return 'gap';
  if (tracked === 0) return 'untracked';
  if (knownMissing > 0) return 'known';
  return open > 0 ? 'open' : 'final';
}

const LEGEND: readonly (readonly [HeatState, string])[] = [
  ['final', 'everything is final'],
  ['open', 'held, or not late yet; not final'],
  ['known', 'something is known to be missing'],
  ['gap', 'something is missing'],
];

/** Each stream over the last days: a row of cells for each, and the same as a table. */
export function renderHeatMap(cells: readonly HeatCell[]): Html {
  const streams = [...Map.groupBy(cells, ({ stream }) => stream)];
  const days = streams[0]?.[1].map(({ day }) => day) ?? [];
  const [first = null, last = null] = [days[0], days.at(-1)];
  return html`<h2>The last ${days.length} days</h2>
<p class="quiet">One cell for each stream and UTC day, ${renderDay(first)} to ${renderDay(last)}, over all organizations; blank where nothing is tracked.
${LEGEND.map(([state, text]) => html`<span class="whole"><svg class="sample" aria-hidden="true" width="12" height="${ROW_HEIGHT}" viewBox="0 0 1 ${ROW_HEIGHT}" preserveAspectRatio="none">${renderCell(state, 0)}</svg> ${text}</span> `)}
<a class="whole" href="/coverage">By organization and day</a></p>
<div class="heat">${streams.map(([stream, row]) => renderRow(stream, row))}</div>
<details><summary>The same as a table</summary>
${renderTable({
  columns: [{ name: 'Day' }, ...streams.map(([stream]) => ({ name: stream }))],
  rows: days
    .map((day, index) => [renderDay(day), ...streams.map(([, row]) => describe(row[index] as HeatCell))])
    .reverse(),
})}</details>`;
}

function renderRow(stream: string, row: readonly HeatCell[]): Html {
  const gaps = row.filter((cell) => cell.gaps > 0).length;
  const label = `${stream}: something is missing on ${gaps} of ${row.length} days`;
  return html`<span>${stream}</span><svg role="img" aria-label="${label}" height="${ROW_HEIGHT}" viewBox="0 0 ${row.length} ${ROW_HEIGHT}" preserveAspectRatio="none">
${row.map((cell, x) => html`<g><title>${cell.day}: ${describe(cell)}</title><rect class="heat-ground" x="${x}" width="1" height="${ROW_HEIGHT}"/>${renderCell(stateOf(cell), x)}</g>`)}</svg>\n`;
}

/** The states differ in shape as well as in colour. */
function renderCell(state: HeatState, x: number): Html | string {
  switch (state) {
    case 'untracked':
      return '';
    case 'final':
      return html`<rect class="heat-held" x="${x + 0.08}" width="0.84" height="${ROW_HEIGHT}"/>`;
    case 'open':
      return html`<rect class="heat-held" x="${x + 0.08}" y="8" width="0.84" height="8"/>`;
    case 'known':
      return html`<rect class="heat-known" x="${x + 0.08}" y="11" width="0.84" height="5"/>`;
    case 'gap':
      return html`<rect class="heat-gap" x="${x + 0.08}" width="0.84" height="6"/><rect class="heat-gap" x="${x + 0.08}" y="10" width="0.84" height="6"/>`;
  }
}

function describe(cell: HeatCell): string {
  const { tracked } = cell;
  if (stateOf(cell) === 'untracked') return 'not tracked';
  const open = describeOpen(cell);
  return open === '' ? `all ${showNumber(tracked)} final` : `${open} of ${showNumber(tracked)}`;
}

/** How many cells are not final, by what is to be said of them; empty: none. */
export function describeOpen({
  gaps,
  knownMissing,
  open,
}: Pick<HeatCell, 'gaps' | 'knownMissing' | 'open'>): string {
  const parts = [
    gaps > 0 ? `${showNumber(gaps)} missing` : '',
    knownMissing > 0 ? `${showNumber(knownMissing)} known to be missing` : '',
    open > 0 ? `${showNumber(open)} not final` : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}
