/** Loads answers: each is applied to its locked cell, and numbers, revisions and ledger are written together. */
import { type Kysely, sql } from 'kysely';
import { CLOCK } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { applyResponse, type StoredCell } from '../usage/apply.ts';
import { type CellKey, type CellResponse, cellId } from '../usage/cell.ts';
import { dayEndMs } from '../usage/day.ts';
import { isLate } from '../usage/policy.ts';
import { isSettled } from '../usage/standing.ts';
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
 * Loads a batch in one transaction: coverage, numbers and revisions together or not at all. The rows of coverage come
 * first, in key order, and serve as locks. Throws BusyError `lease_lost` if another process has taken over, AppError
 * if the clocks have moved apart, DatabaseError if a write was swallowed or changed.
 */
export async function loadBatch(ledger: RunLedger, batch: readonly SliceResponse[]): Promise<LoadedCell[]> {
  const { runId, instanceId, policy } = ledger;
  const answers = batch.flatMap((slice) => slice.answers);
  return await inTransaction(ledger, async (trx, atMs) => {
    for (const answer of answers) requireSentInTime(answer, atMs);
    const batchStreams = new Set(answers.map(({ stream }) => stream));
    const streams = streamNames.filter(
      (name) => batchStreams.has(name) || getStream(name).counterparts.some((each) => batchStreams.has(each)),
    );
    const locked = await lockCells(trx, answers, streams);
    const cells = applyAnswers(answers, locked, { policy, atMs });
    await writeCells(trx, cells, runId);
    await writeNumbers(trx, cells);
    await recordRevisions(trx, cells, runId);
    await invalidateSums(trx, instanceId, cells);
    await recordQuarantine(trx, batch, runId);
    await liftWaivers(trx, cells.filter(isLifted), runId);
    return cells;
  });
}

/** Catches a clock that jumped and came back: a response is sent after its day and not after now. */
function requireSentInTime({ day, sentAtMs }: CellResponse, atMs: number): void {
  requireDatabaseClock(Math.max(0, sentAtMs - atMs, dayEndMs(day) - sentAtMs));
}

/** Applies the responses, those first that others of the same day wait for. */
function applyAnswers(
  answers: readonly CellResponse[],
  locked: ReadonlyMap<string, StoredCell>,
  { policy, atMs }: Pick<RunLedger, 'policy'> & { readonly atMs: number },
): LoadedCell[] {
  const stored = new Map(locked);
  const order = ({ stream }: CellResponse) => streamNames.indexOf(stream);
  const sorted = answers.toSorted((a, b) => order(a) - order(b));
  return sorted.map((answer) => {
    const { orgId, stream, day } = answer;
    const before = stored.get(cellId(answer));
    if (before === undefined) throw new Error(`the cell ${cellId(answer)} has no row`);
    const counterparts = getStream(stream).counterparts.flatMap((name) => {
      const counterpart = stored.get(cellId({ orgId, stream: name, day }));
      return counterpart === undefined ? [] : [{ stream: name, ...counterpart }];
    });
    const applied = applyResponse({ ...before, response: answer, counterparts, policy });
    const { cell, numbers } = applied;
    const { standing } = cell;
    stored.set(cellId(answer), { cell, numbers: numbers ?? before.numbers });
    return {
      ...applied,
      orgId,
      stream,
      day,
      before: before.cell,
      standing: standing === 'waiting' && isLate(day, atMs) ? 'missing' : standing,
    };
  });
}

/** Puts changed numbers on record; a first load is no change. */
async function recordRevisions(
  trx: Kysely<Schema>,
  cells: readonly LoadedCell[],
  runId: string,
): Promise<void> {
  const rows = cells.flatMap(({ orgId, stream, day, before, cell, differences }) => {
    const key = { org_id: orgId, stream, usage_date: day, run_id: runId, revision: cell.revision };
    return differences === null ? [] : [{ ...key, ...differences, was_final: before.wasFinal }];
  });
  if (rows.length === 0) return;
  const { numAffectedRows = 0n } = await sql`
    insert into losant_usage.revisions (org_id, stream, usage_date, revision, old, new, was_final, run_id)
    select n.org_id, n.stream, n.usage_date, n.revision, n.old, n.new, n.was_final, n.run_id
    from ${recordsOf('revisions', rows)} as n order by n.usage_date, n.org_id, n.stream`.execute(trx);
  requireAll('revisions', rows.length, Number(numAffectedRows));
}

/** Unsets our sums of days on which a number changed or was settled; the end of the run adds them up again. */
async function invalidateSums(
  trx: Kysely<Schema>,
  instanceId: string,
  cells: readonly LoadedCell[],
): Promise<void> {
  const affectedCells = cells.filter(
    ({ before, cell, numbers }) =>
      numbers !== null || isSettled(before.standing) !== isSettled(cell.standing),
  );
  const changed = affectedCells.filter(({ numbers }) => numbers !== null);
  await invalidateSumsOf(trx, instanceId, affectedCells, changed);
}

/** Unsets our sums of the days of these cells. Losant's totals of numbers that changed are asked for again. */
export async function invalidateSumsOf(
  trx: Kysely<Schema>,
  instanceId: string,
  cells: readonly CellKey[],
  changed: readonly CellKey[] = [],
): Promise<void> {
  if (cells.length === 0) return;
  const days = [...new Set(cells.map(({ day }) => day))];
  await sql`
    insert into losant_usage.instance_totals (instance_id, usage_date, metric)
    select distinct ${instanceId}, k.usage_date, m.metric
    from ${keysOf(cells)} join losant_usage.metrics m on m.stream = k.stream
    order by k.usage_date, m.metric
    on conflict do nothing`.execute(trx);
  await sql`
    update losant_usage.instance_totals t set our_sum = null,
      last_read_at = case when not n.has_changed then t.last_read_at end
    from (
      select t.usage_date, t.metric, (t.usage_date, t.metric) in (
        select k.usage_date, m.metric from ${keysOf(changed)} join losant_usage.metrics m on m.stream = k.stream
      ) as has_changed
      from losant_usage.instance_totals t
      where t.instance_id = ${instanceId} and t.usage_date = any (${days}::date[])
        and (t.our_sum is not null or t.last_read_at is not null)
      order by t.usage_date, t.metric for update
    ) as n
    where t.instance_id = ${instanceId} and t.usage_date = n.usage_date and t.metric = n.metric
      and (t.our_sum is not null or n.has_changed)`.execute(trx);
}

function isLifted({ before, cell }: LoadedCell): boolean {
  return before.standing === 'waived' && cell.standing !== 'waived';
}

/** Ends the waivers of cells that had a good read or get another reason. */
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
