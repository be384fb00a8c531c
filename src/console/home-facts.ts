/** What the home page counts over all organizations. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';

/** A number of all organizations in the month of yesterday, beside the same weekdays before. */
export interface MonthSum {
  readonly metric: string;
  /** The first and the last day, and those that stand beside them. */
  readonly from: UsageDay;
  readonly to: UsageDay;
  /** The sum of what is stored, of a level that of the newest day; null if nothing is. */
  readonly total: number | null;
  /** Numbers that are not stored although the organization existed (count). */
  readonly missing: number;
  /** The sums of those numbers that have a counterpart, and of these counterparts. */
  readonly compared: number | null;
  readonly before: number | null;
  /** The sums by day. */
  readonly days: readonly (number | null)[];
}

/** The metrics that are shown, and whether they are levels. */
export const SUMMED = {
  payload_billable_count: { label: 'Billable payloads', isLevel: false },
  notebook_minutes: { label: 'Notebook minutes', isLevel: false },
  payload_all_count: { label: 'All payloads', isLevel: false },
  devices_total: { label: 'Devices', isLevel: true },
} as const;

/** Reads the month of yesterday to date; a number is compared where it and its counterpart are known. */
export async function readMonthSums(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
): Promise<readonly MonthSum[]> {
  const sums = [];
  for (const [metric, { isLevel }] of Object.entries(SUMMED)) {
    const { rows } = await sql<MonthSum>`
      with month as (
        select date_trunc('month', yesterday::timestamp)::date as first_day, yesterday as last_day
        from (select (now() at time zone 'UTC')::date - 1 as yesterday) as y
      ), days as (
        select u.usage_date, sum(u.quantity)::bigint as total, count(*) filter (where u.quantity is null) as missing,
          sum(u.quantity) filter (where u.before_quantity is not null)::bigint as compared,
          sum(u.before_quantity) filter (where u.quantity is not null)::bigint as before
        from month m
        cross join lateral losant_usage.usage_beside(${metric}, m.first_day, m.last_day, 'weekdays') as u
        where u.instance_id = any (${instanceIds}::text[])
        group by u.usage_date
      ), shown as (
        select d.* from days d, month m where not ${isLevel} or d.usage_date = m.last_day
      )
      select ${metric} as metric, m.first_day as from, m.last_day as to,
        (select sum(s.total)::bigint from shown s) as total, (select coalesce(sum(s.missing), 0)::bigint from shown s)
          as missing,
        (select sum(s.compared)::bigint from shown s) as compared, (select sum(s.before)::bigint from shown s) as
          before,
        (select coalesce(json_agg(d.total order by d.usage_date), '[]') from days d) as days
      from month m`.execute(db);
    sums.push(...rows);
  }
  return sums;
}

/** Organizations of which there is something to say, and the first of them. */
export interface Noted {
  readonly kind: 'crossing' | 'over' | 'silent' | 'moved' | 'new' | 'left';
  readonly orgs: number;
  readonly examples: readonly Example[];
}

export interface Example {
  readonly orgId: string;
  readonly name: string;
  /** A day, or a change in percent. */
  readonly detail: string | null;
}

/** Reads which organizations pass a limit, are silent, moved, came or left. */
export async function readNoted(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
): Promise<readonly Noted[]> {
  const { rows } = await sql<Noted>`
    with noted as (
      select k.kind, a.org_id, k.detail, row_number() over (partition by k.kind order by a.usual_quantity desc nulls
        last, a.org_id) as place
      from losant_usage.organization_activity a
      cross join lateral (values
        ('silent', a.is_silent, a.last_active_on::text),
        ('moved', a.is_moved and a.is_silent is not true, to_char(a.change * 100, 'SG99990') || ' %'),
        ('new', a.is_new, null), ('left', a.is_left, null)) as k (kind, holds, detail)
      where k.holds and a.instance_id = any (${instanceIds}::text[])
      union all
      select l.kind, l.org_id, l.detail, row_number() over (partition by l.kind order by l.detail, l.share desc,
        l.org_id)
      from (
        select distinct on (u.org_id) u.org_id, u.share, u.crosses_on::text as detail,
          case when u.crosses_on is null then 'over' else 'crossing' end as kind
        from losant_usage.usage_vs_limits u
        where (u.crosses_on is not null or u.share > 1) and u.instance_id = any (${instanceIds}::text[])
        order by u.org_id, u.crosses_on nulls first, u.share desc
      ) as l
    )
    select n.kind, count(*) as orgs,
      json_agg(json_build_object('orgId', o.org_id, 'name', o.name, 'detail', n.detail) order by n.place) filter
        (where n.place <= 3) as examples
    from noted n join losant_usage.organizations o on o.org_id = n.org_id
    group by n.kind`.execute(db);
  return rows;
}

