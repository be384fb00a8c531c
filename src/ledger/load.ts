/** Loads responses: applies each to its locked cell, and writes numbers, revisions and ledger in one transaction. */
import { type Kysely, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { applyResponse, type StoredCell } from '../usage/apply.ts';
import { type CellKey, type CellResponse, cellId, type Verdict } from '../usage/cell.ts';
import { dayEndMs } from '../usage/day.ts';
import { hasNonzero } from '../usage/numbers.ts';
import { isLate } from '../usage/policy.ts';
import { getStream, streamNames } from '../usage/streams/catalog.ts';
import {
  keysOf,
  type LoadedCell,
  lockCells,
  recordsOf,
  requireAll,
  writeCells,
  writeNumbers,
} from './coverage.ts';
import { inTransaction, type LedgerWriter, requireDatabaseClock } from './lease.ts';
import { recordQuarantine, type SliceResponse } from './quarantine.ts';

/** The ledger of an instance as a run writes it. */
export interface RunLedger extends LedgerWriter {
  readonly runId: string;
}

/**
 * Loads a batch in one transaction, whose first locks are the rows of `coverage` in key order. Throws BusyError
 * `lease_lost` if another process has taken over, AppError `clock_skew` if clocks have drifted apart, and DatabaseError
 * if the database dropped or changed a write.
 */
export async function loadBatch(ledger: RunLedger, batch: readonly SliceResponse[]): Promise<LoadedCell[]> {
  const { runId, policy } = ledger;
  const responses = batch.flatMap((slice) => slice.responses);
  return await inTransaction(ledger, async (trx, atMs) => {
    for (const response of responses) requireSentInTime(response, atMs);
    const batchStreams = new Set(responses.map(({ stream }) => stream));
    const streams = streamNames.filter(
      (name) => batchStreams.has(name) || getStream(name).counterparts.some((each) => batchStreams.has(each)),
    );
    const lockedCells = await lockCells(trx, responses, streams);
    const cells = applyResponses(responses, lockedCells, { policy, atMs });
    await writeCells(trx, cells, runId);
    await writeNumbers(trx, cells);
    await recordRevisions(trx, cells, runId);
    await recordQuarantine(trx, batch, runId);
    await liftWaivers(trx, cells.filter(isWaiverLifted), runId);
    return cells;
  });
}

/** Catches a clock that jumped and came back: every request is sent after its day has ended, and not in the future. */
function requireSentInTime({ day, sentAtMs }: CellResponse, atMs: number): void {
  requireDatabaseClock(Math.max(0, sentAtMs - atMs, dayEndMs(day) - sentAtMs));
}

/**
 * Applies the responses: those that only omit something last, so that no zero is stored that its own batch contradicts,
 * and both in the order in which streams wait for each other.
 */
function applyResponses(
  responses: readonly CellResponse[],
  lockedCells: ReadonlyMap<string, StoredCell>,
  { policy, atMs }: Pick<RunLedger, 'policy'> & { readonly atMs: number },
): LoadedCell[] {
  const cellsById = new Map(lockedCells);
  const order = ({ stream, verdict }: CellResponse) =>
    (isOnlyOmission(verdict) ? streamNames.length : 0) + streamNames.indexOf(stream);
  const sorted = responses.toSorted((a, b) => order(a) - order(b));
  return sorted.map((response) => {
    const { orgId, stream, day, verdict } = response;
    const id = cellId(response);
    const storedCell = cellsById.get(id);
    if (storedCell === undefined) throw new Error(`the cell ${id} has no row`);
    const counterparts = getStream(stream).counterparts.flatMap((name) => {
      const counterpart = cellsById.get(cellId({ orgId, stream: name, day }));
      return counterpart === undefined ? [] : [{ stream: name, ...counterpart }];
    });
    const update = applyResponse({ ...storedCell, response, counterparts, policy });
    const { cell, numbers } = update;
    const { standing } = cell;
    // What was reported contradicts zeros of other streams even if it was not stored.
    const reportedNumbers =
      verdict.kind === 'reported' && hasNonzero(verdict.numbers) ? verdict.numbers : null;
    cellsById.set(id, { cell, numbers: numbers ?? storedCell.numbers ?? reportedNumbers });
    return {
      ...update,
      orgId,
      stream,
      day,
      previous: storedCell.cell,
      standing: standing === 'waiting' && isLate(day, atMs) ? 'missing' : standing,
    };
  });
}

/** Whether the response reports no number other than zero, and omits some. */
function isOnlyOmission(verdict: Verdict): boolean {
  if (verdict.kind !== 'reported') return verdict.kind === 'omitted';
  return verdict.omitted.length > 0 && !hasNonzero(verdict.numbers);
}

/** Adds a revision for each change of stored numbers. The first load of a cell is not a change. */
async function recordRevisions(
  trx: Kysely<Schema>,
  cells: readonly LoadedCell[],
  runId: string,
): Promise<void> {
  const rows = cells.flatMap(({ orgId, stream, day, previous, cell, differences }) => {
    const key = { org_id: orgId, stream, usage_date: day, run_id: runId, revision: cell.revision };
    return differences === null ? [] : [{ ...key, ...differences, was_final: previous.wasFinal }];
  });
  if (rows.length === 0) return;
  const { numAffectedRows = 0n } = await sql`
    insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id)
    select n.org_id, n.stream, n.usage_date, n.revision, n.old, n.new, n.was_final, n.run_id
    from ${recordsOf('revisions', rows)} as n order by n.usage_date, n.org_id, n.stream`.execute(trx);
  requireAll('revisions', rows.length, Number(numAffectedRows));
}

function isWaiverLifted({ previous, cell }: LoadedCell): boolean {
  return previous.standing === 'waived' && cell.standing !== 'waived';
}

/** Lifts the waivers of cells that had a good read, or that are about to get another one. */
export async function liftWaivers(
  trx: Kysely<Schema>,
  keys: readonly CellKey[],
  runId: string | null,
): Promise<void> {
  if (keys.length === 0) return;
  await trx
    .updateTable('waivers as w')
    .from(keysOf(keys))
    .set({ lifted_at: CLOCK, lifted_by_run: runId })
    .whereRef('w.usage_date', '=', 'k.usage_date')
    .whereRef('w.stream', '=', 'k.stream')
    .whereRef('w.org_id', '=', 'k.org_id')
    .where('w.lifted_at', 'is', null)
    .execute();
}
