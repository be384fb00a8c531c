/** Lists of instances and organizations, and what is concluded about each organization. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { type DayRange, dayAt, daysFrom, type UsageDay } from '../usage/day.ts';

/** `readInstanceNames` returns the name of each instance, or its id where no name is known, in the order of ids. */
export async function readInstanceNames(db: Kysely<Schema>): Promise<ReadonlyMap<string, string>> {
  const instances = await db
    .selectFrom('instances')
    .select(['instance_id', 'name'])
    .orderBy('instance_id')
    .execute();
  return new Map(instances.map(({ instance_id, name }) => [instance_id, name ?? instance_id]));
}

/** `readUnknownOrgs` returns the ids of `orgIds` that were never seen. */
export async function readUnknownOrgs(db: Kysely<Schema>, orgIds: readonly string[]): Promise<string[]> {
  const known = await db
    .selectFrom('organizations')
    .select('org_id')
    .where(isAny('org_id', orgIds))
    .execute();
  return orgIds.filter((orgId) => known.every(({ org_id }) => org_id !== orgId));
}

/**
 * `matching` is the condition that the name or referral id of an organization `o` contains the text,
 * or that its id begins with it.
 */
export function matching(search: string): RawBuilder<boolean> {
  const text = search.replaceAll(/[\\%_]/g, String.raw`\$&`);
  return sql`(${text} = '' or o.name ilike ${`%${text}%`} or o.referral_id ilike ${`%${text}%`}
    or o.org_id like ${`${text.toLowerCase()}%`})`;
}

/** What the pages that compare organizations conclude about one. */
export type OrganizationFigures = Awaited<ReturnType<typeof readFigures>>[number];

/** The running period of an organization to date as a share of a limit; 1 is all of it. */
export interface LimitState {
  readonly name: string;
  /** The share; null for a limit of 0, or if nothing is stored. */
  readonly share: number | null;
  readonly projectedShare: number | null;
  /** The day on which the limit was passed, or is passed at the present rate; null if it is not. */
  readonly crossesOn: UsageDay | null;
}

/** The most organizations kept in memory, of about 500 bytes each. */
const ORGANIZATIONS_MAX = 200_000;

/**
 * `readFigures` returns the organizations by name, at most {@link ORGANIZATIONS_MAX}, each with the month
 * up to `to`, which is yesterday. It takes a few seconds at 10,000 organizations.
 */
export async function readFigures(db: Kysely<Schema>, to: UsageDay) {
  const organizations = await db
    .selectFrom('organizations')
    .select(['org_id as orgId', 'instance_id as instanceId', 'name', 'referral_id as referralId'])
    .select('removed_at as removedAt')
    .orderBy((eb) => eb.fn('lower', ['name']))
    .orderBy('org_id')
    .limit(ORGANIZATIONS_MAX)
    .execute();
  const sums = byOrg(await readSums(db, { from: `${to.slice(0, 7)}-01`, to }));
  const movers = db
    .selectFrom('usage_movers')
    .select(['org_id', 'quantity as now', 'previous_quantity as before']);
  const moved = byOrg(await movers.execute());
  const silent = byOrg(await db.selectFrom('silent_organizations').select(['org_id', 'last_day']).execute());
  const limits = Map.groupBy(await readLimits(db), ({ org_id }) => org_id);
  const gaps = byOrg(await countGapsByOrg(db));
  return organizations.map((organization) => {
    const { orgId } = organization;
    const [sum, move, gap] = [sums.get(orgId), moved.get(orgId), gaps.get(orgId)];
    const own: readonly LimitState[] = (limits.get(orgId) ?? []).map(({ org_id: _, ...limit }) => limit);
    return {
      ...organization,
      /** On the newest day of the month that is stored. */
      devices: sum?.devices ?? null,
      /** The billable ones of the month to date. */
      payloads: sum?.payloads ?? null,
      /** Those of the days that are stored in both months, and of the same days of the month before. */
      compared: move === undefined ? null : { now: move.now, before: move.before },
      /** The one that is passed first, or else the nearest. */
      limit: own[0] ?? null,
      /** The one that will be passed first of those that were not; null if none will. */
      nextLimit: own.find(({ crossesOn }) => crossesOn !== null && crossesOn > to) ?? null,
      /** The last day with payloads, if three or more stored days since had none. */
      silentSince: silent.get(orgId)?.last_day ?? null,
      missing: gap?.missing ?? 0,
      inDoubt: gap?.inDoubt ?? 0,
    };
  });
}

function byOrg<Row extends { readonly org_id: string }>(rows: readonly Row[]): ReadonlyMap<string, Row> {
  return new Map(rows.map((row) => [row.org_id, row]));
}

