/**
 * Cross-checks: the evidence of a stream that counts the same about zeros that Losant never named, and the check of a
 * day's hours against its totals: both are the same numbers of Losant, so their sums are equal. Pure.
 */
import {
  type Applied,
  type Cell,
  type CellAnswer,
  type CellOutcome,
  earliest,
  hasAnyNumber,
  type Reason,
  said,
  stand,
  unchanged,
} from './cell.ts';
import { DAY_MS, HOUR_MS } from './day.ts';
import { OMISSIONS_NEEDED, type ReadAge, wakeUpMs } from './policy.ts';
import { streamNamed } from './streams/catalog.ts';
import { payloadHours } from './streams/payload-hours.ts';
import { payloadTotals } from './streams/payload-totals.ts';
import type { CrossCheckRule, Fact } from './streams/stream.ts';

/** The count of another stream for the organization and day of a number that Losant left out. */
export type CrossCheck =
  /** No other stream is collected, or there is none for this one. */
  | { readonly kind: 'none' }
  /** A stream that is required is not stored yet. */
  | { readonly kind: 'unknown'; readonly by: CrossCheckRule }
  | { readonly kind: 'counted'; readonly by: CrossCheckRule; readonly count: number };

const namesOthers: Reason = {
  code: 'contradicted',
  message: 'Losant left out numbers of the day while it names others',
};

/**
 * `reasonAgainstPart` returns the reason why columns that Losant left out beside others may not be zeros:
 * another number of the day or the cross-check shows usage, or the cross-check is not stored yet. Returns
 * null if they may be zeros.
 */
export function reasonAgainstPart(
  { facts, missingColumns }: CellOutcome & { kind: 'values' },
  stream: string,
  check: CrossCheck,
): Reason | null {
  const { crossChecks } = streamNamed(stream);
  if (missingColumns.length === 0 || crossChecks.every(({ weight }) => weight === 'confirms')) return null;
  const isChecked = crossChecks.some(({ columns }) => missingColumns.some((each) => columns.includes(each)));
  const hasOther = hasAnyNumber(facts);
  if (hasOther) return isChecked ? namesOthers : null;
  if (check.kind === 'counted' && check.count > 0) return contradictedBy(check);
  return isChecked && check.kind === 'unknown' ? unconfirmedBy(check.by) : null;
}

export function zerosOf(stream: string): Fact[] {
  const { keyColumns, columns } = streamNamed(stream);
  return keyColumns.length === 0 ? [{ key: [], values: columns.map(() => 0) }] : [];
}

/** `reasonAgainstZero` returns the reason why a day that was left out may not be stored as zeros; null if it may. */
export function reasonAgainstZero(stream: string, check: CrossCheck): Reason | null {
  if (streamNamed(stream).missingMeans === 'missing')
    return { code: 'left_out', message: 'Losant has no number for this day' };
  if (check.kind === 'none' || check.by.weight === 'confirms') return null;
  if (check.kind === 'unknown') return unconfirmedBy(check.by);
  return check.count === 0 ? null : contradictedBy(check);
}

function unconfirmedBy({ stream }: CrossCheckRule): Reason {
  return {
    code: 'unconfirmed',
    message: `Losant left out numbers of the day, and its ${stream} are not stored yet`,
  };
}

/** A count of another stream, with the age that any answer for its day has. */
export interface CrossCheckCount {
  /** The stream that is checked. */
  readonly stream: string;
  readonly by: CrossCheckRule;
  readonly count: number;
  readonly age: ReadAge;
  /** The time at which the count was read. */
  readonly sentAtMs: number;
}

/**
 * `applyCrossCheck` applies a count of another stream to a cell that waits for it or has zeros that Losant
 * never named. A count of 0 makes zeros of a day that was left out and confirms zeros; a higher one takes
 * contradicted zeros back and has the cell read again. Returns null if nothing changes.
 */
export function applyCrossCheck(
  cell: Cell,
  numbers: readonly Fact[],
  counted: CrossCheckCount,
): Applied | null {
  const { stream, by, count, age } = counted;
  if (age.isPastHorizon || cell.standing === 'accepted') return null;
  const isWaiting = !cell.isStored && cell.reason === 'unconfirmed';
  const hasZeros = cell.isStored && !cell.isReported && !hasAnyNumber(numbers);
  if (isWaiting) return count === 0 ? makeZeros(cell, stream, age) : contradictWait(cell, counted);
  if (!hasZeros) return null;
  if (count > 0) return by.weight === 'confirms' ? null : takeZerosBack(cell, counted);
  if (cell.standing !== 'stored' || cell.omissions >= OMISSIONS_NEEDED) return null;
  return { ...unchanged, cell: stand({ ...cell, omissions: OMISSIONS_NEEDED }, age) };
}

function makeZeros(cell: Cell, stream: string, age: ReadAge): Applied {
  const { revision } = cell;
  const numbers = { isStored: true, isReported: false, omissions: OMISSIONS_NEEDED, revision: revision + 1 };
  const zeros = stand({ ...cell, ...numbers, reason: null, message: null }, age);
  return { result: 'loaded', cell: zeros, facts: zerosOf(stream), problem: null };
}

function contradictWait(cell: Cell, counted: CrossCheckCount): Applied {
  const problem = contradictedBy(counted);
  const result = cell.standing === 'unavailable' ? 'unavailable' : 'left_out';
  return { result, cell: { ...cell, ...said(problem) }, facts: null, problem };
}

function takeZerosBack(cell: Cell, counted: CrossCheckCount): Applied {
  const problem = contradictedBy(counted);
  const none = { isStored: false, omissions: 0, revision: cell.revision + 1 };
  const nextReadAtMs = wakeUpMs(counted.sentAtMs);
  return {
    result: 'left_out',
    cell: { ...cell, ...none, standing: 'missing', ...said(problem), nextReadAtMs },
    facts: [],
    problem,
  };
}

function contradictedBy({ by, count }: Pick<CrossCheckCount, 'by' | 'count'>): Reason {
  const message = `Losant left out numbers of the day, but its ${by.stream} add up to ${count}`;
  return { code: 'contradicted', message };
}

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
