/** What one worker process knows of itself; the ledger is told by `src/queries/health.ts`. */
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
  readonly lastPass: { readonly finishedAt: string; readonly result: PassResult } | null;
  readonly lastCompletePassAt: string | null;
  /** What keeps the newest pass from being complete; null: nothing. */
  readonly trouble: Trouble | null;
}

export interface Trouble {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** How a pass over one instance ended. */
export type PassResult = (typeof PASS_RESULTS)[number];

/**
 * `complete`: nothing due is missing. `partial`: something is. `refused`: Losant
 * refuses the token or a scope. `failed`: it broke off. `standby`: another process
 * has the instance. `interrupted`: the process was asked to end.
 */
export const PASS_RESULTS = ['complete', 'partial', 'refused', 'failed', 'standby', 'interrupted'] as const;
