import type { describeError } from '../errors.ts';
import type { Progress } from '../ledger/runs.ts';
import type { Logger } from '../logger.ts';
import type { Health } from '../queries/health.ts';
import type { ReadPage, Snapshot } from './cached-reads.ts';

export interface PageSources {
  readonly status: () => WorkerStatus;
  /** Returns the state of the database. Waits at most `waitMs` for a new snapshot if the last one is not old. */
  readonly database: (waitMs?: number) => Promise<DatabaseView>;
  /** Runs the query of a page. Rejects if it takes too long, or if too many page queries are running for too long. */
  readonly read: ReadPage;
  /** Runs a query that no page waits for. Such queries take turns. Rejects if it takes very long. */
  readonly readInTurn: ReadPage;
  readonly logger: Logger;
  /** Returns the time in ms since 1970. */
  readonly now: () => number;
}

export interface DatabaseView {
  /** Whether it responds to a trivial query in time. */
  readonly isUp: boolean;
  /** The last snapshot of the status; null before the first. */
  readonly snapshot: Snapshot<Health> | null;
  /** Why the last read of the status failed; undefined if it did not. */
  readonly error?: unknown;
}

/** Returns the health to show; null while the database is not responding, because it may have changed. */
export function toVisibleHealth({ isUp, snapshot }: DatabaseView): Health | null {
  return isUp ? (snapshot?.value ?? null) : null;
}

/** What one worker process knows about itself; {@link Health} is what the database knows. */
export interface WorkerStatus extends LoadStatus {
  readonly version: string;
  readonly host: string;
  readonly startedAt: string;
  readonly schedule: string;
  readonly nextWakeAt: string | null;
}

export interface LoadStatus {
  /** `standby`: another process has the lease. */
  readonly state: 'starting' | 'working' | 'idle' | 'standby';
  /** Null if no run is in progress. */
  readonly progress: RunProgress | null;
  readonly lastRun: { readonly finishedAt: string; readonly result: RunResult } | null;
  /** The failure of the last run; null if it had none, or only gaps, which the database lists. */
  readonly problem: Problem | null;
}

export interface RunProgress extends Progress {
  readonly runId: string;
  readonly startedAt: string;
}

export type Problem = Readonly<ReturnType<typeof describeError>>;

export type RunResult = (typeof RUN_RESULTS)[number];

/**
 * `complete`: everything that was due is loaded; older gaps do not count. `partial`: something due is missing.
 * `rejected`: Losant rejected the token or a scope. `failed`: an error ended it. `standby`: another process has
 * the lease. `interrupted`: the process was asked to stop.
 */
export const RUN_RESULTS = ['complete', 'partial', 'rejected', 'failed', 'standby', 'interrupted'] as const;
