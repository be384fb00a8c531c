import { HOUR_MS, type UsageDay } from './day.ts';
import { OMISSIONS_NEEDED, type ReadAge } from './policy.ts';
import type { Standing } from './standing.ts';
import type { Fact, Stream } from './streams/stream.ts';

/** A cell: organization × stream × usage day, the unit of truth. */
export interface CellKey {
  readonly orgId: string;
  readonly stream: string;
  readonly day: UsageDay;
}

/** One text per cell, for maps; in the order in which every writer locks cells. */
export function cellId({ orgId, stream, day }: CellKey): string {
  return `${day} ${stream} ${orgId}`;
}

/** The order of ids, days and stream names in the database: by code units, as its collation "C" has it. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The row of a cell in the ledger, `coverage`; the comments of its columns say what each means. */
export interface Cell {
  /** Never `waiting`: what Losant left out is `missing` in the ledger, and waits as long as it is not late. */
  readonly standing: Exclude<Standing, 'waiting'>;
  readonly isStored: boolean;
  readonly isReported: boolean;
  readonly omissions: number;
  readonly revision: number;
  readonly verifiedAtMs: number | null;
  readonly attemptedAtMs: number | null;
  readonly attempts: number;
  /** When the cell is read next; null: it is not. */
  readonly nextReadAtMs: number | null;
  /** Whether it was final once; a later change is a restatement. */
  readonly wasFinal: boolean;
  readonly reason: string | null;
  readonly message: string | null;
  /** Hex. */
  readonly sha256: string | null;
}

/** A code to group by, without ids or dates, and the rest for people. */
export interface Reason {
  readonly code: string;
  readonly message: string;
}

/** What a read of one cell came to. */
export type CellOutcome =
  | { readonly kind: 'values'; readonly facts: readonly Fact[]; readonly missingColumns: readonly string[] }
  /** Losant answered, and left this day out. */
  | { readonly kind: 'missing' }
  | ({ readonly kind: 'failed' | 'quarantined' } & Reason)
  /** It is not read any more: past the horizon, its organization gone, or not tracked. */
  | ({ readonly kind: 'closed' } & Reason);

/** What a run has for one cell. */
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

/** How a cell counts in the result of a run. */
export type CellResult = 'loaded' | 'unchanged' | 'left_out' | 'failed' | 'quarantined' | 'unavailable';

export interface Applied {
  readonly result: CellResult;
  /** The row from now on; null where the answer changes nothing (an older one, or a day past the horizon). */
  readonly cell: Cell | null;
  /** The numbers the cell has from now on; null where they stay. */
  readonly facts: readonly Fact[] | null;
  /** What was wrong with the answer; null if nothing. */
  readonly problem: Reason | null;
}

/** An answer that changes nothing. */
export const unchanged: Applied = { result: 'unchanged', cell: null, facts: null, problem: null };

/** Reasons of cells that Losant left out and that have no number: they wait as long as they are not late. */
export const LEFT_OUT_REASONS: readonly string[] = ['left_out', 'unconfirmed', 'contradicted'];
/** Reason of a cell whose stream or organization is not tracked on the day: nobody wants it. */
export const NOT_TRACKED = 'not_tracked';
/** Reason of a cell whose numbers a person has changed or removed in SQL. */
export const CHANGED_BY_HAND = 'changed_by_hand';
/** Reason of an accepted cell. */
export const WAIVED = 'waived';
/** Reason of cells that are not read any more because their organization is gone. */
export const ORG_DELETED = 'org_deleted';

/** The standing of a cell whose numbers nothing speaks against; zeros that are not sure are read again soon. */
export function stand(cell: Cell, { finalFromMs }: Pick<ReadAge, 'finalFromMs'>): Cell {
  const verifiedAtMs = cell.verifiedAtMs ?? 0;
  const isLate = cell.wasFinal || verifiedAtMs >= finalFromMs;
  const isSure = cell.isReported || cell.omissions >= OMISSIONS_NEEDED;
  const isFinal = isLate && isSure;
  // Until enough answers have left them out, also after the last checkpoint.
  const soonMs = isLate && !isSure ? verifiedAtMs + HOUR_MS : null;
  return {
    ...cell,
    standing: isFinal ? 'final' : 'stored',
    wasFinal: cell.wasFinal || isFinal,
    nextReadAtMs: earliest(cell.nextReadAtMs, soonMs),
  };
}

/** The columns of a cell that say why. */
export function said({ code, message }: Reason): Pick<Cell, 'reason' | 'message'> {
  return { reason: code, message };
}

/** The earlier of two times that may not be; null if neither is. */
export function earliest(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

/** Whether a fact has a number other than zero in the column. */
export function hasNumber(facts: readonly Fact[], column: number): boolean {
  return facts.some(({ values }) => values[column] !== 0);
}

export function hasAnyNumber(facts: readonly Fact[]): boolean {
  return facts.some(({ values }) => values.some((value) => value !== 0));
}

/** Whether two sets of facts have the same keys and values, in whatever order. */
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
