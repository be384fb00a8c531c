import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { UsageDay } from '../usage/day.ts';

/** The period that holds yesterday, to date, beside a limit of an organization: a row of usage_vs_limits. */
export interface LimitUse {
  readonly limitName: string;
  readonly from: UsageDay;
  readonly to: UsageDay;
  /** `losant`: the organization's own billing period. */
  readonly source: 'calendar' | 'losant';
  readonly daysExpected: number;
  readonly daysHeld: number;
  /** Null: nothing that is counted here is bounded by it. */
  readonly metric: string | null;
  readonly unit: string | null;
  readonly limit: number;
  /** Null: none is held. */
  readonly quantity: number | null;
  /** Of the limit, 1 is all of it; null for a limit of 0. */
  readonly share: number | null;
  /** What the period comes to if it goes on like this. */
  readonly projected: number | null;
  readonly projectedShare: number | null;
}

/** By name, those that bound what is counted first. */
export async function readLimits(db: Kysely<Schema>, orgId: string): Promise<LimitUse[]> {
  const { rows } = await sql<LimitUse>`
    select limit_name as "limitName", period_start as "from", period_end as "to", source,
      days_expected as "daysExpected", days_held as "daysHeld", metric, unit, limit_quantity as "limit", quantity,
      share::float8 as share, projected_quantity as projected, projected_share::float8 as "projectedShare"
    from losant_usage.usage_vs_limits where org_id = ${orgId}
    order by metric is null, limit_name`.execute(db);
  return rows;
}

/** How much of its limit of payloads an organization has used in the period that holds yesterday. */
export type PayloadShare = Pick<LimitUse, 'share' | 'projectedShare'>;

/** About 200 bytes each. */
const SHARES_MAX = 200_000;

/** By organization, of those that have a limit; none where there are too many to be held. Takes a second at 10,000. */
export async function readPayloadShares(db: Kysely<Schema>): Promise<ReadonlyMap<string, PayloadShare>> {
  const { rows } = await sql<PayloadShare & { readonly orgId: string }>`
    select org_id as "orgId", share::float8 as share, projected_share::float8 as "projectedShare"
    from losant_usage.usage_vs_limits where metric = 'payload_billable_count'
    limit ${SHARES_MAX + 1}`.execute(db);
  return new Map(rows.length > SHARES_MAX ? [] : rows.map(({ orgId, ...share }) => [orgId, share]));
}
