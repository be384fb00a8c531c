/** Cross-checks: the evidence of a stream that counts the same about zeros that Losant never named. Pure. */
import {
  type Applied,
  type Cell,
  type CellOutcome,
  hasAnyNumber,
  type Reason,
  said,
  stand,
  unchanged,
} from './cell.ts';
import { OMISSIONS_NEEDED, type ReadAge, wakeUpMs } from './policy.ts';
import type { Fact, Stream } from './streams/stream.ts';

/** The count of another stream for the organization and day of a number that Losant left out. */
export type CrossCheck =
  /** The other stream is not collected, or there is none for this one. */
  | { readonly kind: 'none' }
  /** The other stream is not stored yet. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'counted'; readonly count: number };

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
  stream: Stream,
  check: CrossCheck,
): Reason | null {
  const { crossCheck } = stream;
  if (!crossCheck?.isRequired || missingColumns.length === 0) return null;
  const isChecked = missingColumns.some((column) => crossCheck.columns.includes(column));
  const hasOther = hasAnyNumber(facts);
  if (hasOther) return isChecked ? namesOthers : null;
  if (check.kind === 'counted' && check.count > 0) return contradictedBy(stream, check.count);
  return isChecked && check.kind === 'unknown' ? unconfirmedBy(crossCheck.stream) : null;
}

export function zerosOf({ keyColumns, columns }: Stream): Fact[] {
  return keyColumns.length === 0 ? [{ key: [], values: columns.map(() => 0) }] : [];
}

/** `reasonAgainstZero` returns the reason why a day that was left out may not be stored as zeros; null if it may. */
export function reasonAgainstZero(stream: Stream, check: CrossCheck): Reason | null {
  const { missingMeans, crossCheck } = stream;
  if (missingMeans === 'missing') return { code: 'left_out', message: 'Losant has no number for this day' };
  if (!crossCheck?.isRequired || check.kind === 'none') return null;
  if (check.kind === 'unknown') return unconfirmedBy(crossCheck.stream);
  return check.count === 0 ? null : contradictedBy(stream, check.count);
}

function unconfirmedBy(stream: string): Reason {
  return {
    code: 'unconfirmed',
    message: `Losant left out numbers of the day, and its ${stream} are not stored yet`,
  };
}

/** A count of another stream, with the age that any answer for its day has. */
export interface CrossCheckCount {
  /** The stream that is checked. */
  readonly stream: Stream;
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
  { stream, count, age, sentAtMs }: CrossCheckCount,
): Applied | null {
  if (age.isPastHorizon || cell.standing === 'accepted') return null;
  const isWaiting = !cell.isStored && cell.reason === 'unconfirmed';
  const hasZeros = cell.isStored && !cell.isReported && !hasAnyNumber(numbers);
  if (isWaiting) return count === 0 ? makeZeros(cell, stream, age) : contradictWait(cell, stream, count);
  if (!hasZeros) return null;
  if (count > 0)
    return stream.crossCheck?.isRequired ? takeZerosBack(cell, stream, { count, sentAtMs }) : null;
  if (cell.standing !== 'stored' || cell.omissions >= OMISSIONS_NEEDED) return null;
  return { ...unchanged, cell: stand({ ...cell, omissions: OMISSIONS_NEEDED }, age) };
}

function makeZeros(cell: Cell, stream: Stream, age: ReadAge): Applied {
  const { revision } = cell;
  const numbers = { isStored: true, isReported: false, omissions: OMISSIONS_NEEDED, revision: revision + 1 };
  const zeros = stand({ ...cell, ...numbers, reason: null, message: null }, age);
  return { result: 'loaded', cell: zeros, facts: zerosOf(stream), problem: null };
}

function contradictWait(cell: Cell, stream: Stream, count: number): Applied {
  const problem = contradictedBy(stream, count);
  const result = cell.standing === 'unavailable' ? 'unavailable' : 'left_out';
  return { result, cell: { ...cell, ...said(problem) }, facts: null, problem };
}

function takeZerosBack(
  cell: Cell,
  stream: Stream,
  { count, sentAtMs }: Pick<CrossCheckCount, 'count' | 'sentAtMs'>,
): Applied {
  const problem = contradictedBy(stream, count);
  const none = { isStored: false, omissions: 0, revision: cell.revision + 1 };
  const nextReadAtMs = wakeUpMs(sentAtMs);
  return {
    result: 'left_out',
    cell: { ...cell, ...none, standing: 'missing', ...said(problem), nextReadAtMs },
    facts: [],
    problem,
  };
}

function contradictedBy({ crossCheck }: Stream, count: number): Reason {
  const message = `Losant left out numbers of the day, but its ${crossCheck?.stream} add up to ${count}`;
  return { code: 'contradicted', message };
}
