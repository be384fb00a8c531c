import { html } from 'hono/html';
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { labelInstance } from '../queries/attention.ts';
import type { ComparedDay } from '../queries/usage-totals.ts';
import { showName, showNumber } from '../terminal/words.ts';
import { eachDay, type UsageDay } from '../usage/day.ts';
import { isLosantId } from '../usage/organization.ts';
import { type Html, linkTo, linkToOrganization, renderFacts, showMonth } from './elements.ts';
import { type Filters, toSearchText, type Values } from './filters.ts';
import { type BilledQuantities, MINUTES_BILLED, PAYLOADS_BILLED, selectBilled } from './months.ts';
import { findOrganizations } from './organizations.ts';
import type { ConsolePage, PageRequest } from './page.ts';
import { renderHtmlTable, type TableColumn, type TableRow } from './table.ts';
import {
  CHART_METRICS,
  describeForecast,
  readForecast,
  readSourceShares,
  readUsageQuery,
  renderSourceShares,
  renderUsageChart,
  renderUsageForm,
  toParams,
  type UsageQuery,
} from './usage-query.ts';

const PATH = '/organizations';

interface OrganizationQuery extends UsageQuery {
  readonly orgId: string;
  /** The time zone of the tab "Hours". */
  readonly zone: string;
  readonly isHours: boolean;
  /** What finds the organization to show next to this one. */
  readonly otherOrg: string;
}

export const organizationPage: ConsolePage = {
  path: '/organizations/:id',
  subject: 'The organization',
  show: async (request) => {
    const { read, instanceIds, params, query: values } = request;
    const orgId = params['id'] ?? '';
    if (!isLosantId(orgId)) return null;
    const organization = await read((db) => readOrganization(db, request, orgId));
    if (organization === undefined || !instanceIds.includes(organization.instanceId)) return null;
    const { name, deletedOn, hasHours } = organization;
    const query: OrganizationQuery = {
      ...readUsageQuery(request),
      orgId,
      zone: toSearchText(values['zone'] ?? '') || 'UTC',
      isHours: hasHours && values['tab'] === 'hours',
      otherOrg: toSearchText(values['with'] ?? ''),
    };
    const deleted = deletedOn === null ? '' : html` <span class="quiet">deleted (noticed ${deletedOn})</span>`;
    const content = query.isHours
      ? renderHours(query, await read((db) => readHours(db, query)))
      : await renderUsage(request, query, organization);
    const body = html`<h1>${showName(name, orgId)}${deleted}</h1>
${query.otherOrg === '' && renderOrganization(organization)}
${renderChoices(request, query, organization)}
${content}`;
    return { title: showName(name, orgId), body };
  },
};

async function renderUsage(request: PageRequest, query: OrganizationQuery, organization: Organization): Promise<Html> {
  const { read, instanceIds, nowMs } = request;
  const facts = await read((db) => readFacts(db, query, nowMs));
  if (query.otherOrg === '') return renderDays(query, facts);
  const matches = await read((db) => findOrganizations(db, { instanceIds, text: query.otherOrg }));
  const others = matches.filter(({ orgId }) => orgId !== query.orgId);
  const [match] = others.length === 1 ? others : [];
  const other = match && (await read((db) => readOrganization(db, request, match.orgId)));
  if (other === undefined) {
    const links = others.map(
      ({ orgId, name }) => html`<li>${linkToQuery(query, { with: orgId }, showName(name, orgId))}</li>`,
    );
    return html`<p>${
      others.length === 0 ? 'No other organization has this name or ID.' : 'Which organization?'
    }</p><ul>${links}</ul>${renderDays(query, facts)}`;
  }
  const otherQuery = { ...query, orgId: other.orgId, otherOrg: query.orgId };
  const otherFacts = await read((db) => readFacts(db, otherQuery, nowMs));
  const maximum = Math.max(
    ...[...facts.days, ...otherFacts.days].flatMap((day) => [day.quantity ?? 0, day.comparedQuantity ?? 0]),
  );
  const sides = [[organization, query, facts] as const, [other, otherQuery, otherFacts] as const];
  return html`<div class="halves">${sides.map(
    ([each, eachQuery, eachFacts]) => html`<div><h2>${linkToOrganization(each.orgId, each.name)}</h2>
${renderOrganization(each)}${renderDays(eachQuery, eachFacts, maximum)}</div>`,
  )}</div>`;
}

function toValues({ isHours, otherOrg, zone, ...query }: OrganizationQuery): Values {
  return { ...toParams(query), with: otherOrg, tab: isHours ? 'hours' : '', zone: isHours ? zone : '' };
}

