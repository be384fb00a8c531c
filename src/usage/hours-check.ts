/**
 * The check of a day's hours against its totals: both are the same numbers of Losant, so their sums are
 * equal. Pure.
 */
import { type Cell, type CellAnswer, earliest, type Reason, said, stand } from './cell.ts';
import { DAY_MS, HOUR_MS } from './day.ts';
import { OMISSIONS_NEEDED, type ReadAge, wakeUpMs } from './policy.ts';
import { payloadHours } from './streams/payload-hours.ts';
import { payloadTotals } from './streams/payload-totals.ts';
import type { Fact } from './streams/stream.ts';

/** A cell with its numbers. */
export interface CountedCell {
  readonly cell: Cell;
  readonly numbers: readonly Fact[];
}

/** The answer after which two cells are compared. */
export type ComparedAfter = Pick<CellAnswer, 'sentAtMs' | 'age'>;

/** The rows of the cells after a comparison; null where nothing changes. */
interface ComparedCells {
  readonly totals: Cell | null;
  readonly hours: Cell | null;
}

const NONE: ComparedCells = { totals: null, hours: null };

/**
 * `compareHours` compares a day's hours with its totals. Equal sums confirm zeros that Losant never named and end a
 * doubt of an earlier comparison. Different ones put one cell in doubt: the one with zeros that Losant
 * never named, otherwise the one that was read later; both are read again soon. A cell that is due is
 * compared after its read, because Losant may have restated the day.
 */
export function compareHours(totals: CountedCell, hours: CountedCell, after: ComparedAfter): ComparedCells {
  const { age, sentAtMs } = after;
  const cells = [totals.cell, hours.cell];
  if (age.isPastHorizon || !cells.every(({ isStored }) => isStored)) return NONE;
  if (cells.some(({ nextReadAtMs }) => nextReadAtMs !== null && nextReadAtMs <= sentAtMs)) return NONE;
  const difference = describeDifference(totals.numbers, hours.numbers);
  if (difference === null) {
    return { totals: confirm(totals.cell, age), hours: confirm(hours.cell, age) };
  }
  const reason = { code: 'contradicted', message: difference };
  return isSuspect(hours.cell, totals.cell)
    ? { totals: trust(totals.cell, after), hours: suspect(hours.cell, reason, after) }
    : { totals: suspect(totals.cell, reason, after), hours: trust(hours.cell, after) };
}

/** `describeDifference` returns the figures that differ, with both numbers; null if none does. */
function describeDifference(totals: readonly Fact[], hours: readonly Fact[]): string | null {
  const differences = payloadTotals.columns.flatMap((column, index) => {
    const [day, sum] = [sumOf(totals, index), sumOf(hours, index)];
    return day === sum ? [] : [`${column} ${sum} by ${payloadHours.name}, ${day} by ${payloadTotals.name}`];
  });
  return differences.length === 0
    ? null
    : `the hours do not add up to the total of the day: ${differences.join('; ')}`;
}

function sumOf(facts: readonly Fact[], column: number): number {
  return facts.reduce((sum, { values }) => sum + (values[column] as number), 0);
}

/** Whether the difference speaks against the hours rather than the totals. */
function isSuspect(hours: Cell, totals: Cell): boolean {
  if (hours.isReported !== totals.isReported) return !hours.isReported;
  return (hours.verifiedAtMs ?? 0) >= (totals.verifiedAtMs ?? 0);
}

function suspect(cell: Cell, reason: Reason, after: ComparedAfter): Cell | null {
  if (cell.standing === 'accepted' || isOtherDoubt(cell)) return null;
  return readSoon({ ...cell, standing: 'in_doubt', ...said(reason) }, after);
}

/** `trust` ends the doubt of an earlier comparison, and has the cell read again soon. */
function trust(cell: Cell, after: ComparedAfter): Cell | null {
  if (cell.standing === 'accepted' || isOtherDoubt(cell)) return null;
  return readSoon(endDoubt(cell, after.age), after);
}

/** `confirm` ends a doubt, and has zeros that Losant never named stand for good. */
function confirm(cell: Cell, age: ReadAge): Cell | null {
  if (cell.standing === 'accepted' || isOtherDoubt(cell)) return null;
  const isSure = cell.isReported || cell.omissions >= OMISSIONS_NEEDED;
  if (isSure && cell.standing !== 'in_doubt') return null;
  const omissions = cell.isReported ? 0 : OMISSIONS_NEEDED;
  return stand({ ...endDoubt(cell, age), omissions }, age);
}

function endDoubt(cell: Cell, age: ReadAge): Cell {
  return cell.standing === 'in_doubt' ? stand({ ...cell, reason: null, message: null }, age) : cell;
}

/** Whether something else than a comparison put the cell in doubt: a read that left it out, or a person. */
function isOtherDoubt({ standing, reason, attempts }: Cell): boolean {
  return standing === 'in_doubt' && (reason !== 'contradicted' || attempts > 0);
}

/** Has a cell read within the hour, or within a day where its day is old, unless it is read earlier anyway. */
function readSoon(cell: Cell, { sentAtMs, age }: ComparedAfter): Cell {
  const waitMs = sentAtMs < age.finalFromMs ? HOUR_MS : DAY_MS;
  return { ...cell, nextReadAtMs: earliest(cell.nextReadAtMs, wakeUpMs(sentAtMs + waitMs)) };
}
