import { type Kysely, sql } from 'kysely';
import { isAmong, isAny } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { SettingsError } from '../errors.ts';
import { showCode } from '../terminal/words.ts';
import { createZeros } from '../usage/apply.ts';
import { type CellKey, cellId, compareText, OMITTED, WAIVED } from '../usage/cell.ts';
import type { DayRange } from '../usage/day.ts';
import { findDifferences } from '../usage/numbers.ts';
import type { Policy } from '../usage/policy.ts';
import { getStream } from '../usage/streams/catalog.ts';
import { keysOf, liftWaivers, lockCells, setCells, writeNumbers } from './coverage.ts';
import { createExpectedCellsOf, lockCellsOf } from './expected.ts';
import { inTransaction } from './lease.ts';
import { recordRevisions } from './load.ts';
import { lockOrgs } from './tracks.ts';

export interface Waiver {
  readonly orgIds: readonly string[];
  /** Null for all streams. */
  readonly streams: readonly string[] | null;
  readonly range: DayRange;
  readonly reason: string;
  /** Whether zeros replace the numbers, which Losant has left out since they were stored. */
  readonly isZeroed: boolean;
  readonly policy: Policy;
}

/** Whether a person may waive a cell `c`: a gap, one that is unavailable or waived, or one that is not read in time. */
const IS_WAIVABLE = sql<boolean>`(c.standing in ('missing', 'in_doubt', 'unavailable', 'waived')
  or (c.standing = 'stored' and (c.next_read_at is null or c.failed_reads > 0
    or losant_usage_internal.is_overdue(c.next_read_at))))`;

/**
 * Waives the cells of the range that a person may waive, passes over others, and records who did it and why. They are
 * read again as planned, and a good read lifts the waiver. Repeating a waiver replaces its reason. Returns the cells,
 * oldest first. Throws SettingsError, and writes nothing, if there are none, or if a number that is to become zero is
 * not one that Losant has left out.
 */
export async function waiveCells(db: Kysely<Schema>, waiver: Waiver): Promise<CellKey[]> {
  return await inTransaction({ db, lease: null }, async (trx) => {
    await lockOrgs(trx, waiver.orgIds);
    await lockCellsOf(trx, waiver.orgIds, waiver.range.from);
    // A cell that no run has created yet can be missing too.
    await createExpectedCellsOf(trx, waiver.orgIds, waiver.policy);
    const cells = await readCells(trx, waiver);
    if (waiver.isZeroed) requireOmittedFlows(cells);
    const waivedCells = cells
      .filter(({ isWaivable }) => isWaivable)
      .map(({ orgId, stream, day }): CellKey => ({ orgId, stream, day }))
      .toSorted((a, b) => compareText(cellId(a), cellId(b)));
    if (waivedCells.length === 0) throw toNothingWaivedError(waiver, cells.length);
    if (waiver.isZeroed) await writeZeros(trx, waivedCells, waiver.reason);
    await writeWaivers(trx, waivedCells, waiver);
    return waivedCells;
  });
}

type WaiverCell = Awaited<ReturnType<typeof readCells>>[number];

async function readCells(trx: Kysely<Schema>, { orgIds, streams, range }: Waiver) {
  return await trx
    .selectFrom('cells as c')
    .select(['c.org_id as orgId', 'c.stream', 'c.usage_date as day', 'c.standing', 'c.reason'])
    .select(IS_WAIVABLE.as('isWaivable'))
    .where(isAny('c.org_id', orgIds))
    .where('c.usage_date', '>=', range.from)
    .where('c.usage_date', '<=', range.to)
    .where(isAmong('c.stream', streams))
    .execute();
}

/** Throws SettingsError for the first cell whose number Losant has not left out, or that is of a level. */
function requireOmittedFlows(cells: readonly WaiverCell[]): void {
  const isOmittedFlow = ({ stream, standing, reason }: WaiverCell) =>
    getStream(stream).kind === 'flow' && standing === 'in_doubt' && reason === OMITTED;
  const [cell] = cells.filter((each) => !isOmittedFlow(each)).toSorted((a, b) => compareText(cellId(a), cellId(b)));
  if (cell === undefined) return;
  const { orgId, stream, day, standing } = cell;
  throw new SettingsError(
    `Nothing was waived: ${stream} of organization ${orgId} on ${day} is ${showCode(standing)}, and ` +
      'only a flow that is in doubt because Losant left it out can become zero',
    {
      hint:
        'name only such cells, with --day and --stream: losant-usage gaps lists them; ' +
        'without --zero, waive keeps the stored number',
    },
  );
}

/** Replaces the numbers of cells, which the transaction has locked, by zeros. Each change is a revision. */
async function writeZeros(trx: Kysely<Schema>, keys: readonly CellKey[], reason: string): Promise<void> {
  const storedCells = await lockCells(trx, keys, [...new Set(keys.map(({ stream }) => stream))]);
  const updates = keys.map((key) => {
    const previous = storedCells.get(cellId(key));
    if (previous === undefined) throw new Error(`the cell ${cellId(key)} has no row`);
    const numbers = createZeros(key.stream);
    const cell = { ...previous, numbers, revision: previous.revision + 1 };
    return { previous, cell, differences: findDifferences(previous.numbers, numbers) };
  });
  await writeNumbers(
    trx,
    updates.map(({ cell }) => cell),
  );
  await recordRevisions(trx, updates, { runId: null, reason });
}

async function writeWaivers(
  trx: Kysely<Schema>,
  cells: readonly CellKey[],
  { reason, isZeroed }: Waiver,
): Promise<void> {
  const zeroed = isZeroed ? sql`is_reported = false, revision = c.revision + 1,` : sql``;
  await setCells(trx, {
    set: sql`${zeroed} standing = 'waived', failed_reads = 0, reason = ${WAIVED}, detail = ${reason}`,
    where: sql`(c.usage_date, c.org_id, c.stream) in (
      select k.usage_date, k.org_id, k.stream from ${keysOf(cells)} as k)`,
  });
  await liftWaivers(keysOf(cells), null).execute(trx);
  await sql`
    insert into losant_usage.waivers (usage_date, stream, org_id, reason)
    select k.usage_date, k.stream, k.org_id, ${reason} from ${keysOf(cells)} as k
    order by k.usage_date, k.org_id, k.stream`.execute(trx);
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
