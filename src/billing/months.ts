/** Reads months, what blocks them, and what has changed since they were closed. */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { daysOfMonth, type Month, type UsageDay } from '../usage/day.ts';

export type MonthSummary = Awaited<ReturnType<typeof readMonths>>[number];

/** Returns the months, newest first, with their state. */
export async function readMonths(db: Kysely<Schema>) {
  const rows = await db
    .selectFrom('months')
    .select(['month', 'has_ended as hasEnded', 'state', 'causes', 'orgs_blocked as orgsBlocked'])
    .select(['orgs_to_adjust as orgsToAdjust', 'lines_to_adjust as linesToAdjust'])
    .select(['closed_at as closedAt', 'closed_by as closedBy', 'statements'])
    .orderBy('month', 'desc')
    .execute();
  return rows.map(({ month, ...row }) => ({ month: toMonth(month), ...row }));
}

/** Returns whether a month has ended, by the database's clock, and when it was closed. */
export async function readClosing(db: Kysely<Schema>, month: Month) {
  const { rows } = await sql<{ hasEnded: boolean; closedAt: string | null; closedBy: string | null }>`
    select m.month + interval '1 month' <= now() at time zone 'UTC' as "hasEnded",
      s.created_at as "closedAt", s.created_by as "closedBy"
    from (select ${toFirstDay(month)}::date as month) as m
    left join losant_usage.statements s on s.month = m.month and s.kind = 'closing'`.execute(db);
  return rows[0] as (typeof rows)[number];
}

export type Blocker = Awaited<ReturnType<typeof readMonthBlockers>>[number];

/** Returns what blocks a month: first what concerns all organizations, then by name; at most `limit` rows. */
export async function readMonthBlockers(db: Kysely<Schema>, month: Month, limit = 1_000) {
  return await db
    .selectFrom('month_blockers')
    .select(['org_id as orgId', 'org_name as orgName', 'cause', 'days', 'first_day as firstDay', 'last_day as lastDay'])
    .select(['streams', 'detail', 'remedy', 'state'])
    .where('month', '=', toFirstDay(month))
    .orderBy(sql`org_id is not null`)
    .orderBy('org_name')
    .orderBy('org_id')
    .orderBy('cause')
    .limit(limit)
    .execute();
}

export type Adjustment = Awaited<ReturnType<typeof readAdjustments>>[number];

/** Returns what an adjustment of a closed month would bill, the largest differences first; at most `limit` rows. */
export async function readAdjustments(db: Kysely<Schema>, month: Month, limit = 1_000) {
  return await db
    .selectFrom('adjustments')
    .select(['org_id as orgId', 'org_name as orgName', 'customer_id as customerId', 'metric', 'unit', 'cause'])
    .select(['billed_quantity as billedQuantity', 'quantity', 'difference'])
    .where('month', '=', toFirstDay(month))
    .orderBy(sql`abs(difference)`, 'desc')
    .orderBy('org_id')
    .orderBy('metric')
    .limit(limit)
    .execute();
}

export function toFirstDay(month: Month): UsageDay {
  return daysOfMonth(month).from;
}

export function toMonth(day: UsageDay): Month {
  return day.slice(0, 7);
}
