/** Lists of instances and organizations. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { type DayRange, daysFrom, type UsageDay } from '../usage/day.ts';

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
    .where((eb) => eb('org_id', '=', eb.fn.any(eb.val(orgIds))))
    .execute();
  return orgIds.filter((orgId) => known.every(({ org_id }) => org_id !== orgId));
}

/**
 * The orders of a list of organizations, greatest first: `payloads` billable in the month to date,
 * `change` against the same days of the last month, `share` of the limit of payloads, `gaps`; or by
 * `name`.
 */
export const ORGANIZATION_ORDERS = ['name', 'payloads', 'change', 'share', 'gaps'] as const;
export type OrganizationOrder = (typeof ORGANIZATION_ORDERS)[number];

export interface OrganizationQuery {
  /** Part of a name or referral id, or the beginning of an id; empty for all. */
  readonly search: string;
  /** The page, from 1. */
  readonly page: number;
  /** The last day shown. */
  readonly to: UsageDay;
  readonly order: OrganizationOrder;
}

/** The number of organizations that match a search, and of those that were deleted in Losant. */
export interface OrganizationCounts {
  readonly count: number;
  readonly deleted: number;
}

export interface OrganizationList extends OrganizationCounts {
  readonly organizations: readonly OrganizationLine[];
}

/** An organization with the stored numbers of its last days. */
export interface OrganizationLine {
  readonly orgId: string;
  readonly instanceId: string;
  readonly name: string;
  readonly removedAt: Instant | null;
  /** The devices at about the end of the newest stored day; null if none is stored. */
  readonly devices: number | null;
  /** Billable payloads by day, oldest first; null where they are not stored. */
  readonly payloads: readonly (number | null)[];
  /** Billable payloads of the same days of the last month; null if none is stored. */
  readonly lastMonth: number | null;
  /** The number of gaps of any age. */
  readonly gaps: number;
}

/** The number of days of a sparkline, enough for every month to date. */
export const DAYS_SHOWN = 31;
export const ORGANIZATIONS_PER_PAGE = 50;

/** `readOrganizationList` returns a page of the organizations that match. */
export async function readOrganizationList(
  db: Kysely<Schema>,
  { search, page, to, order }: OrganizationQuery,
): Promise<OrganizationList> {
  const last = sameDaysOfLastMonth(to);
  const { rows } = await sql<OrganizationLine>`
    with page as materialized (
      select o.org_id, o.instance_id, o.name, o.removed_at, ranked.rank
      from losant_usage.organizations o left join (${rankBy(order, to)}) as ranked on ranked.org_id = o.org_id
      where ${matching(search)} order by ranked.rank desc nulls last, lower(o.name), o.org_id
      limit ${ORGANIZATIONS_PER_PAGE} offset ${(page - 1) * ORGANIZATIONS_PER_PAGE}
    ), gaps as (
      select g.org_id, count(*) as gaps from losant_usage.coverage_gaps g
      where g.org_id = any (array(select p.org_id from page p)) group by g.org_id
    )
    select p.org_id as "orgId", p.instance_id as "instanceId", p.name, p.removed_at as "removedAt",
      u.devices, u.payloads, b.payloads as "lastMonth", coalesce(g.gaps, 0) as gaps
    from page p
    cross join lateral (
      select json_agg(d.payload_billable_count order by day) as payloads,
        (array_agg(d.devices_total order by day desc) filter (where d.devices_total is not null))[1] as devices
      from losant_usage.days_between(${to}::date - ${DAYS_SHOWN - 1}::integer, ${to}::date) as day
      left join losant_usage.usage_days d on d.usage_date = day and d.org_id = p.org_id
    ) as u
    cross join lateral (
      select sum(d.payload_billable_count)::bigint as payloads
      from losant_usage.days_between(${last.from}::date, ${last.to}::date) as day
      join losant_usage.usage_days d on d.usage_date = day and d.org_id = p.org_id
    ) as b
    left join gaps g on g.org_id = p.org_id
    order by p.rank desc nulls last, lower(p.name), p.org_id`.execute(db);
  return { ...(await countOrganizations(db, matching(search))), organizations: rows };
}

