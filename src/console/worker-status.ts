import type { RequestProgress } from '../usage/planned-requests.ts';

/** The status that one worker process knows of itself; what the database says is in `src/queries/health.ts`. */
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
  /** `standby`: another process exports it. */
  readonly state: 'starting' | 'working' | 'idle' | 'standby';
  /** Of the run under way; null: none is. */
  readonly progress: RunProgress | null;
  readonly lastRun: { readonly finishedAt: string; readonly result: RunResult } | null;
  readonly lastCompleteRunAt: string | null;
  /** What keeps the newest run from being complete; null: nothing. */
  readonly trouble: Trouble | null;
}

export interface RunProgress {
  readonly startedAt: string;
  /** Cells found due so far: more are found while the first are read. */
  readonly planned: number;
  readonly done: number;
  /** HTTP requests sent, retries and discovery included. */
  readonly requests: number;
  /** The requests of its plan, from which the time left is estimated. */
  readonly plan: RunPlan;
}

export interface RunPlan extends RequestProgress {
  /** When its first request could be sent. */
  readonly startedAt: string;
  /** Requests per second that the settings allow. */
  readonly rate: number;
}

export interface Trouble {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  /** Whether it only says that gaps from before are left, which the database says better and newer. */
  readonly onlyGaps: boolean;
}

/** The way in which a run of one instance ended. */
export type RunResult = (typeof RUN_RESULTS)[number];

/**
 * `complete`: nothing due is missing. `partial`: something is. `refused`: Losant
 * refuses the token or a scope. `failed`: it broke off. `standby`: another process
 * has the instance. `interrupted`: the process was asked to end.
 */
export const RUN_RESULTS = ['complete', 'partial', 'refused', 'failed', 'standby', 'interrupted'] as const;
