import type { DayRange, UsageDay } from '../day.ts';

/**
 * A stream is one kind of usage: the requests to Losant, the reading of their bodies, and the table
 * for the numbers. It knows nothing of HTTP, SQL or numbers stored before.
 */
export interface Stream {
  /** The name of the stream and of its table. */
  readonly name: string;
  /** The requests that make up one slice, in order; `readBodies` gets their bodies in this order. */
  readonly requests: readonly UsageRequest[];
  /** The most days that one request may cover. 1 means that the body is a total without dates. */
  readonly windowDays: number;
  /** Columns of the primary key beyond `usage_date` and `org_id`. */
  readonly keyColumns: readonly string[];
  /** The billed columns, in the source's words. */
  readonly columns: readonly string[];
  /** The columns of `usage_days` that store them, in the same order; with key columns, their sums. */
  readonly metrics: readonly string[];
  /**
   * The meaning of a day that Losant leaves out while nothing is stored: `zero` for counts of events (a
   * row of zeros, or no row if the key has more columns), `missing` for a level, which is not zero
   * because nobody said so.
   */
  readonly missingMeans: 'zero' | 'missing';
  /** What other streams say of zeros of this one that Losant never named. */
  readonly crossChecks: readonly CrossCheckRule[];
  /** Reads the bodies of one window. Throws {@link UnplaceableBodyError} if a body cannot be assigned to days. */
  readBodies(bodies: readonly unknown[], window: DayRange): WindowReading;
}

/** Another stream that counts the same. */
export interface CrossCheckRule {
  readonly stream: string;
  /** The column of that stream whose sum counts the same. */
  readonly column: string;
  /**
   * What that sum decides. A 0 always confirms zeros. `contradicts`: a higher one takes them back. `required`: it does, and
   * days or `columns` that Losant left out are zeros only once it is stored, or where that stream is not collected.
   */
  readonly weight: 'confirms' | 'contradicts' | 'required';
  readonly columns: readonly string[];
}

export type UsageAction =
  | 'deviceCounts'
  | 'notebookMinuteCounts'
  | 'payloadCounts'
  | 'payloadCountsBreakdown';

export interface UsageRequest {
  readonly action: UsageAction;
  /** Query values besides start and end, as the text that is sent. */
  readonly query: Readonly<Record<string, string>>;
}

/** One fact: its extra key columns and its billed columns, in the stream's order. */
export interface Fact {
  readonly key: readonly string[];
  readonly values: readonly number[];
}

/** The content of the bodies for one day. A day that is not in the reading was left out by Losant. */
export type DayReading =
  | {
      readonly kind: 'values';
      readonly facts: readonly Fact[];
      /**
       * Columns whose bucket was left out although another part of the day was present; their value reads 0.
       */
      readonly missingColumns: readonly string[];
    }
  /** The numbers of the day cannot be billed. */
  | { readonly kind: 'quarantined'; readonly code: 'invalid_value'; readonly message: string };

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