/** `countOrganizations` counts the organizations `o` that meet the condition. */
export async function countOrganizations(
  db: Kysely<Schema>,
  condition: RawBuilder<boolean>,
): Promise<OrganizationCounts> {
  return await db
    .selectFrom('organizations as o')
    .select(({ fn }) => [
      fn.countAll<number>().as('count'),
      fn.countAll<number>().filterWhere('o.removed_at', 'is not', null).as('deleted'),
    ])
    .where(condition)
    .executeTakeFirstOrThrow();
}

/** `rankBy` selects `org_id` and the `rank` by which organizations are ordered. */
function rankBy(order: OrganizationOrder, to: UsageDay): RawBuilder<unknown> {
  const month = { from: `${to.slice(0, 7)}-01`, to };
  const last = sameDaysOfLastMonth(to);
  const inside = ({ from, to: end }: DayRange) => sql`usage_date between ${from}::date and ${end}::date`;
  switch (order) {
    case 'name':
      return sql`select null::text as org_id, null::numeric as rank where false`;
    case 'payloads':
      return sql`select org_id, sum(payload_billable_count) as rank from losant_usage.usage_days
        where ${inside(month)} group by org_id`;
    case 'change':
      return sql`select org_id, sum(payload_billable_count) filter (where ${inside(month)})
          - sum(payload_billable_count) filter (where ${inside(last)}) as rank
        from losant_usage.usage_days where ${inside(month)} or ${inside(last)} group by org_id`;
    case 'share':
      return sql`select org_id, share as rank from losant_usage.usage_vs_limits where metric = 'payload_billable_count'`;
    case 'gaps':
      return sql`select org_id, count(*)::numeric as rank from losant_usage.coverage_gaps group by org_id`;
  }
}

/** `sameDaysOfLastMonth` returns the days of the month before that of `to`, up to the same date or the month's end. */
export function sameDaysOfLastMonth(to: UsageDay): DayRange {
  const [year, month, date] = to.split('-').map(Number) as [number, number, number];
  const day = (of: number) => new Date(Date.UTC(year, month - 2, of)).toISOString().slice(0, 10);
  const last = new Date(Date.UTC(year, month - 1, 0)).toISOString().slice(0, 10);
  return { from: day(1), to: daysFrom(day(date), last) >= 0 ? day(date) : last };
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

/**
 * The share of its limit of payloads that an organization has used in the period that contains
 * yesterday; 1 is all of it.
 */
export interface PayloadShare {
  /** The share; null for a limit of 0. */
  readonly share: number | null;
  readonly projectedShare: number | null;
  /** The day on which the limit is passed at the present rate; null if it is not. */
  readonly crossesOn: UsageDay | null;
}

/** The number of shares kept in memory, of about 200 bytes each. */
const SHARES_MAX = 200_000;

/**
 * `readPayloadShares` returns the share of every organization that has a limit; none if there are too
 * many to keep in memory. It takes a second at 10,000 organizations.
 */
export async function readPayloadShares(db: Kysely<Schema>): Promise<ReadonlyMap<string, PayloadShare>> {
  const rows = await db
    .selectFrom('usage_vs_limits')
    .select(['org_id', 'share', 'projected_share', 'crosses_on'])
    .where('metric', '=', 'payload_billable_count')
    .limit(SHARES_MAX + 1)
    .execute();
  if (rows.length > SHARES_MAX) return new Map();
  return new Map(
    rows.map(({ org_id, share, projected_share, crosses_on }) => [
      org_id,
      { share: toShare(share), projectedShare: toShare(projected_share), crossesOn: crosses_on },
    ]),
  );
}

/** `toShare` converts a fraction, which is no billed number, to a number. */
export function toShare(numeric: string | null): number | null {
  return numeric === null ? null : Number(numeric);
}
