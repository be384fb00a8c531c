/** What the page of an organization shows. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { readOpenCells } from '../queries/gaps.ts';
import { type DayRange, eachDay, type UsageDay } from '../usage/day.ts';
import type { Standing } from '../usage/standing.ts';
import type { ChartDay } from './chart.ts';

interface Charted {
  readonly label: string;
  readonly stream: string;
  readonly unit: 'count' | 'bytes';
  readonly isLevel: boolean;
}

/** The numbers that can be shown by day. */
export const CHARTED = {
  payload_billable_count: {
    label: 'Billable payloads',
    stream: 'payload_totals',
    unit: 'count',
    isLevel: false,
  },
  payload_all_count: { label: 'All payloads', stream: 'payload_totals', unit: 'count', isLevel: false },
  payload_all_bytes: {
    label: 'Size of all payloads',
    stream: 'payload_totals',
    unit: 'bytes',
    isLevel: false,
  },
  notebook_minutes: { label: 'Notebook minutes', stream: 'notebook_minutes', unit: 'count', isLevel: false },
  devices_total: { label: 'Devices', stream: 'device_counts', unit: 'count', isLevel: true },
  devices_created: { label: 'Devices created', stream: 'device_counts', unit: 'count', isLevel: false },
  devices_deleted: { label: 'Devices deleted', stream: 'device_counts', unit: 'count', isLevel: false },
} as const satisfies Readonly<Record<string, Charted>>;
export type ChartedMetric = keyof typeof CHARTED;

/** What days can be compared with, by the words of the function `usage_beside`. */
export const COMPARISONS = {
  weekdays: 'the same weekdays before',
  before: 'the days before',
  year: 'the same weekdays a year before',
} as const;
export type Comparison = keyof typeof COMPARISONS;

export interface OrganizationQuery {
  readonly orgId: string;
  readonly metric: ChartedMetric;
  readonly range: DayRange;
  /** What the days are compared with; empty for nothing. */
  readonly comparison: Comparison | '';
  /** The time zone of the tab of hours. */
  readonly zone: string;
}

export type OrganizationPage = NonNullable<Awaited<ReturnType<typeof readOrganizationPage>>>;

/** Returns null for an organization that was never seen. */
export async function readOrganizationPage(db: Kysely<Schema>, query: OrganizationQuery) {
  const organization = await readOrganization(db, query.orgId);
  if (organization === undefined) return null;
  const hours = await db
    .selectFrom('tracks')
    .select('org_id')
    .where('org_id', '=', query.orgId)
    .where('stream', '=', 'payload_hours')
    .executeTakeFirst();
  const { sources, daysMissing } = await readSources(db, query);
  return {
    organization,
    hasHours: hours !== undefined,
    days: await readDays(db, query),
    sources,
    sourceDaysMissing: daysMissing,
    limits: await readLimits(db, query.orgId),
    months: await readMonths(db, query.orgId),
    open: await readOpenCells(db, query.orgId),
  };
}

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
    .select(['o.created_on as createdOn', 'o.removed_on as removedOn'])
    .select((eb) =>
      eb.ref('o.tags').$castTo<readonly { readonly key?: string; readonly value?: string }[]>().as('tags'),
    )
    .where('o.org_id', '=', orgId)
    .executeTakeFirst();
}

// Days are given one by one, so that each row of the ledger is looked up by its key.
async function readDays(
  db: Kysely<Schema>,
  { orgId, metric, range, comparison }: OrganizationQuery,
): Promise<readonly ChartDay[]> {
  const kind = comparison === '' ? 'weekdays' : comparison;
  const { rows } = await sql<ChartDay>`
    select day::date as day, c.standing, coalesce(c.is_stored and not c.is_reported, false) as "isLeftOut",
      q.quantity, q.before_date as "beforeDay", q.before_quantity as before
    from generate_series(${range.from}::timestamp, ${range.to}::timestamp, interval '1 day') as day
    left join (
      select * from losant_usage.usage_beside(${metric}, ${range.from}::date, ${range.to}::date, ${kind}) where org_id
        = ${orgId}
    ) as q on q.usage_date = day::date
    left join (
      select * from losant_usage.cells
      where usage_date = any (${eachDay(range)}::date[]) and org_id = ${orgId} and stream = ${CHARTED[metric].stream}
    ) as c on c.usage_date = day::date
    order by day`.execute(db);
  return rows;
}

