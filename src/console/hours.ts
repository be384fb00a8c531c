/** The part of an organization's page about its payloads by hour. */

import { html } from 'hono/html';
import type { LocalDay, OrganizationHours, WeekHour } from '../queries/organization.ts';
import { capitalize, count, showNumber } from '../terminal/words.ts';
import { type DayRange, eachDay, parseDay, type UsageDay } from '../usage/day.ts';
import { HOURS } from '../usage/streams/payload-hours.ts';
import type { ChartDay, DailyChart } from './daily-chart.ts';
import { column, numberColumn, type Query, renderHidden, renderTable } from './lists.ts';
import type { Html } from './page.ts';
import { sumOf } from './shapes.ts';

/** The choice of a viewer: a time zone, and a day that is shown by hour. */
export interface HoursChoice {
  readonly zone: string;
  readonly day: UsageDay | null;
}

const ZONE = /^[A-Za-z][A-Za-z0-9_+\-/]{0,59}$/;

/** `readHoursChoice` returns the choice in the address; UTC and the newest day where it has none. */
export function readHoursChoice({ zone = '', hours = '' }: Query): HoursChoice {
  return { zone: ZONE.test(zone) ? zone : 'UTC', day: parseDay(hours) };
}

export function hoursCharts(
  { day, zone, standing, hours, days }: OrganizationHours,
  { orgId, range }: { orgId: string; range: DayRange },
): DailyChart[] {
  const byDay = new Map(days.map((each) => [each.day, each]));
  const common = { unit: 'count', shape: 'bars', series: ['Payloads'] } as const;
  const local: DailyChart = {
    ...common,
    id: 'local-days',
    title: `Billable payloads by the days of ${zone}`,
    axis: 'Billable payloads per day',
    dayName: `Day in ${zone}`,
    days: eachDay(range).map((each) => toChartDay(each, byDay.get(each))),
    summary: describeClocks(days),
  };
  if (day === null || hours.length === 0) return [local];
  const ofDay: DailyChart = {
    ...common,
    id: 'hours',
    title: `Billable payloads by hour on ${day}`,
    axis: 'Billable payloads per hour',
    dayName: 'Hour (UTC)',
    days: HOURS.map((hour, at) => ({ day: hour, standing, isLeftOut: false, values: [hours[at] ?? null] })),
    ticks: [0, 6, 12, 18].map((place) => ({
      place,
      label: HOURS[place] ?? '',
      anchor: place === 0 ? 'start' : 'middle',
      isMinor: false,
    })),
    storyOf: () => `/coverage/${orgId}/${day}/payload_hours`,
    summary: describePeak(hours),
  };
  return [ofDay, local];
}

/** `toChartDay` returns a day as not tracked if hours of it that are missing are not tracked, e.g. those of today. */
function toChartDay(day: UsageDay, found: LocalDay | undefined): ChartDay {
  if (found === undefined) return { day, standing: null, isLeftOut: false, values: [null] };
  const { standing, isReported, payloads } = found;
  const isStored = standing === 'final' || standing === 'stored';
  const shown = isStored && payloads === null ? null : standing;
  return { day, standing: shown, isLeftOut: isReported === false, values: [payloads] };
}

function describePeak(hours: readonly (number | null)[]): string {
  const stored = hours.flatMap((value, hour) => (value === null ? [] : [{ value, hour }]));
  const [first] = stored.toSorted((a, b) => b.value - a.value);
  if (first === undefined) return 'None of its hours is stored.';
  return first.value === 0
    ? 'No payloads on this day.'
    : `${showNumber(sumOf(hours))} on this day, most from ${HOURS[first.hour]}: ${showNumber(first.value)}.`;
}

function describeClocks(days: OrganizationHours['days']): string {
  const stored = days.flatMap(({ payloads }) => payloads ?? []);
  const changed = days.filter(({ hours }) => hours !== 24);
  const clocks = changed.map(({ day, hours }) => `${day} has ${hours} hours`).join(', ');
  return `${showNumber(sumOf(stored))} on ${count(stored.length, 'day')} all of whose hours are stored${clocks === '' ? '' : `; ${clocks}`}.`;
}

/**
 * `renderHoursForm` renders the heading, the choice of day and time zone, and what is wrong with it.
 * The number of days shown stays in the address.
 */
export function renderHoursForm(
  { zone, day, problem }: OrganizationHours,
  { path, days, asked }: { path: string; days: string; asked: string },
): Html {
  return html`<h2 id="hours">Payloads by hour</h2>
<form method="get" action="${path}#hours">
${renderHidden('days', days)}
<label>UTC day <input type="date" name="hours" value="${day ?? ''}"></label>
<label>Time zone <input name="zone" list="zones" value="${problem === null ? zone : asked}"></label>
<datalist id="zones">${Intl.supportedValuesOf('timeZone').map((each) => html`<option value="${each}">`)}</datalist>
<button type="submit">Show</button></form>
${problem === null ? '' : html`<p class="bad">${capitalize(problem)}. Shown in UTC instead.</p>`}`;
}

const WEEKDAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;
/** The number of shades between none and the greatest mean. */
const SHADES = 5;

/** `renderWeek` renders the mean of each hour of the week, darker where there is more. */
export function renderWeek({ week, zone }: OrganizationHours): Html {
  const most = week.reduce((max, { mean }) => Math.max(max, mean), 0);
  const byPlace = new Map(week.map((each) => [`${each.weekday} ${each.hour}`, each]));
  const renderMean = (found: WeekHour | undefined) => {
    if (found === undefined) return null;
    const shade = most === 0 ? 0 : Math.ceil((found.mean / most) * SHADES);
    return html`<span class="shade-${shade}">${showNumber(found.mean)}</span>`;
  };
  return html`<h3>Mean of each hour of the week</h3>
<p class="quiet">Billable payloads per hour in ${zone}, over the stored hours of the days shown.</p>
<div class="week">${renderTable(
    [...HOURS.keys()],
    [
      column('Hour', (hour) => HOURS[hour] ?? null),
      ...WEEKDAYS.map((name, place) =>
        numberColumn(name, (hour: number) => renderMean(byPlace.get(`${place + 1} ${hour}`))),
      ),
    ],
  )}</div>`;
}
