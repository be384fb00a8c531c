/**
 * Loads answers: each is applied to its locked cell, and numbers, revisions and ledger are written
 * together.
 */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { apply } from '../usage/apply.ts';
import {
  type Applied,
  type AppliedCell,
  type CellAnswer,
  type CellKey,
  type CellResult,
  cellId,
  compareText,
  NOT_TRACKED,
  type Reason,
  unchanged,
  WAIVED,
} from '../usage/cell.ts';
import { dayEndMs, type UsageDay } from '../usage/day.ts';
import { changeCells, keysOf, type LockedCells } from './coverage.ts';
import {
  checkingKeys,
  compareWithHours,
  crossCheck,
  crossCheckOf,
  type Ledger,
  leavesOut,
  relatedKeys,
} from './cross-checks.ts';
import { type BeginOptions, beginWriting, requireDatabaseClock } from './lease.ts';
import { countRows, type RowCounts } from './numbers.ts';
import { type QuarantinedBody, recordQuarantine, resolveQuarantine } from './quarantine.ts';
import { liftWaivers } from './waive.ts';

export interface Batch {
  readonly answers: readonly CellAnswer[];
  readonly quarantined: readonly QuarantinedBody[];
}

export interface LoadOptions extends BeginOptions {
  readonly runId: string;
}

/** The result for one cell of a batch. */
export interface LoadedCell {
  readonly answer: CellAnswer;
  readonly result: CellResult;
  readonly problem: Reason | null;
  /** Whether numbers that were stored before have changed. */
  readonly isRestated: boolean;
  /** Whether it was final before. */
  readonly wasFinal: boolean;
}

/** A cell that got or lost zeros because another stream of its day was read. */
export interface CrossCheckedCell {
  readonly day: UsageDay;
  /** The time at which its own answer was sent. */
  readonly verifiedAtMs: number | null;
  /** The result under which the same run counted it before it got its zeros; null if it did not. */
  readonly countedAs: 'left_out' | 'unavailable' | null;
  readonly isRestated: boolean;
  readonly wasFinal: boolean;
}

export interface LoadResult {
  readonly cells: readonly LoadedCell[];
  readonly crossChecked: readonly CrossCheckedCell[];
  /** The number of changed rows by stream. */
  readonly rows: Readonly<Record<string, RowCounts>>;
}

/**
 * `loadBatch` loads a batch in one transaction: coverage, numbers and revisions together or not at all. The rows
 * of coverage come first, in key order, and serve as the cells' locks; an answer older than a cell's
 * own changes nothing. A batch may therefore be loaded twice, in any order, and beside others. Throws
 * HeldError `lease_lost` if another process has taken over, ClockError if the clocks have moved apart.
 */
export async function loadBatch(db: Kysely<Schema>, batch: Batch, options: LoadOptions): Promise<LoadResult> {
  const { runId } = options;
  return await db.transaction().execute(async (trx) => {
    const atMs = await beginWriting(trx, options);
    const keyed = batch.answers.map((answer) => ({ answer, id: cellId(answer) }));
    const answers = keyed.sort((a, b) => compareText(a.id, b.id)).map(({ answer }) => answer);
    if (options.now) for (const answer of answers) requireSentInTime(answer, atMs);
    const keys = [...answers, ...relatedKeys(answers)];
    const { cells: all, counts: rows } = await changeCells(trx, { keys, runId }, async (locked) => {
      return applyAnswers(answers, { ...locked, untracked: await readUntracked(trx, answers, locked) });
    });
    // The cells of the answers come first, in their order; then others that a cross-check concerns.
    const cells = all.slice(0, answers.length);
    for (const cell of cells.filter(({ result }) => result === 'unchanged')) {
      const counts = (rows[cell.stream] ??= { inserted: 0, updated: 0, deleted: 0, unchanged: 0 });
      counts.unchanged += countRows(cell);
    }
    await recordQuarantine(trx, batch.quarantined, runId);
    await resolveQuarantine(trx, cells.filter(isRecovered));
    await liftWaivers(trx, cells.filter(isLifted), runId);
    return {
      cells: cells.map((cell, index) => toLoadedCell(answers[index] as CellAnswer, cell, runId)),
      crossChecked: all.slice(answers.length).flatMap((cell) => toCrossCheckedCell(cell, runId)),
      rows,
    };
  });
}

/**
 * `requireSentInTime` throws if an answer's times do not fit the database's clock: a clock that jumped and
 * came back shows in what was planned and sent in between.
 */
