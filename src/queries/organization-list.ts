import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';

export interface OrganizationQuery {
  /** Part of a name or referral id, or the beginning of an id; empty: all. */
  readonly search: string;
  /** From 1. */
  readonly page: number;
  /** The last of the days shown. */
  readonly to: UsageDay;
  /** By name, or by the billable payloads of the month of `to` up to it, the most first. */
  readonly order: 'name' | 'payloads';
}

export interface OrganizationList {
  /** How many match the search. */
  readonly count: number;
  readonly organizations: readonly OrganizationLine[];
}

/** An organization with the numbers that are held of its last days. */
export interface OrganizationLine {
  readonly orgId: string;
  readonly instanceId: string;
  readonly name: string;
  readonly removedAt: Instant | null;
  /** At about the end of the newest day held; null if none is. */
  readonly devices: number | null;
  /** Billable payloads by day, oldest first; null where they are not held. */
  readonly payloads: readonly (number | null)[];
  /** Gaps of any age. */
  readonly gaps: number;
}

/** So many that they hold every month to date. */
export const DAYS_SHOWN = 31;
export const ORGANIZATIONS_PER_PAGE = 50;

/** A page of the organizations that match. */
export async function readOrganizationList(
  db: Kysely<Schema>,
  { search, page, to, order }: OrganizationQuery,
): Promise<OrganizationList> {
  const matches = matchesOf(search);
  const used =
    order === 'name'
      ? sql`select null::text as org_id, null::numeric as payloads where false`
      : sql`select org_id, sum(payload_billable_count) as payloads from losant_usage.usage_days
          where usage_date between ${`${to.slice(0, 7)}-01`}::date and ${to}::date group by org_id`;
  const total = await sql<{ count: number }>`
    select count(*) as count from losant_usage.organizations o where ${matches}`.execute(db);
  const { rows } = await sql<OrganizationLine>`
    with page as materialized (
      select o.org_id, o.instance_id, o.name, o.removed_at, used.payloads as used
      from losant_usage.organizations o left join (${used}) as used on used.org_id = o.org_id
      where ${matches} order by used.payloads desc nulls last, lower(o.name), o.org_id
      limit ${ORGANIZATIONS_PER_PAGE} offset ${(page - 1) * ORGANIZATIONS_PER_PAGE}
    ), gaps as (
      select g.org_id, count(*) as gaps from losant_usage.coverage_gaps g
      where g.org_id = any (array(select p.org_id from page p)) group by g.org_id
    )
    select p.org_id as "orgId", p.instance_id as "instanceId", p.name, p.removed_at as "removedAt",
      u.devices, u.payloads, coalesce(g.gaps, 0) as gaps
    from page p
    cross join lateral (
      select json_agg(d.payload_billable_count order by day) as payloads,
        (array_agg(d.devices_total order by day desc) filter (where d.devices_total is not null))[1] as devices
      from losant_usage.days_between(${to}::date - ${DAYS_SHOWN - 1}::integer, ${to}::date) as day
      left join losant_usage.usage_days d on d.usage_date = day and d.org_id = p.org_id
    ) as u
    left join gaps g on g.org_id = p.org_id
    order by p.used desc nulls last, lower(p.name), p.org_id`.execute(db);
  return { count: total.rows[0]?.count ?? 0, organizations: rows };
}

/** The condition on an organization `o`: what is searched for is in its name or referral id, or begins its id. */
export function matchesOf(search: string) {
  const text = search.replaceAll(/[\\%_]/g, String.raw`\$&`);
  return sql`(${text} = '' or o.name ilike ${`%${text}%`} or o.referral_id ilike ${`%${text}%`}
    or o.org_id like ${`${text.toLowerCase()}%`})`;
}
