/** Counts over all organizations, made in the background, for home, the list of organizations and the months. */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';
import type { ReadPage } from './sources.ts';

export interface Counts {
  readonly organizations: readonly Activity[];
  /** The same as JSON for queries that join it, without what is null: it is long, and made once. */
  readonly activity: string;
  readonly sums: readonly MonthSum[];
  readonly months: readonly MonthRow[];
}

/** Counts one after the other, each with the time that a page has. */
export async function readCounts(read: ReadPage, instanceIds: readonly string[]): Promise<Counts> {
  const organizations = await read((db) => readActivity(db, instanceIds));
  return {
    organizations,
    activity: JSON.stringify(organizations, (_, value: unknown) => value ?? undefined),
    months: await read((db) => readMonths(db, instanceIds)),
    sums: await read((db) => readMonthSums(db, instanceIds)),
  };
}

/** The recent activity of an organization, and the limit that it passed or comes nearest to. */
export type Activity = {
  readonly org_id: string;
  readonly org_name: string;
  readonly payload_billable_count: number | null;
  readonly days_not_stored: number | null;
  /** The last 7 days beside the 4 weeks before, as a share. */
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
  /** The newest day that is missing, and in doubt. */
  readonly missing_on: UsageDay | null;
  readonly in_doubt_on: UsageDay | null;
};

/** Returns the organizations that usually use most first. */
async function readActivity(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
): Promise<readonly Activity[]> {
  const { rows } = await sql<Activity>`
    select a.org_id, o.name as org_name, a.payload_billable_count, a.days_not_stored, a.change_ratio::float8, a.devices_total,
      a.last_active_on, a.is_new, a.is_recently_deleted, a.is_silent, a.has_large_change, l.limit_name, l.share::float8 as limit_share,
      l.exceeds_on, g.missing_on, g.in_doubt_on
    from losant_usage.organization_activity a
    join losant_usage.organizations o on o.org_id = a.org_id
    left join (
      select distinct on (u.org_id) u.org_id, u.limit_name, u.share, u.exceeds_on from losant_usage.usage_vs_limits u
      where u.metric is not null order by u.org_id, u.share > 1 desc nulls last, u.exceeds_on, u.share desc nulls last
    ) as l on l.org_id = a.org_id
    left join (
      select g.org_id, max(g.usage_date) filter (where g.standing = 'missing') as missing_on,
        max(g.usage_date) filter (where g.standing = 'in_doubt') as in_doubt_on
      from losant_usage.coverage_gaps g group by g.org_id
    ) as g on g.org_id = a.org_id
    where a.instance_id = any (${instanceIds}::text[])
    order by a.baseline_quantity desc nulls last, a.org_id`.execute(db);
  return rows;
}

/** A number of all organizations in the month of yesterday, beside the same weekdays before. */
export interface MonthSum {
  readonly metric: keyof typeof SUM_LABELS;
  readonly from: UsageDay;
  readonly to: UsageDay;
  /** The sum of what is stored, of a level that of the newest day; null if nothing is. */
  readonly total: number | null;
  /** Numbers that are not stored although the organization existed (count). */
  readonly missing: number;
  /** The change over the numbers that have a counterpart, as a share. */
  readonly change_ratio: number | null;
}

export const SUM_LABELS = {
  payload_billable_count: 'Billable payloads',
  notebook_minutes: 'Notebook minutes',
  devices_total: 'Devices',
} as const;

async function readMonthSums(db: Kysely<Schema>, instanceIds: readonly string[]): Promise<MonthSum[]> {
  const sums = [];
  for (const metric of Object.keys(SUM_LABELS)) {
    const { rows } = await sql<MonthSum>`
      select ${metric} as metric, m.first_day as from, m.last_day as to, sum(u.quantity)::bigint as total,
        count(*) filter (where u.org_id is not null and u.quantity is null) as missing,
        (sum(u.quantity) filter (where u.previous_quantity is not null)
          / nullif(sum(u.previous_quantity) filter (where u.quantity is not null), 0) - 1)::float8 as change
      from (
        select date_trunc('month', yesterday::timestamp)::date as first_day, yesterday as last_day
        from (select (now() at time zone 'UTC')::date - 1 as yesterday) as y
      ) as m
      left join lateral losant_usage.usage_compared(${metric}, m.first_day, m.last_day, 'weekdays') as u
        on u.instance_id = any (${instanceIds}::text[]) and (${metric} <> 'devices_total' or u.usage_date = m.last_day)
      group by m.first_day, m.last_day`.execute(db);
    sums.push(...rows);
  }
  return sums;
}

