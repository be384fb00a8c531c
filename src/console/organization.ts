import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { count, showNumber } from '../terminal/words.ts';
import { addDays, countDays, type DayRange, dayAt, eachDay, parseDay, type UsageDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { FIRST_DAY } from '../usage/policy.ts';
import { type ChartDay, renderChart } from './chart.ts';
import { readHours, renderHours } from './hours.ts';
import { BILLED_COLUMNS, type BilledQuantities } from './months.ts';
import { renderBar } from './organizations.ts';
import {
  type ConsolePage,
  type Html,
  type PageRequest,
  renderFacts,
  renderLink,
  showMonth,
  toPlainText,
} from './page.ts';
import {
  addressOf,
  type Columns,
  renderHtmlTable,
  renderSelect,
  showChange,
  showDifference,
} from './table.ts';

const PATH = '/organizations';
const MAX_DAYS = 732;

/** The metrics that can be shown by day. A level is not summed over days. */
const CHART_METRICS = {
  payload_billable_count: { label: 'Billable payloads', stream: 'payload_totals', isLevel: false },
  payload_all_count: { label: 'All payloads', stream: 'payload_totals', isLevel: false },
  notebook_minutes: { label: 'Notebook minutes', stream: 'notebook_minutes', isLevel: false },
  devices_total: { label: 'Devices', stream: 'device_counts', isLevel: true },
  devices_created: { label: 'Devices created', stream: 'device_counts', isLevel: false },
  devices_deleted: { label: 'Devices deleted', stream: 'device_counts', isLevel: false },
} as const;
type ChartMetric = keyof typeof CHART_METRICS;

/** The comparisons of the function `usage_compared`, with their labels. */
const COMPARISONS = {
  same_weekdays: 'same weekdays before',
  previous_days: 'previous days',
  previous_year: 'same weekdays a year earlier',
} as const;

interface OrganizationQuery {
  readonly orgId: string;
  readonly metric: ChartMetric;
  readonly range: DayRange;
  readonly comparison: keyof typeof COMPARISONS;
  /** The time zone of the tab "Hours". */
  readonly zone: string;
}

export const organizationPage: ConsolePage = {
  path: '/organizations/:id',
  navPath: PATH,
  show: async (request) => {
    const query = readQuery(request);
    const { read, instanceIds } = request;
    if (!isLosantId(query.orgId)) return null;
    const organization = await read((db) => readOrganization(db, query.orgId));
    if (organization === undefined || !instanceIds.includes(organization.instanceId)) return null;
    const { name, deletedOn, hasHours } = organization;
    const isHours = hasHours && request.query['tab'] === 'hours';
    const content = isHours
      ? renderHours(query, await read((db) => readHours(db, query)))
      : renderDays(query, await read((db) => readFacts(db, query)));
    const deleted =
      deletedOn === null ? '' : html` <span class="quiet">deleted (noticed ${deletedOn})</span>`;
    const body = html`<h1>${toPlainText(name)}${deleted}</h1>
${renderOrganization(organization)}
${hasHours && renderTabs(query, isHours)}${renderForm(query, isHours)}
${content}`;
    return { title: name, body };
  },
};

/** By default, the month of yesterday is compared with the same weekdays before. */
function readQuery({ params, query, nowMs }: PageRequest): OrganizationQuery {
  const yesterday = addDays(dayAt(nowMs), -1);
  const [from, to] = [parseDay(query['from'] ?? ''), parseDay(query['to'] ?? '')];
  const lastDay = to === null || to > yesterday || to < FIRST_DAY ? yesterday : to;
  const isRange =
    from !== null && from >= FIRST_DAY && from <= lastDay && countDays(from, lastDay) < MAX_DAYS;
  return {
    orgId: params['id'] ?? '',
    metric: metricNames.find((name) => name === query['metric']) ?? 'payload_billable_count',
    range: { from: isRange ? from : `${lastDay.slice(0, 7)}-01`, to: lastDay },
    comparison: comparisonNames.find((name) => name === query['vs']) ?? 'same_weekdays',
    zone: query['zone'] ?? 'UTC',
  };
}

const metricNames = Object.keys(CHART_METRICS) as readonly ChartMetric[];
const comparisonNames = Object.keys(COMPARISONS) as readonly (keyof typeof COMPARISONS)[];

function addressOfQuery(
  { orgId, metric, range, comparison }: OrganizationQuery,
  change: Readonly<Record<string, string>>,
): string {
  return addressOf(`${PATH}/${orgId}`, { metric, vs: comparison, ...range, ...change });
}

function renderOrganization(organization: Organization): Html {
  const { orgId, referralId, planId, customerId, tags, createdOn, instanceName, instanceId, problem } =
    organization;
  return renderFacts({
    ID: html`<span class="id">${orgId}</span>`,
    'Referral ID': toPlainText(referralId ?? ''),
    Plan: toPlainText(planId ?? 'none'),
    Customer: toPlainText(customerId ?? ''),
    Created: createdOn,
    Instance: toPlainText(instanceName ?? instanceId),
    Tags: toPlainText(tags.map(({ key = '', value = '' }) => `${key}=${value}`).join(', ')),
    Problem: toPlainText(problem ?? ''),
  });
}

function renderTabs(query: OrganizationQuery, isHours: boolean): Html {
  const days = renderLink(addressOfQuery(query, {}), 'Days', !isHours);
  const hours = renderLink(addressOfQuery(query, { tab: 'hours' }), 'Hours', isHours);
  return html`<nav aria-label="Tabs">${days}${hours}</nav>`;
}

function renderForm(query: OrganizationQuery, isHours: boolean): Html {
  const { orgId, metric, range, comparison, zone } = query;
  const metrics = Object.fromEntries(metricNames.map((name) => [name, CHART_METRICS[name].label]));
  const tab = isHours ? { tab: 'hours', zone } : {};
  const lastDays = (days: number) => addressOfQuery(query, { from: addDays(range.to, 1 - days), ...tab });
  const fields = isHours
    ? html`<input type="hidden" name="tab" value="hours">
<label>Time zone<input name="zone" value="${zone}"></label>`
    : [
        renderSelect('metric', 'Metric', metrics, metric),
        renderSelect('vs', 'Compare with', COMPARISONS, comparison),
      ];
  return html`<form method="get" action="${PATH}/${orgId}">${fields}
<label>From<input name="from" type="date" value="${range.from}"></label>
<label>To<input name="to" type="date" value="${range.to}"></label><button type="submit">Apply</button></form>
<p><a href="${lastDays(90)}">Last 90 days</a> · <a href="${lastDays(365)}">Last 365 days</a> · <a
  href="${PATH}/${orgId}">This month</a> · <a href="/coverage?q=${orgId}">Coverage</a> · <a
  href="/gaps?q=${orgId}">Gaps</a></p>`;
}

const LIMITS: Columns<ShareRow> = {
  limit_name: 'Limit',
  limit_quantity: 'Allowed',
  quantity: 'Month to date',
  share: ['Used', ({ share }) => renderBar(share ?? 0)],
  projected_quantity: 'Projected',
  exceeds_on: 'Exceeds on',
  days_not_stored: 'Days not stored',
};

const SOURCES: Columns<ShareRow> = {
  payload_type: 'Type',
  source: 'Source',
  count: 'Payloads',
  share: ['Share', ({ share }) => renderBar(share ?? 0)],
};

function renderDays(query: OrganizationQuery, facts: Facts): Html {
  const { orgId, metric, range, comparison } = query;
  const { days, sources, limits, months } = facts;
  return html`${renderChart({
    addressOf: (day) => `/coverage/${orgId}/${day}`,
    unit: '',
    title: `${CHART_METRICS[metric].label}, ${range.from} to ${range.to}`,
    summary: describeDays(query, days),
    days,
    comparison: COMPARISONS[comparison],
  })}
<div class="halves"><div><h2>All payloads by type and source</h2>${
    sources.length === 0 ? html`<p>Nothing is stored.</p>` : renderHtmlTable(sources, SOURCES)
  }</div><div><h2>Limits this month</h2>${
    limits.length === 0 ? html`<p>No limits.</p>` : renderHtmlTable(limits, LIMITS)
  }</div></div>
<h2>Months</h2>${renderHtmlTable(months, monthColumns(query))}`;
}

function monthColumns(query: OrganizationQuery): Columns<OrganizationMonth> {
  return {
    month: [
      'Month',
      ({ month, last_day: to }) =>
        html`<a href="${addressOfQuery(query, { from: month, to })}">${showMonth(month)}</a>`,
    ],
    ...BILLED_COLUMNS,
    devices: 'Devices',
    standing: 'Standing',
  };
}

/** Describes the sum of the days, of a level its last value, and the change over days that are stored on both sides. */
export function describeDays(
  { metric, comparison }: Pick<OrganizationQuery, 'metric' | 'comparison'>,
  days: readonly ChartDay[],
): string {
  const storedDays = days.filter(({ standing, quantity }) => standing !== null && quantity !== null);
  const daysNotStored = days.filter(
    ({ standing, quantity }) => standing !== null && quantity === null,
  ).length;
  const remark =
    daysNotStored === 0 ? '' : ` ${count(daysNotStored, 'day is', 'days are')} not stored and not included.`;
  if (storedDays.length === 0) return 'Nothing is stored.';
  const { isLevel } = CHART_METRICS[metric];
  const sumUp = (values: readonly (number | null)[]) =>
    isLevel ? (values.at(-1) ?? 0) : values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  const sum = showNumber(sumUp(storedDays.map(({ quantity }) => quantity)));
  const head = isLevel
    ? `${sum} on ${storedDays.at(-1)?.day}.`
    : `${sum} over ${count(storedDays.length, 'stored day')}.`;
  const pairs = days.filter(
    ({ quantity, comparedQuantity }) => quantity !== null && comparedQuantity !== null,
  );
  if (pairs.length === 0) return `${head}${remark}`;
  const currentSum = sumUp(pairs.map(({ quantity }) => quantity));
  const comparedSum = sumUp(pairs.map(({ comparedQuantity }) => comparedQuantity));
  const change =
    comparedSum === 0 ? showDifference(currentSum - comparedSum) : showChange(currentSum / comparedSum - 1);
  const sums = `${showNumber(currentSum)} and ${showNumber(comparedSum)}`;
  const scope = `over ${count(pairs.length, 'day')} stored on both sides`;
  return `${head} ${change} compared with the ${COMPARISONS[comparison]}: ${sums} ${scope}.${remark}`;
}

type Facts = Awaited<ReturnType<typeof readFacts>>;
type Organization = NonNullable<Awaited<ReturnType<typeof readOrganization>>>;

async function readFacts(db: Kysely<Schema>, query: OrganizationQuery) {
  return {
    days: await readDays(db, query),
    sources: await readSources(db, query),
    limits: await readLimits(db, query.orgId),
    months: await readMonths(db, query.orgId),
  };
}

/** Returns undefined for an organization that was never seen. */
async function readOrganization(db: Kysely<Schema>, orgId: string) {
  return await db
    .selectFrom('organizations as o')
    .innerJoin('instances as i', 'i.instance_id', 'o.instance_id')
    .select(['o.org_id as orgId', 'o.instance_id as instanceId', 'i.name as instanceName', 'o.name'])
    .select([
      'o.referral_id as referralId',
      'o.plan_id as planId',
      'o.customer_id as customerId',
      'o.problem',
    ])
    .select(['o.created_on as createdOn', 'o.deleted_on as deletedOn'])
    .select((eb) => [
      eb.ref('o.tags').$castTo<readonly { readonly key?: string; readonly value?: string }[]>().as('tags'),
      sql<boolean>`exists (select from losant_usage.tracks t
        where t.org_id = o.org_id and t.stream = 'payload_hours')`.as('hasHours'),
    ])
    .where('o.org_id', '=', orgId)
    .executeTakeFirst();
}

/** Reads the days as an array, because Postgres then looks up each cell by its key. */
async function readDays(
  db: Kysely<Schema>,
  { orgId, metric, range, comparison }: OrganizationQuery,
): Promise<readonly ChartDay[]> {
  const { rows } = await sql<ChartDay>`
    select day, c.standing, u.quantity, u.previous_date as "comparedDay", u.previous_quantity as "comparedQuantity"
    from unnest(${eachDay(range)}::date[]) as day
    left join (
      select * from losant_usage.usage_compared(${metric}, ${range.from}::date, ${range.to}::date, ${comparison})
      where org_id = ${orgId}
    ) as u on u.usage_date = day
    left join (
      select * from losant_usage.cells
      where usage_date = any (${eachDay(range)}::date[]) and org_id = ${orgId}
        and stream = ${CHART_METRICS[metric].stream}
    ) as c on c.usage_date = day
    order by day`.execute(db);
  return rows;
}

/** A row with a quantity and its share of a total or limit; null if it has none. */
type ShareRow = { readonly share: number | null };

const MAX_SOURCES = 25;

/** Returns the payloads of each type and source on the days that are stored, and their share of the total. */
async function readSources(db: Kysely<Schema>, { orgId, range }: OrganizationQuery): Promise<ShareRow[]> {
  const { rows } = await sql<ShareRow>`
    select payload_type, source, sum(count)::bigint as count, (sum(count) / sum(sum(count)) over ())::float8 as share
    from losant_usage.payload_sources
    where org_id = ${orgId} and usage_date between ${range.from}::date and ${range.to}::date
    group by payload_type, source having sum(count) > 0 order by 3 desc, 1, 2 limit ${MAX_SOURCES}`.execute(
    db,
  );
  return rows;
}

async function readLimits(db: Kysely<Schema>, orgId: string): Promise<ShareRow[]> {
  const { rows } = await sql<ShareRow>`
    select limit_name, limit_quantity::float8, quantity::float8, share::float8, projected_quantity::float8, exceeds_on,
      nullif(days_expected - days_stored, 0) as days_not_stored
    from losant_usage.usage_vs_limits where org_id = ${orgId} order by metric is null, limit_name`.execute(
    db,
  );
  return rows;
}

/** A month, and its last day that has ended. */
type OrganizationMonth = BilledQuantities & { readonly month: UsageDay; readonly last_day: UsageDay };

const MAX_MONTHS = 13;

async function readMonths(db: Kysely<Schema>, orgId: string): Promise<OrganizationMonth[]> {
  const { rows } = await sql<OrganizationMonth>`
    select m.month, least((m.month + interval '1 month')::date, (now() at time zone 'UTC')::date) - 1 as last_day,
      m.standing, m.payload_billable_count as payloads, m.notebook_minutes as minutes, m.devices_total as devices,
      l.payloads as payloads_billed, l.minutes as minutes_billed
    from losant_usage.monthly_usage m
    left join (
      select month, sum(quantity) filter (where metric = 'payload_billable_count')::bigint as payloads,
        sum(quantity) filter (where metric = 'notebook_minutes')::bigint as minutes
      from losant_usage.statement_lines where org_id = ${orgId} group by month
    ) as l on l.month = m.month
    where m.org_id = ${orgId}
    order by m.month desc limit ${MAX_MONTHS}`.execute(db);
  return rows;
}
