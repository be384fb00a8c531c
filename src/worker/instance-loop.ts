import type { InstanceStatus, RunResult } from '../console/sources.ts';
import type { InstanceConfig } from '../settings/config.ts';
import type { InstanceActivity } from './heartbeat.ts';
import { exportInstance, looksAgain, type RunEnd, type RunTools } from './instance-run.ts';

export interface InstanceLoopOptions extends RunTools {
  /** The time after which a standby, or a worker whose database was unreachable, looks again. */
  readonly lookAgainMs?: number | undefined;
  /** Called at the end of each run, with its result. */
  readonly onRunEnd: (result: RunResult) => void;
}

/** The time within which a lapsed lease is taken over; with the lease itself, under a minute and a half. */
const LOOK_AGAIN_MS = 20_000;

/** The progress of a run under way: of this process, or of a backfill of another one. */
interface RunUnderWay {
  readonly runId: string;
  readonly done: number;
  readonly failedReads: number;
  /** The cells done at the last wake-up, or when the run was first seen. */
  readonly doneAtWakeUp: number;
}

/** Runs one instance at the start and at each wake-up, and stands by while another process has it. */
export class InstanceLoop {
  readonly #options: InstanceLoopOptions;
  readonly #instance: InstanceConfig;
  #status: InstanceStatus;
  /** Aborts at a wake-up, which ends the wait for it. */
  #wakeUp = new AbortController();
  /** Whether the run of the last wake-up, of which the start is the first, has not ended. */
  #hasWork = true;
  /** The results of the runs that have ended since the last wake-up. */
  readonly #results = new Set<RunResult>();
  #runUnderWay: RunUnderWay | null = null;

  constructor(options: InstanceLoopOptions, instance: InstanceConfig) {
    this.#options = options;
    this.#instance = instance;
    const none = { progress: null, lastRun: null, trouble: null };
    this.#status = { instanceId: instance.instanceId, state: 'starting', ...none };
  }

  get status(): InstanceStatus {
    return this.#status;
  }

  /** Whether a run of this process is under way, or about to begin. */
  get isWorking(): boolean {
    return this.#hasWork || this.#status.state === 'working';
  }

  get activity(): InstanceActivity {
    const { done = 0, doneAtWakeUp = 0, failedReads = 0 } = this.#runUnderWay ?? {};
    const run = { hasStored: done > doneAtWakeUp, hasFailedReads: failedReads > 0 };
    const isUnderWay = this.#hasWork || this.#runUnderWay !== null;
    return { results: [...this.#results], runUnderWay: isUnderWay ? run : null };
  }

  /** Handles a wake-up. One that comes while a run is under way is not lost: a new run follows. */
  wake(): void {
    this.#results.clear();
    const run = this.#runUnderWay;
    this.#runUnderWay = run && { ...run, doneAtWakeUp: run.done };
    this.#hasWork = true;
    this.#wakeUp.abort();
  }

  /** Runs the loop. Resolves when the signal has aborted and the run under way has ended. */
  async run(): Promise<void> {
    let isWakeUp = true;
    while (!this.#options.signal.aborted) {
      const end = await this.#runOnce(isWakeUp);
      isWakeUp = await this.#waitForWork(looksAgain(end));
    }
  }

  async #runOnce(isWakeUp: boolean): Promise<RunEnd> {
    const { instanceId } = this.#instance;
    const before = this.#status;
    const end = await exportInstance(this.#options, this.#instance, (progress) => {
      this.#noteProgress(progress);
      this.#status = { ...before, state: 'working', progress };
    });
    if (end.backfill) this.#noteProgress(end.backfill);
    else this.#runUnderWay = null;
    this.#status = {
      instanceId,
      state: end.result === 'standby' ? 'standby' : 'idle',
      progress: null,
      lastRun: { finishedAt: new Date(this.#options.hostNow()).toISOString(), result: end.result },
      trouble: end.trouble,
    };
    this.#log(end, before, isWakeUp);
    this.#results.add(end.result);
    this.#hasWork = this.#wakeUp.signal.aborted;
    this.#options.onRunEnd(end.result);
    return end;
  }

  #noteProgress({ runId, done, failedReads }: Omit<RunUnderWay, 'doneAtWakeUp'>): void {
    const doneAtWakeUp = this.#runUnderWay?.runId === runId ? this.#runUnderWay.doneAtWakeUp : done;
    this.#runUnderWay = { runId, done, failedReads, doneAtWakeUp };
  }

  /** Between wake-ups a failure is logged only if it was another one before. */
  #log({ result, error, trouble }: RunEnd, before: InstanceStatus, isWakeUp: boolean): void {
    const { logger } = this.#options;
    const fields = { instance_id: this.#instance.instanceId };
    const isStandby = result === 'standby';
    if (isStandby !== (before.state === 'standby')) {
      logger.info(fields, isStandby ? 'standing by' : 'no longer standing by');
    }
    if (result === 'interrupted') logger.info(fields, 'run interrupted');
    const isNews = isWakeUp || trouble?.code !== before.trouble?.code;
    if (error !== undefined && isNews) logger.error({ ...fields, err: error }, 'instance not exported');
  }

  /** Waits for the next work. Returns true if a wake-up ended the wait, false if it is time to look again. */
  async #waitForWork(hasToLook: boolean): Promise<boolean> {
    const { lookAgainMs = LOOK_AGAIN_MS } = this.#options;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = hasToLook ? setTimeout(resolve, lookAgainMs) : undefined;
    const signal = AbortSignal.any([this.#options.signal, this.#wakeUp.signal]);
    signal.addEventListener('abort', () => resolve());
    if (!signal.aborted) await promise;
    clearTimeout(timer);
    const isWoken = this.#wakeUp.signal.aborted;
    if (isWoken) this.#wakeUp = new AbortController();
    return isWoken;
  }
}
