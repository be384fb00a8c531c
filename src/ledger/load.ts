/** Loads answers: each is applied to its locked cell, and numbers, revisions and ledger are written together. */
import { type Kysely, sql } from 'kysely';
import { CLOCK, unnested } from '../database/expressions.ts';
import type { Schema } from '../database/schema.ts';
import { type Applied, apply, type Counterpart } from '../usage/apply.ts';
import {
  type Cell,
  type CellAnswer,
  type CellKey,
  type CellResult,
  cellId,
  compareText,
  type Reason,
} from '../usage/cell.ts';
import { dayEndMs } from '../usage/day.ts';
import { differencesOf, type Numbers } from '../usage/numbers.ts';
import { isLate, type Policy } from '../usage/policy.ts';
import { isSettled, type Standing } from '../usage/standing.ts';
import { streamNamed, streamNames } from '../usage/streams/catalog.ts';
import { keysOf, type LockedCells, lockCells, requireAll, writeCells } from './coverage.ts';
import { type BeginOptions, beginWriting, requireDatabaseClock } from './lease.ts';
import { type QuarantinedBody, recordQuarantine } from './quarantine.ts';
import type { RowCounts } from './runs.ts';

export interface Batch {
  readonly answers: readonly CellAnswer[];
  readonly quarantined: readonly QuarantinedBody[];
}

export interface LoadOptions extends BeginOptions {
  readonly runId: string;
  readonly instanceId: string;
  readonly policy: Policy;
}

/** The result for one cell of a batch. */
export interface LoadedCell {
  readonly answer: CellAnswer;
  readonly result: CellResult;
  readonly problem: Reason | null;
  /** Its standing now. */
  readonly standing: Standing;
  /** Whether numbers that were stored before have changed. */
  readonly isRestated: boolean;
  /** Whether it was final before. */
  readonly wasFinal: boolean;
}

export interface LoadResult {
  readonly cells: readonly LoadedCell[];
  readonly rows: RowCounts;
}

/** An answer applied to its locked cell. */
interface AppliedCell extends CellKey {
  readonly answer: CellAnswer;
  readonly before: Cell;
  readonly numbersBefore: Numbers | null;
  readonly applied: Applied;
}

/**
 * Loads a batch in one transaction: coverage, numbers and revisions together or not at all. The rows of coverage come
 * first, in key order, and serve as locks. Throws HeldError `lease_lost` if another process has taken over, ClockError
 * if the clocks have moved apart, DatabaseError if a write was swallowed or changed.
 */
export async function loadBatch(db: Kysely<Schema>, batch: Batch, options: LoadOptions): Promise<LoadResult> {
  const { runId, instanceId } = options;
  return await db.transaction().execute(async (trx) => {
    const atMs = await beginWriting(trx, options);
    for (const answer of batch.answers) if (options.now) requireSentInTime(answer, atMs);
    const named = new Set(batch.answers.map(({ stream }) => stream));
    const streams = streamNames.filter(
      (name) => named.has(name) || streamNamed(name).counterparts.some((each) => named.has(each)),
    );
    const locked = await lockCells(trx, batch.answers, streams);
    const cells = applyAnswers(batch.answers, locked, options);
    await writeCells(
      trx,
      cells.map(({ orgId, stream, day, applied }) => ({ orgId, stream, day, ...applied })),
      runId,
    );
    await recordRevisions(trx, cells, runId);
    await unsetSums(trx, instanceId, cells);
    await recordQuarantine(trx, batch.quarantined, runId);
    await liftWaivers(trx, cells.filter(isLifted), runId);
    return { cells: cells.map((cell) => toLoadedCell(cell, atMs)), rows: countRows(cells) };
  });
}

/** A clock that jumped and came back shows in what was sent in between. */
function requireSentInTime({ day, sentAtMs }: CellAnswer, atMs: number): void {
  requireDatabaseClock(Math.max(0, sentAtMs - atMs, dayEndMs(day) - sentAtMs));
}

/** Applies the answers, those first for which others of their day wait. */
function applyAnswers(
  answers: readonly CellAnswer[],
  { rows, numbersOf }: LockedCells,
  { policy }: LoadOptions,
): AppliedCell[] {
  const done = new Map<string, AppliedCell>();
  const counterpartOf = (key: CellKey): Counterpart[] => {
    const known = done.get(cellId(key));
    const cell = known?.applied.cell ?? rows.get(cellId(key));
    if (cell === undefined) return [];
    return [{ stream: key.stream, cell, numbers: known?.applied.numbers ?? numbersOf(key) }];
  };
  const order = (answer: CellAnswer) => `${streamNames.indexOf(answer.stream)} ${cellId(answer)}`;
  for (const answer of answers.toSorted((a, b) => compareText(order(a), order(b)))) {
    const { orgId, stream, day } = answer;
    const before = rows.get(cellId(answer));
    if (before === undefined) throw new Error(`the cell ${cellId(answer)} has no row`);
    const numbers = numbersOf(answer);
    const others = streamNamed(stream).counterparts;
    const counterparts = others.flatMap((other) => counterpartOf({ orgId, day, stream: other }));
    const applied = apply({ cell: before, numbers, answer, counterparts, policy });
    done.set(cellId(answer), { orgId, stream, day, answer, before, numbersBefore: numbers, applied });
  }
  return [...done.values()];
}