/** The payloads of a type and source on the days that are stored. */
export interface SourceSum {
  readonly type: string;
  readonly source: string;
  readonly count: number;
  /** Its share of all of them. */
  readonly share: number;
}

const SOURCES_MAX = 25;

async function readSources(db: Kysely<Schema>, { orgId, range }: OrganizationQuery) {
  const { rows: sources } = await sql<SourceSum>`
    select payload_type as type, source, sum(count)::bigint as count, (sum(count) / nullif(sum(sum(count)) over (),
      0))::float8 as share
    from losant_usage.payload_sources
    where org_id = ${orgId} and usage_date between ${range.from}::date and ${range.to}::date
    group by payload_type, source having sum(count) > 0 order by 3 desc, 1, 2 limit ${SOURCES_MAX}`.execute(
    db,
  );
  const { missing } = await db
    .selectFrom('cells')
    .select((eb) => eb.fn.countAll<number>().as('missing'))
    .where('org_id', '=', orgId)
    .where(sql<boolean>`usage_date = any (${eachDay(range)}::date[])`)
    .where('stream', '=', 'payload_sources')
    .where('is_stored', '=', false)
    .executeTakeFirstOrThrow();
  return { sources, daysMissing: missing };
}

/** The month to date beside a limit; the metric is null for a limit that bounds nothing counted here. */
export type LimitUse = Awaited<ReturnType<typeof readLimits>>[number];

async function readLimits(db: Kysely<Schema>, orgId: string) {
  return await db
    .selectFrom('usage_vs_limits')
    .select(['limit_name as limitName', 'days_expected as daysExpected', 'days_stored as daysStored'])
    .select([
      'limit_quantity as limit',
      'quantity',
      'projected_quantity as projected',
      'crosses_on as crossesOn',
    ])
    .select((eb) => eb.cast<number | null>('share', 'float8').as('share'))
    .where('org_id', '=', orgId)
    .orderBy((eb) => eb('metric', 'is', null))
    .orderBy('limit_name')
    .execute();
}

/** A month with its numbers of today and those that were invoiced. */
export interface OrganizationMonth {
  readonly month: UsageDay;
  /** The last day of it that is over. */
  readonly lastDay: UsageDay;
  readonly standing: Standing;
  readonly payloads: number | null;
  readonly payloadsInvoiced: number | null;
  readonly minutes: number | null;
  readonly minutesInvoiced: number | null;
  readonly devices: number | null;
}

const MONTHS_MAX = 13;

async function readMonths(db: Kysely<Schema>, orgId: string): Promise<readonly OrganizationMonth[]> {
  const { rows } = await sql<OrganizationMonth>`
    select m.month, least((m.month + interval '1 month')::date, (now() at time zone 'UTC')::date) - 1 as "lastDay",
      m.standing,
      m.payload_billable_count as payloads, m.notebook_minutes as minutes, m.devices_total as devices,
      l.payloads as "payloadsInvoiced", l.minutes as "minutesInvoiced"
    from losant_usage.monthly_usage m
    left join (
      select month, sum(quantity) filter (where metric = 'payload_billable_count')::bigint as payloads,
        sum(quantity) filter (where metric = 'notebook_minutes')::bigint as minutes
      from losant_usage.statement_lines where org_id = ${orgId} group by month
    ) as l on l.month = m.month
    where m.org_id = ${orgId}
    order by m.month desc limit ${MONTHS_MAX}`.execute(db);
  return rows;
}