function linkToQuery(query: OrganizationQuery, change: Values, text: string): Html {
  return linkTo(`${PATH}/${query.orgId}`, { ...toValues(query), ...change }, text);
}

function renderOrganization(organization: Organization): Html {
  const { orgId, referralId, planId, customerId, tags, createdOn, instanceLabel, problem } = organization;
  return renderFacts({
    ID: html`<span class="id">${orgId}</span>`,
    'Referral ID': referralId,
    Plan: planId ?? 'none',
    Customer: customerId && linkTo('/billed', { year: 'this', q: customerId }, customerId),
    Created: createdOn,
    Instance: instanceLabel,
    Tags: tags.map(({ key = '', value = '' }) => `${key}=${value}`).join(', '),
    Problem: problem,
  });
}

function renderChoices(request: PageRequest, query: OrganizationQuery, { hasHours }: Organization): Html {
  const { orgId, isHours, range } = query;
  const more: Filters = {
    ...(hasHours && { tab: { label: 'Show', options: { '': 'Days', hours: 'Hours' }, byDefault: '' } }),
    ...(isHours
      ? { zone: { label: 'Time zone', options: 'text' } }
      : { with: { label: 'Compare with another organization (name or any ID)', options: 'text' } }),
  };
  return html`${renderUsageForm(request, toValues(query), { hasSeries: !isHours, more })}
<p><a href="/coverage?q=${orgId}&amp;to=${range.to}">Data quality</a> · <a href="/gaps?q=${orgId}">Gaps</a> · <a
  href="/changes?q=${orgId}">Changes</a></p>`;
}

function renderDays(query: OrganizationQuery, facts: Facts, maximum = 0): Html {
  const { days, forecast, sources, limits, months } = facts;
  return html`${renderUsageChart(query, days, { addressOf: (day) => `/coverage/${query.orgId}/${day}`, maximum })}
<p>${describeForecast(forecast)}</p>
<h2>All payloads by type and source</h2>${renderSourceShares(sources)}
<h2>Limits this month</h2>${
    limits.length === 0
      ? html`<p>No limits.</p>`
      : renderHtmlTable(limits, [
          'limit_name',
          'unit',
          ['limit_quantity', 'Allowed'],
          ['quantity', 'Month to date'],
          ['share', 'Used'],
          ['projected_quantity', 'Projected'],
          'exceeds_on',
          'days_not_stored',
        ])
  }
<h2>Months</h2>${
    months.length === 0
      ? html`<p>Nothing is stored.</p>`
      : renderHtmlTable(months, [
          ['month', 'Month', ({ month: from, last_day: to }) => linkToQuery(query, { from, to }, showMonth(from))],
          'payloads',
          PAYLOADS_BILLED,
          'minutes',
          MINUTES_BILLED,
          'devices',
          'standing',
        ])
  }`;
}

type Facts = Awaited<ReturnType<typeof readFacts>>;
type Organization = NonNullable<Awaited<ReturnType<typeof readOrganization>>>;

async function readFacts(db: Kysely<Schema>, query: OrganizationQuery, nowMs: number) {
  const { orgId, metric, range } = query;
  const [days, forecast, sources, limits, months] = await Promise.all([
    readDays(db, query),
    readForecast(db, { metric, condition: sql`o.org_id = ${orgId}`, nowMs }),
    readSourceShares(db, range, sql`s.org_id = ${orgId}`),
    readLimits(db, orgId),
    readMonths(db, orgId),
  ]);
  return { days, forecast, sources, limits, months };
}

/** Returns undefined for an organization that was never seen. */
async function readOrganization(db: Kysely<Schema>, { instanceIds }: PageRequest, orgId: string) {
  return await db
    .selectFrom('organizations as o')
    .innerJoin('instances as i', 'i.instance_id', 'o.instance_id')
    .select(['o.org_id as orgId', 'o.instance_id as instanceId', 'o.name'])
    .select(['o.referral_id as referralId', 'o.plan_id as planId', 'o.customer_id as customerId', 'o.problem'])
    .select(['o.created_on as createdOn', 'o.deleted_on as deletedOn'])
    .select((eb) => [
      labelInstance(instanceIds).as('instanceLabel'),
      eb.ref('o.tags').$castTo<readonly { readonly key?: string; readonly value?: string }[]>().as('tags'),
      sql<boolean>`exists (select from losant_usage.tracks t
        where t.org_id = o.org_id and t.stream = 'payload_hours')`.as('hasHours'),
    ])
    .where('o.org_id', '=', orgId)
    .executeTakeFirst();
}