/** Puts changed numbers on record; a first load is no change. */
async function recordRevisions(
  trx: Kysely<Schema>,
  cells: readonly AppliedCell[],
  runId: string,
): Promise<void> {
  const rows = cells.flatMap(({ orgId, stream, day, before, numbersBefore, applied }) => {
    if (numbersBefore === null || applied.numbers === null) return [];
    const differences = differencesOf(numbersBefore, applied.numbers);
    return [
      {
        org_id: orgId,
        stream,
        usage_date: day,
        revision: applied.cell.revision,
        old: JSON.stringify(differences?.old),
        new: JSON.stringify(differences?.new),
        was_final: before.wasFinal,
        run_id: runId,
      },
    ];
  });
  if (rows.length === 0) return;
  const { numInsertedOrUpdatedRows = 0n } = await trx
    .insertInto('revisions')
    .columns(['org_id', 'stream', 'usage_date', 'revision', 'old', 'new', 'was_final', 'run_id'])
    .expression((eb) =>
      eb
        .selectFrom(
          unnested('n', rows, {
            org_id: 'text',
            stream: 'text',
            usage_date: 'date',
            revision: 'integer',
            old: 'jsonb',
            new: 'jsonb',
            was_final: 'boolean',
            run_id: 'uuid',
          }),
        )
        .selectAll('n')
        .orderBy('n.usage_date')
        .orderBy('n.org_id')
        .orderBy('n.stream'),
    )
    .executeTakeFirstOrThrow();
  requireAll('revisions', rows.length, Number(numInsertedOrUpdatedRows));
}

/** Unsets our sums of days on which a number changed or was settled; the end of the run adds them up again. */
async function unsetSums(
  trx: Kysely<Schema>,
  instanceId: string,
  cells: readonly AppliedCell[],
): Promise<void> {
  const moved = cells.filter(
    ({ before, applied }) =>
      applied.numbers !== null || isSettled(before.standing) !== isSettled(applied.cell.standing),
  );
  if (moved.length === 0) return;
  await unsetSumsOf(trx, instanceId, moved);
  // Losant's totals of numbers that changed are older than these, and asked for again.
  const changed = moved.filter(({ applied }) => applied.numbers !== null);
  await sql`
    update losant_usage.instance_totals t set verified_at = null
    from ${keysOf(changed)} join losant_usage.metrics m on m.stream = k.stream
    where t.instance_id = ${instanceId} and t.usage_date = k.usage_date and t.metric = m.metric
      and t.verified_at is not null`.execute(trx);
}

/** Unsets our sums of the days of these cells. */
export async function unsetSumsOf(
  trx: Kysely<Schema>,
  instanceId: string,
  cells: readonly CellKey[],
): Promise<void> {
  await sql`
    insert into losant_usage.instance_totals (instance_id, usage_date, metric)
    select distinct ${instanceId}, k.usage_date, m.metric
    from ${keysOf(cells)} join losant_usage.metrics m on m.stream = k.stream
    order by k.usage_date, m.metric
    on conflict do nothing`.execute(trx);
  await sql`
    update losant_usage.instance_totals t set our_sum = null
    from (
      select k.instance_id, k.usage_date, k.metric from losant_usage.instance_totals k
      where k.instance_id = ${instanceId} and k.usage_date = any (${[...new Set(cells.map(({ day }) => day))]}::date[])
        and k.our_sum is not null
      order by k.usage_date, k.metric for update
    ) as k
    where t.instance_id = k.instance_id and t.usage_date = k.usage_date and t.metric = k.metric`.execute(trx);
}

function isLifted({ before, applied }: AppliedCell): boolean {
  return before.standing === 'accepted' && applied.cell.standing !== 'accepted';
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

function toLoadedCell({ answer, before, numbersBefore, applied }: AppliedCell, atMs: number): LoadedCell {
  const { standing } = applied.cell;
  return {
    answer,
    result: applied.result,
    problem: applied.problem,
    standing: standing === 'waiting' && isLate(answer.day, atMs) ? 'missing' : standing,
    isRestated: numbersBefore !== null && applied.numbers !== null,
    wasFinal: before.wasFinal,
  };
}

function countRows(cells: readonly AppliedCell[]): RowCounts {
  const counts = { inserted: 0, updated: 0, deleted: 0, unchanged: 0 };
  for (const { numbersBefore, applied } of cells) {
    if (applied.numbers !== null) counts[numbersBefore === null ? 'inserted' : 'updated'] += 1;
    else if (applied.cell.isStored && applied.result === 'unchanged') counts.unchanged += 1;
  }
  return counts;
}
