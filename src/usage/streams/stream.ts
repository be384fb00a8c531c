import type { DayRange, UsageDay } from '../day.ts';

/**
 * A stream is one kind of usage: what to ask Losant for, how to read the bodies, and which
 * table the numbers belong in. It knows nothing of HTTP, SQL or what is already stored.
 */
export interface Stream {
  /** Name of the stream and of its table. */
  readonly name: string;
  /** The requests that make up one slice, in order; `readBodies` gets their bodies in this order. */
  readonly requests: readonly UsageRequest[];
  /** Most days one request may cover. 1 means the body is a total without dates. */
  readonly windowDays: number;
  /** Columns of the primary key beyond `usage_date` and `org_id`. */
  readonly keyColumns: readonly string[];
  /** Billed columns, in the source's words. */
  readonly columns: readonly string[];
  /** The columns of `usage_days` that hold them, in the same order; their sums where there are key columns. */
  readonly metrics: readonly string[];
  /**
   * What a day means that Losant leaves out while nothing is stored: `zero` for
   * counts of things that happened (a row of zeros, or no row where the key has
   * more columns), `absent` for a level, which is not zero because nobody said so.
   */
  readonly missingMeans: 'zero' | 'absent';
  /**
   * Another stream that counts the same: `count` is the metric whose 0 confirms zeros of this stream that Losant never
   * named. Where it is required, zeros for days or `columns` that Losant left out are stored only if it is 0, or if
   * that stream is not collected.
   */
  readonly crossCheck?: {
    readonly stream: string;
    readonly metric: string;
    readonly columns: readonly string[];
    readonly isRequired: boolean;
  };
  /** Reads the bodies of one window. Throws {@link UnplaceableBodyError} if a body cannot be assigned to days. */
  readBodies(bodies: readonly unknown[], window: DayRange): WindowReading;
}

export type UsageAction =
  | 'deviceCounts'
  | 'notebookMinuteCounts'
  | 'payloadCounts'
  | 'payloadCountsBreakdown';

export interface UsageRequest {
  readonly action: UsageAction;
  /** Query values beyond start and end, as the text that is sent. */
  readonly query: Readonly<Record<string, string>>;
}

/** One fact: its extra key columns and its billed columns, in the stream's order. */
export interface Fact {
  readonly key: readonly string[];
  readonly values: readonly number[];
}

/** What the bodies say of one day. A day that is not in the reading was left out by Losant. */
export type DayReading =
  | {
      readonly kind: 'values';
      readonly facts: readonly Fact[];
      /** Columns whose bucket was left out while another part of the day was there; their value reads 0. */
      readonly missingColumns: readonly string[];
    }
  /** Its numbers cannot be billed. */
  | { readonly kind: 'quarantined'; readonly code: 'invalid_value'; readonly message: string };

export interface WindowReading {
  readonly days: ReadonlyMap<UsageDay, DayReading>;
  /** Buckets of days that were not asked for; dropped. */
  readonly outsideBuckets: number;
  /** Keys this version does not know; tolerated. */
  readonly unknownKeys: number;
}

/** A body that cannot be assigned to days: no number in it may be believed. */
export class UnplaceableBodyError extends Error {
  override readonly name = 'UnplaceableBodyError';
}
