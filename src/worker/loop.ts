import type { InstanceStatus, RunResult } from '../console/sources.ts';
import { createHeartbeat, type Heartbeat, isOfThisProcess, judgeWakeUp } from './heartbeat.ts';
import { InstanceLoop, type InstanceLoopOptions } from './instance-loop.ts';

export type WorkerLoopOptions = Omit<InstanceLoopOptions, 'rates' | 'onRunEnd'>;

/** Runs each instance in a loop of its own, so that none waits for another, and reports each wake-up of all. */
export class WorkerLoop {
  readonly #options: WorkerLoopOptions;
  readonly #loops: readonly InstanceLoop[];
  readonly #heartbeat: Heartbeat;
  /** Runs wait for no monitor; the end of the process does. */
  #lastPing: Promise<void> = Promise.resolve();
  /** Whether the last wake-up was reported to have gone well; null before it was reported. */
  #lastReport: boolean | null = null;
  #hasEndedRun = false;
  /** Whether all runs of the last wake-up have ended, and that was logged. */
  #isWaiting = false;

  constructor(options: WorkerLoopOptions) {
    const { config, logger } = options;
    this.#options = options;
    this.#heartbeat = createHeartbeat({ url: config.heartbeatUrl, logger });
    const onRunEnd = (result: RunResult) => this.#noteRunEnd(result);
    const shared = { ...options, rates: new Map(), onRunEnd };
    this.#loops = config.instances.map((instance) => new InstanceLoop(shared, instance));
  }

  get statuses(): readonly InstanceStatus[] {
    return this.#loops.map(({ status }) => status);
  }

  /** Handles a wake-up, before which so many were missed. */
  wake(missed = 0): void {
    const { logger, signal } = this.#options;
    if (signal.aborted) return;
    if (missed > 0) logger.warn({ missed }, 'missed wake-up, running now');
    this.#report(true);
    this.#lastReport = null;
    this.#isWaiting = false;
    for (const loop of this.#loops) loop.wake();
  }

  /** Runs all loops. Resolves when the signal has aborted and the runs under way have ended. */
  async run(): Promise<void> {
    await Promise.all(this.#loops.map((loop) => loop.run()));
    await this.#lastPing;
  }

  #noteRunEnd(result: RunResult): void {
    const { logger, nextWakeAt, signal } = this.#options;
    if (signal.aborted) return;
    this.#hasEndedRun ||= isOfThisProcess(result);
    this.#report(false);
    if (this.#isWaiting || this.#loops.some(({ isWorking }) => isWorking)) return;
    this.#isWaiting = true;
    logger.info({ next_wake_at: nextWakeAt()?.toISOString() }, 'waiting for the next wake-up');
  }

  /** Reports how the last wake-up went, once, and once more if it turns out worse. */
  #report(isWakeUp: boolean): void {
    const activities = this.#loops.map(({ activity }) => activity);
    const isWell = judgeWakeUp(activities, { isWakeUp, hasEndedRun: this.#hasEndedRun });
    if (isWell === null || isWell === this.#lastReport) return;
    this.#lastReport = isWell;
    this.#lastPing = this.#heartbeat.send(isWell);
  }
}
