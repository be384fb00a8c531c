import type { RequestProgress } from '../usage/planned-requests.ts';

/**
 * The state that one worker process knows about itself; the database's part is in
 * `src/queries/health.ts`.
 */
export interface WorkerStatus {
  readonly version: string;
  readonly host: string;
  readonly startedAt: string;
  readonly schedule: string;
  readonly isArmed: boolean;
  readonly nextWakeAt: string | null;
  readonly isStopping: boolean;
  readonly instances: readonly InstanceStatus[];
}

export interface InstanceStatus {
  readonly instanceId: string;
  /** The state; `standby` means that another process exports it. */
  readonly state: 'starting' | 'working' | 'idle' | 'standby';
  /** The progress of the run under way; null if there is none. */
  readonly progress: RunProgress | null;
  readonly lastRun: { readonly finishedAt: string; readonly result: RunResult } | null;
  readonly lastCompleteRunAt: string | null;
  /** What the newest run had trouble with or left, or what keeps the one under way from working; null if there is none. */
  readonly trouble: Trouble | null;
}

/** The end of a wake-up of an instance in this process, whether or not anything was due. */
export interface WakeEnd {
  readonly instanceId: string;
  readonly at: string;
  readonly result: RunResult;
}

export interface RunProgress {
  readonly startedAt: string;
  /** The number of cells found due so far; more are found while the first are read. */
  readonly planned: number;
  readonly done: number;
  /** The number of HTTP requests sent, including retries and discovery. */
  readonly requests: number;
  /** The requests of its plan, from which the time left is estimated. */
  readonly plan: RunPlan;
}

export interface RunPlan extends RequestProgress {
  /** The time at which its first request could be sent. */
  readonly startedAt: string;
  /** The requests per second that the settings allow. */
  readonly rate: number;
}

export interface Trouble {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /**
   * What it is: a failure; `gaps`, only gaps of the ledger, about which the database knows more and newer
   * facts; or `waiting`, for Losant, the database or the lease, and all goes on by itself when that ends.
   */
  readonly kind: 'failure' | 'gaps' | 'waiting';
}

/** The result of a run of one instance. */
export type RunResult = (typeof RUN_RESULTS)[number];

/**
 * `complete`: it did all that it had to, whatever gaps are older. `partial`: something due is missing. `refused`: Losant refuses the token or
 * a scope. `failed`: it broke off. `standby`: another process has the instance. `interrupted`: the
 * process was asked to end.
 */
export const RUN_RESULTS = ['complete', 'partial', 'refused', 'failed', 'standby', 'interrupted'] as const;