/** A month of an instance. */
export type MonthRow = {
  readonly month: UsageDay;
  /** Null where there is only one instance. */
  readonly instance_name: string | null;
  readonly state: 'in_progress' | 'ready' | 'blocked' | 'closed' | 'needs_adjustment';
  readonly causes: string | null;
  readonly closed_at: string | null;
  /** The organizations that block it, or whose numbers are no longer those of the invoice (count). */
  readonly orgs: number | null;
  readonly at_stake: number | null;
  readonly difference: number | null;
  readonly examples: readonly string[] | null;
};

/** Returns the newest month first. */
async function readMonths(db: Kysely<Schema>, instanceIds: readonly string[]): Promise<MonthRow[]> {
  const { rows } = await sql<MonthRow>`
    select m.month, m.closed_at, replace(array_to_string(m.causes, ', '), '_', ' ') as causes,
      case when cardinality(${instanceIds}::text[]) > 1 then coalesce(i.name, i.instance_id) end as instance_name,
      m.state,
      f.orgs, case when m.closed_at is null then f.amount end as at_stake,
      case when f.has_difference then f.amount end as difference, f.examples
    from losant_usage.months m join losant_usage.instances i on i.instance_id = m.instance_id
    left join (
      select f.instance_id, f.month, f.causes is null as has_difference, count(*) as orgs,
        sum(f.amount)::bigint as amount,
        (array_agg(f.org_name order by abs(f.amount) desc nulls first, f.org_id))[1:3] as examples
      from (${selectFindings(null)}) as f where f.org_id is not null group by 1, 2, 3
    ) as f on f.instance_id = m.instance_id and f.month = m.month and f.has_difference = (m.closed_at is not null)
    where m.instance_id = any (${instanceIds}::text[])
    order by m.month desc, m.instance_id`.execute(db);
  return rows;
}

/**
 * Selects what blocks months that are over, and what differs of those that are closed, by organization: of one month,
 * or of all. There are no causes where a month differs, and the amount is the difference of billable payloads.
 */
export function selectFindings(month: UsageDay | null): RawBuilder<unknown> {
  return sql`${selectBlockers(month)}
    union all
    select a.instance_id, a.month, a.org_id, a.org_name, null, null,
      (sum(a.quantity - coalesce(a.billed_quantity, 0)) filter (where a.metric = 'payload_billable_count'))::bigint
    from losant_usage.adjustments a where ${isOfMonth('a', month)}
    group by a.instance_id, a.month, a.org_id, a.org_name`;
}

/** Selects what blocks months that are over, by organization or instance. The amount is that of billable payloads. */
export function selectBlockers(month: UsageDay | null): RawBuilder<unknown> {
  return sql`
    select b.instance_id, b.month, b.org_id, coalesce(b.org_name, i.name, b.instance_id) as org_name,
      string_agg(concat_ws(' ', replace(b.cause, '_', ' '), b.first_day || '..' || b.last_day, b.detail), '; ')
        as causes,
      string_agg(b.remedy, E'\n') as remedy, (
        select sum(d.payload_billable_count)::bigint from losant_usage.usage_days d
        where d.org_id = b.org_id and d.usage_date between b.month and (b.month + interval '1 month')::date - 1
      ) as amount
    from losant_usage.month_blockers b join losant_usage.instances i on i.instance_id = b.instance_id
    where b.month < date_trunc('month', now() at time zone 'UTC')::date and ${isOfMonth('b', month)}
    group by b.instance_id, b.month, b.org_id, b.org_name, i.name`;
}

function isOfMonth(table: string, month: UsageDay | null): RawBuilder<boolean> {
  return month === null ? sql<boolean>`true` : sql<boolean>`${sql.ref(`${table}.month`)} = ${month}::date`;
}
