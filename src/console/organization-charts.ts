/** The charts of an organization's page. */
import { html } from 'hono/html';
import { CHARTED, type ChartedMetric, type LimitUse, type Organization } from '../queries/organization.ts';
import { sameDaysOfLastMonth } from '../queries/organizations.ts';
import { count, showNumber } from '../terminal/words.ts';
import { daysFrom, eachDay, type UsageDay } from '../usage/day.ts';
import { daysOfMonth } from '../usage/period.ts';
import { type ChartDay, type DailyChart, renderAxis } from './daily-chart.ts';
import type { FileColumn } from './lists.ts';
import { showChange } from './organizations.ts';
import { type Html, nameOfMonth, renderDay } from './page.ts';
import { linePath, scaleOf, showBytes, sumOf } from './shapes.ts';

/** `organizationCharts` returns the charts of an organization's page in order, the billed number first. */
export function organizationCharts({ orgId, days, payloads }: Organization): DailyChart[] {
  const chartOf = (
    metric: ChartedMetric,
    chart: Pick<DailyChart, 'id' | 'title' | 'series' | 'axis' | 'unit' | 'shape'>,
  ): DailyChart => {
    const stream = CHARTED[metric];
    const charted = days.map(({ day, standings, unreported, ...numbers }): ChartDay => {
      const isLeftOut = unreported.includes(stream);
      return { day, standing: standings[stream] ?? null, isLeftOut, values: [numbers[metric]] };
    });
    return {
      ...chart,
      days: charted,
      storyOf: (day) => `/coverage/${orgId}/${day}/${stream}`,
      summary: chart.shape === 'line' ? describeLevel(charted) : describeFlow(charted, chart.unit),
    };
  };
  const sources = chartOf('payload_source_count', {
    ...{ id: 'payloads', title: 'All payloads by type', series: ['Payloads'] },
    ...{ axis: 'Payloads per day', unit: 'count', shape: 'bars' },
  });
  return [
    chartOf('payload_billable_count', {
      ...{ id: 'billable', title: 'Billable payloads', series: ['Payloads'] },
      ...{ axis: 'Billable payloads per day', unit: 'count', shape: 'bars' },
    }),
    { ...sources, ...partsByType(payloads, sources) },
    chartOf('devices_total', {
      ...{ id: 'devices', title: 'Devices', series: ['Devices'] },
      ...{ axis: 'Devices at about the end of the day', unit: 'count', shape: 'line' },
    }),
    chartOf('notebook_minutes', {
      ...{ id: 'notebooks', title: 'Notebook minutes', series: ['Minutes'] },
      ...{ axis: 'Minutes per day', unit: 'count', shape: 'bars' },
    }),
    chartOf('payload_all_bytes', {
      ...{ id: 'bytes', title: 'Size of all payloads', series: ['Bytes'] },
      ...{ axis: 'Bytes per day', unit: 'bytes', shape: 'bars' },
    }),
  ];
}

/**
 * `partsByType` returns a series for each of the largest types, the largest at the bottom, and one for the
 * others.
 */
function partsByType(
  payloads: Organization['payloads'],
  { days, series }: DailyChart,
): Pick<DailyChart, 'days' | 'series' | 'hasParts'> {
  const types = [...Map.groupBy(payloads, ({ type }) => type)].map(([type, counts]) => ({
    type,
    counts: new Map(counts.map(({ day, count: number }) => [day, number])),
    sum: sumOf(counts.map(({ count: number }) => number)),
  }));
  if (types.length === 0) return { days, series };
  types.sort((a, b) => Number(a.type === null) - Number(b.type === null) || b.sum - a.sum);
  return {
    series: types.map(({ type }) => type ?? 'other types'),
    hasParts: true,
    // A type that a stored day does not have was not used on that day.
    days: days.map((day) => ({
      ...day,
      values: types.map(({ counts }) => (day.values[0] == null ? null : (counts.get(day.day) ?? 0))),
    })),
  };
}

const NONE = (days: number) => `None of these ${count(days, 'day')} is stored.`;

/** `storedOf` returns the days of a single series that are stored, with their values. */
function storedOf(days: readonly ChartDay[]): { readonly day: string; readonly value: number }[] {
  return days.flatMap(({ day, values: [value] }) => (value == null ? [] : [{ day, value }]));
}

function describeLevel(days: readonly ChartDay[]): string {
  const stored = storedOf(days);
  const [first, last] = [stored[0], stored.at(-1)];
  if (first === undefined || last === undefined) return NONE(days.length);
  const change = last.value - first.value;
  const than =
    change === 0 ? 'as many as' : `${showNumber(Math.abs(change))} ${change > 0 ? 'more' : 'fewer'} than`;
  const since = first === last ? '' : `, ${than} on ${first.day}`;
  return `${count(last.value, 'device')} on ${last.day}${since}.`;
}

function describeFlow(days: readonly ChartDay[], unit: DailyChart['unit']): string {
  const stored = storedOf(days);
  if (stored.length === 0) return NONE(days.length);
  const sum = sumOf(stored.map(({ value }) => value));
  const show = unit === 'bytes' ? showBytes : showNumber;
  const notStored = days.filter(
    ({ standing, values: [value] }) => standing !== null && value === null,
  ).length;
  const but = notStored === 0 ? '' : `; ${count(notStored, 'tracked day is', 'tracked days are')} not stored`;
  return `${show(sum)} on ${count(stored.length, 'day')}, ${show(Math.round(sum / stored.length))} a day on average${but}.`;
}

