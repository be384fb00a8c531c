import { type Logger as CronLogger, createTask } from 'node-cron';
import type { InstanceStatus, RunResult } from '../console/sources.ts';
import { assessWakeUp, createHeartbeat, type Heartbeat, isFinishedHere } from './heartbeat.ts';
import { InstanceLoop, type InstanceLoopOptions } from './instance-loop.ts';

export type WorkerLoopOptions = Omit<InstanceLoopOptions, 'rates' | 'onRunEnd'>;

/** Runs each instance in a separate loop, so that none waits for another, and reports wake-ups over all instances. */
export class WorkerLoop {
  readonly #options: WorkerLoopOptions;
  readonly #loops: readonly InstanceLoop[];
  readonly #heartbeat: Heartbeat;
  /** Runs do not wait for the monitor; the end of the process does. */
  #lastPing: Promise<void> = Promise.resolve();
  /** Whether the last wake-up was reported as a success; null before it was reported. */
  #lastReport: boolean | null = null;
  #hasFinishedRun = false;
  /** Whether all runs of the last wake-up have ended, which is logged once. */
  #isWaiting = false;

  constructor(options: WorkerLoopOptions) {
    const { config, logger } = options;
    this.#options = options;
    this.#heartbeat = createHeartbeat({ url: config.heartbeatUrl, logger });
    const onRunEnd = (result: RunResult) => this.#handleRunEnd(result);
    const shared = { ...options, rates: new Map(), onRunEnd };
    this.#loops = config.instances.map((instance) => new InstanceLoop(shared, instance));
  }

  get statuses(): readonly InstanceStatus[] {
    return this.#loops.map(({ status }) => status);
  }

  get isWorking(): boolean {
    return this.#loops.some(({ isWorking }) => isWorking);
  }

  /** Handles a wake-up, with the number of those missed before it. */
  wake(missedWakeUps = 0): void {
    const { logger, signal } = this.#options;
    if (signal.aborted) return;
    if (missedWakeUps > 0) logger.warn({ missed_wake_ups: missedWakeUps }, 'missed a wake-up; running now');
    this.#report(true);
    this.#lastReport = null;
    this.#isWaiting = false;
    for (const loop of this.#loops) loop.wake();
  }

  /** Resolves when the signal has aborted and the current runs have ended. */
  async run(): Promise<void> {
    await Promise.all(this.#loops.map((loop) => loop.run()));
    await this.#lastPing;
  }

  #handleRunEnd(result: RunResult): void {
    const { logger, nextWakeAt, signal } = this.#options;
    if (signal.aborted) return;
    this.#hasFinishedRun ||= isFinishedHere(result);
    this.#report(false);
    if (this.#isWaiting || this.isWorking) return;
    this.#isWaiting = true;
    logger.info({ next_wake_at: nextWakeAt()?.toISOString() }, 'waiting for the next wake-up');
  }

  /** Reports the last wake-up once, and again if a success turns into a failure. */
  #report(isWakeUp: boolean): void {
    const activities = this.#loops.map(({ activity }) => activity);
    const isSuccess = assessWakeUp(activities, { isWakeUp, hasFinishedRun: this.#hasFinishedRun });
    if (isSuccess === null || isSuccess === this.#lastReport) return;
    this.#lastReport = isSuccess;
    this.#lastPing = this.#heartbeat.send(isSuccess);
  }
}

/** How often it looks whether the clock was set back. */
const CLOCK_CHECK_INTERVAL_MS = 60_000;

export type Schedule = Awaited<ReturnType<typeof armSchedule>>;

/**
 * Calls `onWake`, which must not throw, at the times of a cron expression, in UTC. Times that passed while the process
 * was suspended or blocked are counted, and make one call together. Due days are read from the ledger, so a missed or
 * doubled wake-up loses nothing. A task waits for a time that it has computed; after a clock that was ahead is set
 * back, that time may be days away, so the task is started again.
 */
export async function armSchedule(expression: string, onWake: (missedWakeUps: number) => void) {
  let missedWakeUps = 0;
  let isCallPending = false;
  let armedFor: Date | null = null;
  // A process that resumes gets an event for each missed time and for the current one, all at once.
  const callOnce = () => {
    armedFor = task.getNextRun();
    if (isCallPending) return;
    isCallPending = true;
    setImmediate(() => {
      onWake(missedWakeUps);
      missedWakeUps = 0;
      isCallPending = false;
    });
  };
  const task = createTask(expression, callOnce, { name: 'load', timezone: 'UTC', logger: silentLogger });
  task.on('execution:missed', () => {
    missedWakeUps += 1;
    callOnce();
  });
  await task.start();
  armedFor = task.getNextRun();
  const check = setInterval(() => {
    const nextWakeAt = task.getNextRun();
    if (armedFor !== null && nextWakeAt !== null && nextWakeAt < armedFor) {
      Promise.resolve(task.stop())
        .then(() => task.start())
        .catch(callOnce);
    }
    armedFor = nextWakeAt;
  }, CLOCK_CHECK_INTERVAL_MS);
  const stop = async () => {
    clearInterval(check);
    await task.destroy();
  };
  return { nextWakeAt: () => task.getNextRun(), stop };
}

/** node-cron's logger would print to stdout; `onWake` reports what matters. */
const silentLogger: CronLogger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
