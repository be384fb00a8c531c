import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import { addDays, type DayRange, dayAt, type UsageDay } from '../usage/day.ts';

export const SCOPES = ['instance_day', 'org_day', 'org_month'] as const;
/** What is compared: organizations' sum and instance, two metrics of an organization, a month and its summary. */
export type Scope = (typeof SCOPES)[number];

/** Two numbers that should be equal: a row of the view `reconciliation`. */
export interface Comparison {
  readonly scope: Scope;
  readonly instanceId: string;
  /** First day of the month. */
  readonly month: UsageDay;
  /** Null for `org_month`. */
  readonly day: UsageDay | null;
  /** Null for `instance_day`. */
  readonly orgId: string | null;
  readonly orgName: string | null;
  readonly isListed: boolean;
  readonly metric: string;
  readonly unit: string;
  /** Ours, as text: sums pass 2^53. Null: nothing is held. */
  readonly quantity: string | null;
  /** Theirs; null: Losant left it out. */
  readonly total: string | null;
  readonly difference: string | null;
  /** Null where they mean nothing for the scope. */
  readonly orgsMissing: number | null;
  readonly orgsRemoved: number | null;
  readonly daysMissing: number | null;
  readonly differs: boolean;
  readonly isFinal: boolean;
  readonly verifiedAt: Instant | null;
}

export interface ReconciliationScope {
  readonly range: DayRange;
  /** Null: all. */
  readonly instanceIds: readonly string[] | null;
  /** Whether rows that agree are wanted too. */
  readonly withEqual: boolean;
}

/** What was compared in the range, and where it differs. */
export interface Reconciliation {
  /** Usage days of instances whose totals were read. */
  readonly daysCompared: number;
  /** Summaries of organizations, by month. */
  readonly monthsCompared: readonly { readonly month: UsageDay; readonly organizations: number }[];
  readonly rows: readonly Comparison[];
}

/** The days of the range, and each month that it touches. A month is asked for on its own, which is quick. */
export async function readReconciliation(
  db: Kysely<Schema>,
  scope: ReconciliationScope,
): Promise<Reconciliation> {
  const { range, instanceIds } = scope;
  const { rows: days } = await sql<{ count: number }>`
    select count(distinct (instance_id, usage_date))::integer as count from losant_usage.instance_totals
    where usage_date between ${range.from}::date and ${range.to}::date
      and (${instanceIds}::text[] is null or instance_id = any (${instanceIds}::text[]))`.execute(db);
  const { rows: monthsCompared } = await sql<{ month: UsageDay; organizations: number }>`
    select month, count(*)::integer as organizations from losant_usage.monthly_summaries
    where resource_type = 'organization' and month between ${monthOf(range.from)}::date and ${range.to}::date
      and (${instanceIds}::text[] is null or instance_id = any (${instanceIds}::text[]))
    group by month order by month`.execute(db);
  const rows = [...(await readRows(db, scope, 'instance_day')), ...(await readRows(db, scope, 'org_day'))];
  for (const { month } of monthsCompared) rows.push(...(await readRows(db, scope, 'org_month', month)));
  return { daysCompared: (days[0] as { count: number }).count, monthsCompared, rows };
}

async function readRows(
  db: Kysely<Schema>,
  { range, instanceIds, withEqual }: ReconciliationScope,
  scope: Scope,
  month?: UsageDay,
): Promise<Comparison[]> {
  const when =
    month === undefined
      ? sql`r.usage_date between ${range.from}::date and ${range.to}::date`
      : sql`r.month = ${month}::date`;
  const { rows } = await sql<Comparison>`
    select r.scope, r.instance_id as "instanceId", r.month, r.usage_date as day, r.org_id as "orgId",
      r.org_name as "orgName", r.is_listed as "isListed", r.metric, r.unit, r.quantity::text as quantity,
      r.total::text as total, r.difference::text as difference, r.orgs_missing as "orgsMissing",
      r.orgs_removed as "orgsRemoved", r.days_missing as "daysMissing", r.differs, r.is_final as "isFinal",
      r.verified_at as "verifiedAt"
    from losant_usage.reconciliation r join losant_usage.metrics m on m.metric = r.metric
    where r.scope = ${sql.lit(scope)} and ${when} and (${withEqual}::boolean or r.differs)
      and (${instanceIds}::text[] is null or r.instance_id = any (${instanceIds}::text[]))
    order by r.instance_id, r.usage_date desc, r.month desc, r.org_name, r.org_id, m.position`.execute(db);
  return rows;
}

function monthOf(day: UsageDay): UsageDay {
  return `${day.slice(0, 7)}-01`;
}

/** By instance id and scope, how many final numbers of the last weeks differ. */
export type Differences = ReadonlyMap<string, Readonly<Record<Scope, number>>>;

/** A day is read for the last time 30 days after its end; a month at most as long after its own. */
const RECENT_DAYS = 35;

/** Counts the differences that stand: days of the last five weeks, and months that ended in the last nine. */
export async function countDifferences(db: Kysely<Schema>, nowMs: number): Promise<Differences> {
  const yesterday = addDays(dayAt(nowMs), -1);
  const range = { from: addDays(yesterday, 1 - RECENT_DAYS), to: yesterday };
  const scope = { range, instanceIds: null, withEqual: false };
  const { rows } = await readReconciliation(db, scope);
  const { rows: instances } = await sql<{ instanceId: string }>`
    select instance_id as "instanceId" from losant_usage.instances`.execute(db);
  const standing = rows.filter(({ isFinal }) => isFinal);
  return new Map(
    instances.map(({ instanceId }) => {
      const own = standing.filter((row) => row.instanceId === instanceId);
      const countOf = (of: Scope) => own.filter((row) => row.scope === of).length;
      const [instanceDay, orgDay, orgMonth] = SCOPES.map(countOf) as [number, number, number];
      return [instanceId, { instance_day: instanceDay, org_day: orgDay, org_month: orgMonth }];
    }),
  );
}

/** A question that the second witness has not answered. */
export interface WitnessProblem {
  readonly instanceId: string;
  /** A stream, or `monthly_summaries` and a month. */
  readonly question: string;
  readonly code: string;
  readonly reason: string;
  readonly nextReadAt: Instant | null;
}

export async function readWitnessProblems(
  db: Kysely<Schema>,
  instanceIds: readonly string[] | null,
): Promise<WitnessProblem[]> {
  const { rows } = await sql<WitnessProblem>`
    select instance_id as "instanceId", question, error_code as code, error_message as reason,
      next_read_at as "nextReadAt"
    from losant_usage.witness_reads
    where error_code is not null
      and (${instanceIds}::text[] is null or instance_id = any (${instanceIds}::text[]))
    order by instance_id, question`.execute(db);
  return rows;
}