async function readSums(db: Kysely<Schema>, { from, to }: DayRange) {
  return await db
    .selectFrom('usage_days')
    .select((eb) => [
      'org_id',
      eb.cast<number | null>(eb.fn.sum('payload_billable_count'), 'bigint').as('payloads'),
      sql<number | null>`(${eb.fn
        .agg('array_agg', ['devices_total'])
        .orderBy('usage_date', 'desc')
        .filterWhere('devices_total', 'is not', null)})[1]`.as('devices'),
    ])
    .where((eb) => eb.between('usage_date', from, to))
    .groupBy('org_id')
    .execute();
}

/** `readLimits` returns every limit, of an organization the one that is passed first, or else the greatest share, first. */
async function readLimits(db: Kysely<Schema>) {
  return await db
    .selectFrom('usage_vs_limits as u')
    .select(['u.org_id', 'u.limit_name as name', 'u.crosses_on as crossesOn'])
    .select((eb) => [
      eb.cast<number | null>('u.share', 'float8').as('share'),
      eb.cast<number | null>('u.projected_share', 'float8').as('projectedShare'),
    ])
    .where('u.metric', 'is not', null)
    .orderBy('u.org_id')
    .orderBy('u.crosses_on', (by) => by.asc().nullsLast())
    .orderBy('u.share', (by) => by.desc().nullsLast())
    .execute();
}

async function countGapsByOrg(db: Kysely<Schema>) {
  return await db
    .selectFrom('coverage_gaps')
    .select('org_id')
    .select(({ fn }) => [
      fn.countAll<number>().filterWhere('standing', '=', 'missing').as('missing'),
      fn.countAll<number>().filterWhere('standing', '=', 'in_doubt').as('inDoubt'),
    ])
    .groupBy('org_id')
    .execute();
}

/**
 * `readDailyPayloads` returns the billable payloads of each day of the range by organization; null where
 * they are not stored.
 */
export async function readDailyPayloads(
  db: Kysely<Schema>,
  { orgIds, range }: { readonly orgIds: readonly string[]; readonly range: DayRange },
): Promise<ReadonlyMap<string, readonly (number | null)[]>> {
  const { rows } = await sql<{ org_id: string; payloads: readonly (number | null)[] }>`
    select o.org_id, json_agg(d.payload_billable_count order by day) as payloads
    from unnest(${orgIds}::text[]) as o (org_id)
    cross join losant_usage.days_between(${range.from}::date, ${range.to}::date) as day
    left join losant_usage.usage_days d on d.usage_date = day and d.org_id = o.org_id
    group by o.org_id`.execute(db);
  return new Map(rows.map(({ org_id, payloads }) => [org_id, payloads]));
}

/** The organizations and the days of two months, as of one reading. */
export type Overview = Awaited<ReturnType<typeof readOverview>>;

/** The metrics whose sums over all organizations are shown. */
const SUMMED = [
  ...(['payload_billable_count', 'payload_all_count', 'payload_all_bytes', 'notebook_minutes'] as const),
  ...(['devices_total', 'devices_created', 'devices_deleted'] as const),
];
export type SummedMetric = (typeof SUMMED)[number];

/** `readOverview` reads what the home page and the list of organizations show up to yesterday, `to`. */
export async function readOverview(db: Kysely<Schema>, to: UsageDay) {
  const days = await db
    .selectFrom(eachDayOf({ from: sameDaysOfLastMonth(to).from, to }))
    .leftJoin('usage_days as d', 'd.usage_date', 'each.day')
    .select('each.day')
    .select((eb) =>
      SUMMED.map((metric) => eb.cast<number | null>(eb.fn.sum(`d.${metric}`), 'bigint').as(metric)),
    )
    .groupBy('each.day')
    .orderBy('each.day')
    .execute();
  return {
    /** The last day shown: yesterday when it was read. */
    to,
    organizations: await readFigures(db, to),
    /** The sums over all organizations from the first day of the last month to `to`; null where no number is stored. */
    days,
  };
}

/** `eachDayOf` returns the days of a range as the table `each` of a statement. */
export function eachDayOf({ from, to }: DayRange) {
  const days = sql<{ day: UsageDay }>`losant_usage.days_between(${from}::date, ${to}::date)`;
  return days.as<'each'>(sql`each (day)`);
}

/** `sameDaysOfLastMonth` returns the days of the month before that of `to`, up to the same date or the month's end. */
export function sameDaysOfLastMonth(to: UsageDay): DayRange {
  const [year, month, date] = to.split('-').map(Number) as [number, number, number];
  const day = (of: number) => dayAt(Date.UTC(year, month - 2, of));
  const last = dayAt(Date.UTC(year, month - 1, 0));
  return { from: day(1), to: daysFrom(day(date), last) >= 0 ? day(date) : last };
}
