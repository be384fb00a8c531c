import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { CellState } from '../usage/cell.ts';
import type { UsageDay } from '../usage/day.ts';

/** One tracked number of an organization: what is held of it. */
export interface TrackedCell {
  readonly stream: string;
  readonly day: UsageDay;
  readonly state: CellState | 'never_read';
  /** Missing, or in doubt, and not known to be; whatever its age. */
  readonly isMissing: boolean;
  /** Whether the newest accepted answer was asked for before `since`, and a later one could differ. */
  readonly isOpen: boolean;
  /** Why it is not held, for people; null if nothing is wrong. */
  readonly reason: string | null;
}

/**
 * All tracked cells of an organization up to yesterday, by stream and day. A few
 * thousand after years, found day by day by the key.
 */
export async function readTrackedCells(
  db: Kysely<Schema>,
  { orgId, nowMs, sinceMs }: { orgId: string; nowMs: number; sinceMs: number },
): Promise<TrackedCell[]> {
  const { rows } = await sql<TrackedCell>`
    select t.stream, day, coalesce(c.state, 'never_read') as state,
      coalesce(c.state is null or losant_usage.is_missing(c.state, c.error_code), false) as "isMissing",
      c.next_read_at is not null and coalesce(c.verified_at < ${new Date(sinceMs).toISOString()}::timestamptz, true)
        as "isOpen",
      case when c.state is null then 'it was never read' else coalesce(c.error_message, c.error_code) end as reason
    from losant_usage.tracked_at(${new Date(nowMs).toISOString()}::timestamptz) t
    cross join lateral losant_usage.each_day(t.days) as day
    left join lateral (
      select c.state, c.error_code, c.error_message, c.next_read_at, c.verified_at
      from losant_usage.coverage c
      where c.usage_date = day and c.stream = t.stream and c.org_id = t.org_id offset 0
    ) as c on true
    where t.org_id = ${orgId}
    order by t.stream, day`.execute(db);
  return rows;
}

/** How many devices the organization had at the end of a day; null if that is not held. */
export async function readDevices(
  db: Kysely<Schema>,
  { orgId, day }: { orgId: string; day: UsageDay },
): Promise<number | null> {
  const { rows } = await sql<{ total: number | null }>`
    select devices_total as total from losant_usage.usage_days
    where usage_date = ${day}::date and org_id = ${orgId}`.execute(db);
  return rows[0]?.total ?? null;
}
