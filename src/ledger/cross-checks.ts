/** Cross-checks within a batch: what streams that count the same say of each other's cells. */
import { joinEffects } from '../usage/apply.ts';
import { type Applied, type Cell, type CellAnswer, type CellKey, cellId, unchanged } from '../usage/cell.ts';
import { applyCrossCheck, type CrossCheck } from '../usage/cross-check.ts';
import { type CountedCell, compareHours } from '../usage/hours-check.ts';
import { streamNamed, streams } from '../usage/streams/catalog.ts';
import { payloadHours } from '../usage/streams/payload-hours.ts';
import { payloadTotals } from '../usage/streams/payload-totals.ts';
import type { Fact, Stream } from '../usage/streams/stream.ts';
import type { LockedCell } from './coverage.ts';

/** A cell of a batch, or one that a cross-check concerns, with the effect on it. */
export interface AppliedCell extends CellKey {
  readonly of: Stream;
  readonly before: LockedCell | null;
  readonly numbers: readonly Fact[];
  readonly applied: Applied;
}

/** The rows of a batch's cells in the database. */
export interface Ledger {
  readonly cells: ReadonlyMap<string, LockedCell>;
  /** The ids of cells that have no row and are not tracked. */
  readonly untracked: ReadonlySet<string>;
  readonly numbersOf: (key: CellKey) => readonly Fact[];
}

export function keyOf({ orgId, stream, day }: CellAnswer): CellKey {
  return { orgId, stream: stream.name, day };
}

/** `relatedKeys` returns the cells that a batch may read or change besides those of its answers. */
export function relatedKeys(answers: readonly CellAnswer[]): CellKey[] {
  return [...checkedKeys(answers), ...checkingKeys(answers)];
}

/**
 * `checksOf` returns the stream once for each other one that counts the same, with that one as its cross-check:
 * hours add up to the totals, so they check these besides the stream that the totals name.
 */
function checksOf(stream: Stream): Stream[] {
  const { name, crossCheck } = stream;
  if (!crossCheck) return [];
  if (name !== payloadTotals.name) return [stream];
  return [stream, { ...stream, crossCheck: { ...crossCheck, stream: payloadHours.name } }];
}

const allChecks = streams.flatMap(checksOf);

/** `checkedKeys` returns the cells whose zeros a count of the answers may confirm or contradict. */
function checkedKeys(answers: readonly CellAnswer[]): CellKey[] {
  return answers.flatMap((answer) =>
    allChecks
      .filter(({ crossCheck }) => crossCheck?.stream === answer.stream.name)
      // A count other than zero is of no use where it could only confirm.
      .filter(({ crossCheck }) => crossCheck?.isRequired || isZero(answer, crossCheck?.metric ?? ''))
      .map(({ name }) => ({ orgId: answer.orgId, day: answer.day, stream: name })),
  );
}

function isZero({ stream, outcome }: CellAnswer, metric: string): boolean {
  if (outcome.kind === 'missing') return true;
  const index = stream.metrics.indexOf(metric);
  return outcome.kind === 'values' && outcome.facts.every(({ values }) => values[index] === 0);
}

/** `checkingKeys` returns the cells that may contradict what the answers leave out. */
export function checkingKeys(answers: readonly CellAnswer[]): CellKey[] {
  return answers.flatMap(({ orgId, day, stream, outcome }) => {
    const leavesOut =
      outcome.kind === 'missing' || (outcome.kind === 'values' && outcome.missingColumns.length > 0);
    if (!leavesOut) return [];
    return checksOf(stream).map(({ crossCheck }) => ({ orgId, day, stream: crossCheck?.stream ?? '' }));
  });
}

/** `findCell` returns a cell as it stands within the batch; null if it has no row and no answer. */
function findCell(key: CellKey, ledger: Ledger, cells: ReadonlyMap<string, AppliedCell>): AppliedCell | null {
  const before = ledger.cells.get(cellId(key));
  const of = streamNamed(key.stream);
  const found = cells.get(cellId(key));
  if (found || !before) return found ?? null;
  return { ...key, of, before, numbers: ledger.numbersOf(key), applied: unchanged };
}

/**
 * `crossCheckOf` returns what the streams that count the same say of an answer, and the stream with the cross-check
 * that decides: a count above 0 contradicts whatever the others say, a count of 0 confirms without
 * them, and what is collected but not stored is waited for.
 */
