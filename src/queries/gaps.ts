import { type Kysely, sql } from 'kysely';
import type { Instant, Schema } from '../database/schema.ts';
import type { ExportScope } from '../ledger/due.ts';
import type { CellState } from '../usage/cell.ts';
import type { DayRange, UsageDay } from '../usage/day.ts';

/** A tracked number that is missing. */
export interface Gap {
  readonly instanceId: string;
  readonly orgId: string;
  readonly orgName: string;
  readonly stream: string;
  readonly day: UsageDay;
  readonly state: CellState | 'never_read';
  /** Why, for people. */
  readonly reason: string;
  /** Not tried again before; null if nothing keeps the next run from it. */
  readonly nextAttemptAt: Instant | null;
}

/** Every gap, newest day first. */
export async function readGaps(db: Kysely<Schema>): Promise<Gap[]> {
  const { rows } = await sql<Gap>`
    select instance_id as "instanceId", org_id as "orgId", org_name as "orgName", stream, usage_date as day,
      state, reason, next_read_at as "nextAttemptAt"
    from losant_usage.coverage_gaps
    order by usage_date desc, instance_id, org_id, stream`.execute(db);
  return rows;
}

/** Numbers that are known to be missing for good, and so are no gaps: unavailable or waived. Newest day first. */
export async function readKnownMissing(db: Kysely<Schema>): Promise<Gap[]> {
  const { rows } = await sql<Gap>`
    select instance_id as "instanceId", org_id as "orgId", org_name as "orgName", stream, usage_date as day,
      state, reason, null::timestamptz as "nextAttemptAt"
    from losant_usage.known_missing
    order by usage_date desc, instance_id, org_id, stream`.execute(db);
  return rows;
}

/**
 * How many gaps a run leaves in its scope beside those that it failed at itself:
 * the same gaps that `gaps` lists.
 */
export async function countGapsLeft(
  db: Kysely<Schema>,
  { instanceId, orgIds, streams, shard }: ExportScope,
  { nowMs, startedAtMs, range }: { nowMs: number; startedAtMs: number; range: DayRange | null },
): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::integer as count
    from losant_usage.coverage_gaps_at(${new Date(nowMs).toISOString()}::timestamptz) g
    where g.instance_id = ${instanceId}
      and (${orgIds}::text[] is null or g.org_id = any (${orgIds}::text[]))
      and (${streams}::text[] is null or g.stream = any (${streams}::text[]))
      and (${shard?.count ?? null}::integer is null
        or (hashtext(g.org_id) & 2147483647) % ${shard?.count ?? null}::integer = ${shard?.index ?? null}::integer)
      and (${range?.from ?? null}::date is null or g.usage_date between ${range?.from ?? null}::date and ${range?.to ?? null}::date)
      and not (g.attempts > 0 and coalesce(g.attempted_at >= ${new Date(startedAtMs).toISOString()}::timestamptz, false))`.execute(
    db,
  );
  return (rows[0] as { count: number }).count;
}
