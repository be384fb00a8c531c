import { type Kysely, sql } from 'kysely';
import type { UsageDay } from '../../usage/day.ts';
import type { CellState, Instant, Schema } from '../schema.ts';

/** A promised number that is missing. */
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
      state, reason, next_attempt_at as "nextAttemptAt"
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
