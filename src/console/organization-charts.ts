import {
  CHARTED,
  type ChartedMetric,
  type Organization,
  type OrganizationDay,
} from '../queries/organization.ts';
import { count, showNumber } from '../terminal/words.ts';
import type { DailyChart } from './daily-chart.ts';
import { showBytes } from './shapes.ts';
import type { FileColumn } from './table.ts';

/** `organizationCharts` returns the charts of an organization's page in order, the billed number first. */
export function organizationCharts(organization: Organization): DailyChart[] {
  const { days } = organization;
  const chartOf = (
    metric: ChartedMetric,
    chart: Pick<DailyChart, 'id' | 'title' | 'axis' | 'unit' | 'shape'> & { readonly name: string },
  ): DailyChart => {
    const stream = CHARTED[metric];
    const values = days.map((day) => day[metric]);
    const standings = days.map((day) => day.standings[stream] ?? null);
    return {
      ...chart,
      days: days.map(({ day }) => day),
      storyOf: (day) => `/coverage/${organization.orgId}/${day}/${stream}`,
      standings,
      leftOut: days.map(({ unreported }) => unreported.includes(stream)),
      series: [{ name: chart.name, values }],
      hasParts: false,
      summary:
        chart.shape === 'line' ? describeLevel(days, values) : describeFlow(values, standings, chart.unit),
    };
  };
  const sources = chartOf('payload_source_count', {
    ...{ id: 'payloads', title: 'All payloads by type', name: 'Payloads' },
    ...{ axis: 'Payloads per day', unit: 'count', shape: 'bars' },
  });
  return [
    chartOf('payload_billable_count', {
      ...{ id: 'billable', title: 'Billable payloads', name: 'Payloads' },
      ...{ axis: 'Billable payloads per day', unit: 'count', shape: 'bars' },
    }),
    { ...sources, ...partsByType(organization, sources) },
    chartOf('devices_total', {
      ...{ id: 'devices', title: 'Devices', name: 'Devices' },
      ...{ axis: 'Devices at about the end of the day', unit: 'count', shape: 'line' },
    }),
    chartOf('notebook_minutes', {
      ...{ id: 'notebooks', title: 'Notebook minutes', name: 'Minutes' },
      ...{ axis: 'Minutes per day', unit: 'count', shape: 'bars' },
    }),
    chartOf('payload_all_bytes', {
      ...{ id: 'bytes', title: 'Size of all payloads', name: 'Bytes' },
      ...{ axis: 'Bytes per day', unit: 'bytes', shape: 'bars' },
    }),
  ];
}

/**
 * `partsByType` returns a series for each of the largest types, the largest at the bottom, and one for the
 * others.
 */
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
    // A type that a stored day does not have was not used on that day.
    values: days.map((day, place) => (total?.values[place] == null ? null : (counts.get(day) ?? 0))),
  }));
  return types.length === 0 ? { series, hasParts: false } : { series: types, hasParts: true };
}

const NONE = (days: number) => `None of these ${count(days, 'day')} is stored.`;

function describeLevel(days: readonly OrganizationDay[], values: readonly (number | null)[]): string {
  const stored = values.flatMap((value, place) => (value === null ? [] : [{ value, day: days[place]?.day }]));
  const [first, last] = [stored[0], stored.at(-1)];
  if (first === undefined || last === undefined) return NONE(days.length);
  const change = last.value - first.value;
  const than =
    change === 0 ? 'as many as' : `${showNumber(Math.abs(change))} ${change > 0 ? 'more' : 'fewer'} than`;
  const since = first === last ? '' : `, ${than} on ${first.day}`;
  return `${count(last.value, 'device')} on ${last.day}${since}.`;
}

function describeFlow(
  values: readonly (number | null)[],
  standings: DailyChart['standings'],
  unit: DailyChart['unit'],
): string {
  const stored = values.filter((value) => value !== null);
  if (stored.length === 0) return NONE(values.length);
  const sum = stored.reduce((total, value) => total + value, 0);
  const show = unit === 'bytes' ? showBytes : showNumber;
  const notStored = standings.filter((standing, place) => standing !== null && values[place] === null).length;
  const but =
    notStored === 0
      ? ''
      : `; ${count(notStored, 'tracked day')} ${notStored === 1 ? 'is' : 'are'} not stored`;
  return `${show(sum)} on ${count(stored.length, 'day')}, ${show(Math.round(sum / stored.length))} a day on average${but}.`;
}

/**
 * `chartColumns` returns the columns of a chart's file, whose rows are the places of its days. A day that is not
 * stored has empty cells, one that is not tracked has no standing.
 */
export function chartColumns(
  { orgId, name }: Organization,
  { days, dayName, standings, leftOut, series }: DailyChart,
): FileColumn<number>[] {
  return [
    [dayName ?? 'usage_date', (place) => days[place] ?? null],
    ['org_id', () => orgId],
    ['org_name', () => name, true],
    ...series.map((each): FileColumn<number> => [each.name, (place) => each.values[place] ?? null]),
    ['standing', (place) => standings[place] ?? null],
    ['left_out', (place) => leftOut[place] ?? false],
  ];
}
