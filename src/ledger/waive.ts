import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { type CellKey, WAIVED } from '../usage/cell.ts';
import type { DayRange } from '../usage/day.ts';
import { FIRST_DAY, type Policy } from '../usage/policy.ts';
import { keysOf, setCells } from './coverage.ts';
import { createExpectedCellsOf, lockOrgs } from './expected.ts';
import { inTransaction } from './lease.ts';
import { liftWaivers } from './load.ts';
import { computeOurSums } from './sums.ts';

export interface Waiver {
  readonly orgId: string;
  /** Null for all streams. */
  readonly streams: readonly string[] | null;
  readonly range: DayRange;
  readonly reason: string;
  readonly policy: Policy;
}

/**
 * Whether a person may waive the cell: a gap, an unavailable cell, a stored one without a further read, or one
 * that was waived before.
 */
const IS_WAIVABLE = sql<boolean>`standing in ('missing', 'in_doubt', 'unavailable')
  or (standing = 'stored' and next_read_at is null) or (standing = 'waived' and reason = ${WAIVED})`;

/**
 * Waives the cells of the range that a person may waive, and records who did it and why. Later checkpoints are read
 * nevertheless, and a good read lifts the waiver. Repeating a waiver replaces its reason. Returns the cells, oldest
 * first. Throws SettingsError if there are none.
 */
export async function waiveCells(db: Kysely<Schema>, waiver: Waiver): Promise<CellKey[]> {
  const { orgId, streams, range, reason, policy } = waiver;
  const waivedCells = await inTransaction({ db, lease: null }, async (trx) => {
    await lockOrgs(trx, [orgId], FIRST_DAY);
    // A cell that no run has created yet can be missing too.
    await createExpectedCellsOf(trx, [orgId], policy);
    const cells = await trx
      .selectFrom('cells')
      .select(['instance_id as instanceId', 'org_id as orgId', 'stream', 'usage_date as day'])
      .select(IS_WAIVABLE.as('isWaivable'))
      .where('org_id', '=', orgId)
      .where('usage_date', '>=', range.from)
      .where('usage_date', '<=', range.to)
      .where((eb) => (streams === null ? eb.lit(true) : eb('stream', 'in', [...streams])))
      .orderBy('usage_date')
      .orderBy('stream')
      .execute();
    const waivableCells = cells.filter(({ isWaivable }) => isWaivable);
    if (waivableCells.length === 0) throw toNothingWaivedError(waiver, cells.length);
    await setCells(trx, {
      set: sql`standing = 'waived', failed_reads = 0, reason = ${WAIVED}, detail = ${reason}`,
      where: sql`(c.usage_date, c.org_id, c.stream) in (
        select k.usage_date, k.org_id, k.stream from ${keysOf(waivableCells)})`,
    });
    await liftWaivers(trx, waivableCells, null);
    await trx
      .insertInto('waivers')
      .columns(['usage_date', 'stream', 'org_id', 'reason'])
      .expression((eb) =>
        eb
          .selectFrom(keysOf(waivableCells))
          .select(['k.usage_date', 'k.stream', 'k.org_id', sql<string>`${reason}`.as('reason')]),
      )
      .execute();
    return waivableCells;
  });
  const days = new Map(waivedCells.map(({ instanceId, day }) => [day, instanceId]));
  for (const [day, instanceId] of days) await computeOurSums({ db, lease: null, instanceId }, day);
  return waivedCells.map(({ orgId: org, stream, day }) => ({ orgId: org, stream, day }));
}

function toNothingWaivedError({ orgId, range }: Waiver, cells: number): SettingsError {
  const problem =
    cells === 0
      ? `no cells of organization ${orgId} are expected from ${range.from} to ${range.to}`
      : `every cell of organization ${orgId} from ${range.from} to ${range.to} is fine or will be read again`;
  return new SettingsError(`Nothing was waived: ${problem}`, {
    hint: 'losant-usage gaps --all lists what is missing, in doubt, unavailable or waived',
  });
}
