/** The sources of what pages show. */
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { Logger } from '../logger.ts';
import type { Health } from '../queries/health.ts';
import type { Snapshot } from './cached-reads.ts';

export interface PageSources {
  readonly status: () => WorkerStatus;
  /** Returns the state of the database; waits `waitMs` for a new reading if there is one that is not old. */
  readonly database: (waitMs?: number) => Promise<DatabaseView>;
  /** Asks the database for one page. Rejects if it does not answer in time, or if too many pages ask at once. */
  readonly read: ReadPage;
  /** The instances in the settings: pages show and judge no other. */
  readonly instanceIds: readonly string[];
  readonly logger: Logger;
  /** Returns the time in ms since 1970. */
  readonly now: () => number;
}

export type ReadPage = <T>(query: (db: Kysely<Schema>) => Promise<T>) => Promise<T>;

/** The state of the database, as this process knows it. */
export interface DatabaseView {
  /** Whether it answers a trivial query in time. */
  readonly isUp: boolean;
  /** The newest reading of the state of everything; null before the first. */
  readonly reading: Snapshot<Health> | null;
}

/** Returns the health that may be shown; none while the database is unreachable, because it may differ by now. */
export function shownHealth({ isUp, reading }: DatabaseView): Health | null {
  return isUp ? (reading?.value ?? null) : null;
}

/** The state that one worker process knows about itself; the database's part is {@link Health}. */
export interface WorkerStatus {
  readonly version: string;
  readonly host: string;
  readonly startedAt: string;
  readonly schedule: string;
  readonly nextWakeAt: string | null;
  readonly instances: readonly InstanceStatus[];
}

export interface InstanceStatus {
  readonly instanceId: string;
  /** The state; `standby` means that another process exports it. */
  readonly state: 'starting' | 'working' | 'idle' | 'standby';
  /** The progress of the run under way; null if there is none. */
  readonly progress: RunProgress | null;
  readonly lastRun: { readonly finishedAt: string; readonly result: RunResult } | null;
  /** The failures of the newest run other than gaps, about which the database knows more; null if none. */
  readonly problem: Problem | null;
}

export interface RunProgress {
  readonly startedAt: string;
  /** Cells found due so far (count); more are found while the first are read. */
  readonly planned: number;
  readonly done: number;
}

export interface Problem {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** The result of a run of one instance. */
export type RunResult = (typeof RUN_RESULTS)[number];

/**
 * `complete`: everything that was due is loaded; older gaps do not count. `partial`: something due is missing.
 * `refused`: Losant rejected the token or a scope. `failed`: an error ended it. `standby`: another process runs
 * the instance. `interrupted`: the process was asked to stop.
 */
export const RUN_RESULTS = ['complete', 'partial', 'refused', 'failed', 'standby', 'interrupted'] as const;
