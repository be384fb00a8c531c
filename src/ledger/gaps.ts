import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { DueScope } from './due.ts';

/**
 * Whether the ledger has a gap in a scope, or a number there whose newest read failed: what the command that asked for
 * these days answers for, whoever read them.
 */
export async function hasGaps(
  db: Kysely<Schema>,
  { instanceId, orgIds, streams, range }: DueScope,
): Promise<boolean> {
  const isMeant = sql`(${orgIds}::text[] is null or c.org_id = any (${orgIds}::text[]))
    and (${streams}::text[] is null or c.stream = any (${streams}::text[]))
    and (${range?.from ?? null}::date is null or c.usage_date >= ${range?.from ?? null}::date)
    and (${range?.to ?? null}::date is null or c.usage_date <= ${range?.to ?? null}::date)`;
  const { rows } = await sql<{ isGap: boolean }>`
    select exists (
      select from losant_usage.coverage_gaps c where c.instance_id = ${instanceId} and ${isMeant}
    ) or exists (
      select from losant_usage.coverage c join losant_usage.organizations o on o.org_id = c.org_id
      where o.instance_id = ${instanceId} and c.attempts > 0 and c.standing in ('stored', 'final') and ${isMeant}
    ) as "isGap"`.execute(db);
  return rows[0]?.isGap === true;
}
