/** What a read does to a cell: the values that rules of settling take and give, and the steps they share. Pure. */
import { type CellState, isHeldState } from './cell.ts';
import type { UsageDay } from './day.ts';
import { type ReadAge, retryAtMs } from './policy.ts';
import type { Fact, Stream } from './streams/stream.ts';

/** What a read of one cell came to. */
export type CellOutcome =
  | { readonly kind: 'values'; readonly facts: readonly Fact[]; readonly missingColumns: readonly string[] }
  /** Losant answered, and left this day out. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'failed' | 'quarantined'; readonly code: string; readonly message: string }
  /** It is not read any more: past the horizon, its organization gone, or not tracked. */
  | { readonly kind: 'closed'; readonly code: string; readonly message: string };

export interface CellAnswer {
  readonly orgId: string;
  readonly stream: Stream;
  readonly day: UsageDay;
  /** When the first request of the answer was sent, ms by the database's clock. */
  readonly sentAtMs: number;
  /** SHA-256 (hex) over the bodies, in request order; null if there is no whole answer. */
  readonly sha256: string | null;
  readonly outcome: CellOutcome;
  readonly age: ReadAge;
}

/** What another stream of the same organization and day says about a number that Losant left out. */
export type Witness =
  /** That stream is not collected, or this one needs none. */
  | { readonly kind: 'none' }
  /** That stream is not held yet. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'counted'; readonly count: number };

export interface StoredCell {
  readonly state: CellState;
  readonly reported: boolean;
  readonly revision: number;
  readonly verifiedAtMs: number | null;
  readonly attemptedAtMs: number | null;
  readonly attempts: number;
  /** When the cell is read next; null: it is not. */
  readonly nextReadAtMs: number | null;
  readonly error: CellError | null;
  readonly sha256: string | null;
}

export interface CellError {
  readonly code: string;
  readonly message: string;
}

/** Error codes of held cells that are gaps all the same: as in the view `coverage_gaps`. */
const GAP_WHILE_HELD: readonly string[] = ['bucket_missing', 'changed_by_hand'];

/** How a cell counts in the result of a run. */
export type CellResult = 'loaded' | 'unchanged' | 'absent' | 'failed' | 'quarantined' | 'unavailable';

export interface Settlement {
  readonly result: CellResult;
  /** What the ledger says from now on; null when the answer changes nothing (an older one, or a day past the horizon). */
  readonly cell: StoredCell | null;
  /** The rows the cell has from now on; null when they stay. */
  readonly facts: readonly Fact[] | null;
  readonly error: CellError | null;
}

export const unchanged: Settlement = { result: 'unchanged', cell: null, facts: null, error: null };
/** Error code of a day that was left out while its witness was not held. */
export const UNWITNESSED = 'unwitnessed';

export const pastHorizon = { code: 'past_horizon', message: 'Losant no longer keeps the detail of this day' };

/** Whether the cell is a gap although it is held. */
export function isGapWhileHeld({ state, error }: Pick<StoredCell, 'state' | 'error'>): boolean {
  return isHeldState(state) && error !== null && GAP_WHILE_HELD.includes(error.code);
}

/**
 * A failed read demotes nothing that is held, waived or given up: it only shows beside
 * it. A waiver keeps its reason, and a day that waits for its witness goes on waiting.
 */
export function recordFailure(
  stored: StoredCell | null,
  answer: CellAnswer,
  { kind, code, message }: { kind: 'failed' | 'quarantined'; code: string; message: string },
): Settlement {
  const error = { code, message };
  if (stored?.attemptedAtMs != null && stored.attemptedAtMs >= answer.sentAtMs) {
    return { result: kind, cell: null, facts: null, error };
  }
  const before = stored ?? neverRead;
  const attempts = before.attempts + 1;
  const { isPastHorizon } = answer.age;
  const isClosed = stored?.state === 'waived' || stored?.state === 'unavailable';
  const isWaiting = stored?.error?.code === UNWITNESSED;
  // A held number in doubt stays a gap until it is read.
  const isDoubted = stored !== null && isGapWhileHeld(stored) && !GAP_WHILE_HELD.includes(code);
  const stays = stored && (isHeldState(stored.state) || isClosed || (isWaiting && !isPastHorizon));
  return {
    result: kind,
    cell: {
      ...before,
      state: stays ? stored.state : isPastHorizon ? 'unavailable' : kind,
      attemptedAtMs: answer.sentAtMs,
      attempts,
      nextReadAtMs: isClosed || isPastHorizon ? null : retryAtMs(answer.sentAtMs, attempts),
      error: stored?.error?.code === WAIVED || isWaiting || isDoubted ? stored.error : error,
    },
    facts: null,
    error,
  };
}

