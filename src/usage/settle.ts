/**
 * The one place that decides what an answer does to a cell: which state it
 * ends in, which rows change, and whether a number is restated. Pure.
 */
import type { UsageDay } from './day.ts';
import type { Fact, Stream } from './streams/stream.ts';
import type { CellState } from '../database/schema.ts';

/** What a read of one cell came to. */
export type CellOutcome =
  | { readonly kind: 'values'; readonly facts: readonly Fact[]; readonly missingColumns: readonly string[] }
  /** Losant answered, and left this day out. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'failed' | 'quarantined'; readonly code: string; readonly message: string }
  /** It can no longer be asked for. */
  | { readonly kind: 'lost'; readonly code: string; readonly message: string };

export interface CellAnswer {
  readonly orgId: string;
  readonly stream: Stream;
  readonly day: UsageDay;
  /** When the first request of the answer was sent, ms by the database's clock. */
  readonly sentAtMs: number;
  /** SHA-256 (hex) over the bodies, in request order; null if there is no whole answer. */
  readonly sha256: string | null;
  readonly outcome: CellOutcome;
  /** What the answer's age means for the day. */
  readonly age: {
    readonly isFinalRead: boolean;
    readonly isLastRead: boolean;
    readonly isPastHorizon: boolean;
  };
  /** How long to wait before the next try, by the number of failures in a row. */
  readonly retryDelayMs: (attempts: number) => number;
}

export interface StoredCell {
  readonly state: CellState;
  readonly reported: boolean;
  readonly revision: number;
  readonly verifiedAtMs: number | null;
  readonly attemptedAtMs: number | null;
  readonly attempts: number;
  readonly nextAttemptAtMs: number | null;
  readonly error: CellError | null;
  readonly sha256: string | null;
}

export interface CellError {
  readonly code: string;
  readonly message: string;
}

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

/**
 * Answers may come in any order, more than once, or beside each other: a cell
 * ends with the newest number Losant named. What Losant left out never stands
 * against a number it named, so an older answer still counts where the newer
 * one was silent.
 *
 * @param stored the ledger's row, locked; null if the cell was never asked for
 * @param held the rows stored for the cell
 */
export function settleCell(stored: StoredCell | null, held: readonly Fact[], answer: CellAnswer): Settlement {
  const { outcome, age, sentAtMs } = answer;
  const isHeld = stored?.state === 'loaded' || stored?.state === 'final';
  if (age.isPastHorizon && isHeld) return unchanged;
  if (outcome.kind === 'lost') return isHeld ? unchanged : lose(stored, outcome);
  const verifiedAtMs = stored?.verifiedAtMs ?? null;
  if (stored && verifiedAtMs !== null && verifiedAtMs >= sentAtMs) {
    return fillSilence({ ...stored, verifiedAtMs }, held, { answer, isHeld });
  }
  switch (outcome.kind) {
    case 'values':
      if (age.isPastHorizon && outcome.missingColumns.length > 0) return lose(stored, pastHorizon);
      return acceptValues(stored, held, { answer, outcome, isHeld });
    case 'missing':
      return isHeld ? keepHeld(stored, held, answer) : acceptMissing(stored, answer);
    case 'failed':
    case 'quarantined':
      if (age.isPastHorizon && outcome.code === 'refused') return lose(stored, outcome);
      return recordFailure(stored, answer, outcome);
  }
}

const unchanged: Settlement = { result: 'unchanged', cell: null, facts: null, error: null };
const pastHorizon = { code: 'past_horizon', message: 'Losant no longer keeps the detail of this day' };

function acceptValues(
  stored: StoredCell | null,
  held: readonly Fact[],
  {
    answer,
    outcome,
    isHeld,
  }: { answer: CellAnswer; outcome: CellOutcome & { kind: 'values' }; isHeld: boolean },
): Settlement {
  const lacking = outcome.missingColumns.filter((column) =>
    hasNumber(held, answer.stream.columns.indexOf(column)),
  );
  if (isHeld && lacking.length > 0) return recordFailure(stored, answer, bucketMissing(lacking.join(', ')));
  const isEqual = isHeld && sameFacts(held, outcome.facts);
  return {
    result: isEqual ? 'unchanged' : 'loaded',
    cell: accept(stored, answer, {
      reported: stored?.reported || outcome.missingColumns.length === 0,
      revision: (stored?.revision ?? 0) + (isEqual ? 0 : 1),
    }),
    facts: isEqual ? null : outcome.facts,
    error: null,
  };
}

/**
 * An answer older than the accepted one counts only where that one left the day
 * out, and then as if it had come first: the silence after it is a failed read.
 */
function fillSilence(
  stored: StoredCell & { readonly verifiedAtMs: number },
  held: readonly Fact[],
  { answer, isHeld }: { answer: CellAnswer; isHeld: boolean },
): Settlement {
  const { outcome } = answer;
  if (outcome.kind !== 'values' || outcome.missingColumns.length > 0) return unchanged;
  if (stored.reported || stored.verifiedAtMs === answer.sentAtMs) return unchanged;
  const lacked = answer.stream.columns.filter(
    (_, index) => !hasNumber(held, index) && hasNumber(outcome.facts, index),
  );
  const isSilent = !answer.stream.columns.some((_, index) => hasNumber(held, index));
  if (lacked.length === 0 && !isSilent) return unchanged;
  const before: StoredCell = { ...stored, state: lacked.length > 0 ? 'loaded' : stored.state };
  const filled = acceptValues(before, held, { answer, outcome, isHeld });
  if (lacked.length === 0) return filled;
  const silence = { ...answer, sentAtMs: stored.verifiedAtMs };
  const { cell } = recordFailure(filled.cell, silence, bucketMissing(lacked.join(', ')));
  return { ...filled, cell: cell ?? filled.cell };
}

