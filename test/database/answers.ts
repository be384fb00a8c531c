import { type Cell, type CellAnswer, type CellOutcome, ORG_DELETED } from '../../src/usage/cell.ts';
import type { Fact } from '../../src/usage/streams/stream.ts';

export const at = (instant: string): number => Date.parse(instant);

/** A read inside the horizon, before the final age. */
export const YOUNG = {
  finalFromMs: at('2026-11-24T00:00:00.000Z'),
  isLastRead: false,
  isPastHorizon: false,
  nextCheckpointMs: at('2026-11-23T00:00:00.000Z'),
};
/** One from the final age on. */
export const FINAL = {
  ...YOUNG,
  finalFromMs: at('2026-11-22T00:00:00.000Z'),
  nextCheckpointMs: at('2026-11-28T00:00:00.000Z'),
};
export const LAST = { ...FINAL, isLastRead: true, nextCheckpointMs: null };
export const PAST = { ...LAST, isPastHorizon: true };

/** An answer for a cell of 2026-11-20, asked for on 2026-11-22 at noon unless told. */
export function answer(outcome: CellOutcome, changes: Partial<CellAnswer> = {}): CellAnswer {
  return {
    orgId: '5d0000000000000000000001',
    stream: 'device_counts',
    day: '2026-11-20',
    sentAtMs: at('2026-11-22T12:00:00.000Z'),
    sha256: 'a'.repeat(64),
    age: YOUNG,
    ...changes,
    outcome,
  };
}

/** The one row of a stream without further keys. */
export function row(...values: readonly number[]): Fact {
  return { key: [], values };
}

export function values(...facts: readonly Fact[]): CellOutcome {
  return { kind: 'values', facts, missingColumns: [] };
}

export const missing: CellOutcome = { kind: 'missing' };
export const failed: CellOutcome = { kind: 'failed', code: 'server_error', message: 'answered HTTP 500' };
export const refused: CellOutcome = { kind: 'failed', code: 'refused', message: 'answered HTTP 400' };
export const quarantined: CellOutcome = {
  kind: 'quarantined',
  code: 'invalid_value',
  message: 'created: not an integer',
};
export const closed: CellOutcome = { kind: 'closed', code: ORG_DELETED, message: 'deleted in Losant' };

/**
 * A ledger row as an accepted answer of 2026-11-21 at noon left it: with numbers where its standing says so, and
 * without where it is accepted, unless told.
 */
export function stored(standing: Cell['standing'], changes: Partial<Cell> = {}): Cell {
  const isStored = ['final', 'stored', 'in_doubt'].includes(standing);
  return {
    standing,
    isStored,
    isReported: isStored,
    omissions: 0,
    revision: isStored ? 1 : 0,
    verifiedAtMs: at('2026-11-21T12:00:00.000Z'),
    attemptedAtMs: at('2026-11-21T12:00:00.000Z'),
    attempts: 0,
    nextReadAtMs: null,
    wasFinal: standing === 'final',
    reason: null,
    message: null,
    sha256: 'b'.repeat(64),
    ...changes,
  };
}
