import type { RawBuilder } from 'kysely';
import type { describeError } from '../errors.ts';
import type { Progress } from '../ledger/runs.ts';
import type { Logger } from '../logger.ts';
import type { Health, InstanceHealth } from '../queries/health.ts';
import type { ReadPage, Snapshot } from './cached-reads.ts';

export interface PageSources {
  readonly status: () => WorkerStatus;
  /** Returns the state of the database. Waits at most `waitMs` for a new snapshot if the last one is not old. */
  readonly database: (waitMs?: number) => Promise<DatabaseView>;
  /** Runs the query of a page. Rejects if it takes too long, or if too many page queries are running for too long. */
  readonly read: ReadPage;
  /** Runs a query that no page waits for. Such queries take turns. Rejects if it takes very long. */
  readonly readInTurn: ReadPage;
  /** Passes the rows of a file on in chunks. Rejects if that takes too long, or if too many files are being read. */
  readonly readRows: <T>(
    query: RawBuilder<T>,
    take: (rows: readonly T[]) => Promise<void>,
    signal: AbortSignal,
  ) => Promise<void>;
  /** The instances in the settings; pages show no other. */
  readonly instanceIds: readonly string[];
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

export function wasRead({ neverReadSince }: InstanceHealth): boolean {
  return neverReadSince === null;
}

/** Says why nothing is known of instances that no run has read completely. */
export function describeUnknown(instances: readonly InstanceHealth[]): string {
  const reason = isRunInProgress(instances) ? 'the first read is still in progress' : 'nothing has been read';
  return `Not known yet: ${reason}`;
}

/** Whether any process runs one of them. */
export function isRunInProgress(instances: readonly InstanceHealth[]): boolean {
  return instances.some(({ leaseAcquiredAt }) => leaseAcquiredAt !== null);
}

/** Returns the label of an instance; empty if it is the only one. */
export function nameInstance(instanceIds: readonly string[], health: Health | null, instanceId: string): string {
  if (instanceIds.length < 2) return '';
  return health?.instances.find((each) => each.instanceId === instanceId)?.label ?? instanceId;
}

/** What one worker process knows about itself; {@link Health} is what the database knows. */
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
  /** `standby`: another process runs the instance. */
  readonly state: 'starting' | 'working' | 'idle' | 'standby';
  /** Null if no run is in progress. */
  readonly progress: RunProgress | null;
  readonly lastRun: { readonly finishedAt: string; readonly result: RunResult } | null;
  /** The failure of the last run, other than gaps, about which the database knows more; null if it had none. */
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
 * `refused`: Losant rejected the token or a scope. `failed`: an error ended it. `standby`: another process runs
 * the instance. `interrupted`: the process was asked to stop.
 */
export const RUN_RESULTS = ['complete', 'partial', 'refused', 'failed', 'standby', 'interrupted'] as const;
