import { type Kysely, sql } from 'kysely';
import { isAmong, isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { type CellKey, cellId, compareText, WAIVED } from '../usage/cell.ts';
import type { DayRange } from '../usage/day.ts';
import type { Policy } from '../usage/policy.ts';
import { streamNames } from '../usage/streams/catalog.ts';
import { countCellsOfOrg, keysOf, liftWaivers, setCells } from './coverage.ts';
import { IS_TRACK_ENDED, selectNextCheckpoint } from './due.ts';
import { createExpectedCellsOf } from './expected.ts';
import { computeOurSums } from './instances.ts';
import { eachPage, TRANSACTION_CELLS } from './lease.ts';
import { lockOrgs } from './tracks.ts';

export interface Waiver {
  readonly orgIds: readonly string[];
  /** Null for all streams. */
  readonly streams: readonly string[] | null;
  readonly range: DayRange;
  readonly reason: string;
  readonly policy: Policy;
  readonly transactionCells?: number;
}

/**
 * Whether a person may waive a cell `c`: a gap, an unavailable cell, one that was waived before, and one that does not
 * become final by itself, because no read is planned, reads fail, its instance is retired, or no run has read it
 * although it was due. A run that fails before it reads leaves only the error of its attempt.
 */
const IS_WAIVABLE = sql<boolean>`c.standing in ('missing', 'in_doubt', 'unavailable')
  or (c.standing = 'waived' and c.reason = ${WAIVED})
  or (c.standing = 'stored' and (c.next_read_at is null or c.failed_reads > 0 or exists (
    select from losant_usage.instances i where i.instance_id = c.instance_id and i.retired_at is not null)))
  or (c.standing in ('stored', 'final') and losant_usage_internal.is_overdue(c.next_read_at) and (
    exists (select from losant_usage.instances i where i.instance_id = c.instance_id
      and i.last_attempt_at > c.next_read_at and i.last_error is not null)
    or exists (select from losant_usage.runs r where r.instance_id = c.instance_id
      and r.started_at > c.next_read_at and r.finished_at is not null)))`;

/** Days of an ended track are not read again, as whoever waives them wants; an overdue one at its next checkpoint. */
const nextReadAt = (policy: Policy) => sql`case when ${IS_TRACK_ENDED} then null
  when losant_usage_internal.is_overdue(c.next_read_at) then ${selectNextCheckpoint(policy, sql`now()`)}
  else c.next_read_at end`;

/**
 * Waives the cells of the range that a person may waive, passes over others, and records who did it and why. Later
 * checkpoints are read nevertheless, and a good read lifts the waiver. Repeating a waiver replaces its reason, so one
 * that was interrupted between two pages of organizations can be repeated. Returns the cells, oldest first. Throws
 * SettingsError if there are none.
 */
export async function waiveCells(db: Kysely<Schema>, waiver: Waiver): Promise<CellKey[]> {
  const { orgIds, range, transactionCells = TRANSACTION_CELLS } = waiver;
  const instances = await db
    .selectFrom('organizations')
    .select('instance_id as instanceId')
    .distinct()
    .where(isAny('org_id', orgIds))
    .execute();
  const pages = {
    matches: isAny('o.org_id', orgIds),
    cells: countCellsOfOrg({ from: range.from, to: sql`(losant_usage_internal.today() - 1)` }, streamNames),
  };
  const waivedCells: CellKey[] = [];
  let passedCells = 0;
  for (const { instanceId } of instances) {
    const ledger = { db, instanceId, lease: null, transactionCells };
    const instanceCells: CellKey[] = [];
    await eachPage(ledger, pages, async (trx, pageOrgIds) => {
      const page = await waivePage(trx, { ...waiver, orgIds: pageOrgIds });
      instanceCells.push(...page.waivedCells);
      passedCells += page.passedCells;
    });
    for (const day of new Set(instanceCells.map((cell) => cell.day))) await computeOurSums(ledger, day);
    waivedCells.push(...instanceCells);
  }
  if (waivedCells.length === 0) throw toNothingWaivedError(waiver, passedCells);
  return waivedCells.toSorted((a, b) => compareText(cellId(a), cellId(b)));
}

/** Waives cells of a page of organizations, whose later cells it locks too. */
async function waivePage(trx: Kysely<Schema>, { orgIds, streams, range, reason, policy }: Waiver) {
  await lockOrgs(trx, orgIds);
  // A cell that no run has created yet can be missing too.
  await createExpectedCellsOf(trx, orgIds, { policy, lockFrom: range.from });
  const cells = await trx
    .selectFrom('cells as c')
    .select(['org_id as orgId', 'stream', 'usage_date as day'])
    .select(IS_WAIVABLE.as('isWaivable'))
    .where(isAny('org_id', orgIds))
    .where('usage_date', '>=', range.from)
    .where('usage_date', '<=', range.to)
    .where(isAmong('stream', streams))
    .execute();
  const waivedCells = cells.flatMap(({ isWaivable, ...key }) => (isWaivable ? [key] : []));
  await setCells(trx, {
    set: sql`standing = 'waived', failed_reads = 0, reason = ${WAIVED}, detail = ${reason},
      next_read_at = ${nextReadAt(policy)}`,
    where: sql`(c.usage_date, c.org_id, c.stream) in (
      select k.usage_date, k.org_id, k.stream from ${keysOf(waivedCells)} as k)`,
  });
  await liftWaivers(keysOf(waivedCells), null).execute(trx);
  await sql`
    insert into losant_usage.waivers (usage_date, stream, org_id, reason)
    select k.usage_date, k.stream, k.org_id, ${reason} from ${keysOf(waivedCells)} as k
    order by k.usage_date, k.stream, k.org_id`.execute(trx);
  return { waivedCells, passedCells: cells.length - waivedCells.length };
}

function toNothingWaivedError({ orgIds, range }: Waiver, cells: number): SettingsError {
  const subject = orgIds.length === 1 ? `organization ${orgIds[0]}` : `${orgIds.length} organizations`;
  const time = range.from === range.to ? `on ${range.from}` : `from ${range.from} to ${range.to}`;
  const problem =
    cells === 0
      ? `no cells of ${subject} are expected ${time}`
      : `every cell of ${subject} ${time} is fine or will be read again`;
  return new SettingsError(`Nothing was waived: ${problem}`, {
    hint: 'losant-usage gaps --all lists what is missing, in doubt, unavailable or waived',
  });
}
