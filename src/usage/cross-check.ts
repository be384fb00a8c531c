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
import { streamNamed } from './streams/catalog.ts';
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
