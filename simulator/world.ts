import type { Clock } from './clock.ts';
import type { Edits } from './edits.ts';
import type { FaultLedger } from './fault-ledger.ts';
import type { FaultPlan } from './faults.ts';
import type { ListFaults } from './list-faults.ts';
import type { Population } from './population.ts';
import type { Stats } from './stats.ts';
import type { Tokens } from './tokens.ts';
import type { WitnessBias } from './witness.ts';

/** What the platform is not documented to do one way or the other, plus delays and faults: changeable at run time. */
export interface Config {
  latencyMs: number;
  /** More within any second are answered 429 with Retry-After; null: none is. */
  requestsPerSecond: number | null;
  /** A larger `perPage` is cut to this. */
  pageSizeMax: number;
  /** Buckets whose values are all zero are left out. */
  omitZeroDays: boolean;
  /** Bodies carry the window's start and end. */
  echoWindow: boolean;
  /** Days of detail that are kept, today not counted. */
  detailDays: number;
  /** What days beyond `detailDays` look like: buckets of zeros, no buckets, or 400. */
  retention: Retention;
  /** A longer window is refused with 400; null: none is. */
  maxRangeDays: number | null;
  faults: readonly FaultPlan[];
  /** How the organization list goes wrong. */
  list: ListFaults;
  /** Added to the time of the Date header alone. */
  dateOffsetMs: number;
  /** Whether answers have a Date header. */
  sendsDate: boolean;
  /** The clock jumps once, when so many more requests of the API were answered; null: it does not. */
  clockJump: ClockJump | null;
  /** Where the instance's own numbers differ from the sum of its organizations. */
  witness: readonly WitnessBias[];
}

export interface ClockJump {
  readonly afterRequests: number;
  readonly byMs: number;
}

export type Retention = 'zeros' | 'empty' | 'refuse';

/** Everything one simulated platform consists of. */
export interface World {
  readonly seed: string;
  /** 24 hex digits, lower case. */
  readonly instanceId: string;
  readonly config: Config;
  readonly clock: Clock;
  readonly population: Population;
  readonly edits: Edits;
  readonly tokens: Tokens;
  readonly stats: Stats;
  readonly ledger: FaultLedger;
}
