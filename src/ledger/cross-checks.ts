/** Cross-checks within a batch: what streams that count the same say of each other's cells. */
import { joinEffects } from '../usage/apply.ts';
import {
  type AppliedCell,
  type Cell,
  type CellAnswer,
  type CellKey,
  cellId,
  unchanged,
} from '../usage/cell.ts';
import { applyCrossCheck, type CountedCell, type CrossCheck, compareHours } from '../usage/cross-check.ts';
import { streamNamed, streams } from '../usage/streams/catalog.ts';
import { payloadHours } from '../usage/streams/payload-hours.ts';
import { payloadTotals } from '../usage/streams/payload-totals.ts';
import type { CrossCheckRule } from '../usage/streams/stream.ts';
import type { LockedCells } from './coverage.ts';

/** The rows of a batch's cells in the database. */
export interface Ledger extends LockedCells {
  /** The ids of cells that are not tracked, of those that have no row or for which it matters. */
  readonly untracked: ReadonlySet<string>;
}

/** `relatedKeys` returns the cells that a batch may read or change besides those of its answers. */
export function relatedKeys(answers: readonly CellAnswer[]): CellKey[] {
  return [...checkedKeys(answers), ...checkingKeys(answers)];
}

/** Each stream that another one checks, with the rule. */
const allChecks = streams.flatMap((checked) => checked.crossChecks.map((by) => ({ checked, by })));

/** `checkedKeys` returns the cells whose zeros a count of the answers may confirm or contradict. */
function checkedKeys(answers: readonly CellAnswer[]): CellKey[] {
  return answers.flatMap((answer) =>
    allChecks
      .filter(({ by }) => by.stream === answer.stream)
      // A count other than zero is of no use where it could only confirm.
      .filter(({ by }) => by.weight !== 'confirms' || isZero(answer, by.column))
      .map(({ checked }) => ({ orgId: answer.orgId, day: answer.day, stream: checked.name })),
  );
}

function isZero({ stream, outcome }: CellAnswer, column: string): boolean {
  if (outcome.kind === 'missing') return true;
  const index = streamNamed(stream).columns.indexOf(column);
  return outcome.kind === 'values' && outcome.facts.every(({ values }) => values[index] === 0);
}

/** `checkingKeys` returns the cells that may contradict what the answers leave out. */
export function checkingKeys(answers: readonly CellAnswer[]): CellKey[] {
  return answers.flatMap((answer) => {
    if (!leavesOut(answer)) return [];
    const { orgId, day, stream } = answer;
    return streamNamed(stream).crossChecks.map((by) => ({ orgId, day, stream: by.stream }));
  });
}

/** Whether an answer leaves out a day or numbers of it. */
export function leavesOut({ outcome }: CellAnswer): boolean {
  return outcome.kind === 'missing' || (outcome.kind === 'values' && outcome.missingColumns.length > 0);
}

/** `findCell` returns a cell as it stands within the batch; null if it has no row and no answer. */
function findCell(key: CellKey, ledger: Ledger, cells: ReadonlyMap<string, AppliedCell>): AppliedCell | null {
  const before = ledger.rows.get(cellId(key));
  const found = cells.get(cellId(key));
  if (found || !before) return found ?? null;
  return { ...key, ...unchanged, before, numbers: ledger.numbersOf(key) };
}

/**
 * `crossCheckOf` returns what the streams that count the same say of an answer: a count above 0 contradicts whatever
 * the others say, a count of 0 confirms without them, and a required one that is collected but not stored is waited for.
 */
export function crossCheckOf(
  { stream, orgId, day }: CellAnswer,
  ledger: Ledger,
  cells: ReadonlyMap<string, AppliedCell>,
): CrossCheck {
  const found = streamNamed(stream).crossChecks.map((by) => {
    const key = { orgId, day, stream: by.stream };
    const cell = findCell(key, ledger, cells);
    const isCollected = cell !== null || !ledger.untracked.has(cellId(key));
    return { by, count: cell && countAfter(cell, by), isWaitedFor: by.weight === 'required' && isCollected };
  });
  const counted = found.find(({ count }) => (count ?? 0) > 0) ?? found.find(({ count }) => count === 0);
  if (counted?.count != null) return { kind: 'counted', by: counted.by, count: counted.count };
  const waited = found.find(({ isWaitedFor }) => isWaitedFor);
  return waited ? { kind: 'unknown', by: waited.by } : { kind: 'none' };
}

/** `countAfter` returns the sum by which a cell checks another after its answer; null if it is not stored. */
function countAfter(applied: AppliedCell, { column }: CrossCheckRule): number | null {
  const { stream, before, cell, numbers, facts } = applied;
  if (!(cell ?? before)?.isStored) return null;
  const index = streamNamed(stream).columns.indexOf(column);
  return (facts ?? numbers).reduce((sum, { values }) => sum + (values[index] ?? 0), 0);
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
  const check = (checkedKey: CellKey, checkingKey: CellKey, { age, sentAtMs }: CellAnswer) => {
    for (const { checked, by } of allChecks) {
      if (checked.name !== checkedKey.stream || by.stream !== checkingKey.stream) continue;
      const cell = findCell(checkedKey, ledger, cells);
      const checking = findCell(checkingKey, ledger, cells);
      const count = checking && countAfter(checking, by);
      const row = cell?.cell ?? cell?.before ?? null;
      if (cell === null || row === null || count === null) continue;
      const counted = { stream: checked.name, by, count, age, sentAtMs };
      const effect = applyCrossCheck(row, cell.facts ?? cell.numbers, counted);
      if (effect) cells.set(cellId(cell), { ...cell, ...joinEffects(cell, effect) });
    }
  };
  for (const answer of answers) {
    for (const checkedKey of checkedKeys([answer])) {
      check(checkedKey, answer, answer);
      check(answer, checkedKey, answer);
    }
  }
}

/** `compareWithHours` compares an answer's totals or hours with the other of the two, and updates both in `cells`. */
export function compareWithHours(answer: CellAnswer, ledger: Ledger, cells: Map<string, AppliedCell>): void {
  const { orgId, day, stream } = answer;
  const names = [payloadTotals.name, payloadHours.name];
  if (!names.includes(stream)) return;
  const [totals, hours] = names.map((name) => findCell({ orgId, day, stream: name }, ledger, cells));
  const [totalsAfter, hoursAfter] = [counted(totals), counted(hours)];
  if (!totals || !hours || !totalsAfter || !hoursAfter) return;
  const compared = compareHours(totalsAfter, hoursAfter, answer);
  const update = (cell: AppliedCell, row: Cell | null) => {
    if (row) cells.set(cellId(cell), { ...cell, cell: row });
  };
  update(totals, compared.totals);
  update(hours, compared.hours);
}

function counted(cell: AppliedCell | null | undefined): CountedCell | null {
  const row = cell?.cell ?? cell?.before;
  return cell && row ? { cell: row, numbers: cell.facts ?? cell.numbers } : null;
}
