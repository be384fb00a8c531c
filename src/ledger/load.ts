/**
 * Loads answers: each is applied to its locked cell, and numbers, revisions and ledger are written
 * together.
 */
import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { apply } from '../usage/apply.ts';
import {
  type Applied,
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
import {
  insertCells,
  keysOf,
  type LockedCell,
  lockCells,
  updateCells,
  type WrittenCell,
} from './coverage.ts';
import {
  type AppliedCell,
  checkingKeys,
  compareWithHours,
  crossCheck,
  crossCheckOf,
  keyOf,
  type Ledger,
  leavesOut,
  relatedKeys,
} from './cross-checks.ts';
import { type CellChange, countRows, type RowCounts, readNumbers, writeNumbers } from './numbers.ts';
import { type QuarantinedBody, recordQuarantine, resolveQuarantine } from './quarantine.ts';
import { type BeginOptions, beginWriting, markLocked, requireDatabaseClock } from './transaction.ts';
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
    const answers = sortByKey(batch.answers);
    if (options.now) for (const answer of answers) requireSentInTime(answer, atMs);
    const { cells, others } = await applyLocked(trx, answers, runId);
    const rows = await writeApplied(trx, { cells, others }, runId);
    await recordQuarantine(trx, batch.quarantined, runId);
    await resolveQuarantine(trx, cells.filter(isRecovered));
    await liftWaivers(trx, cells.filter(isLifted), runId);
    return {
      cells: cells.map((cell, index) => toLoadedCell(answers[index] as CellAnswer, cell, runId)),
      crossChecked: others.flatMap((cell) => toCrossCheckedCell(cell, runId)),
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

/**
 * `applyLocked` locks the cells and applies the answers; new cells are inserted with the result. If another
 * transaction has inserted one meanwhile, all locks are released and taken again, so that whoever
 * waits for one has none that comes later. Returns the cells of the answers, and others that a
 * cross-check concerns.
 */
async function applyLocked(
  trx: Kysely<Schema>,
  answers: readonly CellAnswer[],
  runId: string,
): Promise<{ cells: AppliedCell[]; others: AppliedCell[] }> {
  const keys = sortKeys([...answers.map(keyOf), ...relatedKeys(answers)]);
  for (;;) {
    await sql`savepoint cells`.execute(trx);
    const ledger = await readLedger(trx, keys, answers);
    const cells = new Map<string, AppliedCell>();
    for (const answer of answers) {
      const key = keyOf(answer);
      const before = ledger.cells.get(cellId(key)) ?? null;
      const numbers = ledger.numbersOf(key);
      const isTracked = !ledger.untracked.has(cellId(key));
      const applied =
        isUntracked(answer) && isTracked
          ? unchanged
          : apply(before, numbers, answer, crossCheckOf(answer, ledger, cells));
      const effect = isTracked ? applied : closeLeftOut(applied);
      cells.set(cellId(key), { ...key, of: answer.stream, before, numbers, applied: effect });
    }
    crossCheck(answers, ledger, cells);
    for (const answer of answers) compareWithHours(answer, ledger, cells);
    const added = [...cells.values()].flatMap(toWrittenCell).filter(({ isNew }) => isNew);
    if ((await insertCells(trx, added, runId)) === added.length) {
      const all = [...cells.values()];
      return { cells: all.slice(0, answers.length), others: all.slice(answers.length) };
    }
    await sql`rollback to savepoint cells`.execute(trx);
  }
}

async function readLedger(
  trx: Kysely<Schema>,
  keys: readonly CellKey[],
  answers: readonly CellAnswer[],
): Promise<Ledger> {
  const cells = await lockCells(trx, keys);
  const numbers = await readNumbers(
    trx,
    keys.filter((key) => cells.get(cellId(key))?.isStored),
  );
  const untracked = await readUntracked(trx, [
    ...checkingKeys(answers).filter((key) => !cells.has(cellId(key))),
    ...answers.filter((each) => isUntracked(each) || mayBeByHand(each, cells)).map(keyOf),
  ]);
  const numbersOf = (key: CellKey) => (cells.get(cellId(key))?.isStored ? numbers(key) : []);
  return { cells, untracked, numbersOf };
}

/** Whether the answer closes a cell whose day was not tracked when it was planned. */
function isUntracked({ outcome }: CellAnswer): boolean {
  return outcome.kind === 'closed' && outcome.code === NOT_TRACKED;
}

/** Whether the answer leaves out what a person may have stored for a day that nobody tracks. */
function mayBeByHand(answer: CellAnswer, cells: ReadonlyMap<string, LockedCell>): boolean {
  const cell = cells.get(cellId(keyOf(answer)));
  return leavesOut(answer) && cell?.standing === 'in_doubt';
}

/**
 * `closeLeftOut` closes a cell of an untracked day whose number Losant leaves out: only a person can have stored it, and it stays in
 * doubt. No period has it, so that it is no failure.
 */
function closeLeftOut(applied: Applied): Applied {
  const { cell, result } = applied;
  if (cell?.standing !== 'in_doubt' || result !== 'failed') return applied;
  return { ...applied, result: 'left_out', problem: null, cell: { ...cell, nextReadAtMs: null } };
}

async function readUntracked(trx: Kysely<Schema>, keys: readonly CellKey[]): Promise<Set<string>> {
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

async function writeApplied(
  trx: Kysely<Schema>,
  { cells, others }: { readonly cells: readonly AppliedCell[]; readonly others: readonly AppliedCell[] },
  runId: string,
): Promise<Record<string, RowCounts>> {
  const all = [...cells, ...others];
  const changes = all.flatMap(toChange);
  if (changes.some(({ revision }) => revision > 1)) await markLocked(trx);
  const written = all.flatMap(toWrittenCell);
  await updateCells(
    trx,
    written.filter(({ isNew }) => !isNew),
    runId,
  );
  const added = written.filter(({ isNew }) => isNew);
  const rows = await writeNumbers(trx, changes, added);
  for (const { of, numbers, applied } of cells) {
    if (applied.result !== 'unchanged') continue;
    const counts = (rows[of.name] ??= { inserted: 0, updated: 0, deleted: 0, unchanged: 0 });
    counts.unchanged += countRows(of, numbers);
  }
  return rows;
}

function toWrittenCell({
  applied,
  before,
  orgId,
  stream,
  day,
}: AppliedCell): (WrittenCell & { isNew: boolean })[] {
  return applied.cell ? [{ orgId, stream, day, cell: applied.cell, isNew: before === null }] : [];
}

function toChange({ orgId, day, of, numbers, applied: { facts, cell } }: AppliedCell): CellChange[] {
  if (!facts || !cell) return [];
  return [{ day, orgId, stream: of, revision: cell.revision, isStored: cell.isStored, numbers, facts }];
}

function toLoadedCell(answer: CellAnswer, { before, applied }: AppliedCell, runId: string): LoadedCell {
  // The same run loads a first load again whose commit was not acknowledged.
  const isOwn = before?.runId === runId && before.verifiedAtMs === answer.sentAtMs && before.revision === 1;
  return {
    answer,
    result: isOwn && applied.result === 'unchanged' ? 'loaded' : applied.result,
    problem: applied.problem,
    ...changesOf({ before, applied }),
  };
}

function changesOf({ before, applied }: Pick<AppliedCell, 'before' | 'applied'>) {
  return {
    isRestated: before !== null && before.isStored && applied.facts !== null,
    wasFinal: before?.wasFinal ?? false,
  };
}

/** `toCrossCheckedCell` returns the cross-checked cell; none if no number has changed. */
function toCrossCheckedCell({ day, before, applied }: AppliedCell, runId: string): CrossCheckedCell[] {
  if (before === null || applied.facts === null) return [];
  const { standing, verifiedAtMs } = before;
  const wasLeftOut = standing === 'unavailable' ? 'unavailable' : 'left_out';
  const countedAs = !before.isStored && before.runId === runId ? wasLeftOut : null;
  return [{ day, verifiedAtMs, countedAs, ...changesOf({ before, applied }) }];
}

function isRecovered({ before, applied }: AppliedCell): boolean {
  return before?.reason != null && applied.cell !== null && applied.cell.reason === null;
}

function isLifted({ before, applied }: AppliedCell): boolean {
  return before?.reason === WAIVED && applied.cell !== null && applied.cell.reason !== WAIVED;
}

function sortKeys(keys: readonly CellKey[]): CellKey[] {
  const byId = new Map(keys.map((key) => [cellId(key), key]));
  return [...byId.keys()].sort(compareText).map((id) => byId.get(id) as CellKey);
}

function sortByKey(answers: readonly CellAnswer[]): CellAnswer[] {
  const keyed = answers.map((answer) => ({ answer, id: cellId(keyOf(answer)) }));
  return keyed.sort((a, b) => compareText(a.id, b.id)).map(({ answer }) => answer);
}
