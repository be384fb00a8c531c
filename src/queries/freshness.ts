import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';

/** How far the numbers of one stream of one instance reach. */
export interface Freshness {
  readonly instanceId: string;
  readonly stream: string;
  /** First tracked day of any organization. */
  readonly trackedFrom: UsageDay;
  /** Organizations that exist and are collected. */
  readonly orgs: number;
  /** Those of them of which nothing is missing up to yesterday. */
  readonly orgsComplete: number;
  /** Newest day of which any number is held; null if there is none. */
  readonly newestDay: UsageDay | null;
  /** Newest day up to which there is no gap; null if nothing is held. */
  readonly completeTo: UsageDay | null;
  readonly gaps: number;
  readonly orgsWithGaps: number;
  readonly oldestGap: UsageDay | null;
}

/** One row per instance and stream, in their order. */
export async function readFreshness(db: Kysely<Schema>): Promise<Freshness[]> {
  const { rows } = await sql<Freshness>`
    select instance_id as "instanceId", stream, tracked_from as "trackedFrom", orgs_tracked as orgs,
      orgs_complete as "orgsComplete",
      newest_day as "newestDay", complete_to as "completeTo", gaps, orgs_with_gaps as "orgsWithGaps",
      oldest_gap as "oldestGap"
    from losant_usage.freshness order by instance_id, stream`.execute(db);
  return rows;
}
