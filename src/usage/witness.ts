/**
 * Zeros for what Losant left out, and the stream that can speak against them.
 * Pure.
 */
import { isHeldState } from './cell.ts';
import {
  type CellAnswer,
  type CellError,
  type CellOutcome,
  hasNumber,
  type Settlement,
  type StoredCell,
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
  if (!zeroWitness) return false;
  const isWitnessed = outcome.missingColumns.some((column) => zeroWitness.columns.includes(column));
  if (!isWitnessed) return false;
  const hasOther = columns.some((_, index) => hasNumber(outcome.facts, index));
  return hasOther || witness.kind === 'unknown' || (witness.kind === 'counted' && witness.count > 0);
}

export function zerosOf({ keyColumns, columns }: Stream): Fact[] {
  return keyColumns.length === 0 ? [{ key: [], values: columns.map(() => 0) }] : [];
}

/** Why a day that was left out may not be stored as zeros; null if it may. */
export function reasonAgainstZero({ stream, outcome }: CellAnswer, witness: Witness): CellError | null {
  if (stream.missingMeans === 'absent') return absent;
  if (outcome.kind === 'values')
    return { ...contradicted, message: `${contradicted.message} while it names others` };
  if (witness.kind === 'none') return null;
  if (witness.kind === 'unknown') {
    return {
      code: UNWITNESSED,
      message: `Losant left out the day, and ${stream.zeroWitness?.stream} is not held yet`,
    };
  }
  return witness.count === 0 ? null : contradictedBy(stream, witness.count);
}

const absent = { code: 'absent', message: 'Losant has no number for this day' };
const contradicted = { code: 'contradicted', message: 'Losant left out numbers of the day' };
/** A day that was left out while its witness was not held. */
const UNWITNESSED = 'unwitnessed';

function contradictedBy({ zeroWitness }: Stream, count: number): CellError {
  const message = `Losant left out the day, but its ${zeroWitness?.stream} add up to ${count}`;
  return { code: contradicted.code, message };
}

/**
 * What a witness does to a cell that waits for it, or that holds zeros nobody
 * reported: a count of 0 makes zeros of a day that was left out, a higher one
 * takes zeros back. Null if it changes nothing.
 */
export function settleByWitness(
  stored: StoredCell,
  held: readonly Fact[],
  { stream, count, atMs }: { stream: Stream; count: number; atMs: number },
): Settlement | null {
  if (count === 0) {
    if (stored.state !== 'absent' || stored.error?.code !== UNWITNESSED) return null;
    const cell = {
      ...stored,
      state: 'loaded' as const,
      revision: stored.revision + 1,
      error: null,
      nextReadAtMs: atMs,
    };
    return { result: 'loaded', cell, facts: zerosOf(stream), error: null };
  }
  const isZero = !stream.columns.some((_, index) => hasNumber(held, index));
  if (!isHeldState(stored.state) || stored.reported || !isZero) return null;
  const error = contradictedBy(stream, count);
  const cell = {
    ...stored,
    state: 'absent' as const,
    revision: stored.revision + 1,
    error,
    nextReadAtMs: atMs,
  };
  return { result: 'absent', cell, facts: [], error };
}
