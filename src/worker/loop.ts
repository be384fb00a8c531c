import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadStatus, RunProgress, RunResult } from '../console/sources.ts';
import { Gate } from '../losant/rate.ts';
import { assessWakeUp, createHeartbeat, type Heartbeat, isFinishedHere, type WakeUpActivity } from './heartbeat.ts';
import { isRetriedSoon, runOnSchedule, type WorkerRunResult, type WorkerTools } from './scheduled-run.ts';

interface WorkerLoopOptions extends Omit<WorkerTools, 'gate'> {
  readonly nextWakeAt: () => Date | null;
  /** The time until the next try of a standby process, or of a worker whose database was unreachable. */
  readonly retryIntervalMs?: number | undefined;
}

/** With the duration of a lease, an expired lease is acquired within a minute and a half. */
const RETRY_INTERVAL_MS = 20_000;

/** The progress of a run of this process, or of a backfill of another one. */
interface CurrentRun extends Pick<RunProgress, 'runId' | 'readCells' | 'failedReads'> {
  /** The cells read by the last wake-up, or when the run was first seen. */
  readonly readCellsAtWakeUp: number;
}

/** Runs at the start and at each wake-up, and stands by while another process has the lease. */
export class WorkerLoop {
  readonly #options: WorkerLoopOptions;
  readonly #gate: Gate;
  readonly #heartbeat: Heartbeat;
  #status: LoadStatus = { state: 'starting', progress: null, lastRun: null, problem: null };
  /** Aborts at a wake-up, which ends the wait for it. */
  #wakeUp = new AbortController();
  /** Whether the run of the last wake-up has not finished. The start is the first wake-up. */
  #hasWork = true;
  /** Of the runs that have finished since the last wake-up. */
  #results: RunResult[] = [];
  #currentRun: CurrentRun | null = null;
  #hasFinishedRun = false;
  /** Whether the last wake-up was reported as a success; null before it was reported. */
  #lastReport: boolean | null = null;
  /** Runs do not wait for the monitor; the end of the process does. */
  #lastPing: Promise<void> = Promise.resolve();
  #isWaitingLogged = false;

  constructor(options: WorkerLoopOptions) {
    const { config, logger } = options;
    this.#options = options;
    this.#gate = new Gate(config);
    this.#heartbeat = createHeartbeat({ url: config.heartbeatUrl, logger });
  }

  get status(): LoadStatus {
    return this.#status;
  }

  /** Whether a run is in progress, about to start, or to be retried because it lost the database. */
  get isWorking(): boolean {
    return this.#hasWork || this.#status.state === 'working';
  }

  /** Handles a wake-up, with the number of those missed before it. One that comes during a run is followed by a run. */
  wake(missedWakeUps = 0): void {
    const { logger, signal } = this.#options;
    if (signal.aborted) return;
    if (missedWakeUps > 0) logger.warn({ missed_wake_ups: missedWakeUps }, 'missed a wake-up; running now');
    this.#report(true);
    this.#lastReport = null;
    this.#isWaitingLogged = false;
    this.#results = [];
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
    await this.#lastPing;
  }

  async #runOnce(isWakeUp: boolean): Promise<WorkerRunResult> {
    const previousStatus = this.#status;
    const run = await runOnSchedule({ ...this.#options, gate: this.#gate }, (progress) => {
      this.#recordProgress(progress);
      this.#status = { ...previousStatus, state: 'working', progress };
    });
    if (run.backfill) this.#recordProgress(run.backfill);
    else this.#currentRun = null;
    this.#status = {
      state: run.result === 'standby' ? 'standby' : 'idle',
      progress: null,
      lastRun: { finishedAt: new Date(this.#options.hostNow()).toISOString(), result: run.result },
      problem: run.problem,
    };
    this.#log(run, previousStatus, isWakeUp);
    const isUnfinished = run.result === 'failed' && isRetriedSoon(run);
    if (!isUnfinished) this.#results.push(run.result);
    this.#hasWork = isUnfinished || this.#wakeUp.signal.aborted;
    this.#handleRunEnd(run.result);
    return run;
  }

  #recordProgress({ runId, readCells, failedReads }: Omit<CurrentRun, 'readCellsAtWakeUp'>): void {
    const previousRun = this.#currentRun;
    const readCellsAtWakeUp = previousRun?.runId === runId ? previousRun.readCellsAtWakeUp : readCells;
    this.#currentRun = { runId, readCells, failedReads, readCellsAtWakeUp };
  }

  /** Between wake-ups, a failure is logged only if the previous one was different. */
  #log({ result, error, problem }: WorkerRunResult, previousStatus: LoadStatus, isWakeUp: boolean): void {
    const { logger } = this.#options;
    const isStandby = result === 'standby';
    if (isStandby !== (previousStatus.state === 'standby')) {
      logger.info(isStandby ? 'standing by' : 'no longer standing by');
    }
    if (result === 'interrupted') logger.info('run interrupted');
    const isRepeated = !isWakeUp && problem?.code === previousStatus.problem?.code;
    if (error !== undefined && !isRepeated) logger.error({ err: error }, 'could not load');
  }

  #handleRunEnd(result: RunResult): void {
    const { logger, nextWakeAt, signal } = this.#options;
    if (signal.aborted) return;
    this.#hasFinishedRun ||= isFinishedHere(result);
    this.#report(false);
    if (this.#isWaitingLogged || this.isWorking) return;
    this.#isWaitingLogged = true;
    logger.info({ next_wake_at: nextWakeAt()?.toISOString() }, 'waiting for the next wake-up');
  }

  /** Reports the last wake-up once, and again if a success turns into a failure. */
  #report(isWakeUp: boolean): void {
    // A process that has only stood by knows nothing yet.
    if (!this.#hasFinishedRun) return;
    const isSuccess = assessWakeUp(this.#activity, isWakeUp);
    if (isSuccess === null || isSuccess === this.#lastReport) return;
    this.#lastReport = isSuccess;
    this.#lastPing = this.#heartbeat.send(isSuccess);
  }

  get #activity(): WakeUpActivity {
    const { readCells = 0, readCellsAtWakeUp = 0, failedReads = 0 } = this.#currentRun ?? {};
    const currentRun = { hasProgress: readCells > readCellsAtWakeUp, hasFailedReads: failedReads > 0 };
    const isRunning = this.#hasWork || this.#currentRun !== null;
    return { results: this.#results, currentRun: isRunning ? currentRun : null };
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
