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
  toPair,
  type UsageTotals,
} from '../queries/usage-totals.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, countDays, type DayRange, dayAt, daysOfMonth, parseDay, type UsageDay } from '../usage/day.ts';
import { FIRST_DAY } from '../usage/policy.ts';
import type { CachedRead } from './cached-reads.ts';
import { renderChart } from './chart.ts';
import { renderChoices } from './filters.ts';
import type { Html, PageRequest } from './page.ts';
import { showChange, showDifference } from './table.ts';

const MAX_DAYS = 732;

/** The metrics that can be shown by day. A level is not summed over days. */
export const CHART_METRICS = {
  payload_billable_count: {
    label: 'Billable payloads',
    unit: 'payloads',
    stream: 'payload_totals',
  },
  payload_all_count: { label: 'All payloads', unit: 'payloads', stream: 'payload_totals' },
  notebook_minutes: {
    label: 'Notebook minutes',
    unit: 'minutes',
    stream: 'notebook_minutes',
  },
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
export async function recallTotals(
  { recall, instanceIds }: PageRequest,
  { metric, range, comparison }: UsageQuery,
): Promise<CachedRead<UsageTotals>> {
  return await recall(['totals', metric, range, comparison], (db) =>
    readUsageTotals(db, { metric, range, comparison }, instanceIds),
  );
}

/** Returns the parameters of an address that shows the same. */
export function toParams({ metric, range, comparison }: UsageQuery) {
  return { metric, vs: comparison, ...range };
}

type AddressWith = (change: Readonly<Record<string, string>>) => string;

/** Renders the choices of a metric and a comparison as links. */
export function renderMetricChoices({ metric, comparison }: UsageQuery, addressWith: AddressWith): Html {
  const metrics = Object.fromEntries(metricNames.map((name) => [name, CHART_METRICS[name].label]));
  return html`${renderChoices('Metric', metrics, metric, (name) => addressWith({ metric: name }))}
${renderChoices('Compare with', COMPARISONS, comparison, (name) => addressWith({ vs: name }))}`;
}

interface RangeForm extends Pick<PageRequest, 'nowMs' | 'path'> {
  readonly addressWith: AddressWith;
  /** The other parameters of the form. */
  readonly hidden: Readonly<Record<string, string>>;
  /** Another field of the form. */
  readonly field: Html | string;
}

/** Renders the usual ranges as links, and a form for any other. */
export function renderRangeChoices(
  { range }: UsageQuery,
  { nowMs, path, addressWith, hidden, field }: RangeForm,
): Html {
  const ranges = listRanges(addDays(dayAt(nowMs), -1));
  const current = ranges.findIndex((each) => each.from === range.from && each.to === range.to);
  const labels = Object.fromEntries(ranges.map(({ label }, index) => [`${index}`, label]));
  const rangeAt = (index: string) => {
    const { from = '', to = '' } = ranges[Number(index)] ?? {};
    return { from, to };
  };
  return html`${renderChoices('Days', labels, `${current}`, (index) => addressWith(rangeAt(index)))}
<form method="get" action="${path}">${Object.entries(hidden).map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}${field}<label>From<input name="from" type="date" value="${range.from}"></label>
<label>To<input name="to" type="date" value="${range.to}"></label><button type="submit">Apply</button></form>`;
}

/** Returns the usual ranges that end yesterday or with a month or quarter before. */
function listRanges(yesterday: UsageDay): readonly (DayRange & { readonly label: string })[] {
  const month = `${yesterday.slice(0, 7)}-01`;
  const quarter = firstDayOfQuarter(yesterday);
  const [beforeMonth, beforeQuarter] = [addDays(month, -1), addDays(quarter, -1)];
  return [
    { label: 'This month', from: month, to: yesterday },
    { label: 'Last month', from: daysOfMonth(beforeMonth.slice(0, 7)).from, to: beforeMonth },
    { label: 'This quarter', from: quarter, to: yesterday },
    { label: 'Last quarter', from: firstDayOfQuarter(beforeQuarter), to: beforeQuarter },
    { label: 'Last 90 days', from: addDays(yesterday, -89), to: yesterday },
    { label: 'Last 365 days', from: addDays(yesterday, -364), to: yesterday },
  ];
}

function firstDayOfQuarter(day: UsageDay): UsageDay {
  const month = Number(day.slice(5, 7));
  return `${day.slice(0, 4)}-${`${month - ((month - 1) % 3)}`.padStart(2, '0')}-01`;
}

interface UsageChart {
  readonly addressOf: (day: UsageDay) => string;
  /** Of several charts with one scale; by default that of the days. */
  readonly maximum?: number;
}

/** Renders the days of a metric, compared with others. */
export function renderUsageChart(
  { metric, range, comparison }: UsageQuery,
  days: readonly ComparedDay[],
  chart: UsageChart,
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
  const storedDays = days.filter(({ standing, quantity }) => standing !== null && quantity !== null);
  const daysNotStored = days.filter(({ standing, quantity }) => standing !== null && quantity === null).length;
  const valuesNotStored = days.reduce((sum, day) => sum + (day.valuesNotStored ?? 0), 0);
  const remark = [
    daysNotStored > 0 ? ` ${count(daysNotStored, 'day is', 'days are')} not stored and not included.` : '',
    valuesNotStored > 0 ? ` ${count(valuesNotStored, 'value is', 'values are')} not stored and not included.` : '',
  ].join('');
  if (storedDays.length === 0) return 'Nothing is stored.';
  const { total, paired, change } = addUpDays(metric, days);
  const sum = showNumber(total ?? 0);
  const head = isLevel(metric)
    ? `${sum} on ${storedDays.at(-1)?.day}.`
    : `${sum} over ${count(storedDays.length, 'stored day')}.`;
  if (paired === null) return `${head}${remark}`;
  const [quantity, compared] = paired;
  const text = change === null ? showDifference(quantity - compared) : showChange(change);
  const pairs = days.map(toPair).filter(([now, before]) => now !== null && before !== null);
  const sums = `${showNumber(quantity)} and ${showNumber(compared)}`;
  const scope = `over ${count(pairs.length, 'day')} stored on both sides`;
  return `${head} ${text} compared with the ${COMPARISONS[comparison]}: ${sums} ${scope}.${remark}`;
}
