import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';

/** An organization as last seen, and its numbers by day. */
export interface Organization {
  readonly orgId: string;
  readonly instanceId: string;
  readonly instanceName: string | null;
  readonly name: string;
  readonly referralId: string | null;
  readonly planId: string | null;
  readonly customerId: string | null;
  readonly tags: readonly { readonly key: string; readonly value: string }[];
  readonly isReadOnly: boolean;
  readonly disabledAt: Instant | null;
  readonly removedAt: Instant | null;
  readonly createdAt: Instant | null;
  readonly firstSeenAt: Instant;
  readonly lastSeenAt: Instant;
  /** Why its attributes could not be read when it was last listed. */
  readonly problem: string | null;
  /** Every day that was asked for, oldest first. */
  readonly days: readonly OrganizationDay[];
  /** Payloads by type on the days whose sources are held: the types with most of the range, and the others together. */
  readonly payloads: readonly TypeCount[];
}

/** The numbers of a day; null where they are not held, or not tracked. */
export interface OrganizationDay {
  readonly day: UsageDay;
  readonly devicesCreated: number | null;
  readonly devicesDeleted: number | null;
  readonly devicesTotal: number | null;
  readonly notebookMinutes: number | null;
  readonly payloadBillableCount: number | null;
  readonly payloadAllCount: number | null;
  readonly payloadAllBytes: number | null;
  readonly payloadSourceCount: number | null;
  /** Streams that are tracked. */
  readonly tracked: readonly string[];
  /** Streams whose zeros stand for a day that Losant left out. */
  readonly unreported: readonly string[];
  /** Tracked streams that are not final. */
  readonly open: readonly string[];
}

export interface TypeCount {
  readonly day: UsageDay;
  /** Null: all types that are not among the largest. */
  readonly type: string | null;
  readonly count: number;
}

export interface OrganizationRequest {
  readonly orgId: string;
  readonly range: DayRange;
}

/** So many types are told apart; the others are one. */
const TYPES_SHOWN = 6;

/** Null: no such organization was ever seen. */
export async function readOrganization(
  db: Kysely<Schema>,
  request: OrganizationRequest,
): Promise<Organization | null> {
  const { rows } = await sql<Omit<Organization, 'days' | 'payloads'>>`
    select o.org_id as "orgId", o.instance_id as "instanceId", i.name as "instanceName", o.name,
      o.referral_id as "referralId", o.plan_id as "planId", o.customer_id as "customerId", o.tags,
      o.is_read_only as "isReadOnly", o.disabled_at as "disabledAt", o.removed_at as "removedAt",
      o.created_at as "createdAt", o.first_seen_at as "firstSeenAt", o.last_seen_at as "lastSeenAt", o.problem
    from losant_usage.organizations o
    join losant_usage.instances i on i.instance_id = o.instance_id
    where o.org_id = ${request.orgId}`.execute(db);
  const [organization] = rows;
  if (organization === undefined) return null;
  const days = await readDays(db, request);
  return { ...organization, days, payloads: await readTypes(db, request) };
}

async function readDays(
  db: Kysely<Schema>,
  { orgId, range }: OrganizationRequest,
): Promise<OrganizationDay[]> {
  const { rows } = await sql<OrganizationDay>`
    with numbers as materialized (
      select * from losant_usage.daily_usage
      where org_id = ${orgId} and usage_date between ${range.from}::date and ${range.to}::date
    ), tracks as materialized (
      select stream, days, unread_days from losant_usage.tracked where org_id = ${orgId}
    ), open as materialized (
      select c.usage_date, c.stream, c.state, c.reported
      from losant_usage.days_between(${range.from}::date, ${range.to}::date) as day
      join losant_usage.open_cells c on c.usage_date = day and c.org_id = ${orgId}
    )
    select day, n.devices_created as "devicesCreated", n.devices_deleted as "devicesDeleted",
      n.devices_total as "devicesTotal", n.notebook_minutes as "notebookMinutes",
      n.payload_billable_count as "payloadBillableCount", n.payload_all_count as "payloadAllCount",
      n.payload_all_bytes as "payloadAllBytes", n.payload_source_count as "payloadSourceCount",
      (select coalesce(json_agg(t.stream), '[]') from tracks t where day <@ t.days) as tracked,
      (select coalesce(json_agg(c.stream), '[]') from open c
       where c.usage_date = day and c.state in ('loaded', 'final') and not c.reported) as unreported,
      (select coalesce(json_agg(c.stream), '[]') from (
         select c.stream from open c where c.usage_date = day and c.state <> 'final'
         union all select t.stream from tracks t where day <@ t.unread_days) as c) as open
    from losant_usage.days_between(${range.from}::date, ${range.to}::date) as day
    left join numbers n on n.usage_date = day
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