/** What is held stays as it is and is not read again; that Losant left it out since is no gap any more. */
export function closeHeld(stored: StoredCell): Settlement {
  const error = isGapWhileHeld(stored)
    ? { code: pastHorizon.code, message: stored.error?.message ?? '' }
    : stored.error;
  return { ...unchanged, cell: { ...stored, nextReadAtMs: null, error } };
}

export function close(stored: StoredCell | null, { code, message }: CellError): Settlement {
  const before = stored ?? neverRead;
  const error = { code, message };
  if (code === NOT_TRACKED) return { ...unchanged, cell: stored && { ...stored, nextReadAtMs: null } };
  const isWaived = before.state === 'waived';
  return {
    result: 'unavailable',
    cell: {
      ...before,
      state: isWaived ? 'waived' : 'unavailable',
      attempts: 0,
      nextReadAtMs: null,
      error: isWaived ? before.error : error,
    },
    facts: null,
    error,
  };
}

/** Code of an outcome that closes a cell which nobody wants. */
export const NOT_TRACKED = 'not_tracked';
/** Error code of a cell whose missing number was accepted. */
export const WAIVED = 'waived';

/** The row after an accepted answer. A failure of a later read, seen first, stays on it. */
export function accept(
  stored: StoredCell | null,
  { age, sentAtMs, sha256 }: CellAnswer,
  changes: Partial<Pick<StoredCell, 'state' | 'reported' | 'revision'>>,
): StoredCell {
  const before = stored ?? neverRead;
  const hasTrouble = before.attempts > 0 && before.state !== 'waived';
  const isOvertaken = hasTrouble && before.attemptedAtMs !== null && before.attemptedAtMs > sentAtMs;
  const trouble = isOvertaken
    ? { nextReadAtMs: earliest(before.nextReadAtMs, age.nextCheckpointMs) }
    : { attemptedAtMs: sentAtMs, attempts: 0, nextReadAtMs: age.nextCheckpointMs, error: null };
  return {
    ...before,
    ...trouble,
    state: sentAtMs >= age.finalFromMs || before.state === 'final' ? 'final' : 'loaded',
    verifiedAtMs: sentAtMs,
    sha256,
    ...changes,
  };
}

export const neverRead: StoredCell = {
  state: 'failed',
  reported: false,
  revision: 0,
  verifiedAtMs: null,
  attemptedAtMs: null,
  attempts: 0,
  nextReadAtMs: null,
  error: null,
  sha256: null,
};

function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

export function bucketMissing(what: string) {
  const message = `Losant left out ${what}, for which a number other than zero is held`;
  return { kind: 'failed', code: 'bucket_missing', message } as const;
}

/** Whether a number other than zero is held in the column. */
export function hasNumber(facts: readonly Fact[], column: number): boolean {
  return facts.some(({ values }) => values[column] !== 0);
}

export function sameFacts(a: readonly Fact[], b: readonly Fact[]): boolean {
  if (a.length !== b.length) return false;
  const byKey = new Map(a.map((fact) => [factKey(fact), fact]));
  return b.every((fact) => {
    const other = byKey.get(factKey(fact));
    return other !== undefined && sameValues(other, fact);
  });
}

export function sameValues(a: Fact, b: Fact): boolean {
  return a.values.every((value, index) => value === b.values[index]);
}

/** One text per key: NUL cannot be part of a stored key. */
export function factKey({ key }: Fact): string {
  return key.join('\0');
}
