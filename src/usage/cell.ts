import type { UsageDay } from './day.ts';
import type { NumberRef, Numbers } from './numbers.ts';
import type { Standing } from './standing.ts';

/** A cell: organization × stream × usage day, the unit of truth. */
export interface CellKey {
  readonly orgId: string;
  readonly stream: string;
  readonly day: UsageDay;
}

/** Returns a unique text for a cell, for maps. Its order is the order in which every writer locks cells. */
export function cellId({ day, orgId, stream }: CellKey): string {
  return `${day} ${orgId} ${stream}`;
}

/** Compares ids, days and stream names in the order of the database: by code units, as its collation "C" does. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** The row of a cell in the ledger, `coverage`; the comments of its columns define each. */
export interface Cell {
  readonly standing: Standing;
  readonly isStored: boolean;
  readonly isReported: boolean;
  readonly omissions: number;
  readonly revision: number;
  readonly lastReadAtMs: number | null;
  readonly lastAttemptAtMs: number | null;
  readonly failedReads: number;
  /** The time of the next read; null if there is none. */
  readonly nextReadAtMs: number | null;
  /** Whether it was ever final; a later change is a restatement. */
  readonly wasFinal: boolean;
  readonly reason: string | null;
  readonly detail: string | null;
  /** In hex. */
  readonly sha256: string | null;
}

/** A code to group by, without ids or dates, and a message for people. */
export interface Reason {
  readonly code: string;
  readonly detail: string;
}

/** The part of an answer about one cell. */
export type Verdict =
  /** Losant named the day; parts that it left out read zero in `numbers`. `doubt` is what speaks against the answer. */
  | {
      readonly kind: 'reported';
      readonly numbers: Numbers;
      readonly omitted: readonly NumberRef[];
      readonly doubt?: Reason;
    }
  /** Losant answered and left the day out. */
  | { readonly kind: 'omitted' }
  | ({ readonly kind: 'failed' | 'quarantined' } & Reason);

/** The answer that a run has for one cell. */
export interface CellResponse extends CellKey {
  /** The time at which the first request was sent, in ms by the database's clock. */
  readonly sentAtMs: number;
  /** The SHA-256 (hex) over the bodies in request order; null without a complete answer. */
  readonly sha256: string | null;
  readonly verdict: Verdict;
}

/** The result of a cell as a run counts it. */
export type CellResult = 'loaded' | 'unchanged' | 'omitted' | 'failed' | 'quarantined' | 'unavailable';

/** The reason of an accepted cell. */
export const WAIVED = 'waived';
/** The reason of a cell that the program waived, and of its waiver: the organization was created later. */
export const BEFORE_CREATION = 'before_creation';
/** The reasons of cells that are no longer read: the organization is gone, or Losant no longer keeps the detail. */
export const ORG_DELETED = 'org_deleted';
export const PAST_HORIZON = 'past_horizon';
