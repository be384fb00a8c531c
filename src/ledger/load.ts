import { type Kysely, sql } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { type CellKey, cellId, compareText, isHeldState } from '../usage/cell.ts';
import { dayEndMs, type UsageDay } from '../usage/day.ts';
import { settleCell } from '../usage/settle.ts';
import { type CellAnswer, type CellResult, type Settlement, WAIVED } from '../usage/settlement.ts';
import type { Fact, Stream } from '../usage/streams/stream.ts';
import { insertCells, type LockedCell, lockCells, updateCells, type WrittenCell } from './coverage.ts';
import { dependentKeys, settleDependents, Witnesses, witnessKeys } from './cross-checks.ts';
import {
  type CellChange,
  dayKey,
  factsIn,
  type RowCounts,
  readDetails,
  readWideRows,
  writeNumbers,
} from './numbers.ts';
import { type QuarantinedBody, recordQuarantine, resolveQuarantine } from './quarantine.ts';
import { type BeginOptions, beginWriting, requireDatabaseClock } from './transaction.ts';
import { liftWaivers } from './waive.ts';

export interface Batch {
  readonly answers: readonly CellAnswer[];
  readonly quarantined: readonly QuarantinedBody[];
}

export interface LoadOptions extends BeginOptions {
  readonly runId: string;
}

/** What became of one cell of a batch. */
export interface LoadedCell {
  readonly answer: CellAnswer;
  readonly result: CellResult;
  readonly error: Settlement['error'];
  /** Whether numbers that were held before have changed. */
  readonly isRestated: boolean;
  /** Whether it was final before. */
  readonly wasFinal: boolean;
}

/** A cell that got zeros, or lost them, because another stream of its day was read. */
export interface WitnessedCell {
  readonly day: UsageDay;
  /** When its own answer was sent. */
  readonly verifiedAtMs: number | null;
  /** How the same run counted it before it got its zeros; null if it did not. */
  readonly countedAs: 'absent' | 'unavailable' | null;
  readonly isRestated: boolean;
  readonly wasFinal: boolean;
}

export interface LoadResult {
  readonly cells: readonly LoadedCell[];
  readonly witnessed: readonly WitnessedCell[];
  /** Changes of rows of numbers by stream. */
  readonly rows: Readonly<Record<string, RowCounts>>;
}

/** A cell that was settled, by an answer or by a witness. */
export interface SettledCell extends CellKey {
  readonly of: Stream;
  readonly before: LockedCell | null;
  readonly held: readonly Fact[];
  readonly settlement: Settlement;
}

/**
 * Loads a batch in one transaction: coverage, numbers and revisions together or
 * not at all. The rows of coverage come first, in key order, and are the cells'
 * locks; an answer older than what a cell holds changes nothing. So a batch may
 * be loaded twice, in any order, and beside others. Throws HeldError
 * `lease_lost` if another process has taken over, ClockError if the clocks have
 * moved apart.
 */
export async function loadBatch(db: Kysely<Schema>, batch: Batch, options: LoadOptions): Promise<LoadResult> {
  return await db.transaction().execute(async (trx) => {
    const atMs = await beginWriting(trx, options);
    const answers = sortByKey(batch.answers);
    if (options.now) for (const answer of answers) requireSentInTime(answer, atMs);
    const { settled, effects } = await settleLocked(trx, answers, options.runId);
    const rows = await writeSettled(trx, [...settled, ...effects], options.runId);
    await recordQuarantine(trx, batch.quarantined, options.runId);
    await resolveQuarantine(trx, settled.filter(isRecovered));
    await liftWaivers(trx, settled.filter(isLifted), options.runId);
    return {
      cells: settled.map((cell, index) => toLoadedCell(answers[index] as CellAnswer, cell, options.runId)),
      witnessed: effects.flatMap((cell) => toWitnessedCell(cell, options.runId)),
      rows,
    };
  });
}

/** A clock that has jumped and is back again shows in what was planned and sent in between. */
function requireSentInTime({ day, sentAtMs }: CellAnswer, atMs: number): void {
  requireDatabaseClock(Math.max(0, sentAtMs - atMs, dayEndMs(day) - sentAtMs));
}

/**
 * Locks the cells and settles them; new ones are inserted as they were settled.
 * Where another transaction has inserted one meanwhile, all locks are given back
 * and taken once more: whoever waits for one then holds none that comes later.
 */
async function settleLocked(
  trx: Kysely<Schema>,
  answers: readonly CellAnswer[],
  runId: string,
): Promise<{ settled: SettledCell[]; effects: SettledCell[] }> {
  const keys = sortKeys([...answers.map(keyOf), ...dependentKeys(answers), ...witnessKeys(answers)]);
  for (;;) {
    await sql`savepoint cells`.execute(trx);
    const stored = await lockCells(trx, keys);
    const held = await readHeld(trx, answers, stored);
    const witnesses = new Witnesses(stored, held, await Witnesses.readUntracked(trx, answers, stored));
    const settled = answers.map((answer) => settle(answer, stored, { held, witnesses }));
    const added = settled.flatMap(toWrittenCell).filter(({ isNew }) => isNew);
    if ((await insertCells(trx, added, runId)) === added.length) {
      return { settled, effects: settleDependents(answers, settled, stored, held) };
    }
    await sql`rollback to savepoint cells`.execute(trx);
  }
}

/** The numbers that are held of cells of a batch. */
export type HeldFacts = (key: CellKey, stream: Stream) => readonly Fact[];

