/**
 * Waives the cells before a creation date that moved later, and lifts these waivers when the date moves back. A waiver
 * of a person stays.
 */
import { type Kysely, type RawBuilder, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { BEFORE_CREATION } from '../usage/cell.ts';
import { updateCells } from './coverage.ts';
import type { RunLedger } from './load.ts';

type Run = Pick<RunLedger, 'instanceId' | 'runId'>;

/** Waives at most `limit` unstored cells before the creation date of their organization. Returns their number. */
export async function waiveCellsBeforeCreation(
  trx: Kysely<Schema>,
  { instanceId, runId }: Run,
  limit: number,
): Promise<number> {
  const cells = updateCells({
    limit,
    set: sql`next_read_at = null, standing = 'waived', reason = ${BEFORE_CREATION},
      detail = 'the organization was created later'`,
    where: sql`o.instance_id = ${instanceId} and c.usage_date < o.created_on and not c.is_stored
      and c.standing in ('waiting', 'missing', 'unavailable')`,
  });
  const { numAffectedRows = 0n } = await sql`
    with cells as (${cells} returning c.usage_date, c.org_id, c.stream)
    insert into losant_usage.waivers (usage_date, org_id, stream, reason, waived_by_run)
    select usage_date, org_id, stream, ${BEFORE_CREATION}, ${runId}::uuid from cells
    order by usage_date, org_id, stream`.execute(trx);
  return Number(numAffectedRows);
}

/**
 * Lifts the program's waivers of cells that are no longer before the creation date, and sets columns of the cells.
 * Returns their number.
 */
export async function liftWaiversBeforeCreation(
  trx: Kysely<Schema>,
  { instanceId, runId }: Run,
  { set, limit }: { readonly set: RawBuilder<unknown>; readonly limit: number },
): Promise<number> {
  const cells = updateCells({
    limit,
    set,
    where: sql`o.instance_id = ${instanceId} and o.deleted_on is null and c.usage_date >= o.created_on
      and c.standing = 'waived' and (c.usage_date, c.org_id, c.stream) in (
        select w.usage_date, w.org_id, w.stream from losant_usage.waivers w
        where w.kind = 'program' and w.lifted_at is null)`,
  });
  const { numAffectedRows = 0n } = await sql`
    with cells as (${cells} returning c.usage_date, c.org_id, c.stream)
    update losant_usage.waivers w set lifted_at = ${CLOCK}, lifted_by_run = ${runId}::uuid
    from cells k
    where w.usage_date = k.usage_date and w.org_id = k.org_id and w.stream = k.stream and w.lifted_at is null`.execute(
    trx,
  );
  return Number(numAffectedRows);
}
