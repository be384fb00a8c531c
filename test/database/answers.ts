import type { CellAnswer, CellOutcome, StoredCell } from '../../src/usage/settle.ts';
import { deviceCounts } from '../../src/usage/streams/device-counts.ts';
import type { Fact } from '../../src/usage/streams/stream.ts';

export const at = (instant: string): number => Date.parse(instant);

/** A read inside the horizon, before the final age. */
export const YOUNG = { isFinalRead: false, isLastRead: false, isPastHorizon: false };
export const FINAL = { isFinalRead: true, isLastRead: false, isPastHorizon: false };
export const LAST = { isFinalRead: true, isLastRead: true, isPastHorizon: false };
export const PAST = { isFinalRead: true, isLastRead: true, isPastHorizon: true };

/** An answer for a cell of 2026-11-20, asked for on 2026-11-22 at noon unless told. */
export function answer(outcome: CellOutcome, changes: Partial<CellAnswer> = {}): CellAnswer {
  return {
    orgId: '5d0000000000000000000001',
    stream: deviceCounts,
    day: '2026-11-20',
    sentAtMs: at('2026-11-22T12:00:00.000Z'),
    sha256: 'a'.repeat(64),
    age: YOUNG,
    retryDelayMs: (attempts) => attempts * 3_600_000,
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
export const lost: CellOutcome = { kind: 'lost', code: 'org_removed', message: 'deleted in Losant' };

/** A ledger row as an accepted answer of 2026-11-21 at noon left it. */
export function stored(state: StoredCell['state'], changes: Partial<StoredCell> = {}): StoredCell {
  return {
    state,
    reported: true,
    revision: 1,
    verifiedAtMs: at('2026-11-21T12:00:00.000Z'),
    attemptedAtMs: at('2026-11-21T12:00:00.000Z'),
    attempts: 0,
    nextAttemptAtMs: null,
    error: null,
    sha256: 'b'.repeat(64),
    ...changes,
  };
}