/** An organization with many payloads in the month. */
export interface TopOrganization {
  readonly orgId: string;
  readonly name: string;
  readonly payloads: number;
  readonly daysMissing: number;
  readonly change: number | null;
}

/** Returns the organizations with the most billable payloads of the month of yesterday. */
export async function readTop(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
): Promise<readonly TopOrganization[]> {
  const { rows } = await sql<TopOrganization>`
    select a.org_id as "orgId", o.name, a.payload_billable_count as payloads, a.days_missing as "daysMissing",
      a.change::float8 as change
    from losant_usage.organization_activity a join losant_usage.organizations o on o.org_id = a.org_id
    where a.payload_billable_count > 0 and a.instance_id = any (${instanceIds}::text[])
    order by a.payload_billable_count desc, a.org_id limit 5`.execute(db);
  return rows;
}

/** The organizations with the newest gaps, by standing. */
export interface GapExamples {
  readonly standing: 'missing' | 'in_doubt';
  readonly orgs: number;
  readonly examples: readonly Example[];
}

export async function readGapExamples(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
): Promise<readonly GapExamples[]> {
  const { rows } = await sql<GapExamples>`
    select g.standing, count(*) as orgs,
      json_agg(json_build_object('orgId', g.org_id, 'name', g.org_name, 'detail', g.last_day) order by g.place) filter
        (where g.place <= 3) as examples
    from (
      select standing, org_id, org_name, max(usage_date) as last_day,
        row_number() over (partition by standing order by max(usage_date) desc, count(*) desc, org_id) as place
      from losant_usage.coverage_gaps where instance_id = any (${instanceIds}::text[])
      group by standing, org_id, org_name
    ) as g
    group by g.standing order by g.standing desc`.execute(db);
  return rows;
}

/** A month that is over and not invoiced as it is now. */
export interface OpenMonth {
  readonly instanceId: string;
  readonly instance: string;
  readonly month: UsageDay;
  readonly state: 'open' | 'blocked' | 'different';
  readonly causes: readonly string[] | null;
  readonly orgs: number;
  /** Billable payloads of the organizations that are blocked, or by which they differ. */
  readonly amount: number | null;
  readonly examples: readonly Example[];
}

/** The months that are shown in full. */
const MONTHS_MAX = 3;

/** Reads the newest months that are over and blocked, open, or different from what was invoiced. */
export async function readOpenMonths(
  db: Kysely<Schema>,
  instanceIds: readonly string[],
): Promise<readonly OpenMonth[]> {
  const { rows } = await sql<OpenMonth>`
    select m.instance_id as "instanceId", coalesce(i.name, i.instance_id) as instance, m.month, m.state, m.causes,
      coalesce(case m.state when 'different' then m.orgs_different else m.orgs_blocked end, 0) as orgs, s.amount,
        coalesce(s.examples, '[]') as examples
    from (
      select * from losant_usage.months
      where is_over and state <> 'closed' and instance_id = any (${instanceIds}::text[]) order by month desc,
        instance_id limit ${MONTHS_MAX}
    ) as m
    join losant_usage.instances i on i.instance_id = m.instance_id
    left join lateral (
      select sum(x.amount)::bigint as amount, json_agg(json_build_object('orgId', x.org_id, 'name', o.name, 'detail',
        null) order by x.place)
        filter (where x.place <= 3) as examples
      from (
        select u.org_id, u.amount, row_number() over (order by abs(u.amount) desc nulls last, u.org_id) as place
        from (
          select u.org_id, u.payload_billable_count as amount from losant_usage.monthly_usage u
          where m.state = 'blocked' and u.month = m.month and u.instance_id = m.instance_id and not u.is_billable
          union all
          select d.org_id, sum(d.difference) filter (where d.metric = 'payload_billable_count')::bigint from
            losant_usage.adjustments d
          where m.state = 'different' and d.month = m.month and d.instance_id = m.instance_id group by d.org_id
        ) as u
      ) as x join losant_usage.organizations o on o.org_id = x.org_id
    ) as s on true
    order by m.month desc, m.instance_id`.execute(db);
  return rows;
}