/** Only a cell that ever held numbers can have any. */
async function readHeld(
  trx: Kysely<Schema>,
  answers: readonly CellAnswer[],
  stored: ReadonlyMap<string, LockedCell>,
): Promise<HeldFacts & { sum: (key: CellKey, metric: string) => number | null }> {
  const days = new Map<string, { day: string; orgId: string }>();
  for (const [id, { revision }] of stored) {
    const [day = '', , orgId = ''] = id.split(' ');
    if (revision > 0) days.set(dayKey({ day, orgId }), { day, orgId });
  }
  const wide = await readWideRows(trx, [...days.values()]);
  const details = new Map<string, Map<string, Fact[]>>();
  const detailed = answers.filter(
    (answer) => answer.stream.keyColumns.length > 0 && (stored.get(cellId(keyOf(answer)))?.revision ?? 0) > 0,
  );
  for (const [stream, group] of Map.groupBy(detailed, ({ stream }) => stream)) {
    details.set(stream.name, await readDetails(trx, stream, group));
  }
  const heldFacts: HeldFacts = (key, stream) =>
    stream.keyColumns.length > 0
      ? (details.get(stream.name)?.get(dayKey(key)) ?? [])
      : factsIn(stream, wide.get(dayKey(key)));
  return Object.assign(heldFacts, {
    sum: (key: CellKey, metric: string) => wide.get(dayKey(key))?.[metric] ?? null,
  });
}

function settle(
  answer: CellAnswer,
  stored: ReadonlyMap<string, LockedCell>,
  { held, witnesses }: { held: HeldFacts; witnesses: Witnesses },
): SettledCell {
  const key = keyOf(answer);
  const before = stored.get(cellId(key)) ?? null;
  const facts = held(key, answer.stream);
  const settlement = settleCell(before, facts, answer, witnesses.of(answer));
  witnesses.add(key, { before, held: facts, settlement });
  return { ...key, of: answer.stream, before, held: facts, settlement };
}

async function writeSettled(
  trx: Kysely<Schema>,
  settled: readonly SettledCell[],
  runId: string,
): Promise<Record<string, RowCounts>> {
  const written = settled.flatMap(toWrittenCell);
  const inserted = written.filter(({ isNew }) => isNew);
  await updateCells(
    trx,
    written.filter(({ isNew }) => !isNew),
    runId,
  );
  const changes = settled.flatMap(toChange);
  const rows = await writeNumbers(trx, changes, inserted);
  for (const { of, held, settlement } of settled) {
    if (settlement.result !== 'unchanged') continue;
    const counts = (rows[of.name] ??= { inserted: 0, updated: 0, deleted: 0, unchanged: 0 });
    counts.unchanged += held.length;
  }
  return rows;
}

function toWrittenCell({ settlement, before, ...key }: SettledCell): (WrittenCell & { isNew: boolean })[] {
  const { orgId, stream, day } = key;
  return settlement.cell ? [{ orgId, stream, day, cell: settlement.cell, isNew: before === null }] : [];
}

function toChange({ orgId, day, of, held, settlement: { facts, cell } }: SettledCell): CellChange[] {
  if (!facts || !cell) return [];
  return [{ day, orgId, stream: of, revision: cell.revision, isHeld: isHeldState(cell.state), held, facts }];
}

function toLoadedCell(answer: CellAnswer, { before, settlement }: SettledCell, runId: string): LoadedCell {
  // A first load whose commit was not acknowledged, loaded again by the same run.
  const isOwn = before?.runId === runId && before.verifiedAtMs === answer.sentAtMs && before.revision === 1;
  return {
    answer,
    result: isOwn && settlement.result === 'unchanged' ? 'loaded' : settlement.result,
    error: settlement.error,
    ...changesOf({ before, settlement }),
  };
}

function changesOf({ before, settlement }: Pick<SettledCell, 'before' | 'settlement'>) {
  return {
    isRestated: before !== null && isHeldState(before.state) && settlement.facts !== null,
    wasFinal: before?.state === 'final',
  };
}

/** None where only the reason has changed. */
function toWitnessedCell({ day, before, settlement }: SettledCell, runId: string): WitnessedCell[] {
  if (before === null || settlement.facts === null) return [];
  const { state, verifiedAtMs } = before;
  const wasMissing = state === 'absent' || state === 'unavailable';
  const countedAs = wasMissing && before.runId === runId ? state : null;
  return [{ day, verifiedAtMs, countedAs, ...changesOf({ before, settlement }) }];
}

function isRecovered({ before, settlement }: SettledCell): boolean {
  return before?.error != null && settlement.cell !== null && settlement.cell.error === null;
}

function isLifted({ before, settlement }: SettledCell): boolean {
  return before?.error?.code === WAIVED && settlement.cell !== null && settlement.cell.error?.code !== WAIVED;
}

function keyOf({ orgId, stream, day }: CellAnswer): CellKey {
  return { orgId, stream: stream.name, day };
}

function sortKeys(keys: readonly CellKey[]): CellKey[] {
  const byId = new Map(keys.map((key) => [cellId(key), key]));
  return [...byId.keys()].sort().map((id) => byId.get(id) as CellKey);
}

/** In key order: of one organization's day a witness comes before the stream it speaks of. */
function sortByKey(answers: readonly CellAnswer[]): CellAnswer[] {
  const keyed = answers.map((answer) => ({ answer, id: cellId(keyOf(answer)) }));
  return keyed.sort((a, b) => compareText(a.id, b.id)).map(({ answer }) => answer);
}
