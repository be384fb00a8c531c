import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { earliestDay, latestDay, type UsageDay } from '../usage/day.ts';
import { daysOfMonth, type Month } from '../usage/period.ts';
import {
  type Blocker,
  readBilledInstances,
  readBlockers,
  readStatements,
  type Statement,
} from './statements.ts';

/** A month as it is invoiced: every organization's period of it, and what was closed. */
export interface InvoicedMonth {
  readonly month: Month;
  /**
   * By name; those of which no day is tracked come last. Who is not billable are those that `close`
   * refuses. Null: there are more than can be held in memory.
   */
  readonly periods: readonly OrganizationPeriod[] | null;
  readonly statements: readonly Statement[];
  /** Organizations of which a number differs now from what was closed and is not settled. */
  readonly differing?: number;
  /** Numbers of its days that are held, and are gaps all the same: Losant left them out since, or somebody changed them. */
  readonly doubted?: number;
}

/** A row of period_usage without most of the numbers, or what stands for one that is not there. */
export interface OrganizationPeriod {
  readonly orgId: string;
  readonly instanceId: string;
  readonly name: string;
  readonly referralId: string | null;
  readonly from: UsageDay;
  readonly to: UsageDay;
  /** Days that lie in no known billing period: there is no row of them. */
  readonly daysWithoutPeriod: number | null;
  readonly daysExpected: number;
  readonly daysHeld: number;
  readonly daysFinal: number;
  readonly daysWaived: number;
  readonly daysUnavailable: number;
  readonly daysUnreported: number;
  readonly daysUntracked: number;
  readonly isOver: boolean;
  readonly isWhole: boolean;
  readonly isBillable: boolean;
  /** Billable ones; null if no day is held. */
  readonly payloads: number | null;
  /** On the last day held. */
  readonly devices: number | null;
}

/** About 400 bytes each. */
export const PERIODS_MAX = 200_000;

/** Takes two seconds at 10,000 organizations. */
export async function readMonth(
  db: Kysely<Schema>,
  { month, today }: { readonly month: Month; readonly today: UsageDay },
): Promise<InvoicedMonth> {
  const statements = await readStatements(db, { month });
  const periods = await readPeriods(db, month);
  if (periods.length > PERIODS_MAX) return { month, periods: null, statements };
  for (const { instanceId, source } of await readBilledInstances(db)) {
    const blockers = await readBlockers(db, { instanceId, month, source });
    const others = blockers.filter(({ daysExpected }) => daysExpected === null);
    periods.push(...others.map((blocker) => toPeriod(blocker, { instanceId, today })));
  }
  const differing = statements.length === 0 ? 0 : await countDiffering(db, month);
  return { month, periods, statements, differing, doubted: await countDoubted(db, periods) };
}

async function countDoubted(db: Kysely<Schema>, periods: readonly OrganizationPeriod[]): Promise<number> {
  if (periods.length === 0) return 0;
  const from = periods.map((period) => period.from).reduce((a, b) => earliestDay(a, b));
  const to = periods.map((period) => period.to).reduce((a, b) => latestDay(a, b));
  const { rows } = await sql<{ numbers: number }>`
    select count(*)::integer as numbers from losant_usage.coverage_gaps
    where usage_date between ${from}::date and ${to}::date and state in ('loaded', 'final')`.execute(db);
  return rows[0]?.numbers ?? 0;
}

async function countDiffering(db: Kysely<Schema>, month: Month): Promise<number> {
  const { rows } = await sql<{ orgs: number }>`
    select count(distinct org_id)::integer as orgs from losant_usage.adjustments
    where period_month = ${`${month}-01`}::date`.execute(db);
  return rows[0]?.orgs ?? 0;
}

/** As statements have it: the month itself, or the billing periods of Losant that end in it. */
async function readPeriods(db: Kysely<Schema>, month: Month): Promise<OrganizationPeriod[]> {
  const { from, to } = daysOfMonth(month);
  const { rows } = await sql<OrganizationPeriod>`
    select org_id as "orgId", instance_id as "instanceId", org_name as name, referral_id as "referralId",
      period_start as "from", period_end as "to", null as "daysWithoutPeriod",
      days_expected as "daysExpected", days_held as "daysHeld",
      days_final as "daysFinal", days_waived as "daysWaived", days_unavailable as "daysUnavailable",
      days_unreported as "daysUnreported", days_untracked as "daysUntracked", is_over as "isOver",
      is_whole as "isWhole", is_billable as "isBillable", payload_billable_count as payloads, devices_total as devices
    from losant_usage.period_usage
    where days_expected > 0 and (source = 'calendar' and period_start = ${from}::date
      or source = 'losant' and period_end between ${from}::date and ${to}::date)
    order by lower(org_name), org_id, period_start limit ${PERIODS_MAX + 1}`.execute(db);
  return rows;
}

function toPeriod(
  { orgId, orgName, periodStart, periodEnd, daysWithoutPeriod }: Blocker,
  { instanceId, today }: { readonly instanceId: string; readonly today: UsageDay },
): OrganizationPeriod {
  return {
    ...{ orgId, instanceId, name: orgName, referralId: null, from: periodStart, to: periodEnd },
    ...{ daysWithoutPeriod, isOver: periodEnd < today, isWhole: false, isBillable: false },
    ...{ daysExpected: 0, daysHeld: 0, daysFinal: 0, daysWaived: 0, daysUnavailable: 0 },
    ...{ daysUnreported: 0, daysUntracked: 0, payloads: null, devices: null },
  };
}

/** A month with a tracked day. */
export interface MonthEntry {
  readonly month: Month;
  readonly isOver: boolean;
  /** For every instance that was collected in it. */
  readonly isClosed: boolean;
}

/** The newest first. */
export async function readMonths(db: Kysely<Schema>): Promise<MonthEntry[]> {
  const { rows } = await sql<MonthEntry>`
    select to_char(m.month, 'YYYY-MM') as month, m.next_month <= (now() at time zone 'UTC')::date as "isOver",
      not exists (
        select from losant_usage.instances i where exists (
          select from losant_usage.organizations o join losant_usage.tracking t on t.org_id = o.org_id
          where o.instance_id = i.instance_id and t.tracked_from < m.next_month) and not exists (
          select from losant_usage.statements s where s.instance_id = i.instance_id and s.period_month = m.month)) as "isClosed"
    from losant_usage.months m
    where m.next_month > (select min(tracked_from) from losant_usage.tracking)
      and m.month < (now() at time zone 'UTC')::date
    order by m.month desc`.execute(db);
  return rows;
}
