import type { Kysely } from 'kysely';
import type { DatabaseHandle } from '../database/connect/open.ts';
import type { Schema } from '../database/schema.ts';
import type { Config } from '../settings/config.ts';

/** What a check works with. What a run does as well is handed down, so that both do the same. */
export interface CheckContext {
  readonly config: Config;
  readonly signal: AbortSignal;
  /** This host's clock, ms. */
  readonly hostNow: () => number;
  readonly random: () => number;
  readonly version: string;
  readonly openDatabase: () => Promise<DatabaseHandle>;
  /** A clock that shows the database's time. Throws ClockError if the host's is too far off. */
  readonly readClock: (handle: DatabaseHandle) => Promise<() => number>;
  /** Throws ClockError if the API's clock, `aheadMs` before the one used here, is too far off. */
  readonly requireApiClock: (aheadMs: number | null) => void;
  /** Throws DatabaseError if the database has the instance's numbers from another API. */
  readonly requireApiUrl: (
    db: Kysely<Schema>,
    instance: { readonly instanceId: string; readonly apiUrl: string },
  ) => Promise<void>;
  /** Told how many organizations were asked for, and of how many at most. */
  readonly onOrg: (done: number, total: number) => void;
}
