import type { Verdict } from '../cell.ts';
import type { DayRange, UsageDay } from '../day.ts';

/**
 * A stream is one kind of usage: the requests to Losant, the reading of their bodies, and the columns for the numbers.
 * A stream knows nothing of HTTP, SQL or numbers stored before.
 */
export interface Stream {
  readonly name: string;
  /** The requests that make up one slice, in order; `readBodies` gets their bodies in this order. */
  readonly requests: readonly UsageRequest[];
  /** The most days that one request may cover. 1 means that the body is a total without dates. */
  readonly windowDays: number;
  /** The columns of `usage_days` that store its numbers. */
  readonly columns: readonly string[];
  /**
   * `flow`: counts events, so an omitted day may be zero. `level`: a state at the end of the day, which an
   * omission does not make zero.
   */
  readonly kind: 'flow' | 'level';
  /** The other streams that count the same payloads. */
  readonly counterparts: readonly string[];
  /** The counterpart that must be stored before omitted numbers may become zeros. */
  readonly waitsFor?: string;
  /** Columns that count all payloads, with the columns that they include. */
  readonly includes?: Readonly<Record<string, readonly string[]>>;
  /** Reads the bodies of one window. Throws {@link UnplaceableBodyError} if a body cannot be assigned to days. */
  readonly readBodies: (bodies: readonly unknown[], window: DayRange) => WindowReading;
}

export interface UsageRequest {
  /** The name of the action, and the end of its path. */
  readonly action: string;
  /** Query values besides start and end, as the text that is sent. */
  readonly query: Readonly<Record<string, string>>;
}

/** The content of the bodies for one day. A day that is not in the reading was left out by Losant. */
export type DayReading = Exclude<Verdict, { kind: 'omitted' | 'failed' }>;

export interface WindowReading {
  readonly days: ReadonlyMap<UsageDay, DayReading>;
  /** The number of buckets of days that were not asked for, which are dropped. */
  readonly outsideBuckets: number;
  /** The number of keys unknown to this version, which are tolerated. */
  readonly unknownKeys: number;
}

/** Thrown for a body that cannot be assigned to days: no number in it may be believed. */
export class UnplaceableBodyError extends Error {
  override readonly name = 'UnplaceableBodyError';
}
