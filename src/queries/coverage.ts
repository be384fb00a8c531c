import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';
import { matchesOf } from './organization-list.ts';

export interface CoverageQuery {
  /** Part of a name or referral id, or the beginning of an id; empty: all. */
  readonly search: string;
  /** Null: every instance. */
  readonly instanceId: string | null;
  /** Null: every stream. */
  readonly stream: string | null;
  /** Only organizations with such a cell in the range; null: all. */
  readonly only: 'gap' | 'known' | null;
  readonly range: DayRange;
  /** From 1. */
  readonly page: number;
}

export interface CoverageMap {
  /** How many organizations match. */
  readonly count: number;
  readonly organizations: readonly CoverageLine[];
}

export interface CoverageLine {
  readonly orgId: string;
  readonly instanceId: string;
  readonly name: string;
  readonly removedAt: Instant | null;
  /** The days of the range on which a stream is tracked. */
  readonly tracked: readonly DayRange[];
  /** The days that are not wholly final, in their order. */
  readonly days: readonly OpenDay[];
}

/** How many of a day's cells are not final; a cell counts once, in the first of these that fits. */
export interface OpenDay {
  readonly day: UsageDay;
  readonly gaps: number;
  readonly knownMissing: number;
  /** Held and not final yet, or not late yet. */
  readonly open: number;
}

export const ORGANIZATIONS_PER_MAP = 50;

/** A page of the organizations that match, by name, with how each of their days stands. */
export async function readCoverageMap(db: Kysely<Schema>, query: CoverageQuery): Promise<CoverageMap> {
  const matches = whereOf(query);
  const total = await sql<{ count: number }>`
    select count(*) as count from losant_usage.organizations o where ${matches}`.execute(db);
  const { rows: lines } = await sql<Omit<CoverageLine, 'tracked' | 'days'>>`
    select o.org_id as "orgId", o.instance_id as "instanceId", o.name, o.removed_at as "removedAt"
    from losant_usage.organizations o where ${matches}
    order by lower(o.name), o.org_id
    limit ${ORGANIZATIONS_PER_MAP} offset ${(query.page - 1) * ORGANIZATIONS_PER_MAP}`.execute(db);
  const orgIds = lines.map(({ orgId }) => orgId);
  const tracked = Map.groupBy(await readTracked(db, orgIds, query), ({ orgId }) => orgId);
  const days = Map.groupBy(await readOpenDays(db, orgIds, query), ({ orgId }) => orgId);
  const organizations = lines.map((line) => ({
    ...line,
    tracked: (tracked.get(line.orgId) ?? []).map(({ from, to }) => ({ from, to })),
    days: (days.get(line.orgId) ?? []).map(({ orgId: _, ...day }) => day),
  }));
  return { count: total.rows[0]?.count ?? 0, organizations };
}

function whereOf({ search, instanceId, only, ...cells }: CoverageQuery): RawBuilder<unknown> {
  const views = { gap: sql`losant_usage.coverage_gaps`, known: sql`losant_usage.known_missing` };
  const having =
    only === null
      ? sql`true`
      : sql`o.org_id = any (array(select c.org_id from ${views[only]} c where ${inside(cells)}))`;
  return sql`${matchesOf(search)} and (${instanceId}::text is null or o.instance_id = ${instanceId}) and ${having}`;
}

/** The condition on a cell `c`: of the range, and of the stream if there is one. */
function inside({ range, stream }: Pick<CoverageQuery, 'range' | 'stream'>): RawBuilder<unknown> {
  const days = sql`c.usage_date between ${range.from}::date and ${range.to}::date`;
  return stream === null ? days : sql`${days} and c.stream = ${stream}`;
}

async function readTracked(
  db: Kysely<Schema>,
  orgIds: readonly string[],
  { range, stream }: CoverageQuery,
): Promise<(DayRange & { orgId: string })[]> {
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

/** Day by day for the cells that were read: the organizations of a page are looked up in each day's part of an index. */
async function readOpenDays(
  db: Kysely<Schema>,
  orgIds: readonly string[],
  query: CoverageQuery,
): Promise<(OpenDay & { orgId: string })[]> {
  const cells = sql`c.org_id = any (${orgIds}::text[]) and ${inside(query)}`;
  const { rows } = await sql<OpenDay & { orgId: string }>`
    with marks as (
      select c.org_id, c.usage_date, c.stream, 1 as mark from losant_usage.coverage_gaps c where ${cells}
      union all
      select c.org_id, c.usage_date, c.stream, 2 from losant_usage.known_missing c where ${cells}
      union all
      select c.org_id, c.usage_date, c.stream, 3
      from losant_usage.days_between(${query.range.from}::date, ${query.range.to}::date) as day
      join losant_usage.open_cells c on c.usage_date = day and ${cells}
      where c.state <> 'final'
      union all
      select c.org_id, c.usage_date, c.stream, 3 from losant_usage.unread_cells c where ${cells}
    ), worst as (
      select org_id, usage_date, stream, min(mark) as mark from marks group by org_id, usage_date, stream
    )
    select org_id as "orgId", usage_date as day, count(*) filter (where mark = 1) as gaps,
      count(*) filter (where mark = 2) as "knownMissing", count(*) filter (where mark = 3) as open
    from worst group by org_id, usage_date order by org_id, usage_date`.execute(db);
  return rows;
}
