/** Queries for the payloads of an organization by hour. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import type { Standing } from '../usage/standing.ts';

export interface HoursRequest {
  readonly orgId: string;
  readonly range: DayRange;
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
  const { rows } = await sql<{ day: UsageDay }>`
    select h.usage_date as day
    from losant_usage.days_between(${range.from}::date, ${range.to}::date) as day
    join losant_usage.payload_hours h on h.usage_date = day and h.org_id = ${orgId}
    order by day desc limit 1`.execute(db);
  return rows[0]?.day ?? null;
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
