/** Queries for the page of an organization. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import type { Standing } from '../usage/standing.ts';
import { eachDayOf } from './organizations.ts';

/** An organization as last seen, and its numbers by day. */
export type Organization = NonNullable<Awaited<ReturnType<typeof readOrganization>>>;

/** The metrics with a chart, and their streams. */
export const CHARTED = {
  ...{ devices_total: 'device_counts', notebook_minutes: 'notebook_minutes' },
  ...{ payload_billable_count: 'payload_totals', payload_all_bytes: 'payload_totals' },
  payload_source_count: 'payload_sources',
} as const;
export type ChartedMetric = keyof typeof CHARTED;

/** The numbers of a day; null where they are not stored, or not tracked. */
export interface OrganizationDay extends Readonly<Record<ChartedMetric, number | null>> {
  readonly day: UsageDay;
  /** The standing of each stream that is tracked. */
  readonly standings: Readonly<Partial<Record<string, Standing>>>;
  /** The streams whose zeros stand for a day that Losant left out. */
  readonly unreported: readonly string[];
}

export interface TypeCount {
  readonly day: UsageDay;
  /** The type; null for all that are not among the largest. */
  readonly type: string | null;
  readonly count: number;
}

export interface OrganizationRequest {
  readonly orgId: string;
  readonly range: DayRange;
}

/** The number of payload types with a series of their own; the others are one. */
const TYPES_SHOWN = 6;

/** `readOrganization` returns null for an organization that was never seen. */
export async function readOrganization(db: Kysely<Schema>, request: OrganizationRequest) {
  const { orgId } = request;
  const organization = await db
    .selectFrom('organizations as o')
    .innerJoin('instances as i', 'i.instance_id', 'o.instance_id')
    .select(['o.org_id as orgId', 'o.instance_id as instanceId', 'i.name as instanceName', 'o.name'])
    .select(['o.referral_id as referralId', 'o.plan_id as planId', 'o.customer_id as customerId'])
    .select(['o.is_read_only as isReadOnly', 'o.disabled_at as disabledAt', 'o.removed_at as removedAt'])
    .select(['o.created_at as createdAt', 'o.first_seen_at as firstSeenAt', 'o.last_seen_at as lastSeenAt'])
    .select((eb) => [
      'o.problem',
      eb.ref('o.tags').$castTo<readonly { readonly key: string; readonly value: string }[]>().as('tags'),
    ])
    .where('o.org_id', '=', orgId)
    .executeTakeFirst();
  if (organization === undefined) return null;
  return {
    ...organization,
    days: await readDays(db, request),
    payloads: await readTypes(db, request),
  };
}

async function readDays(
  db: Kysely<Schema>,
  { orgId, range }: OrganizationRequest,
): Promise<OrganizationDay[]> {
  const numbers = Object.entries(CHARTED).map(([metric, stream]) => {
    return sql`case when s.standings ? ${sql.lit(stream)} then n.${sql.ref(metric)} end as ${sql.ref(metric)}`;
  });
  const { rows } = await sql<OrganizationDay>`
    with tracks as materialized (
      select stream, days, unread_days from losant_usage.tracked where org_id = ${orgId}
    ), standings as (
      select c.usage_date, c.stream, c.standing, c.is_stored and not c.is_reported as is_unreported
      from losant_usage.days_between(${range.from}::date, ${range.to}::date) as day
      join losant_usage.read_cells c on c.usage_date = day and c.org_id = ${orgId}
      union all
      select day, t.stream, losant_usage.unread_standing(day), false
      from losant_usage.days_between(${range.from}::date, ${range.to}::date) as day
      join tracks t on day <@ t.unread_days
    ), days as materialized (
      select usage_date, jsonb_object_agg(stream, standing) as standings,
        jsonb_agg(stream) filter (where is_unreported) as unreported
      from standings group by usage_date
    )
    select day, coalesce(s.standings, '{}') as standings, coalesce(s.unreported, '[]') as unreported,
      ${sql.join(numbers)}
    from losant_usage.days_between(${range.from}::date, ${range.to}::date) as day
    left join days s on s.usage_date = day
    left join losant_usage.usage_days n on n.usage_date = day and n.org_id = ${orgId}
    order by day`.execute(db);
  return rows;
}