/** A day that is left out never replaces a held number other than zero. */
function keepHeld(stored: StoredCell, held: readonly Fact[], answer: CellAnswer): Settlement {
  if (answer.stream.columns.some((_, index) => hasNumber(held, index))) {
    return recordFailure(stored, answer, bucketMissing('the day'));
  }
  return { ...unchanged, cell: accept(stored, answer, {}) };
}

function acceptMissing(stored: StoredCell | null, answer: CellAnswer): Settlement {
  const { stream, age } = answer;
  if (age.isPastHorizon) return lose(stored, pastHorizon);
  if (stream.missingMeans === 'zero') {
    const zeros = stream.columns.map(() => 0);
    return {
      result: 'loaded',
      cell: accept(stored, answer, { revision: (stored?.revision ?? 0) + 1 }),
      facts: stream.keyColumns.length === 0 ? [{ key: [], values: zeros }] : [],
      error: null,
    };
  }
  const absent = { code: 'absent', message: 'Losant has no number for this day' };
  if (stored?.state === 'waived') return { ...unchanged, result: 'absent' };
  const state = age.isLastRead || stored?.state === 'unavailable' ? 'unavailable' : 'absent';
  const accepted = accept(stored, answer, { state });
  const failedSince = accepted.error !== null && stored !== null && state === 'absent';
  return {
    result: state,
    cell: {
      ...accepted,
      state: failedSince ? stored.state : state,
      error: accepted.error ?? absent,
    },
    facts: null,
    error: absent,
  };
}

/** A failed read demotes nothing that is held, waived or given up: it only shows beside it. A waiver keeps its reason. */
function recordFailure(
  stored: StoredCell | null,
  answer: CellAnswer,
  { kind, code, message }: { kind: 'failed' | 'quarantined'; code: string; message: string },
): Settlement {
  const error = { code, message };
  if (stored?.attemptedAtMs != null && stored.attemptedAtMs >= answer.sentAtMs) {
    return { result: kind, cell: null, facts: null, error };
  }
  const before = stored ?? neverAsked;
  const attempts = before.attempts + 1;
  const stays = stored && ['loaded', 'final', 'waived', 'unavailable'].includes(stored.state);
  return {
    result: kind,
    cell: {
      ...before,
      state: stays ? stored.state : answer.age.isPastHorizon ? 'unavailable' : kind,
      attemptedAtMs: answer.sentAtMs,
      attempts,
      nextAttemptAtMs: answer.sentAtMs + answer.retryDelayMs(attempts),
      error: stored?.state === 'waived' ? stored.error : error,
    },
    facts: null,
    error,
  };
}

function lose(stored: StoredCell | null, { code, message }: CellError): Settlement {
  const before = stored ?? neverAsked;
  const error = { code, message };
  return {
    result: 'unavailable',
    cell: {
      ...before,
      state: before.state === 'waived' ? 'waived' : 'unavailable',
      attempts: 0,
      nextAttemptAtMs: null,
      error: before.state === 'waived' ? before.error : error,
    },
    facts: null,
    error,
  };
}

/** The row after an accepted answer. A failure of a later read, seen first, stays on it. */
function accept(
  stored: StoredCell | null,
  { age, sentAtMs, sha256 }: CellAnswer,
  changes: Partial<Pick<StoredCell, 'state' | 'reported' | 'revision'>>,
): StoredCell {
  const before = stored ?? neverAsked;
  const hasTrouble = before.attempts > 0 && before.state !== 'waived';
  const isOvertaken = hasTrouble && before.attemptedAtMs !== null && before.attemptedAtMs > sentAtMs;
  const trouble = isOvertaken
    ? {}
    : { attemptedAtMs: sentAtMs, attempts: 0, nextAttemptAtMs: null, error: null };
  return {
    ...before,
    ...trouble,
    state: age.isFinalRead || before.state === 'final' ? 'final' : 'loaded',
    verifiedAtMs: sentAtMs,
    sha256,
    ...changes,
  };
}

const neverAsked: StoredCell = {
  state: 'failed',
  reported: false,
  revision: 0,
  verifiedAtMs: null,
  attemptedAtMs: null,
  attempts: 0,
  nextAttemptAtMs: null,
  error: null,
  sha256: null,
};

function bucketMissing(what: string) {
  const message = `Losant left out ${what}, for which a number other than zero is held`;
  return { kind: 'failed', code: 'bucket_missing', message } as const;
}

/** Whether a number other than zero is held in the column. */
function hasNumber(facts: readonly Fact[], column: number): boolean {
  return facts.some(({ values }) => values[column] !== 0);
}

function sameFacts(a: readonly Fact[], b: readonly Fact[]): boolean {
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
