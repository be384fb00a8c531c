/** The billable payloads of an organization in the month to date, by day, beside the month before and the limit. */
import { html } from 'hono/html';
import type { LimitUse } from '../queries/organization.ts';
import { sameDaysOfLastMonth } from '../queries/organizations.ts';
import { showNumber } from '../terminal/words.ts';
import { addDays, daysFrom, type UsageDay } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';
import { nameOfMonth } from './month-judge.ts';
import { showChange } from './organizations.ts';
import { type Html, renderDay } from './page.ts';
import { linePath, scaleOf } from './shapes.ts';

export interface MonthToDate {
  readonly orgId: string;
  /** The last day shown, yesterday. */
  readonly to: UsageDay;
  /** Billable payloads by day from the first day of the month before to `to`; null where they are not stored. */
  readonly payloads: readonly (number | null)[];
  /** The limit of payloads; undefined if there is none. */
  readonly limit: LimitUse | undefined;
}

export function daysOfMonthToDate(to: UsageDay) {
  return { from: sameDaysOfLastMonth(to).from, to };
}

const HEIGHT = 200;
const LABELS_HEIGHT = 20;
const AXIS_WIDTH = 52;
/** The width of a day, enough to be hit. */
const DAY_WIDTH = 26;

export function renderMonthToDate({ orgId, to, payloads, limit }: MonthToDate): Html {
  const month = to.slice(0, 7);
  const { from, to: end } = daysOfMonth(month);
  const last = sameDaysOfLastMonth(to);
  const lengthBefore = daysFrom(last.from, from);
  const [before, now] = [payloads.slice(0, lengthBefore), payloads.slice(lengthBefore)];
  const days = Array.from({ length: daysFrom(from, end) + 1 }, (_, place) => addDays(from, place));
  const scale = scaleOf(
    {
      series: [{ name: '', values: days.map((_, place) => Math.max(now[place] ?? 0, before[place] ?? 0)) }],
      unit: 'count',
    },
    HEIGHT,
  );
  const width = days.length * DAY_WIDTH;
  const x = (place: number) => place * DAY_WIDTH;
  const crossing = limit?.crossesOn ?? null;
  const crossingPlace = crossing === null || crossing < from ? -1 : daysFrom(from, crossing);
  const bars = days.map((day, place) => {
    const value = now[place] ?? null;
    if (day > to) return '';
    const said = `${day}: ${value === null ? 'not stored' : showNumber(value)}`;
    const shape =
      value === null
        ? html`<rect x="${x(place) + 3}" y="0" width="${DAY_WIDTH - 6}" height="${HEIGHT}" fill="url(#not-stored)"/>`
        : html`<rect class="series-0" x="${x(place) + 3}" y="${scale.y(value)}" width="${DAY_WIDTH - 6}" height="${Math.max(HEIGHT - scale.y(value), value > 0 ? 1 : 0)}"/>`;
    return html`<a href="/coverage/${orgId}/${day}/payload_totals" aria-label="${said}">${shape}<rect class="hit" x="${x(place)}" width="${DAY_WIDTH}" height="${HEIGHT}"><title>${said}</title></rect></a>`;
  });
  return html`<h2>Billable payloads in ${nameOfMonth(month)}</h2>
${renderSentence(now, before.slice(0, now.length), { limit, to })}
<div class="plot scroll"><svg aria-hidden="true" width="${AXIS_WIDTH}" height="${HEIGHT + LABELS_HEIGHT}">${scale.ticks.map(({ y, label }) => html`<text x="${AXIS_WIDTH - 8}" y="${y}" dy="4" text-anchor="end">${label}</text>`)}</svg>
<svg class="fixed" role="group" aria-label="Billable payloads by day; each day leads to its story" width="${width}" height="${HEIGHT + LABELS_HEIGHT}">
${scale.ticks.map(({ y }) => html`<line class="rule" x1="0" x2="${width}" y1="${y}" y2="${y}"/>`)}
${bars}
<svg width="${width}" height="${HEIGHT}" viewBox="0 0 ${days.length} ${HEIGHT}" preserveAspectRatio="none"><path class="faint" vector-effect="non-scaling-stroke" d="${linePath(
    days.map((_, place) => before[place] ?? null),
    scale,
  )}"/></svg>
${crossingPlace < 0 || crossingPlace >= days.length ? '' : html`<line class="limit" x1="${x(crossingPlace + 0.5)}" x2="${x(crossingPlace + 0.5)}" y1="0" y2="${HEIGHT}"/><text class="limit-name" x="${x(crossingPlace + 0.5) - 4}" y="11" text-anchor="end">limit passed</text>`}
${days.map((day, place) => (place % 7 === 0 ? html`<text x="${x(place + 0.5)}" y="${HEIGHT + 15}" text-anchor="middle">${Number(day.slice(8))}</text>` : ''))}
</svg></div>
<p class="quiet">Bars: ${month} by UTC day; hatched days are not stored. The faint line: ${last.from.slice(0, 7)}. Each bar leads to the story of its day.</p>`;
}

function sumOf(values: readonly (number | null)[]): number | null {
  const stored = values.filter((value) => value !== null);
  return stored.length === 0 ? null : stored.reduce((sum, value) => sum + value, 0);
}

function renderSentence(
  now: readonly (number | null)[],
  before: readonly (number | null)[],
  { limit, to }: Pick<MonthToDate, 'limit' | 'to'>,
): Html {
  const [sum, sumBefore] = [sumOf(now), sumOf(before)];
  const change =
    sum === null || sumBefore === null
      ? ''
      : html`, ${showChange(sum, sumBefore)} against the same days of the month before`;
  const crossing = limit?.crossesOn ?? null;
  const passes =
    limit === undefined || crossing === null
      ? ''
      : html` ${crossing <= to ? html`<span class="bad">The limit of ${showNumber(limit.limit)} was passed on ${renderDay(crossing)}.</span>` : html`<span class="warn">At this rate the limit of ${showNumber(limit.limit)} is passed on ${renderDay(crossing)}.</span>`}`;
  return html`<p><strong>${sum === null ? 'No day is stored' : showNumber(sum)}</strong> up to ${renderDay(to)}${change}.${passes}</p>`;
}
