import type { UsageDay } from './day.ts';
import type { ReadAge } from './policy.ts';
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

/** Reasons of cells that Losant left out and that have no number: they wait as long as they are not late. */
export const LEFT_OUT_REASONS: readonly string[] = ['left_out', 'unconfirmed', 'contradicted'];
/** Reason of a cell whose stream or organization is not tracked on the day: nobody wants it. */
export const NOT_TRACKED = 'not_tracked';
/** Reason of an accepted cell. */
export const WAIVED = 'waived';
/** Reason of cells that are not read any more because their organization is gone. */
export const ORG_DELETED = 'org_deleted';