async function readTypes(db: Kysely<Schema>, { orgId, range }: OrganizationRequest): Promise<TypeCount[]> {
  const { rows } = await sql<TypeCount>`
    with sums as materialized (
      select s.usage_date as day, s.payload_type as type, sum(s.count) as count
      from losant_usage.days_between(${range.from}::date, ${range.to}::date) as day
      join losant_usage.payload_sources s on s.usage_date = day and s.org_id = ${orgId}
      group by s.usage_date, s.payload_type
    ), largest as (
      select type from sums group by type order by sum(count) desc, type limit ${TYPES_SHOWN}
    )
    select s.day, l.type, sum(s.count)::bigint as count
    from sums s left join largest l on l.type = s.type
    group by s.day, l.type order by s.day, l.type`.execute(db);
  return rows;
}

/** Open cells of a stream of an organization that share a standing and a reason. */
export type OpenCells = Awaited<ReturnType<typeof readOpenCells>>[number];

/** `readOpenCells` returns the tracked cells up to yesterday that are not final, the worst and newest first. */
export async function readOpenCells(db: Kysely<Schema>, orgId: string) {
  return await db
    .selectFrom('cells')
    .select(['stream', 'standing', 'reason'])
    .select(({ fn }) => [
      fn.min('message').as('message'),
      fn.min('usage_date').as('first'),
      fn.max('usage_date').as('last'),
      fn.countAll<number>().as('days'),
    ])
    .where('org_id', '=', orgId)
    .where('standing', '<>', 'final')
    .groupBy(['stream', 'standing', 'reason'])
    .orderBy('standing', 'desc')
    .orderBy('last', 'desc')
    .execute();
}

/** The payloads of a type and source on the days that are stored. */
export type SourceCount = Awaited<ReturnType<typeof readSources>>[number];

/** `readSources` returns the payloads by type and source, the most first. */
export async function readSources(db: Kysely<Schema>, { orgId, range }: OrganizationRequest) {
  return await db
    .selectFrom(eachDayOf(range))
    .innerJoin('payload_sources as s', 's.usage_date', 'each.day')
    .select(['s.payload_type as type', 's.source'])
    .select((eb) => eb.cast<number>(eb.fn.sum('s.count'), 'bigint').as('count'))
    .where('s.org_id', '=', orgId)
    .groupBy(['s.payload_type', 's.source'])
    .orderBy('count', 'desc')
    .orderBy('s.payload_type')
    .orderBy('s.source')
    .execute();
}

/**
 * The running period to date beside a limit of an organization: a row of usage_vs_limits. The metric is null for a
 * limit that bounds nothing counted here; days are tracked ones.
 */
export type LimitUse = Awaited<ReturnType<typeof readLimits>>[number];

/** `readLimits` returns the limits by name, those that bound what is counted first. */
export async function readLimits(db: Kysely<Schema>, orgId: string) {
  return await db
    .selectFrom('usage_vs_limits')
    .select(['limit_name as limitName', 'period_start as from', 'period_end as to', 'source'])
    .select(['days_expected as daysExpected', 'days_stored as daysStored', 'metric', 'unit'])
    .select(['limit_quantity as limit', 'quantity', 'projected_quantity as projected'])
    .select((eb) => [
      eb.cast<number | null>('share', 'float8').as('share'),
      eb.cast<number | null>('projected_share', 'float8').as('projectedShare'),
      'crosses_on as crossesOn',
    ])
    .where('org_id', '=', orgId)
    .orderBy((eb) => eb('metric', 'is', null))
    .orderBy('limit_name')
    .execute();
}

export type OrganizationMonth = Awaited<ReturnType<typeof readOrganizationMonths>>[number];

const MONTHS_SHOWN = 13;

/** `readOrganizationMonths` returns the newest months of an organization, newest first. */
export async function readOrganizationMonths(db: Kysely<Schema>, orgId: string) {
  return await db
    .selectFrom('monthly_usage')
    .select(['month', 'standing', 'payload_billable_count as payloads'])
    .select(['notebook_minutes as notebookMinutes', 'devices_total as devices'])
    .where('org_id', '=', orgId)
    .orderBy('month', 'desc')
    .limit(MONTHS_SHOWN)
    .execute();
}

export interface HoursRequest extends OrganizationRequest {
  /** The UTC day shown by hour; null for the newest one that is stored. */
  readonly day: UsageDay | null;
  /** A time zone by its name in Postgres. */
  readonly zone: string;
}

