/** What the pages Usage and Organization show by day: a metric, a range of days, and the days to compare with. */
import { html } from 'hono/html';
import {
  addUpDays,
  type ComparedDay,
  type ComparisonMode,
  isLevel,
  monthToDate,
  readUsageTotals,
  type TotalsQuery,
} from '../queries/usage-totals.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, countDays, dayAt, daysOfMonth, parseDay, type UsageDay } from '../usage/day.ts';
import { FIRST_DAY } from '../usage/policy.ts';
import { type Chart, renderChart, showPairChange } from './chart.ts';
import { addressOf, type Html } from './elements.ts';
import { type Filters, renderChoices, renderFields, renderLinks, type Values } from './filters.ts';
import type { PageRequest } from './page.ts';

const MAX_DAYS = 732;

/** The metrics that can be shown by day. A level is not summed over days. */
export const CHART_METRICS = {
  payload_billable_count: { label: 'Billable payloads', unit: 'payloads', stream: 'payload_totals' },
  payload_all_count: { label: 'All payloads', unit: 'payloads', stream: 'payload_totals' },
  notebook_minutes: { label: 'Notebook minutes', unit: 'minutes', stream: 'notebook_minutes' },
  devices_total: { label: 'Devices', unit: 'devices', stream: 'device_counts' },
  devices_created: { label: 'Devices created', unit: 'devices', stream: 'device_counts' },
  devices_deleted: { label: 'Devices deleted', unit: 'devices', stream: 'device_counts' },
} as const;
export type ChartMetric = keyof typeof CHART_METRICS;

/** The comparisons of the function `usage_compared`, with their labels. */
export const COMPARISONS = {
  same_weekdays: 'same weekdays before',
  previous_days: 'previous days',
  previous_year: 'same weekdays a year earlier',
} as const satisfies Record<ComparisonMode, string>;

export interface UsageQuery extends TotalsQuery {
  readonly metric: ChartMetric;
}

const metricNames = Object.keys(CHART_METRICS) as readonly ChartMetric[];
const comparisonNames = Object.keys(COMPARISONS) as readonly ComparisonMode[];

/** By default, the month of yesterday is compared with the same weekdays before. */
export function readUsageQuery({ query, nowMs }: Pick<PageRequest, 'query' | 'nowMs'>): UsageQuery {
  const { to: yesterday } = monthToDate(nowMs);
  const [from, to] = [parseDay(query['from'] ?? ''), parseDay(query['to'] ?? '')];
  const lastDay = to === null || to > yesterday || to < FIRST_DAY ? yesterday : to;
  const isRange = from !== null && from >= FIRST_DAY && from <= lastDay && countDays(from, lastDay) < MAX_DAYS;
  return {
    metric: metricNames.find((name) => name === query['metric']) ?? 'payload_billable_count',
    range: { from: isRange ? from : `${lastDay.slice(0, 7)}-01`, to: lastDay },
    comparison: comparisonNames.find((name) => name === query['vs']) ?? 'same_weekdays',
  };
}

/** Returns what is known of the sums over all organizations by day. */
export async function recallTotals({ recall, instanceIds }: PageRequest, { metric, range, comparison }: UsageQuery) {
  return await recall(['totals', metric, range, comparison], (db) =>
    readUsageTotals(db, { metric, range, comparison }, instanceIds),
  );
}

export function toParams({ metric, range, comparison }: UsageQuery) {
  return { metric, vs: comparison, ...range };
}

export function renderMetricChoices(path: string, values: Values): Html {
  const metrics = Object.fromEntries(metricNames.map((name) => [name, CHART_METRICS[name].label]));
  return html`${renderChoices(path, values, { name: 'metric', label: 'Metric', options: metrics })}
${renderChoices(path, values, { name: 'vs', label: 'Compare with', options: COMPARISONS })}`;
}

/** Renders the usual ranges as links, and a form for any other, with more fields before it. */
export function renderRangeChoices({ nowMs, path }: PageRequest, values: Values, fields: Filters = {}): Html {
  const links = listRanges(addDays(dayAt(nowMs), -1)).map(([text, from, to]) => {
    const isCurrent = from === values['from'] && to === values['to'];
    return [text, addressOf(path, { ...values, from, to }), isCurrent] as const;
  });
  const days = { from: { label: 'From', options: 'day' }, to: { label: 'To', options: 'day' } } as const;
  return html`${renderLinks('Days', links)}${renderFields(path, { ...fields, ...days }, values)}`;
}

/** Returns the usual ranges that end yesterday or with a month or quarter before. */
function listRanges(yesterday: UsageDay): readonly (readonly [label: string, from: UsageDay, to: UsageDay])[] {
  const month = `${yesterday.slice(0, 7)}-01`;
  const quarter = firstDayOfQuarter(yesterday);
  const [beforeMonth, beforeQuarter] = [addDays(month, -1), addDays(quarter, -1)];
  return [
    ['This month', month, yesterday],
    ['Last month', daysOfMonth(beforeMonth.slice(0, 7)).from, beforeMonth],
    ['This quarter', quarter, yesterday],
    ['Last quarter', firstDayOfQuarter(beforeQuarter), beforeQuarter],
    ['Last 90 days', addDays(yesterday, -89), yesterday],
    ['Last 365 days', addDays(yesterday, -364), yesterday],
  ];
}

function firstDayOfQuarter(day: UsageDay): UsageDay {
  const month = Number(day.slice(5, 7));
  return `${day.slice(0, 4)}-${`${month - ((month - 1) % 3)}`.padStart(2, '0')}-01`;
}

export function renderUsageChart(
  { metric, range, comparison }: UsageQuery,
  days: readonly ComparedDay[],
  chart: Pick<Chart, 'addressOf' | 'maximum'>,
): Html {
  const { label, unit } = CHART_METRICS[metric];
  const summary = describeDays({ metric, comparison }, days);
  const heading = { title: `${label}, ${range.from} to ${range.to}`, summary };
  return renderChart({ heading, unit, days, comparison: COMPARISONS[comparison], ...chart });
}

/** Describes the sum of the days, of a level its last value, and the change over what is stored on both sides. */
export function describeDays(
  { metric, comparison }: Pick<UsageQuery, 'metric' | 'comparison'>,
  days: readonly ComparedDay[],
): string {
  const expectedDays = days.filter(({ standing }) => standing !== null);
  const storedDays = expectedDays.filter(({ quantity }) => quantity !== null);
  const daysNotStored = expectedDays.length - storedDays.length;
  const valuesNotStored = days.reduce((sum, day) => sum + (day.valuesNotStored ?? 0), 0);
  const remark = [
    daysNotStored > 0 ? ` ${count(daysNotStored, 'day is', 'days are')} not stored and not included.` : '',
    valuesNotStored > 0 ? ` ${count(valuesNotStored, 'value is', 'values are')} not stored and not included.` : '',
  ].join('');
  if (storedDays.length === 0) return 'Nothing is stored.';
  const { total, paired, pairedDays } = addUpDays(metric, days);
  const scope = isLevel(metric) ? `on ${storedDays.at(-1)?.day}` : `over ${count(storedDays.length, 'stored day')}`;
  const head = `${showNumber(total ?? 0)} ${scope}.`;
  if (pairedDays === 0) return `${head}${remark}`;
  const sums = paired.map(showNumber).join(' and ');
  const pairs = `${sums} over ${count(pairedDays, 'day')} stored on both sides`;
  return `${head} ${showPairChange(paired)} compared with the ${COMPARISONS[comparison]}: ${pairs}.${remark}`;
}
