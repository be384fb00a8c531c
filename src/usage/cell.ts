import { HOUR_MS, type UsageDay } from './day.ts';
import { OMISSIONS_NEEDED, type ReadAge } from './policy.ts';
import type { Standing } from './standing.ts';
import type { DayReading, Fact } from './streams/stream.ts';

/** A cell: organization × stream × usage day, the unit of truth. */
export interface CellKey {
  readonly orgId: string;
  readonly stream: string;
  readonly day: UsageDay;
}

/** `cellId` returns a unique text for a cell, for maps. Its order is the order in which every writer locks cells. */
export function cellId({ orgId, stream, day }: CellKey): string {
  return `${day} ${stream} ${orgId}`;
}

/**
 * `compareText` compares ids, days and stream names in the order of the database: by code units, as its collation
 * "C" does.
 */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The row of a cell in the ledger, `coverage`; the comments of its columns define each. */
export interface Cell {
  /**
   * Never `waiting`: a cell that Losant left out is `missing` in the ledger, and shown as waiting while
   * it is not late.
   */
  readonly standing: Exclude<Standing, 'waiting'>;
  readonly isStored: boolean;
  readonly isReported: boolean;
  readonly omissions: number;
  readonly revision: number;
  readonly verifiedAtMs: number | null;
  readonly attemptedAtMs: number | null;
  readonly attempts: number;
  /** The time of the next read; null if there is none. */
  readonly nextReadAtMs: number | null;
  /** Whether it was ever final; a later change is a restatement. */
  readonly wasFinal: boolean;
  readonly reason: string | null;
  readonly message: string | null;
  /** In hex. */
  readonly sha256: string | null;
}

/** A code to group by, without ids or dates, and a message for people. */
export interface Reason {
  readonly code: string;
  readonly message: string;
}

/** The outcome of reading one cell. */
export type CellOutcome =
  | DayReading
  /** Losant answered and left this day out. */
  | { readonly kind: 'missing' }
  | ({ readonly kind: 'failed' | 'quarantined' } & Reason)
  /** The cell is no longer read: past the horizon, its organization gone, or not tracked. */
  | ({ readonly kind: 'closed' } & Reason);

/** The answer that a run has for one cell. */
export interface CellAnswer extends CellKey {
  /** The time at which the first request was sent, in ms by the database's clock. */
  readonly sentAtMs: number;
  /** The SHA-256 (hex) over the bodies in request order; null without a complete answer. */
  readonly sha256: string | null;
  readonly outcome: CellOutcome;
  readonly age: ReadAge;
}

/** The result of a cell as a run counts it. */
export type CellResult = 'loaded' | 'unchanged' | 'left_out' | 'failed' | 'quarantined' | 'unavailable';

export interface Applied {
  readonly result: CellResult;
  /** The new row; null if the answer changes nothing (an older one, or a day past the horizon). */
  readonly cell: Cell | null;
  /** The new numbers; null if they stay. */
  readonly facts: readonly Fact[] | null;
  /** The problem of the answer; null if there was none. */
  readonly problem: Reason | null;
}

/** A locked cell with its numbers, and what becomes of both. */
export interface AppliedCell extends CellKey, Applied {
  /** Its row before the transaction, with the run that wrote it last (null: by hand); null if it has none. */
  readonly before: (Cell & { readonly runId: string | null }) | null;
  readonly numbers: readonly Fact[];
}

/** The effect of an answer that changes nothing. */
export const unchanged: Applied = { result: 'unchanged', cell: null, facts: null, problem: null };

/**
 * The reasons of cells that Losant left out and that have no number; they wait as long as they are not
 * late.
 */
export const LEFT_OUT_REASONS: readonly string[] = ['left_out', 'unconfirmed', 'contradicted'];
/** The reason of a cell whose stream or organization is not tracked on the day. */
export const NOT_TRACKED = 'not_tracked';
/** The reason of a cell whose numbers a person has changed or removed in SQL. */
export const CHANGED_BY_HAND = 'changed_by_hand';
/** The reason of an accepted cell. */
export const WAIVED = 'waived';
/** The reason of cells that are no longer read because their organization is gone. */
export const ORG_DELETED = 'org_deleted';

/**
 * `stand` returns the cell with its standing and next read, for numbers that nothing contradicts. Zeros that
 * are not yet sure are read again soon.
 */
export function stand(cell: Cell, { finalFromMs }: Pick<ReadAge, 'finalFromMs'>): Cell {
  const verifiedAtMs = cell.verifiedAtMs ?? 0;
  const isLate = cell.wasFinal || verifiedAtMs >= finalFromMs;
  const isSure = cell.isReported || cell.omissions >= OMISSIONS_NEEDED;
  const isFinal = isLate && isSure;
  // Unconfirmed zeros are read until enough answers have left them out, even after the last checkpoint.
  const soonMs = isLate && !isSure ? verifiedAtMs + HOUR_MS : null;
  return {
    ...cell,
    standing: isFinal ? 'final' : 'stored',
    wasFinal: cell.wasFinal || isFinal,
    nextReadAtMs: earliest(cell.nextReadAtMs, soonMs),
  };
}

/** `said` returns the columns of a cell that state the reason. */
export function said({ code, message }: Reason): Pick<Cell, 'reason' | 'message'> {
  return { reason: code, message };
}

/** `earliest` returns the earlier of two times, either of which may be null; null if both are. */
export function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

/** Whether a fact has a number other than zero. */
export function hasAnyNumber(facts: readonly Fact[]): boolean {
  return facts.some(({ values }) => values.some((value) => value !== 0));
}

/** Whether two sets of facts have the same keys and values, in any order. */
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

/** `factKey` returns a unique text for a key: a stored key cannot contain NUL. */
export function factKey({ key }: Fact): string {
  return key.join('\0');
}
