import type { TotalBias } from './bias.ts';
import type { Clock } from './clock.ts';
import type { Edits } from './edits.ts';
import type { FaultLedger } from './fault-ledger.ts';
import type { FaultPlan } from './faults.ts';
import type { ListFaults } from './list-faults.ts';
import type { Population } from './population.ts';
import type { Stats } from './stats.ts';
import type { Tokens } from './tokens.ts';

/**
 * The settings of behaviour that the platform's documentation leaves open, and of delays and faults, all
 * changeable at run time.
 */
export interface Config {
  latencyMs: number;
  /** The requests within any second beyond which the answer is 429 with Retry-After; null for no limit. */
  requestsPerSecond: number | null;
  /** The largest page, to which a larger `perPage` is cut. */
  pageSizeMax: number;
  /** Whether buckets whose values are all zero are left out. */
  omitZeroDays: boolean;
  /** Whether hours without payloads are left out of an answer by hour. */
  omitZeroHours: boolean;
  /** Whether bodies have the window's start and end. */
  echoWindow: boolean;
  /** The number of days whose detail is kept, without today. */
  detailDays: number;
  /** The form of days beyond `detailDays`: buckets of zeros, no buckets, or 400. */
  retention: Retention;
  /** The longest window in days, beyond which the answer is 400; null for no limit. */
  maxRangeDays: number | null;
  faults: readonly FaultPlan[];
  /** The faults of the organization list. */
  list: ListFaults;
  /** The ms added to the time of the Date header alone. */
  dateOffsetMs: number;
  /** Whether answers have a Date header. */
  sendsDate: boolean;
  /** A single jump of the clock after this many more requests of the API; null for none. */
  clockJump: ClockJump | null;
  /** The differences between the instance's own numbers and the sum of its organizations. */
  bias: readonly TotalBias[];
}

export interface ClockJump {
  readonly afterRequests: number;
  readonly byMs: number;
}

export type Retention = 'zeros' | 'empty' | 'refuse';

/** All parts of one simulated platform. */
export interface World {
  readonly seed: string;
  /** The instance id, 24 hex digits in lower case. */
  readonly instanceId: string;
  readonly config: Config;
  readonly clock: Clock;
  readonly population: Population;
  readonly edits: Edits;
  readonly tokens: Tokens;
  readonly stats: Stats;
  readonly ledger: FaultLedger;
}
