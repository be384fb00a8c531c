/** The usage of all organizations by day, with the largest of a month. The page of an organization shares its parts. */
import { html } from 'hono/html';
import {
  addUpDays,
  CHART_METRICS,
  type ChartMetric,
  type DayTotal,
  type LargestOrganization,
  monthToDate,
  readDayTotals,
  readLargestOrganizations,
} from '../queries/usage-totals.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, countDays, type DayRange, dayAt, type UsageDay } from '../usage/day.ts';
import { renderChart } from './chart.ts';
import { addressOf, type Html, showMonth } from './elements.ts';
import { DAYS, readValues, renderChoices, renderForm, type Values } from './filters.ts';
import { type ConsolePage, type PageRequest, renderCount } from './page.ts';
import { renderHtmlTable } from './table.ts';

const PATH = '/usage';
const MAX_DAYS = 732;

export interface UsageQuery {
  readonly metric: ChartMetric;
  readonly range: DayRange;
}

export const usagePage: ConsolePage = {
  path: PATH,
  show: async (request) => {
    const query = readUsageQuery(request);
    const { metric, range } = query;
    const month = range.to.slice(0, 7);
    const [days, largest] = await Promise.all([
      recallDays(request, query),
      request.recall(['largest organizations', metric, month], (db) => readLargestOrganizations(db, { metric, month })),
    ]);
    const addressOfDay = (day: UsageDay) => addressOf(PATH, { metric, from: day, to: day });
    const body = html`<h1>Usage of all organizations</h1>
${renderUsageForm(request, query)}
${renderCount(days, 'The days', (value) => renderUsageDays(query, value, addressOfDay))}
<h2>Largest organizations, ${showMonth(range.to)}</h2>
${renderCount(largest, 'The organizations', (value) => renderLargest(query, value))}`;
    return { title: 'Usage', body };
  },
};

/** Returns what is known of the days of all organizations. */
export async function recallDays({ recall }: PageRequest, { metric, range }: UsageQuery) {
  return await recall(['days', metric, range], (db) => readDayTotals(db, { metric, range, orgId: null }));
}

const METRIC = {
  label: 'Metric',
  options: Object.fromEntries(Object.entries(CHART_METRICS).map(([name, { label }]) => [name, label])),
  byDefault: 'payload_billable_count',
};
const FIELDS = { metric: METRIC, ...DAYS };

/** Returns what the address asks for; by default, the month of yesterday. */
export function readUsageQuery({ query, nowMs }: PageRequest): UsageQuery {
  const { to: yesterday } = monthToDate(nowMs);
  const { metric, from, to } = readValues(FIELDS, query);
  const lastDay = to === '' || to > yesterday ? yesterday : to;
  const isRange = from !== '' && from <= lastDay && countDays(from, lastDay) < MAX_DAYS;
  const range = { from: isRange ? from : `${lastDay.slice(0, 7)}-01`, to: lastDay };
  return { metric: metric as ChartMetric, range };
}

/** Renders the choice of a metric and of days. */
export function renderUsageForm({ nowMs, path }: PageRequest, { metric, range }: UsageQuery): Html {
  const values: Values = { metric, ...range };
  const links = listRanges(addDays(dayAt(nowMs), -1)).map(([text, from, to]) => {
    const isCurrent = from === range.from && to === range.to;
    return [text, addressOf(path, { ...values, from, to }), isCurrent] as const;
  });
  return renderForm(path, FIELDS, values, renderChoices('Days', links));
}

/** Returns the usual ranges that end yesterday or with the month before. */
function listRanges(yesterday: UsageDay): readonly (readonly [label: string, from: UsageDay, to: UsageDay])[] {
  const month = `${yesterday.slice(0, 7)}-01`;
  const endOfLastMonth = addDays(month, -1);
  return [
    ['This month', month, yesterday],
    ['Last month', `${endOfLastMonth.slice(0, 7)}-01`, endOfLastMonth],
    ['Last 90 days', addDays(yesterday, -89), yesterday],
    ['Last 365 days', addDays(yesterday, -364), yesterday],
  ];
}

/** Renders days as a chart under their sum. */
export function renderUsageDays(
  { metric, range }: UsageQuery,
  days: readonly DayTotal[],
  addressOfDay: (day: UsageDay) => string,
): Html {
  const { label, unit } = CHART_METRICS[metric];
  const title = `${label}, ${range.from === range.to ? range.from : `${range.from} to ${range.to}`}`;
  return html`<h2>${title}</h2><p>${describeDays(metric, days)}</p>
${renderChart({ unit, days, addressOf: addressOfDay })}`;
}

function describeDays(metric: ChartMetric, days: readonly DayTotal[]): string {
  const storedDays = days.filter(({ quantity }) => quantity !== null);
  const { total, notStored } = addUpDays(metric, days);
  if (total === null) return 'Nothing is stored.';
  const scope = CHART_METRICS[metric].isLevel
    ? `on ${storedDays.at(-1)?.day}`
    : `on ${count(storedDays.length, 'stored day')}`;
  const remark = notStored === 0 ? '' : ` ${count(notStored, 'number is', 'numbers are')} not stored and not included.`;
  return `${showNumber(total)} ${scope}.${remark}`;
}

function renderLargest({ metric }: UsageQuery, rows: readonly LargestOrganization[]): Html {
  if (rows.length === 0) return html`<p>Nothing is stored.</p>`;
  return renderHtmlTable(rows, [
    'org_name',
    ['quantity', CHART_METRICS[metric].label],
    ['share', 'Share of all'],
    'days_not_stored',
  ]);
}
