import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { InstanceStatus, RunResult } from '../console/sources.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { InstanceActivity } from './heartbeat.ts';
import { isRetriedSoon, loadOnSchedule, type RunTools, type WorkerRunResult } from './instance-run.ts';

export interface InstanceLoopOptions extends RunTools {
  /** The time until the next try of a standby process, or of a worker whose database was unreachable. */
  readonly retryIntervalMs?: number | undefined;
  /** Called after each run. */
  readonly onRunEnd: (result: RunResult) => void;
}

/** With the duration of a lease, an expired lease is acquired within a minute and a half. */
const RETRY_INTERVAL_MS = 20_000;

/** The progress of a run of this process, or of a backfill of another one. */
interface CurrentRun {
  readonly runId: string;
  readonly readCells: number;
  readonly failedReads: number;
  /** The cells read by the last wake-up, or when the run was first seen. */
  readonly readCellsAtWakeUp: number;
}

/** Runs one instance at the start and at each wake-up, and stands by while another process runs it. */
export class InstanceLoop {
  readonly #options: InstanceLoopOptions;
  readonly #instance: InstanceConfig;
  #status: InstanceStatus;
  /** Aborts at a wake-up, which ends the wait for it. */
  #wakeUp = new AbortController();
  /** Whether the run of the last wake-up has not finished. The start is the first wake-up. */
  #hasWork = true;
  /** Of the runs that have finished since the last wake-up. */
  readonly #results = new Set<RunResult>();
  #currentRun: CurrentRun | null = null;

  constructor(options: InstanceLoopOptions, instance: InstanceConfig) {
    this.#options = options;
    this.#instance = instance;
    const noRun = { progress: null, lastRun: null, problem: null };
    this.#status = { instanceId: instance.instanceId, state: 'starting', ...noRun };
  }

  get status(): InstanceStatus {
    return this.#status;
  }

  /** Whether a run of this process is in progress or about to start. */
  get isWorking(): boolean {
    return this.#hasWork || this.#status.state === 'working';
  }

  get activity(): InstanceActivity {
    const { readCells = 0, readCellsAtWakeUp = 0, failedReads = 0 } = this.#currentRun ?? {};
    const run = { hasProgress: readCells > readCellsAtWakeUp, hasFailedReads: failedReads > 0 };
    const isRunning = this.#hasWork || this.#currentRun !== null;
    return { results: [...this.#results], currentRun: isRunning ? run : null };
  }

  /** Handles a wake-up. One that comes during a run is not lost: a new run follows. */
  wake(): void {
    this.#results.clear();
    const run = this.#currentRun;
    this.#currentRun = run && { ...run, readCellsAtWakeUp: run.readCells };
    this.#hasWork = true;
    this.#wakeUp.abort();
  }

  /** Resolves when the signal has aborted and the current run has ended. */
  async run(): Promise<void> {
    let isWakeUp = true;
    while (!this.#options.signal.aborted) {
      const result = await this.#runOnce(isWakeUp);
      isWakeUp = await this.#waitForWork(isRetriedSoon(result));
    }
  }

  async #runOnce(isWakeUp: boolean): Promise<WorkerRunResult> {
    const { instanceId } = this.#instance;
    const previousStatus = this.#status;
    const run = await loadOnSchedule(this.#options, this.#instance, (progress) => {
      this.#recordProgress(progress);
      this.#status = { ...previousStatus, state: 'working', progress };
    });
    if (run.backfill) this.#recordProgress(run.backfill);
    else this.#currentRun = null;
    this.#status = {
      instanceId,
      state: run.result === 'standby' ? 'standby' : 'idle',
      progress: null,
      lastRun: { finishedAt: new Date(this.#options.hostNow()).toISOString(), result: run.result },
      problem: run.problem,
    };
    this.#log(run, previousStatus, isWakeUp);
    this.#results.add(run.result);
    this.#hasWork = this.#wakeUp.signal.aborted;
    this.#options.onRunEnd(run.result);
    return run;
  }

  #recordProgress({ runId, readCells, failedReads }: Omit<CurrentRun, 'readCellsAtWakeUp'>): void {
    const previousRun = this.#currentRun;
    const readCellsAtWakeUp = previousRun?.runId === runId ? previousRun.readCellsAtWakeUp : readCells;
    this.#currentRun = { runId, readCells, failedReads, readCellsAtWakeUp };
  }

  /** Between wake-ups, a failure is logged only if the previous one was different. */
  #log({ result, error, problem }: WorkerRunResult, previousStatus: InstanceStatus, isWakeUp: boolean): void {
    const { logger } = this.#options;
    const fields = { instance_id: this.#instance.instanceId };
    const isStandby = result === 'standby';
    if (isStandby !== (previousStatus.state === 'standby')) {
      logger.info(fields, isStandby ? 'standing by' : 'no longer standing by');
    }
    if (result === 'interrupted') logger.info(fields, 'run interrupted');
    const isRepeated = !isWakeUp && problem?.code === previousStatus.problem?.code;
    if (error !== undefined && !isRepeated) logger.error({ ...fields, err: error }, 'could not load the instance');
  }

  /** Returns true if a wake-up ended the wait, false if it is time for a retry. */
  async #waitForWork(isRetried: boolean): Promise<boolean> {
    const { retryIntervalMs = RETRY_INTERVAL_MS } = this.#options;
    const signal = AbortSignal.any([this.#options.signal, this.#wakeUp.signal]);
    if (isRetried) await sleep(retryIntervalMs, undefined, { signal }).catch(() => undefined);
    else if (!signal.aborted) await once(signal, 'abort');
    const isWoken = this.#wakeUp.signal.aborted;
    if (isWoken) this.#wakeUp = new AbortController();
    return isWoken;
  }
}