/**
 * `chartColumns` returns the columns of a chart's file, a row for each day. A day that is not stored has empty cells,
 * one that is not tracked has no standing.
 */
export function chartColumns(
  { orgId, name }: Organization,
  { dayName, series }: DailyChart,
): FileColumn<ChartDay>[] {
  return [
    [dayName ?? 'usage_date', ({ day }) => day],
    ['org_id', () => orgId],
    ['org_name', () => name, true],
    ...series.map((each, place): FileColumn<ChartDay> => [each, ({ values }) => values[place] ?? null]),
    ['standing', ({ standing }) => standing],
    ['left_out', ({ isLeftOut }) => isLeftOut],
  ];
}

export interface MonthToDate {
  readonly orgId: string;
  /** The last day shown, yesterday. */
  readonly to: UsageDay;
  /** Billable payloads by day from the first day of the month before to `to`; null where they are not stored. */
  readonly payloads: readonly (number | null)[];
  /** The limit of payloads; undefined if there is none. */
  readonly limit: LimitUse | undefined;
}

const HEIGHT = 200;
const LABELS_HEIGHT = 20;
/** The width of a day, enough to be hit. */
const DAY_WIDTH = 26;

/** `renderMonthToDate` renders the billable payloads of this month by day, beside the month before and the limit. */
export function renderMonthToDate({ orgId, to, payloads, limit }: MonthToDate): Html {
  const month = to.slice(0, 7);
  const { from, to: end } = daysOfMonth(month);
  const last = sameDaysOfLastMonth(to);
  const lengthBefore = daysFrom(last.from, from);
  const [before, now] = [payloads.slice(0, lengthBefore), payloads.slice(lengthBefore)];
  const days = eachDay({ from, to: end });
  const scale = scaleOf(
    days.map((_, place) => ({ values: [Math.max(now[place] ?? 0, before[place] ?? 0)] })),
    'count',
    HEIGHT,
  );
  const { y } = scale;
  const width = days.length * DAY_WIDTH;
  const x = (place: number) => place * DAY_WIDTH;
  const passedX = limit?.crossesOn == null ? null : x(days.indexOf(limit.crossesOn) + 0.5);
  const bars = now.map((value, place) => {
    const day = days[place] ?? '';
    const said = `${day}: ${value === null ? 'not stored' : showNumber(value)}`;
    const shape =
      value === null
        ? html`<rect x="${x(place) + 3}" y="0" width="${DAY_WIDTH - 6}" height="${HEIGHT}" fill="url(#not-stored)"/>`
        : html`<rect class="series-0" x="${x(place) + 3}" y="${y(value)}" width="${DAY_WIDTH - 6}" height="${Math.max(HEIGHT - y(value), value > 0 ? 1 : 0)}"/>`;
    return html`<a href="/coverage/${orgId}/${day}/payload_totals" aria-label="${said}">${shape}<rect class="hit" x="${x(place)}" width="${DAY_WIDTH}" height="${HEIGHT}"><title>${said}</title></rect></a>`;
  });
  return html`<h2>Billable payloads in ${nameOfMonth(month)}</h2>
${renderSentence(now, before.slice(0, now.length), { limit, to })}
<div class="plot scroll">${renderAxis(scale, HEIGHT + LABELS_HEIGHT)}
<svg class="fixed" role="group" aria-label="Billable payloads by day; each day leads to its story" width="${width}" height="${HEIGHT + LABELS_HEIGHT}">
${scale.ticks.map((tick) => html`<line class="rule" x1="0" x2="${width}" y1="${tick.y}" y2="${tick.y}"/>`)}
${bars}
<svg width="${width}" height="${HEIGHT}" viewBox="0 0 ${days.length} ${HEIGHT}" preserveAspectRatio="none"><path class="faint" vector-effect="non-scaling-stroke" d="${linePath(before.slice(0, days.length), y)}"/></svg>
${passedX === null || passedX < 0 ? '' : html`<line class="limit" x1="${passedX}" x2="${passedX}" y1="0" y2="${HEIGHT}"/><text class="limit-name" x="${passedX - 4}" y="11" text-anchor="end">limit passed</text>`}
${days.map((day, place) => (place % 7 === 0 ? html`<text x="${x(place + 0.5)}" y="${HEIGHT + 15}" text-anchor="middle">${Number(day.slice(8))}</text>` : ''))}
</svg></div>
<p class="quiet">Bars: ${month} by UTC day; hatched days are not stored. The faint line: ${last.from.slice(0, 7)}. Each bar leads to the story of its day.</p>`;
}

function renderSentence(
  now: readonly (number | null)[],
  before: readonly (number | null)[],
  { limit, to }: Pick<MonthToDate, 'limit' | 'to'>,
): Html {
  const isStored = (values: readonly (number | null)[]) => values.some((value) => value !== null);
  const change =
    isStored(now) && isStored(before)
      ? html`, ${showChange(sumOf(now), sumOf(before))} against the same days of the month before`
      : '';
  return html`<p><strong>${isStored(now) ? showNumber(sumOf(now)) : 'No day is stored'}</strong> up to ${renderDay(to)}${change}.${limit === undefined ? '' : renderPassing(limit, to)}</p>`;
}

function renderPassing({ limit, crossesOn }: LimitUse, to: UsageDay): Html | string {
  if (crossesOn === null) return '';
  return crossesOn <= to
    ? html` <span class="bad">The limit of ${showNumber(limit)} was passed on ${renderDay(crossesOn)}.</span>`
    : html` <span class="warn">At this rate the limit of ${showNumber(limit)} is passed on ${renderDay(crossesOn)}.</span>`;
}
