/** What the page of an organization shows. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { readOpenCells } from '../queries/gaps.ts';
import { type DayRange, eachDay, type UsageDay } from '../usage/day.ts';
import type { ChartDay } from './chart.ts';

/** The numbers that can be shown by day; a level is not added up. */
export const CHARTED = {
  payload_billable_count: { label: 'Billable payloads', stream: 'payload_totals', isLevel: false },
  payload_all_count: { label: 'All payloads', stream: 'payload_totals', isLevel: false },
  notebook_minutes: { label: 'Notebook minutes', stream: 'notebook_minutes', isLevel: false },
  devices_total: { label: 'Devices', stream: 'device_counts', isLevel: true },
  devices_created: { label: 'Devices created', stream: 'device_counts', isLevel: false },
  devices_deleted: { label: 'Devices deleted', stream: 'device_counts', isLevel: false },
} as const;
export type ChartedMetric = keyof typeof CHARTED;

/** What days can be compared with, by the words of the function `usage_beside`. */
export const COMPARISONS = {
  weekdays: 'the same weekdays before',
  before: 'the days before',
  year: 'the same weekdays a year before',
} as const;

export interface OrganizationQuery {
  readonly orgId: string;
  readonly metric: ChartedMetric;
  readonly range: DayRange;
  readonly comparison: keyof typeof COMPARISONS | 'none';
  /** The time zone of the tab of hours. */
  readonly zone: string;
}

export type Organization = NonNullable<Awaited<ReturnType<typeof readOrganization>>>;
export type OrganizationDays = Awaited<ReturnType<typeof readOrganizationDays>>;

/** Returns undefined for an organization that was never seen. */
export async function readOrganization(db: Kysely<Schema>, orgId: string) {
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
    .select((eb) => [
      eb.ref('o.tags').$castTo<readonly { readonly key?: string; readonly value?: string }[]>().as('tags'),
      sql<boolean>`exists (select from losant_usage.tracks t
        where t.org_id = o.org_id and t.stream = 'payload_hours')`.as('hasHours'),
    ])
    .where('o.org_id', '=', orgId)
    .executeTakeFirst();
}

export async function readOrganizationDays(db: Kysely<Schema>, query: OrganizationQuery) {
  return {
    days: await readDays(db, query),
    sources: await readSources(db, query),
    limits: await readLimits(db, query.orgId),
    months: await readMonths(db, query.orgId),
    open: await readOpen(db, query.orgId),
  };
}

// Days are given one by one, so that each row of the ledger is looked up by its key.
async function readDays(
  db: Kysely<Schema>,
  { orgId, metric, range, comparison }: OrganizationQuery,
): Promise<readonly ChartDay[]> {
  const kind = comparison === 'none' ? 'weekdays' : comparison;
  const { rows } = await sql<ChartDay>`
    select day, c.standing, coalesce(c.is_stored and not c.is_reported, false) as "isLeftOut",
      q.quantity, q.before_date as "beforeDay", q.before_quantity as before
    from unnest(${eachDay(range)}::date[]) as day
    left join (
      select * from losant_usage.usage_beside(${metric}, ${range.from}::date, ${range.to}::date, ${kind})
      where org_id = ${orgId}
    ) as q on q.usage_date = day
    left join (
      select * from losant_usage.cells
      where usage_date = any (${eachDay(range)}::date[]) and org_id = ${orgId} and stream = ${CHARTED[metric].stream}
    ) as c on c.usage_date = day
    order by day`.execute(db);
  return rows;
}

/** A number beside what it is a part of; null where it is part of nothing that is counted here. */
export type Share = { readonly share: number | null };

const SOURCES_MAX = 25;

/** Returns the payloads of each type and source on the days that are stored, and their share of all of them. */
async function readSources(db: Kysely<Schema>, { orgId, range }: OrganizationQuery): Promise<Share[]> {
  const { rows } = await sql<Share>`
    select payload_type, source, sum(count)::bigint as count, (sum(count) / sum(sum(count)) over ())::float8 as share
    from losant_usage.payload_sources
    where org_id = ${orgId} and usage_date between ${range.from}::date and ${range.to}::date
    group by payload_type, source having sum(count) > 0 order by 3 desc, 1, 2 limit ${SOURCES_MAX}`.execute(
    db,
  );
  return rows;
}

/** Returns the month to date beside each limit. */
async function readLimits(db: Kysely<Schema>, orgId: string): Promise<Share[]> {
  const { rows } = await sql<Share>`
    select limit_name, limit_quantity::float8, quantity::float8, share::float8, projected_quantity::float8, crosses_on,
      nullif(days_expected - days_stored, 0) as days_missing
    from losant_usage.usage_vs_limits where org_id = ${orgId} order by metric is null, limit_name`.execute(
    db,
  );
  return rows;
}

/** A month with its numbers of today and those that were invoiced. */
export type OrganizationMonth = {
  readonly month: UsageDay;
  /** The last day of it that is over. */
  readonly last_day: UsageDay;
  readonly payloads: number | null;
  readonly payloads_invoiced: number | null;
  readonly minutes: number | null;
  readonly minutes_invoiced: number | null;
};

const MONTHS_MAX = 13;

async function readMonths(db: Kysely<Schema>, orgId: string): Promise<OrganizationMonth[]> {
  const { rows } = await sql<OrganizationMonth>`
    select m.month, least((m.month + interval '1 month')::date, (now() at time zone 'UTC')::date) - 1 as last_day,
      m.standing, m.payload_billable_count as payloads, m.notebook_minutes as minutes, m.devices_total as devices,
      l.payloads as payloads_invoiced, l.minutes as minutes_invoiced
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

/** Returns what is not all right, the worst first; what is only still to be read again needs nobody. */
async function readOpen(db: Kysely<Schema>, orgId: string) {
  const open = await readOpenCells(db, orgId);
  return open.filter(({ standing }) => standing !== 'stored' && standing !== 'waiting');
}
