/** Queries that count the cells of each day by standing, by organization and over all of them. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { addDays, type DayRange, type UsageDay } from '../usage/day.ts';
import type { Standing, StandingCounts } from '../usage/standing.ts';
import { matching } from './organizations.ts';

export interface CoverageQuery {
  /** Part of a name or referral id, or the beginning of an id; empty for all. */
  readonly search: string;
  /** The instance; null for all. */
  readonly instanceId: string | null;
  /** The stream; null for all. */
  readonly stream: string | null;
  /** The standings of which an organization must have a cell in the range; null for all organizations. */
  readonly only: readonly Standing[] | null;
  readonly range: DayRange;
  /** The page, from 1. */
  readonly page: number;
}

export type CoverageMap = Awaited<ReturnType<typeof readCoverageMap>>;

/** An organization with the days on which a stream is tracked, and those with a cell that is not final, in order. */
export type CoverageLine = CoverageMap['organizations'][number];

/** The cells of a day that are not final, by standing. */
export interface OpenDay {
  readonly day: UsageDay;
  readonly counts: Readonly<Partial<StandingCounts>>;
}

export const ORGANIZATIONS_PER_MAP = 50;

/** `readCoverageMap` returns a page of the organizations that match, by name, with the standings of their days. */
export async function readCoverageMap(db: Kysely<Schema>, query: CoverageQuery) {
  const found = selectOrganizations(db, query);
  const counts = await found
    .select(({ fn }) => [
      fn.countAll<number>().as('count'),
      fn.countAll<number>().filterWhere('o.removed_at', 'is not', null).as('deleted'),
    ])
    .executeTakeFirstOrThrow();
  const lines = await found
    .select(['o.org_id as orgId', 'o.name'])
    .orderBy((eb) => eb.fn('lower', ['o.name']))
    .orderBy('o.org_id')
    .limit(ORGANIZATIONS_PER_MAP)
    .offset((query.page - 1) * ORGANIZATIONS_PER_MAP)
    .execute();
  const orgIds = lines.map(({ orgId }) => orgId);
  const tracked = Map.groupBy(await readTracked(db, orgIds, query), ({ orgId }) => orgId);
  const days = Map.groupBy(await readOpenDays(db, orgIds, query), ({ orgId }) => orgId);
  const organizations = lines.map((line) => ({
    ...line,
    tracked: tracked.get(line.orgId) ?? [],
    days: days.get(line.orgId) ?? [],
  }));
  return { ...counts, organizations };
}

function selectOrganizations(db: Kysely<Schema>, { search, instanceId, only, ...cells }: CoverageQuery) {
  let found = db.selectFrom('organizations as o').where(matching(search));
  if (instanceId !== null) found = found.where('o.instance_id', '=', instanceId);
  if (only === null) return found;
  // Standings are written out, because only constants let the index of gaps be used.
  return found.where(sql<boolean>`o.org_id = any (array(select c.org_id from losant_usage.cells c
    where c.standing in (${sql.join(only.map((standing) => sql.lit(standing)))}) and ${inside(cells)}))`);
}

/** `inside` returns the condition that a cell `c` is in the range and, if one is given, of the stream. */
function inside({ range, stream }: Pick<CoverageQuery, 'range' | 'stream'>): RawBuilder<unknown> {
  const days = sql`c.usage_date between ${range.from}::date and ${range.to}::date`;
  return stream === null ? days : sql`${days} and c.stream = ${stream}`;
}

async function readTracked(db: Kysely<Schema>, orgIds: readonly string[], { range, stream }: CoverageQuery) {
  const { rows } = await sql<DayRange & { orgId: string }>`
    select t.org_id as "orgId", lower(part) as "from", upper(part) - 1 as "to"
    from (
      select org_id, range_agg(days) * datemultirange(daterange(${range.from}::date, ${range.to}::date + 1)) as days
      from losant_usage.tracked
      where org_id = any (${orgIds}::text[]) and (${stream}::text is null or stream = ${stream})
      group by org_id
    ) as t cross join lateral unnest(t.days) as part
    order by t.org_id, part`.execute(db);
  return rows;
}

/**
 * `readOpenDays` reads day by day, so that the organizations of a page are looked up in each day's
 * part of an index.
 */
async function readOpenDays(db: Kysely<Schema>, orgIds: readonly string[], query: CoverageQuery) {
  const cells = sql`c.org_id = any (${orgIds}::text[]) and ${inside(query)}`;
  const { rows } = await sql<OpenDay & { orgId: string }>`
    with counts as (
      select org_id, usage_date, standing, count(*) as cells from (
        select c.org_id, c.usage_date, c.standing
        from losant_usage.days_between(${query.range.from}::date, ${query.range.to}::date) as day
        join losant_usage.read_cells c on c.usage_date = day and ${cells}
        where c.standing <> 'final'
        union all
        select c.org_id, c.usage_date, c.standing from losant_usage.unread_cells c where ${cells}
      ) as open group by org_id, usage_date, standing
    )
    select org_id as "orgId", usage_date as day, json_object_agg(standing, cells) as counts
    from counts group by org_id, usage_date order by org_id, usage_date`.execute(db);
  return rows;
}

/** The cells of a stream and day, over all instances and organizations, by standing. */
export interface HeatCell {
  readonly stream: string;
  readonly day: UsageDay;
  /** The number of tracked cells of any standing. */
  readonly tracked: number;
  /** The cells that are not final, by standing. */
  readonly counts: Readonly<Partial<StandingCounts>>;
}

const HEAT_DAYS = 90;

/**
 * `readHeatMap` returns a row for each stream that was ever tracked and day of the 90 days up to `to`, in
 * this order.
 */
export async function readHeatMap(db: Kysely<Schema>, to: UsageDay): Promise<HeatCell[]> {
  const from = addDays(to, 1 - HEAT_DAYS);
  const { rows } = await sql<HeatCell>`
    with parts as (
      -- Ranges of days instead of single ones: their bounds tell how many begin and end on a day.
      select t.stream, part from losant_usage.tracked t
      cross join lateral unnest(t.days * datemultirange(daterange(${from}::date, ${to}::date + 1))) as part
    ), changes as (
      select stream, day, sum(change) as change from (
        select stream, lower(part) as day, 1 as change from parts
        union all select stream, upper(part), -1 from parts
      ) as bounds group by stream, day
    ), open as (
      select stream, usage_date as day, standing, count(*) as cells from losant_usage.cells
      where standing <> 'final' and usage_date between ${from}::date and ${to}::date
      group by stream, usage_date, standing
    ), counts as (
      select stream, day, json_object_agg(standing, cells) as counts from open group by stream, day
    )
    select s.stream, d.day,
      (sum(coalesce(c.change, 0)) over (partition by s.stream order by d.day))::bigint as tracked,
      coalesce(n.counts, '{}') as counts
    from losant_usage.streams s
    cross join losant_usage.days_between(${from}::date, ${to}::date) as d (day)
    left join changes c on c.stream = s.stream and c.day = d.day
    left join counts n on n.stream = s.stream and n.day = d.day
    where exists (select from losant_usage.tracking t where t.stream = s.stream)
    order by s.position, d.day`.execute(db);
  return rows;
}