/** Reads the days as an array, because Postgres then looks up each cell by its key. */
async function readDays(db: Kysely<Schema>, { orgId, metric, range, comparison }: OrganizationQuery) {
  const { rows } = await sql<ComparedDay>`
    select day, c.standing, u.quantity, u.previous_date as "comparedDay", u.previous_quantity as "comparedQuantity",
      0 as "valuesNotStored", case when u.quantity + u.previous_quantity is not null
        then array[u.quantity, u.previous_quantity]::bigint[] end as pair
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

async function readLimits(db: Kysely<Schema>, orgId: string): Promise<TableRow[]> {
  const { rows } = await sql<TableRow>`
    select limit_name, unit, limit_quantity::float8, quantity::float8, share::float8,
      projected_quantity::float8, exceeds_on, nullif(days_expected - days_stored, 0) as days_not_stored
    from losant_usage.usage_vs_limits where org_id = ${orgId} order by metric is null, limit_name`.execute(db);
  return rows;
}

/** A month, and its last day that has ended. */
type OrganizationMonth = BilledQuantities & { readonly month: UsageDay; readonly last_day: UsageDay };

const MAX_MONTHS = 13;

async function readMonths(db: Kysely<Schema>, orgId: string): Promise<OrganizationMonth[]> {
  const { rows } = await sql<OrganizationMonth>`
    select m.month, least((m.month + interval '1 month')::date, (now() at time zone 'UTC')::date) - 1 as last_day,
      m.standing, m.payload_billable_count as payloads, m.notebook_minutes as minutes, m.devices_total as devices,
      b.payloads as payloads_billed, b.minutes as minutes_billed
    from losant_usage.monthly_usage m
    left join lateral (${selectBilled(sql`l.org_id = ${orgId} and l.month = m.month`)}) as b on true
    where m.org_id = ${orgId}
    order by m.month desc limit ${MAX_MONTHS}`.execute(db);
  return rows;
}

const WEEKDAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'] as const;

/** An hour of the day, and its average on each weekday, rounded to a whole number. */
type HourRow = Readonly<Record<(typeof WEEKDAYS)[number], number | null>>;

/** Averages the hours of the range that are stored. If Postgres does not know the zone, the hours are those of UTC. */
async function readHours(db: Kysely<Schema>, { orgId, range, zone: name }: OrganizationQuery) {
  const zones = await sql<{ readonly name: string }>`
    select name from pg_timezone_names where name = ${name}`.execute(db);
  const zone = zones.rows[0]?.name ?? 'UTC';
  const averages = WEEKDAYS.map(
    (weekday, index) => sql`round(avg(l.payloads) filter (where extract(isodow from l.at) = ${index + 1}))::bigint
      as ${sql.ref(weekday)}`,
  );
  const { rows } = await sql<HourRow>`
    select to_char(hour, 'FM00":00"') as hour, ${sql.join(averages)}
    from generate_series(0, 23) as hour
    left join (
      select h.hour at time zone ${zone} as at, h.payload_billable_count as payloads
      from losant_usage.hourly_usage h
      where h.org_id = ${orgId} and h.usage_date between ${range.from}::date and ${range.to}::date
    ) as l on extract(hour from l.at) = hour
    group by hour order by hour`.execute(db);
  return { zone, rows };
}

const SHADES = 5;

function renderHours({ range, zone: name }: OrganizationQuery, { zone, rows }: Awaited<ReturnType<typeof readHours>>) {
  const averages = rows.flatMap((row) => WEEKDAYS.map((weekday) => row[weekday]).filter((average) => average !== null));
  const maximum = Math.max(1, ...averages);
  const columns = WEEKDAYS.map((weekday): TableColumn<HourRow> => {
    const renderAverage = (average: number) =>
      html`<span class="shade-${Math.ceil((average / maximum) * SHADES)}">${showNumber(average)}</span>`;
    return [weekday, weekday, (row) => renderAverage(row[weekday] ?? 0)];
  });
  return html`<h2>Billable payloads by hour of the week</h2>
<p>Average per hour from ${range.from} to ${range.to}, in ${zone}${
    zone !== name && html` (<span class="bad">${name}</span> is not a time zone)`
  }.</p>
${averages.length === 0 ? html`<p>Nothing is stored.</p>` : renderHtmlTable(rows, ['hour', ...columns])}`;
}
