/** What the pages Usage and Organization share: days of a metric compared with others, the forecast, and sources. */
import { html } from 'hono/html';
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
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
import { addDays, countDays, type DayRange, dayAt, daysOfMonth, type UsageDay } from '../usage/day.ts';
import { type Chart, renderChart, showPairChange } from './chart.ts';
import { addressOf, type Html, showMonth } from './elements.ts';
import { DAYS, type Filters, readValues, renderChoices, renderForm, type Values } from './filters.ts';
import type { PageRequest } from './page.ts';
import { renderBar, renderHtmlTable } from './table.ts';

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

const metricLabels = Object.fromEntries(Object.entries(CHART_METRICS).map(([name, { label }]) => [name, label]));
const SERIES = {
  metric: { label: 'Metric', options: metricLabels, byDefault: 'payload_billable_count' },
  vs: { label: 'Compare with', options: COMPARISONS, byDefault: 'same_weekdays' },
};

/** By default, the month of yesterday is compared with the same weekdays before. */
export function readUsageQuery({ query, nowMs }: Pick<PageRequest, 'query' | 'nowMs'>): UsageQuery {
  const { to: yesterday } = monthToDate(nowMs);
  const { metric, vs, from, to } = readValues({ ...SERIES, ...DAYS }, query);
  const lastDay = to === '' || to > yesterday ? yesterday : to;
  const isRange = from !== '' && from <= lastDay && countDays(from, lastDay) < MAX_DAYS;
  const range = { from: isRange ? from : `${lastDay.slice(0, 7)}-01`, to: lastDay };
  return { metric: metric as ChartMetric, range, comparison: vs as ComparisonMode };
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

/** Renders more filters, the choices of metric and comparison, unless they do not matter, and the days. */
export function renderUsageForm(
  { nowMs, path }: PageRequest,
  values: Values,
  { hasSeries, more = {} }: { hasSeries: boolean; more?: Filters },
): Html {
  const links = listRanges(addDays(dayAt(nowMs), -1)).map(([text, from, to]) => {
    const isCurrent = from === values['from'] && to === values['to'];
    return [text, addressOf(path, { ...values, from, to }), isCurrent] as const;
  });
  return renderForm(path, { ...more, ...(hasSeries && SERIES), ...DAYS }, values, renderChoices('Days', links));
}

/** Returns the usual ranges that end yesterday or with a month or quarter before. */
function listRanges(yesterday: UsageDay): readonly (readonly [label: string, from: UsageDay, to: UsageDay])[] {
  const [month, quarter] = [startOf(yesterday, 1), startOf(yesterday, 3)];
  const [beforeMonth, beforeQuarter] = [addDays(month, -1), addDays(quarter, -1)];
  return [
    ['This month', month, yesterday],
    ['Last month', startOf(beforeMonth, 1), beforeMonth],
    ['This quarter', quarter, yesterday],
    ['Last quarter', startOf(beforeQuarter, 3), beforeQuarter],
    ['Last 90 days', addDays(yesterday, -89), yesterday],
    ['Last 365 days', addDays(yesterday, -364), yesterday],
  ];
}

/** Returns the first day of the month or quarter that contains the day. */
function startOf(day: UsageDay, months: 1 | 3): UsageDay {
  const month = Number(day.slice(5, 7));
  return `${day.slice(0, 4)}-${`${month - ((month - 1) % months)}`.padStart(2, '0')}-01`;
}

/** Returns a range for a heading: `2026-11-01 to 2026-11-30`, or the day if it is a single one. */
export function showRange({ from, to }: DayRange): string {
  return from === to ? from : `${from} to ${to}`;
}

export function renderUsageChart(
  { metric, range, comparison }: UsageQuery,
  days: readonly ComparedDay[],
  chart: Pick<Chart, 'addressOf' | 'maximum'>,
): Html {
  const { label, unit } = CHART_METRICS[metric];
  const summary = describeDays({ metric, comparison }, days);
  const heading = { title: `${label}, ${showRange(range)}`, summary };
  return renderChart({ heading, unit, days, comparison: COMPARISONS[comparison], ...chart });
}

/** Describes the sum of the days, of a level its last value, and the change over what is stored on both sides. */
function describeDays(
  { metric, comparison }: Pick<UsageQuery, 'metric' | 'comparison'>,
  days: readonly ComparedDay[],
): string {
  const storedDays = days.filter(({ standing, quantity }) => standing !== null && quantity !== null);
  if (storedDays.length === 0) return 'Nothing is stored.';
  const { total, daysNotStored, valuesNotStored, paired, pairedDays } = addUpDays(metric, days);
  const remark = [
    daysNotStored > 0 ? ` ${count(daysNotStored, 'day is', 'days are')} not stored and not included.` : '',
    valuesNotStored > 0 ? ` ${count(valuesNotStored, 'value is', 'values are')} not stored and not included.` : '',
  ].join('');
  const scope = isLevel(metric) ? `on ${storedDays.at(-1)?.day}` : `over ${count(storedDays.length, 'stored day')}`;
  const head = `${showNumber(total ?? 0)} ${scope}.`;
  const lastPair = days.findLast(({ pair }) => pair !== null);
  if (lastPair === undefined) return `${head}${remark}`;
  const [now, before] = paired.map(showNumber);
  const pairs = isLevel(metric)
    ? `${now} on ${lastPair.day} and ${before} on ${lastPair.comparedDay}`
    : `${now} and ${before} over ${count(pairedDays, 'day')} stored on both sides`;
  return `${head} ${showPairChange(paired)} compared with the ${COMPARISONS[comparison]}: ${pairs}.${remark}`;
}

/** The metrics with a forecast. Nothing is known about how the others go on, and a level is not a sum. */
const FORECAST_METRICS: readonly ChartMetric[] = ['payload_billable_count', 'notebook_minutes'];

/**
 * Returns what the months will be if each weekday stays as in the last 28 days; null for a metric without a forecast.
 * Like the projection of limits, it fills days that are not stored with the mean. Deleted organizations end. The
 * condition is one on organizations `o`; those of which fewer than three days are stored are counted as omitted.
 */
export async function readForecast(
  db: Kysely<Schema>,
  { metric, condition, nowMs }: { metric: ChartMetric; condition: RawBuilder<unknown>; nowMs: number },
) {
  if (!FORECAST_METRICS.includes(metric)) return null;
  const today = dayAt(nowMs);
  const { from: month, to: lastDay } = daysOfMonth(addDays(today, -1).slice(0, 7));
  const next = daysOfMonth(addDays(lastDay, 1).slice(0, 7));
  const { rows } = await sql<{ quantity: number | null } & Record<'nextQuantity' | 'orgsOmitted', number>>`
    select case when count(r.org_id) > 0 or bool_and(o.deleted_on is not null) then round(coalesce(sum(s.quantity), 0)
        + coalesce(sum(r.unstored_quantity + g.quantity), 0))::float8 end as quantity,
      coalesce(round(sum(g.next_quantity)), 0)::float8 as "nextQuantity",
      count(*) filter (where o.deleted_on is null and r.org_id is null) as "orgsOmitted"
    from losant_usage.organizations o
    left join (
      select d.org_id, sum(d.${sql.ref(metric)}) as quantity from losant_usage.usage_days d
      where d.usage_date >= ${month}::date and d.usage_date < ${today}::date group by d.org_id
    ) as s on s.org_id = o.org_id
    left join losant_usage_internal.weekday_rates r
      on r.org_id = o.org_id and r.metric = ${metric} and o.deleted_on is null
    left join lateral (
      select sum(r.rates[w.weekday] * w.days) as quantity, sum(r.rates[w.weekday] * w.next_days) as next_quantity
      from (
        select extract(isodow from day)::integer as weekday, count(*) filter (where day <= ${lastDay}::date) as days,
          count(*) filter (where day > ${lastDay}::date) as next_days
        from generate_series(${today}::timestamp, ${next.to}::timestamp, interval '1 day') as day group by weekday
      ) as w
    ) as g on r.org_id is not null
    where ${condition}`.execute(db);
  return rows[0] === undefined ? null : { month, nextMonth: next.from, ...rows[0] };
}

export function describeForecast(forecast: Awaited<ReturnType<typeof readForecast>>): string {
  if (forecast === null) return '';
  const { month, nextMonth, quantity, nextQuantity, orgsOmitted } = forecast;
  if (quantity === null) return 'There is no forecast: fewer than three of the last 28 days are stored.';
  const remark =
    orgsOmitted === 0
      ? ''
      : `, without ${count(orgsOmitted, 'organization')} of which fewer than three days are stored`;
  return `If each weekday stays as in the last 28 days, ${showMonth(month)} ends at ${showNumber(
    quantity,
  )}, and ${showMonth(nextMonth)} at ${showNumber(nextQuantity)}${remark}.`;
}

const MAX_SOURCES = 25;

/** Returns the payloads by type and source of the organizations `o` that match, on days that are stored. */
export async function readSourceShares(db: Kysely<Schema>, { from, to }: DayRange, condition: RawBuilder<unknown>) {
  const { rows } = await sql<{ payload_type: string; source: string; count: number; share: number }>`
    select s.payload_type, s.source, sum(s.count)::bigint as count,
      (sum(s.count) / sum(sum(s.count)) over ())::float8 as share
    from losant_usage.payload_sources s join losant_usage.organizations o on o.org_id = s.org_id
    where ${condition} and s.usage_date between ${from}::date and ${to}::date
    group by s.payload_type, s.source having sum(s.count) > 0 order by 3 desc, 1, 2`.execute(db);
  return rows;
}

/** Renders the largest shares; what follows them is one row, so that the column adds up. */
export function renderSourceShares(shares: Awaited<ReturnType<typeof readSourceShares>>): Html {
  if (shares.length === 0) return html`<p>Nothing is stored.</p>`;
  const others = shares.slice(MAX_SOURCES);
  const sumOf = (key: 'count' | 'share') => others.reduce((sum, each) => sum + each[key], 0);
  const otherShares = {
    payload_type: 'others',
    source: count(others.length, 'source'),
    count: sumOf('count'),
    share: sumOf('share'),
  };
  return renderHtmlTable(others.length > 0 ? [...shares.slice(0, MAX_SOURCES), otherShares] : shares, [
    'payload_type',
    'source',
    ['count', 'Payloads'],
    // In tenths of a percent, because cut off they would not add up.
    ['share', 'Share', ({ share }) => renderBar(share, Math.round(share * 1_000) / 10)],
  ]);
}
