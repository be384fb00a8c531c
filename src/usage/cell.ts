import type { UsageDay } from './day.ts';
import type { Differences, NumberRef, Numbers } from './numbers.ts';
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

/** A cell as it is stored: a row of `coverage`, whose column comments define each field, with its numbers. */
export interface StoredCell extends CellKey {
  readonly standing: Standing;
  readonly isStored: boolean;
  readonly isReported: boolean;
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
  /** Null if none are stored. */
  readonly numbers: Numbers | null;
}

/** A code to group by, without IDs or dates, and a sentence to read. */
export interface Reason {
  readonly code: string;
  readonly detail: string;
}

/** The part of a response that concerns one cell. */
export type Verdict =
  /** Omitted parts are 0 in `numbers`. */
  | { readonly kind: 'reported'; readonly numbers: Numbers; readonly omitted: readonly NumberRef[] }
  | { readonly kind: 'omitted' }
  | ({ readonly kind: 'failed' | 'quarantined' } & Reason);

export interface CellResponse extends CellKey {
  /** When the first request was sent, in ms by the database's clock. */
  readonly sentAtMs: number;
  /** The bodies as received, in request order; the same array for all cells of a slice. */
  readonly texts: readonly string[];
  /** The SHA-256 (hex) over the bodies; null without a complete response. */
  readonly sha256: string | null;
  readonly verdict: Verdict;
}

/** The result of a cell as a run counts it. */
export type CellResult = 'loaded' | 'unchanged' | 'omitted' | 'failed' | 'quarantined' | 'unavailable';

/** What a response does to a cell. */
export interface CellUpdate {
  readonly previous: StoredCell;
  /** The cell after the response; its revision rises if its numbers change. */
  readonly cell: StoredCell;
  readonly result: CellResult;
  /** The changes of stored numbers; null if nothing was stored or nothing changes. */
  readonly differences: Differences | null;
  /** Null if nothing was wrong. */
  readonly problem: Reason | null;
}

export const WAIVED = 'waived';
/** The reason of a cell whose day, or a part of it, Losant left out. */
export const OMITTED = 'omitted';
/** The reasons of unavailable cells: the organization is deleted, or Losant no longer retains the day. */
export const ORG_DELETED = 'org_deleted';
export const PAST_HORIZON = 'past_horizon';
