/**
 * Zeros for what Losant left out, and the stream that can speak against them.
 * Pure.
 */
import { isHeldState } from './cell.ts';
import { type ReadAge, wakeUpMs } from './policy.ts';
import {
  type CellAnswer,
  type CellError,
  type CellOutcome,
  hasNumber,
  type Settlement,
  type StoredCell,
  UNWITNESSED,
  type Witness,
} from './settlement.ts';
import type { Fact, Stream } from './streams/stream.ts';

/**
 * Zeros for columns that Losant left out beside others that it named: not where
 * another number of the day, or the witness, shows that there was something.
 */
export function contradicts(
  outcome: CellOutcome & { kind: 'values' },
  { columns, zeroWitness }: Stream,
  witness: Witness,
): boolean {
  if (!zeroWitness || outcome.missingColumns.length === 0) return false;
  const isWitnessed = outcome.missingColumns.some((column) => zeroWitness.columns.includes(column));
  const hasOther = columns.some((_, index) => hasNumber(outcome.facts, index));
  const isCounted = witness.kind === 'counted' && witness.count > 0;
  if (!isWitnessed) return isCounted && !hasOther;
  return hasOther || isCounted || witness.kind === 'unknown';
}

export function zerosOf({ keyColumns, columns }: Stream): Fact[] {
  return keyColumns.length === 0 ? [{ key: [], values: columns.map(() => 0) }] : [];
}

/** Why a day that was left out may not be stored as zeros; null if it may. */
export function reasonAgainstZero({ stream, outcome }: CellAnswer, witness: Witness): CellError | null {
  if (stream.missingMeans === 'absent') return absent;
  const hasOther = outcome.kind === 'values' && outcome.facts.some(hasAnyNumber);
  if (hasOther) return contradicted;
  if (witness.kind === 'none') return null;
  if (witness.kind === 'unknown') {
    return {
      code: UNWITNESSED,
      message: `Losant left out numbers of the day, and its ${stream.zeroWitness?.stream} are not held yet`,
    };
  }
  return witness.count === 0 ? null : contradictedBy(stream, witness.count);
}

const absent = { code: 'absent', message: 'Losant has no number for this day' };
const contradicted = {
  code: 'contradicted',
  message: 'Losant left out numbers of the day while it names others',
};

/** Error codes of cells that are absent. */
export const ABSENT_CODES: readonly string[] = [absent.code, contradicted.code, UNWITNESSED];

function contradictedBy({ zeroWitness }: Stream, count: number): CellError {
  const message = `Losant left out numbers of the day, but its ${zeroWitness?.stream} add up to ${count}`;
  return { code: contradicted.code, message };
}

function hasAnyNumber({ values }: Fact): boolean {
  return values.some((value) => value !== 0);
}

export interface WitnessCount {
  readonly stream: Stream;
  readonly count: number;
  /** Of the day, by any answer for it. */
  readonly age: Pick<ReadAge, 'finalFromMs' | 'isPastHorizon'>;
  /** When the count was read. */
  readonly atMs: number;
}

/**
 * What a witness does to a cell that waits for it, or that holds zeros nobody
 * reported: a count of 0 makes zeros of a day that was left out, as if it had
 * been known when the day was read; a higher one takes zeros back, and has the
 * cell read again. Null if it changes nothing.
 */
export function settleByWitness(
  stored: StoredCell,
  held: readonly Fact[],
  { stream, count, age, atMs }: WitnessCount,
): Settlement | null {
  if (age.isPastHorizon) return null;
  if (stored.error?.code === UNWITNESSED && !isHeldState(stored.state)) {
    const error = count === 0 ? null : contradictedBy(stream, count);
    if (error) return { result: 'absent', cell: { ...stored, error }, facts: null, error };
    const isFinal = stored.verifiedAtMs !== null && stored.verifiedAtMs >= age.finalFromMs;
    const state = isFinal ? 'final' : 'loaded';
    const cell: StoredCell = { ...stored, state, revision: stored.revision + 1, error };
    return { result: 'loaded', cell, facts: zerosOf(stream), error };
  }
  const isZero = isHeldState(stored.state) && !stored.reported && !held.some(hasAnyNumber);
  if (count === 0 || !isZero) return null;
  const error = contradictedBy(stream, count);
  const cell: StoredCell = {
    ...stored,
    state: 'absent',
    revision: stored.revision + 1,
    error,
    nextReadAtMs: wakeUpMs(atMs),
  };
  return { result: 'absent', cell, facts: [], error };
}