/** The billable payloads of an organization by hour; null where they are not stored. */
export type OrganizationHours = NonNullable<Awaited<ReturnType<typeof readOrganizationHours>>>;

export interface WeekHour {
  /** The weekday, from 1 for Monday to 7. */
  readonly weekday: number;
  readonly hour: number;
  /** The mean, rounded to a whole number. */
  readonly mean: number;
}

export interface LocalDay {
  readonly day: UsageDay;
  /** The length of the day: 23 or 25 where clocks change. */
  readonly hours: number;
  readonly standing: Standing;
  readonly isReported: boolean | null;
  readonly payloads: number | null;
}

/** The SQLSTATE of a time zone that is unknown, or whose days cannot be told. */
const INVALID_PARAMETER_VALUE = '22023';

const UTC = 'UTC';

/** `readOrganizationHours` returns null for an organization whose hours were never collected. */
export async function readOrganizationHours(db: Kysely<Schema>, request: HoursRequest) {
  const track = await db
    .selectFrom('tracking')
    .select('org_id')
    .where('org_id', '=', request.orgId)
    .where('stream', '=', 'payload_hours')
    .executeTakeFirst();
  if (track === undefined) return null;
  const problem = await findProblem(db, request.zone);
  const zone = problem === null ? request.zone : UTC;
  const day = request.day ?? (await readNewestDay(db, request));
  const hours = day === null ? [] : await readHours(db, request.orgId, day);
  return {
    /** The reason why the time zone cannot be used; null if it can. UTC stands in for one that cannot. */
    ...{ problem, zone },
    /** The UTC day shown by hour; null if none of the range is stored. Its hours are empty if it is not tracked. */
    day,
    standing: hours[0]?.standing ?? null,
    hours: hours.map(({ payloads }) => payloads),
    /** The mean of each hour of the week, in the time zone; an hour without a stored number has no entry. */
    week: await readWeek(db, { ...request, zone }),
    /** The days of the time zone, oldest first. */
    days: await readLocalDays(db, { ...request, zone }),
  };
}

/** `findProblem` returns the reason why the database refuses a time zone; null if it does not. */
async function findProblem(db: Kysely<Schema>, zone: string): Promise<string | null> {
  try {
    await sql`select from losant_usage.local_hours(${zone}) limit 1`.execute(db);
    return null;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === INVALID_PARAMETER_VALUE)) throw error;
    return error.message;
  }
}

async function readNewestDay(db: Kysely<Schema>, { orgId, range }: HoursRequest): Promise<UsageDay | null> {
  const row = await db
    .selectFrom(eachDayOf(range))
    .innerJoin('payload_hours as h', 'h.usage_date', 'each.day')
    .select('each.day')
    .where('h.org_id', '=', orgId)
    .orderBy('each.day', 'desc')
    .limit(1)
    .executeTakeFirst();
  return row?.day ?? null;
}

async function readHours(db: Kysely<Schema>, orgId: string, day: UsageDay) {
  return await db
    .selectFrom('hourly_usage')
    .select(['standing', 'payload_billable_count as payloads'])
    .where('org_id', '=', orgId)
    .where('usage_date', '=', day)
    .orderBy('hour')
    .execute();
}

async function readWeek(db: Kysely<Schema>, { orgId, range, zone }: HoursRequest): Promise<WeekHour[]> {
  const { rows } = await sql<WeekHour>`
    select extract(isodow from local)::integer as weekday, extract(hour from local)::integer as hour,
      round(avg(payload_billable_count))::bigint as mean
    from losant_usage.hourly_usage cross join lateral (select hour at time zone ${zone} as local) as l
    where org_id = ${orgId} and usage_date between ${range.from}::date and ${range.to}::date
      and payload_billable_count is not null
    group by 1, 2 order by 1, 2`.execute(db);
  return rows;
}

async function readLocalDays(db: Kysely<Schema>, { orgId, range, zone }: HoursRequest): Promise<LocalDay[]> {
  const { rows } = await sql<LocalDay>`
    select local_date as day, hours, standing, is_reported as "isReported", payload_billable_count as payloads
    from losant_usage.local_daily_usage(${zone})
    where org_id = ${orgId} and local_date between ${range.from}::date and ${range.to}::date
    order by local_date`.execute(db);
  return rows;
}
