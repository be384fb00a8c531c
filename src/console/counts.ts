/** Counts over all organizations, read in the background for the pages Home, Organizations and Months. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { MonthState, Schema } from '../database/schema.ts';
import { type MonthSum, readMonthSums, SUM_LABELS } from '../queries/month-sums.ts';
import type { UsageDay } from '../usage/day.ts';
import type { ReadPage } from './sources.ts';

export interface Counts {
  readonly organizations: readonly Activity[];
  /** `organizations` as JSON without nulls, for queries that join it. It is long, so it is created once. */
  readonly organizationsJson: string;
  readonly sums: readonly MonthSum[];
  readonly months: readonly MonthRow[];
}

/** Reads one count after the other, so that each has the time limit of a page. */
export async function readCounts(read: ReadPage, instanceIds: readonly string[]): Promise<Counts> {
  const organizations = await read((db) => readActivity(db, instanceIds));
  return {
    organizations,
    organizationsJson: JSON.stringify(organizations, (_, value: unknown) => value ?? undefined),
    months: await read((db) => readMonths(db, instanceIds)),
    sums: await read((db) => readMonthSums(db, instanceIds, Object.keys(SUM_LABELS))),
  };
}

/** The recent activity of an organization, and the limit that it has exceeded or will exceed first. */
export type Activity = {
  readonly org_id: string;
  readonly org_name: string;
  readonly payload_billable_count: number | null;
  readonly days_not_stored: number | null;
  /** The change of the month to date against the same days 28 days earlier: 0.5 is half as much again. */
  readonly change_ratio: number | null;
  readonly devices_total: number | null;
  readonly last_active_on: UsageDay | null;
  readonly is_new: boolean;
  readonly is_recently_deleted: boolean;
  readonly is_silent: boolean;
  readonly has_large_change: boolean;
  readonly limit_name: string | null;
  readonly limit_share: number | null;
  readonly exceeds_on: UsageDay | null;
  readonly is_exceeding: boolean;
};

async function readActivity(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
): Promise<readonly Activity[]> {
  const { rows } = await sql<Activity>`
    select a.org_id, o.name as org_name, a.payload_billable_count, a.days_not_stored, a.change_ratio::float8,
      a.devices_total, a.last_active_on, a.is_new, a.is_recently_deleted, a.is_silent, a.has_large_change,
      l.limit_name, l.share::float8 as limit_share, l.exceeds_on, coalesce(l.is_exceeded, false) as is_exceeding
    from losant_usage.organization_activity a
    join losant_usage.organizations o on o.org_id = a.org_id
    left join (
      select distinct on (u.org_id) u.org_id, u.limit_name, u.share, u.exceeds_on, u.is_exceeded
      from losant_usage.usage_vs_limits u
      where u.metric is not null order by u.org_id, u.is_exceeded desc, u.exceeds_on, u.share desc nulls last
    ) as l on l.org_id = a.org_id
    where a.instance_id = any (${instanceIds}::text[])
    order by a.org_id`.execute(db);
  return rows;
}

/** A month of an instance. */
export type MonthRow = {
  readonly month: UsageDay;
  /** Null if there is only one instance. */
  readonly instance_name: string | null;
  readonly state: MonthState;
  readonly causes: string | null;
  readonly closed_at: string | null;
  /** Organizations that keep the month from being ready, or that need an adjustment once it is closed (count). */
  readonly orgs: number | null;
  /** Billable payloads of the organizations that keep the month from being ready. */
  readonly affected_payloads: number | null;
  /** Billable payloads now, minus those billed. */
  readonly difference: number | null;
  readonly examples: readonly string[] | null;
};

/** Returns the newest month first. */
async function readMonths(db: Kysely<Schema>, instanceIds: readonly string[]): Promise<MonthRow[]> {
  const { rows } = await sql<MonthRow>`
    select m.month, m.closed_at, replace(array_to_string(m.causes, ', '), '_', ' ') as causes,
      case when cardinality(${instanceIds}::text[]) > 1 then coalesce(i.name, i.instance_id) end as instance_name,
      m.state, s.orgs, case when m.closed_at is null then s.payloads end as affected_payloads,
      case when m.closed_at is not null then s.payloads end as difference, s.examples
    from losant_usage.months m join losant_usage.instances i on i.instance_id = m.instance_id
    left join (
      select s.instance_id, s.month, s.causes is null as is_adjustment, count(*) as orgs,
        sum(s.affected_payloads)::bigint as payloads,
        (array_agg(s.org_name order by abs(s.affected_payloads) desc nulls first, s.org_id))[1:3] as examples
      from (${selectMonthIssues(null)}) as s where s.org_id is not null group by 1, 2, 3
    ) as s on s.instance_id = m.instance_id and s.month = m.month and s.is_adjustment = (m.closed_at is not null)
    where m.instance_id = any (${instanceIds}::text[])
    order by m.month desc, m.instance_id`.execute(db);
  return rows;
}

/**
 * Selects by organization what blocks past months, and what can be adjusted in closed ones: of one month, or of all.
 * An adjustment has no causes, and its affected payloads are the difference in billable payloads.
 */
export function selectMonthIssues(month: UsageDay | null): RawBuilder<unknown> {
  return sql`${selectBlockers(month)}
    union all
    select a.instance_id, a.month, a.org_id, a.org_name, null, null, null,
      (sum(a.quantity - coalesce(a.billed_quantity, 0)) filter (where a.metric = 'payload_billable_count'))::bigint
    from losant_usage.adjustments a where a.difference is not null and ${isOfMonth('a', month)}
    group by a.instance_id, a.month, a.org_id, a.org_name`;
}

/** Selects by organization or instance what blocks past months, with the billable payloads affected. */
export function selectBlockers(month: UsageDay | null): RawBuilder<unknown> {
  return sql`
    select b.instance_id, b.month, b.org_id, coalesce(b.org_name, i.name, b.instance_id) as org_name,
      max(b.state) as state,
      string_agg(concat_ws(' ', b.summary, b.first_day || '..' || b.last_day, b.detail), '; ') as causes,
      string_agg(b.remedy, E'\n') as remedy, (
        select sum(d.payload_billable_count)::bigint from losant_usage.usage_days d
        where d.org_id = b.org_id and d.usage_date between b.month and (b.month + interval '1 month')::date - 1
      ) as affected_payloads
    from losant_usage.month_blockers b join losant_usage.instances i on i.instance_id = b.instance_id
    where b.month < date_trunc('month', now() at time zone 'UTC')::date and ${isOfMonth('b', month)}
    group by b.instance_id, b.month, b.org_id, b.org_name, i.name`;
}

function isOfMonth(table: string, month: UsageDay | null): RawBuilder<boolean> {
  return month === null ? sql<boolean>`true` : sql<boolean>`${sql.ref(`${table}.month`)} = ${month}::date`;
}