export function crossCheckOf(
  { stream, orgId, day }: CellAnswer,
  ledger: Ledger,
  cells: ReadonlyMap<string, AppliedCell>,
): { readonly stream: Stream; readonly check: CrossCheck } {
  const found = checksOf(stream).map((checked) => {
    const key = { orgId, day, stream: checked.crossCheck?.stream ?? '' };
    const cell = findCell(key, ledger, cells);
    const count = cell && countAfter(cell, checked.crossCheck?.metric ?? '');
    return {
      stream: checked,
      count,
      isWaitedFor: waitsFor(checked, cell, ledger.untracked.has(cellId(key))),
    };
  });
  const counted = found.find(({ count }) => (count ?? 0) > 0) ?? found.find(({ count }) => count === 0);
  if (counted?.count != null) {
    return { stream: counted.stream, check: { kind: 'counted', count: counted.count } };
  }
  const waited = found.find(({ isWaitedFor }) => isWaitedFor);
  return { stream: waited?.stream ?? stream, check: { kind: waited ? 'unknown' : 'none' } };
}

/** Whether zeros wait for their cross-check. Hours and totals would wait for each other, so hours do not. */
function waitsFor(stream: Stream, cell: AppliedCell | null, isUntracked: boolean): boolean {
  return stream.name !== payloadHours.name && (cell !== null || !isUntracked);
}

/** `countAfter` returns the sum of a metric that a cell has after its answer; null if it is not stored. */
function countAfter(cell: AppliedCell, metric: string): number | null {
  const { of, before, numbers, applied } = cell;
  if (!(applied.cell ?? before)?.isStored) return null;
  const index = columnOf(of, metric);
  return (applied.facts ?? numbers).reduce((sum, { values }) => sum + (values[index] ?? 0), 0);
}

/**
 * `columnOf` returns the place of a count of payloads in the facts of a stream. The columns of hours are
 * those of the totals.
 */
function columnOf({ name, metrics }: Stream, metric: string): number {
  return name === payloadHours.name ? payloadTotals.columns.indexOf('all_count') : metrics.indexOf(metric);
}

/**
 * `crossCheck` applies the counts of a batch to cells that were applied before them and to cells without an answer
 * in it, and updates both in `cells`. Zeros that result confirm those of the count in turn.
 */
export function crossCheck(
  answers: readonly CellAnswer[],
  ledger: Ledger,
  cells: Map<string, AppliedCell>,
): void {
  const check = (stream: Stream, by: CellKey, { age, sentAtMs }: CellAnswer) => {
    const cell = findCell({ ...by, stream: stream.name }, ledger, cells);
    const checking = findCell(by, ledger, cells);
    const count = checking && countAfter(checking, stream.crossCheck?.metric ?? '');
    const row = cell?.applied.cell ?? cell?.before ?? null;
    if (cell === null || row === null || count === null) return;
    const { applied, numbers } = cell;
    const effect = applyCrossCheck(row, applied.facts ?? numbers, { stream, count, age, sentAtMs });
    if (effect) cells.set(cellId(cell), { ...cell, applied: joinEffects(applied, effect) });
  };
  for (const answer of answers) {
    const key = keyOf(answer);
    for (const checked of checkedKeys([answer])) {
      for (const stream of checksBetween(checked.stream, key.stream)) check(stream, key, answer);
      for (const stream of checksBetween(key.stream, checked.stream)) check(stream, checked, answer);
    }
  }
}

function checksBetween(checked: string, checking: string): Stream[] {
  return allChecks.filter(({ name, crossCheck }) => name === checked && crossCheck?.stream === checking);
}

/** `compareWithHours` compares an answer's totals or hours with the other of the two, and updates both in `cells`. */
export function compareWithHours(answer: CellAnswer, ledger: Ledger, cells: Map<string, AppliedCell>): void {
  const { orgId, day, stream } = answer;
  const names = [payloadTotals.name, payloadHours.name];
  if (!names.includes(stream.name)) return;
  const [totals, hours] = names.map((name) => findCell({ orgId, day, stream: name }, ledger, cells));
  const [totalsAfter, hoursAfter] = [counted(totals), counted(hours)];
  if (!totals || !hours || !totalsAfter || !hoursAfter) return;
  const compared = compareHours(totalsAfter, hoursAfter, answer);
  const update = (cell: AppliedCell, row: Cell | null) => {
    if (row) cells.set(cellId(cell), { ...cell, applied: { ...cell.applied, cell: row } });
  };
  update(totals, compared.totals);
  update(hours, compared.hours);
}

function counted(cell: AppliedCell | null | undefined): CountedCell | null {
  const row = cell?.applied.cell ?? cell?.before;
  return cell && row ? { cell: row, numbers: cell.applied.facts ?? cell.numbers } : null;
}
