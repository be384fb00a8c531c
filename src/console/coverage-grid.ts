import { html, raw } from 'hono/html';
import type { CoverageLine, OpenDay } from '../queries/coverage.ts';
import { type DayRange, eachDay, type UsageDay } from '../usage/day.ts';
import { describeOpen, type HeatState } from './heat-map.ts';
import { renderDay } from './instants.ts';
import type { Html } from './page.ts';

export interface CoverageGrid {
  readonly lines: readonly CoverageLine[];
  readonly range: DayRange;
  /** Null: every stream; a day then shows the worst of its cells. */
  readonly stream: string | null;
}

const KEYS: readonly (readonly [HeatState, string])[] = [
  ['final', 'final'],
  ['open', 'held, or not late yet; not final'],
  ['known', 'known to be missing'],
  ['gap', 'missing'],
  ['untracked', 'not tracked'],
];

/** What the signs of the map mean. */
export function renderKeys(): Html {
  return html`<p class="quiet">${KEYS.map(([state, text]) => html`<span class="whole"><span class="key m-${state}" aria-hidden="true">${signOf(state)}</span> ${text}</span> `)}</p>`;
}

/** Organizations by days: each day that is not final leads to its story. */
export function renderGrid({ lines, range, stream }: CoverageGrid): Html {
  const days = eachDay(range);
  const months = [...Map.groupBy(days, (day) => day.slice(0, 7))];
  return html`<div class="map" role="region" tabindex="0" aria-label="Organizations by days; scrolls sideways where it is wider than the screen">
<table class="grid grid-${days.length}"><caption class="hidden">How each day of each organization stands, ${range.from} to ${range.to}</caption>
<colgroup><col class="names"><col span="${days.length}"></colgroup>
<thead><tr><td></td>${months.map(([month, { length }]) => html`<th class="month" scope="colgroup" colspan="${length}">${renderMonth(month, length, days.length)}</th>`)}</tr>
<tr><th class="name" scope="col">Organization</th>${days.map((day) => renderHead(day, days.length))}</tr></thead>
<tbody>${lines.map((line) => renderLine(line, days, stream))}</tbody></table></div>`;
}

/** Where its days leave no room for it, it is only read out. */
function renderMonth(month: string, length: number, shown: number): Html {
  const isRoomy = length * 30 >= shown * 2;
  return html`<span class="${isRoomy ? '' : 'hidden'}">${month}</span>`;
}

/** The day of the month; where days are narrow, that of Mondays. */
function renderHead(day: UsageDay, shown: number): Html {
  const isShown = shown <= 31 || new Date(`${day}T00:00:00Z`).getUTCDay() === 1;
  return html`<th scope="col"><span class="hidden">${renderDay(day)}</span><span aria-hidden="true" title="${day}">${isShown ? day.slice(8) : ''}</span></th>`;
}

function renderLine(line: CoverageLine, days: readonly UsageDay[], stream: string | null): Html {
  const { orgId, name, tracked } = line;
  const open = new Map(line.days.map((day) => [day.day, day]));
  const isTracked = (day: UsageDay) => tracked.some(({ from, to }) => from <= day && day <= to);
  const cells = days.map((day) => {
    const known = open.get(day);
    if (known) return renderOpen(known, { orgId, name, stream });
    return isTracked(day) ? FINAL : UNTRACKED;
  });
  return html`<tr><th class="name" scope="row" title="${name}"><a href="/organizations/${orgId}">${name}</a></th>${cells}</tr>\n`;
}

/** Most cells are one of these. */
const FINAL = raw('<td class="m-final" aria-label="final"></td>');
const UNTRACKED = raw('<td class="m-untracked" aria-label="not tracked"></td>');

function renderOpen(
  day: OpenDay,
  { orgId, name, stream }: { orgId: string; name: string; stream: string | null },
): Html {
  const state = day.gaps > 0 ? 'gap' : day.knownMissing > 0 ? 'known' : 'open';
  const address = `/coverage/${orgId}/${day.day}${stream === null ? '' : `/${stream}`}`;
  const said = `${day.day}: ${describeOpen(day)}`;
  return html`<td class="m-${state}"><a href="${address}" title="${said}" aria-label="${name}, ${said}">${signOf(state)}</a></td>`;
}

function signOf(state: HeatState): Html {
  return state === 'gap' ? html`!` : html`&nbsp;`;
}
