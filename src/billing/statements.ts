import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { daysOfMonth, type Month, type PeriodSource } from '../usage/period.ts';

/** An instance this database collects for. */
export interface BilledInstance {
  readonly instanceId: string;
  readonly name: string | null;
  readonly source: PeriodSource;
}

export async function readBilledInstances(db: Kysely<Schema>): Promise<BilledInstance[]> {
  const { rows } = await sql<BilledInstance>`
    select instance_id as "instanceId", name, billing_periods as source
    from losant_usage.instances order by instance_id`.execute(db);
  return rows;
}

/** A closing or an adjustment of a month. */
export interface Statement {
  readonly statementId: string;
  readonly instanceId: string;
  readonly month: Month;
  readonly number: number;
  readonly kind: 'closing' | 'adjustment';
  readonly source: PeriodSource;
  readonly reason: string | null;
  readonly orgs: number;
  /** To the millisecond. */
  readonly closedAt: Instant;
  readonly closedBy: string;
  /** Of the proof pack's manifest, hex. */
  readonly manifestSha256: string;
}

/** The statements of a month, of all instances or one, in the order they were made. */
export async function readStatements(
  db: Kysely<Schema>,
  { month, instanceId = null }: { readonly month: Month; readonly instanceId?: string | null },
): Promise<Statement[]> {
  const { rows } = await sql<Statement>`
    select statement_id as "statementId", instance_id as "instanceId", to_char(period_month, 'YYYY-MM') as month,
      number, kind, source, reason, orgs, closed_at as "closedAt", closed_by as "closedBy",
      encode(manifest_sha256, 'hex') as "manifestSha256"
    from losant_usage.statements
    where period_month = ${`${month}-01`}::date and instance_id = coalesce(${instanceId}, instance_id)
    order by instance_id, number`.execute(db);
  return rows;
}

/** An organization that cannot be billed for a period that ends in the month, with the facts that say why. */
export interface Blocker {
  readonly orgId: string;
  readonly orgName: string;
  readonly periodStart: string;
  readonly periodEnd: string;
  /** Days that lie in no known period; all others are null then. */
  readonly daysWithoutPeriod: number | null;
  /** Days on which the organization existed. */
  readonly daysExisted: number | null;
  /** Null where no day is tracked. */
  readonly daysExpected: number | null;
  readonly daysHeld: number | null;
  readonly daysFinal: number | null;
  readonly isWhole: boolean | null;
}

/**
 * The organizations that were there in the month, are or were tracked since it began, and are not
 * billable. One that left the configuration before it is none of them.
 */
export async function readBlockers(
  db: Kysely<Schema>,
  { instanceId, month, source }: { instanceId: string; month: Month; source: PeriodSource },
): Promise<Blocker[]> {
  const { from, to } = daysOfMonth(month);
  const periods =
    source === 'calendar'
      ? sql`select o.org_id, ${from}::date as first_day, ${to}::date as last_day
          from losant_usage.organizations o`
      : sql`select org_id, period_start as first_day, period_end as last_day
          from losant_usage.losant_periods where period_end between ${from}::date and ${to}::date`;
  const { rows } = await sql<Blocker>`
    select o.org_id as "orgId", o.name as "orgName", p.first_day as "periodStart", p.last_day as "periodEnd",
      null::integer as "daysWithoutPeriod",
      least(p.last_day, o.removed_on) - greatest(p.first_day, o.created_on) + 1 as "daysExisted",
      u.days_expected as "daysExpected", u.days_held as "daysHeld", u.days_final as "daysFinal",
      u.is_whole as "isWhole"
    from losant_usage.organizations o
    join (${periods}) as p on p.org_id = o.org_id
    left join losant_usage.all_period_usage u
      on u.org_id = p.org_id and u.source = ${sql.lit(source)} and u.days_expected > 0
      and ${source === 'calendar' ? sql`u.period_start = ${from}::date` : sql`u.period_start = p.first_day`}
    where o.instance_id = ${instanceId} and u.is_billable is not true
      and greatest(p.first_day, o.created_on) <= least(p.last_day, o.removed_on)
      and exists (
        select from losant_usage.tracking t where t.org_id = o.org_id
          and (upper_inf(t.tracked_days) or upper(t.tracked_days) > p.first_day))
    union all
    select org_id, org_name, greatest(first_day, ${from}::date), least(last_day, ${to}::date),
      least(last_day, ${to}::date) - greatest(first_day, ${from}::date) + 1, null, null, null, null, null
    from losant_usage.days_without_period
    where ${sql.lit(source)} = 'losant' and instance_id = ${instanceId}
      and first_day <= ${to}::date and last_day >= ${from}::date
    order by "orgId", "periodStart"`.execute(db);
  return rows;
}