function requireSentInTime({ day, sentAtMs }: CellAnswer, atMs: number): void {
  requireDatabaseClock(Math.max(0, sentAtMs - atMs, dayEndMs(day) - sentAtMs));
}

/** `applyAnswers` returns the cells of the answers, in their order, then others that a cross-check concerns. */
function applyAnswers(answers: readonly CellAnswer[], ledger: Ledger): AppliedCell[] {
  const cells = new Map<string, AppliedCell>();
  for (const answer of answers) {
    const { orgId, stream, day } = answer;
    const before = ledger.rows.get(cellId(answer)) ?? null;
    const numbers = ledger.numbersOf(answer);
    const isTracked = !ledger.untracked.has(cellId(answer));
    const applied =
      isUntracked(answer) && isTracked
        ? unchanged
        : apply(before, numbers, answer, crossCheckOf(answer, ledger, cells));
    const effect = isTracked ? applied : closeLeftOut(applied);
    cells.set(cellId(answer), { orgId, stream, day, before, numbers, ...effect });
  }
  crossCheck(answers, ledger, cells);
  for (const answer of answers) compareWithHours(answer, ledger, cells);
  return [...cells.values()];
}

/** Whether the answer closes a cell whose day was not tracked when it was planned. */
function isUntracked({ outcome }: CellAnswer): boolean {
  return outcome.kind === 'closed' && outcome.code === NOT_TRACKED;
}

/** Whether the answer leaves out what a person may have stored for a day that nobody tracks. */
function mayBeByHand(answer: CellAnswer, rows: LockedCells['rows']): boolean {
  return leavesOut(answer) && rows.get(cellId(answer))?.standing === 'in_doubt';
}

/**
 * `closeLeftOut` closes a cell of an untracked day whose number Losant leaves out: only a person can have stored it,
 * and it stays in doubt. No period has it, so that it is no failure.
 */
function closeLeftOut(applied: Applied): Applied {
  const { cell, result } = applied;
  if (cell?.standing !== 'in_doubt' || result !== 'failed') return applied;
  return { ...applied, result: 'left_out', problem: null, cell: { ...cell, nextReadAtMs: null } };
}

/** `readUntracked` returns the ids of cells that are not tracked, of those for which it matters. */
async function readUntracked(
  trx: Kysely<Schema>,
  answers: readonly CellAnswer[],
  { rows: locked }: LockedCells,
): Promise<Set<string>> {
  const keys: CellKey[] = [
    ...checkingKeys(answers).filter((key) => !locked.has(cellId(key))),
    ...answers.filter((each) => isUntracked(each) || mayBeByHand(each, locked)),
  ];
  if (keys.length === 0) return new Set();
  const rows = await trx
    .selectFrom(keysOf(keys))
    .select(['k.usage_date as day', 'k.stream', 'k.org_id as orgId'])
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('tracking as t')
            .whereRef('t.org_id', '=', 'k.org_id')
            .whereRef('t.stream', '=', 'k.stream')
            .where(sql<boolean>`k.usage_date <@ t.tracked_days`),
        ),
      ),
    )
    .execute();
  return new Set(rows.map(cellId));
}

function toLoadedCell(answer: CellAnswer, cell: AppliedCell, runId: string): LoadedCell {
  const { before, result, problem } = cell;
  // The same run loads a first load again whose commit was not acknowledged.
  const isOwn = before?.runId === runId && before.verifiedAtMs === answer.sentAtMs && before.revision === 1;
  return {
    answer,
    result: isOwn && result === 'unchanged' ? 'loaded' : result,
    problem,
    ...changesOf(cell),
  };
}

function changesOf({ before, facts }: AppliedCell) {
  return {
    isRestated: before !== null && before.isStored && facts !== null,
    wasFinal: before?.wasFinal ?? false,
  };
}

/** `toCrossCheckedCell` returns the cross-checked cell; none if no number has changed. */
function toCrossCheckedCell(cell: AppliedCell, runId: string): CrossCheckedCell[] {
  const { day, before, facts } = cell;
  if (before === null || facts === null) return [];
  const { standing, verifiedAtMs } = before;
  const wasLeftOut = standing === 'unavailable' ? 'unavailable' : 'left_out';
  const countedAs = !before.isStored && before.runId === runId ? wasLeftOut : null;
  return [{ day, verifiedAtMs, countedAs, ...changesOf(cell) }];
}

function isRecovered({ before, cell }: AppliedCell): boolean {
  return before?.reason != null && cell !== null && cell.reason === null;
}

function isLifted({ before, cell }: AppliedCell): boolean {
  return before?.reason === WAIVED && cell !== null && cell.reason !== WAIVED;
}
