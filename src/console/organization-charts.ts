import type { Organization, OrganizationDay } from '../queries/organization.ts';
import { count, showNumber } from '../terminal/words.ts';
import type { DailyChart, DayState } from './chart.ts';
import { showBytes } from './scale.ts';

/** The charts of an organization's page, in their order. */
export function organizationCharts(organization: Organization): DailyChart[] {
  const { days } = organization;
  const chartOf = (
    stream: string,
    pick: (day: OrganizationDay) => number | null,
    chart: Pick<DailyChart, 'id' | 'title' | 'axis' | 'unit' | 'shape'> & { readonly name: string },
  ): DailyChart => {
    const values = days.map(pick);
    const states = days.map((day, place) => stateOf(day, stream, values[place] ?? null));
    return {
      ...chart,
      days: days.map(({ day }) => day),
      storyOf: (day) => `/coverage/${organization.orgId}/${day}/${stream}`,
      states,
      series: [{ name: chart.name, values }],
      hasParts: false,
      summary:
        chart.shape === 'line' ? describeLevel(days, values) : describeFlow(values, states, chart.unit),
    };
  };
  const payloads = chartOf('payload_sources', (day) => day.payloadSourceCount, {
    ...{ id: 'payloads', title: 'All payloads by type', name: 'Payloads' },
    ...{ axis: 'Payloads per day', unit: 'count', shape: 'bars' },
  });
  return [
    { ...payloads, ...partsByType(organization, payloads) },
    chartOf('device_counts', (day) => day.devicesTotal, {
      ...{ id: 'devices', title: 'Devices', name: 'Devices' },
      ...{ axis: 'Devices at about the end of the day', unit: 'count', shape: 'line' },
    }),
    chartOf('notebook_minutes', (day) => day.notebookMinutes, {
      ...{ id: 'notebooks', title: 'Notebook minutes', name: 'Minutes' },
      ...{ axis: 'Minutes per day', unit: 'count', shape: 'bars' },
    }),
    chartOf('payload_totals', (day) => day.payloadAllBytes, {
      ...{ id: 'bytes', title: 'Size of all payloads', name: 'Bytes' },
      ...{ axis: 'Bytes per day', unit: 'bytes', shape: 'bars' },
    }),
  ];
}

function stateOf({ tracked, unreported }: OrganizationDay, stream: string, value: number | null): DayState {
  if (!tracked.includes(stream)) return 'untracked';
  if (value === null) return 'missing';
  return unreported.includes(stream) ? 'zeros' : 'held';
}

/** A series for each of the largest types, the largest at the bottom, and one for the others. */
function partsByType(
  { payloads }: Organization,
  { days, series }: DailyChart,
): Pick<DailyChart, 'series' | 'hasParts'> {
  const [total] = series;
  const byType = Map.groupBy(payloads, ({ type }) => type);
  const sums = [...byType].map(([type, counts]) => ({
    type,
    counts: new Map(counts.map(({ day, count: number }) => [day, number])),
    sum: counts.reduce((sum, { count: number }) => sum + number, 0),
  }));
  sums.sort((a, b) => Number(a.type === null) - Number(b.type === null) || b.sum - a.sum);
  const types = sums.map(({ type, counts }) => ({
    name: type ?? 'other types',
    values: days.map((day, place) => (total?.values[place] == null ? null : (counts.get(day) ?? 0))),
  }));
  return types.length === 0 ? { series, hasParts: false } : { series: types, hasParts: true };
}

function describeLevel(days: readonly OrganizationDay[], values: readonly (number | null)[]): string {
  const last = values.findLastIndex((value) => value !== null);
  if (last === -1) return `None of these ${count(days.length, 'day')} is held.`;
  const first = values.findIndex((value) => value !== null);
  const [from, to] = [values[first] ?? 0, values[last] ?? 0];
  const change =
    to === from ? 'as many as' : `${showNumber(Math.abs(to - from))} ${to > from ? 'more' : 'fewer'} than`;
  const since = first === last ? '' : `, ${change} on ${days[first]?.day}`;
  return `${count(to, 'device')} on ${days[last]?.day}${since}.`;
}

function describeFlow(
  values: readonly (number | null)[],
  states: readonly DayState[],
  unit: DailyChart['unit'],
): string {
  const held = values.filter((value) => value !== null);
  if (held.length === 0) return `None of these ${count(values.length, 'day')} is held.`;
  const sum = held.reduce((total, value) => total + value, 0);
  const show = unit === 'bytes' ? showBytes : showNumber;
  const missing = states.filter((state) => state === 'missing').length;
  const but =
    missing === 0 ? '' : `; ${count(missing, 'tracked day')} ${missing === 1 ? 'is' : 'are'} not held`;
  return `${show(sum)} on ${count(held.length, 'day')}, ${show(Math.round(sum / held.length))} a day on average${but}.`;
}