/** A period that shares days with one that another closed month has. */
export interface Overlap {
  readonly orgId: string;
  readonly orgName: string;
  readonly periodStart: string;
  readonly periodEnd: string;
  readonly closedMonth: Month;
}

/** A day is billed once: what a closed month has must not be in another. The first that is, or null. */
export async function findOverlap(db: Kysely<Schema>, statementId: string): Promise<Overlap | null> {
  const { rows } = await sql<Overlap>`
    select l.org_id as "orgId", l.org_name as "orgName", l.period_start as "periodStart",
      l.period_end as "periodEnd", to_char(s.period_month, 'YYYY-MM') as "closedMonth"
    from (
      select distinct org_id, org_name, period_start, period_end
      from losant_usage.statement_lines where statement_id = ${statementId}::uuid
    ) as l
    join losant_usage.statement_lines o on o.org_id = l.org_id and o.statement_id <> ${statementId}::uuid
      and o.period_start <= l.period_end and o.period_end >= l.period_start
    join losant_usage.statements s on s.statement_id = o.statement_id
    where row(o.period_start, o.period_end) <> row(l.period_start, l.period_end)
    order by l.org_id, l.period_start limit 1`.execute(db);
  return rows[0] ?? null;
}

/** What a statement says in all, one row per metric. */
export interface StatementTotal {
  readonly metric: string;
  readonly unit: string;
  readonly kind: 'flow' | 'level';
  readonly orgs: number;
  /** As text: it may be more than a number of JavaScript holds. Null if none is held. */
  readonly quantity: string | null;
}

export async function readTotals(db: Kysely<Schema>, statementId: string): Promise<StatementTotal[]> {
  const { rows } = await sql<StatementTotal>`
    select l.metric, l.unit, l.kind, count(distinct l.org_id)::integer as orgs, sum(l.quantity)::text as quantity
    from losant_usage.statement_lines l join losant_usage.metrics m on m.metric = l.metric
    where l.statement_id = ${statementId}::uuid
    group by l.metric, l.unit, l.kind, m.position order by m.position`.execute(db);
  return rows;
}

/** A line of a statement, as far as people look at it. */
export interface StatementLine {
  readonly orgId: string;
  readonly orgName: string;
  readonly periodStart: string;
  readonly periodEnd: string;
  readonly metric: string;
  readonly unit: string;
  /** As text, for it may be more than a number of JavaScript holds; null if none is held. */
  readonly quantity: string | null;
  readonly total: string | null;
  readonly daysExpected: number;
  readonly daysHeld: number;
  readonly isBillable: boolean;
}

export async function readLines(db: Kysely<Schema>, statementId: string): Promise<StatementLine[]> {
  const { rows } = await sql<StatementLine>`
    select l.org_id as "orgId", l.org_name as "orgName", l.period_start as "periodStart",
      l.period_end as "periodEnd", l.metric, l.unit, l.quantity::text, l.total::text,
      l.days_expected as "daysExpected",
      l.days_held as "daysHeld", l.is_billable as "isBillable"
    from losant_usage.statement_lines l join losant_usage.metrics m on m.metric = l.metric
    where l.statement_id = ${statementId}::uuid
    order by l.org_name, l.org_id, l.period_start, m.position`.execute(db);
  return rows;
}
