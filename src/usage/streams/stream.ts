import type { Verdict } from '../cell.ts';
import type { DayRange, UsageDay } from '../day.ts';

/** One kind of usage response: requests, parser and columns. It knows nothing of HTTP, SQL or stored numbers. */
export interface Stream {
  readonly name: string;
  /** The requests of one slice; `parseBodies` gets the bodies in the same order. */
  readonly requests: readonly UsageRequest[];
  /** The most days of one request. 1 means that the body is a total without dates. */
  readonly maxDays: number;
  /** The columns of `usage_days` that store its numbers. */
  readonly columns: readonly string[];
  /** `flow`: counts events, so an omitted day may be zero. `level`: a state, which an omission does not make zero. */
  readonly kind: 'flow' | 'level';
  /** Parses the bodies of one slice. Throws {@link UnplaceableBodyError} if a body cannot be assigned to days. */
  readonly parseBodies: (bodies: readonly unknown[], range: DayRange) => BodyContent;
}

export interface UsageRequest {
  /** Also the last segment of the path. */
  readonly action: string;
  /** The query besides `start` and `end`. */
  readonly query: Readonly<Record<string, string>>;
}

/** The verdict on a day that the bodies report. */
export type DayVerdict = Exclude<Verdict, { kind: 'omitted' | 'failed' }>;

export interface BodyContent {
  /** Without the days that Losant omitted. */
  readonly days: ReadonlyMap<UsageDay, DayVerdict>;
  /** The number of buckets of other days than requested, which are dropped. */
  readonly outsideBuckets: number;
  /** The number of keys unknown to this version, which are ignored. */
  readonly unknownKeys: number;
}

/** Thrown for a body that cannot be assigned to days, so that none of its numbers can be trusted. */
export class UnplaceableBodyError extends Error {
  override readonly name = 'UnplaceableBodyError';
  /** Whether the body states a shorter range than requested. */
  readonly isCutShort: boolean;

  constructor(message: string, { isCutShort = false } = {}) {
    super(message);
    this.isCutShort = isCutShort;
  }
}
