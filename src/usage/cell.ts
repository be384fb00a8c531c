import type { UsageDay } from './day.ts';
import type { NumberRef, Numbers } from './numbers.ts';
import type { Standing } from './standing.ts';

/** The key of a cell: organization × stream × usage day. */
export interface CellKey {
  readonly orgId: string;
  readonly stream: string;
  readonly day: UsageDay;
}

/** Returns a unique text for a cell. Its order is the order in which every writer locks cells. */
export function cellId({ day, orgId, stream }: CellKey): string {
  return `${day} ${orgId} ${stream}`;
}

/** Compares by code units, as the collation "C" of the database does. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** A row of `coverage`, whose column comments define each field. */
export interface Cell {
  readonly standing: Standing;
  readonly isStored: boolean;
  readonly isReported: boolean;
  readonly omissions: number;
  readonly lastOmittedAtMs: number | null;
  readonly revision: number;
  readonly lastReadAtMs: number | null;
  readonly lastAttemptAtMs: number | null;
  readonly failedReads: number;
  /** Null if the cell is not read again. */
  readonly nextReadAtMs: number | null;
  readonly wasFinal: boolean;
  readonly reason: string | null;
  readonly detail: string | null;
  /** In hex. */
  readonly sha256: string | null;
}

/** A code to group by, without IDs or dates, and a sentence to read. */
export interface Reason {
  readonly code: string;
  readonly detail: string;
}

/** The part of a response that concerns one cell. */
export type Verdict =
  /** Omitted parts are 0 in `numbers`. `doubt` is what contradicts the response. */
  | {
      readonly kind: 'reported';
      readonly numbers: Numbers;
      readonly omitted: readonly NumberRef[];
      readonly doubt?: Reason;
    }
  | { readonly kind: 'omitted' }
  | ({ readonly kind: 'failed' | 'quarantined' } & Reason);

export interface CellResponse extends CellKey {
  /** When the first request was sent, in ms by the database's clock. */
  readonly sentAtMs: number;
  /** The SHA-256 (hex) over the bodies in request order; null without a complete response. */
  readonly sha256: string | null;
  readonly verdict: Verdict;
}

/** The result of a cell as a run counts it. */
export type CellResult = 'loaded' | 'unchanged' | 'omitted' | 'failed' | 'quarantined' | 'unavailable';

/** The reason of a waived cell. */
export const WAIVED = 'waived';
/** The reason of a cell that the program waived, and of its waiver: the organization was created later. */
export const BEFORE_CREATION = 'before_creation';
/** The reasons of unavailable cells: the organization is deleted, or Losant no longer retains the day. */
export const ORG_DELETED = 'org_deleted';
export const PAST_HORIZON = 'past_horizon';
