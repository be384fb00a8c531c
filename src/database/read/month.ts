import { type Kysely, type RawBuilder, sql } from 'kysely';
import type { UsageDay } from '../../usage/day.ts';
import type { Instant, Schema } from '../schema.ts';

/** A month as it is invoiced: every organization's period of it, and what was closed. */
export interface Month {
  /** Its first day. */
  readonly month: UsageDay;
  /** By name. Null: there are more than can be held in memory. */
  readonly periods: readonly OrganizationPeriod[] | null;
  readonly statements: readonly StatementLine[];
}

/** A row of period_usage, without most of the numbers. */
export interface OrganizationPeriod {
  readonly orgId: string;
  readonly instanceId: string;
  readonly name: string;
  readonly referralId: string | null;
  readonly from: UsageDay;
  readonly to: UsageDay;
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

export interface StatementLine {
  readonly instanceId: string;
  /** 1 closes the month, others adjust it. */
  readonly number: number;
  /** Why it was closed though something was missing; null if nothing was. */
  readonly reason: string | null;
  readonly closedAt: Instant;
  readonly closedBy: string;
}

/** About 400 bytes each. */
export const PERIODS_MAX = 200_000;

/** `month`: its first day. Takes a second at 10,000 organizations. */
export async function readMonth(db: Kysely<Schema>, month: UsageDay): Promise<Month> {
  const { rows: periods } = await sql<OrganizationPeriod>`
    select org_id as "orgId", instance_id as "instanceId", org_name as name, referral_id as "referralId",
      period_start as "from", period_end as "to", days_expected as "daysExpected", days_held as "daysHeld",
      days_final as "daysFinal", days_waived as "daysWaived", days_unavailable as "daysUnavailable",
      days_unreported as "daysUnreported", days_untracked as "daysUntracked", is_over as "isOver",
      is_whole as "isWhole", is_billable as "isBillable", payload_billable_count as payloads, devices_total as devices
    from losant_usage.period_usage where ${isInvoicedWith(month)}
    order by lower(org_name), org_id, period_start limit ${PERIODS_MAX + 1}`.execute(db);
  const { rows: statements } = await sql<StatementLine>`
    select instance_id as "instanceId", number, reason, closed_at as "closedAt", closed_by as "closedBy"
    from losant_usage.statements where period_month = ${month}::date order by instance_id, number`.execute(
    db,
  );
  return { month, periods: periods.length > PERIODS_MAX ? null : periods, statements };
}

/** As statements have it: the month itself, or the billing periods of Losant that end in it. */
function isInvoicedWith(month: UsageDay): RawBuilder<boolean> {
  return sql`(source = 'calendar' and period_start = ${month}::date
    or source = 'losant' and period_end between ${month}::date and (${month}::date + interval '1 month')::date - 1)`;
}

/** A month with a tracked day. */
export interface MonthEntry {
  readonly month: UsageDay;
  readonly isOver: boolean;
  /** For every instance that was collected in it. */
  readonly isClosed: boolean;
}

/** The newest first. */
export async function readMonths(db: Kysely<Schema>): Promise<MonthEntry[]> {
  const { rows } = await sql<MonthEntry>`
    select m.month, m.next_month <= (now() at time zone 'UTC')::date as "isOver",
      not exists (
        select from losant_usage.instances i where i.tracked_from < m.next_month and not exists (
          select from losant_usage.statements s where s.instance_id = i.instance_id and s.period_month = m.month)) as "isClosed"
    from losant_usage.months m
    where m.next_month > (select min(tracked_from) from losant_usage.tracking)
      and m.month < (now() at time zone 'UTC')::date
    order by m.month desc`.execute(db);
  return rows;
}
