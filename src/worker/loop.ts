import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger as CronLogger, createTask } from 'node-cron';
import { consume, transform } from 'streaming-iterables';
import type { InstanceStatus } from '../console/sources.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { beginHeartbeat, type Heartbeat } from './heartbeat.ts';
import { exportInstance, looksAgain, type RunTools, type WorkerRunResult } from './instance-run.ts';

export interface WorkerLoopOptions extends Omit<RunTools, 'gates'> {
  /** The time after which a standby, or a worker whose database was unreachable, looks again. */
  readonly lookAgainMs?: number;
}

/** The time within which a lapsed lease is taken over; with the lease itself, under a minute and a half. */
const LOOK_AGAIN_MS = 20_000;

/** The number of instances exported at once, so that a slow one does not hold up the others. */
const INSTANCES_AT_ONCE = 4;

/** The longest time that a timer takes; after it the loop simply waits again. */
const FOREVER_MS = 2 ** 31 - 1;

interface ReportedRunResult extends WorkerRunResult {
  /** Whether to log and report its failure. */
  readonly isNews: boolean;
}

/** Runs every instance at the start and at each wake-up, and stands by for those of other processes. */
export class WorkerLoop {
  readonly #options: WorkerLoopOptions & RunTools;
  readonly #statuses = new Map<string, InstanceStatus>();
  /** Aborts at a wake-up, which ends the wait for it. */
  #wakeUp: AbortController = new AbortController();

  constructor(options: WorkerLoopOptions) {
    this.#options = { ...options, gates: new Map() };
    for (const { instanceId } of options.config.instances) {
      const none = { progress: null, lastRun: null, problem: null };
      this.#statuses.set(instanceId, { instanceId, state: 'starting', ...none });
    }
  }

  get statuses(): readonly InstanceStatus[] {
    return [...this.#statuses.values()];
  }

  /** Handles a wake-up. One that comes while runs are under way is not lost: new runs follow. */
  wake(isMissed = false): void {
    if (isMissed) this.#options.logger.warn('missed a wake-up; running now');
    this.#wakeUp.abort();
  }

  /** Runs the loop. Resolves when the signal has aborted and the runs under way have ended. */
  async run(): Promise<void> {
    const { config, signal, logger, nextWakeAt } = this.#options;
    let due: readonly InstanceConfig[] = config.instances;
    let isWakeUp = true;
    while (!signal.aborted) {
      const toRetry = await this.runAll(due, isWakeUp);
      if (isWakeUp && !signal.aborted) {
        logger.info({ next_wake_at: nextWakeAt()?.toISOString() }, 'waiting for the next wake-up');
      }
      isWakeUp = await this.#waitForWork(toRetry.length > 0);
      due = isWakeUp ? config.instances : toRetry;
    }
  }

  /**
   * Runs each of these instances. Returns those to look at again before the next wake-up. Between wake-ups a failure
   * is logged and reported only if it was another one before.
   */
  async runAll(instances: readonly InstanceConfig[], isWakeUp: boolean): Promise<InstanceConfig[]> {
    const { config, logger } = this.#options;
    const heartbeat = beginHeartbeat({ url: config.heartbeatUrl, logger });
    const ends = new Map<InstanceConfig, ReportedRunResult>();
    const runOne = async (each: InstanceConfig) =>
      ends.set(each, await this.#runOne(each, { heartbeat, isWakeUp }));
    await consume(transform(INSTANCES_AT_ONCE, runOne, instances));
    const all = [...ends.values()];
    const isGood = judgeRuns(all);
    if (isGood === true || (isGood === false && all.some(({ isNews }) => isNews)))
      await heartbeat.end(isGood);
    return [...ends].filter(([, end]) => looksAgain(end)).map(([instance]) => instance);
  }

  async #runOne(
    instance: InstanceConfig,
    { heartbeat, isWakeUp }: { readonly heartbeat: Heartbeat; readonly isWakeUp: boolean },
  ): Promise<ReportedRunResult> {
    const { instanceId } = instance;
    const before = this.#statuses.get(instanceId) as InstanceStatus;
    const end = await exportInstance(this.#options, instance, (progress) => {
      heartbeat.start();
      this.#statuses.set(instanceId, { ...before, state: 'working', progress });
    });
    this.#statuses.set(instanceId, {
      instanceId,
      state: end.result === 'standby' ? 'standby' : 'idle',
      progress: null,
      lastRun: { finishedAt: new Date(this.#options.hostNow()).toISOString(), result: end.result },
      problem: end.problem,
    });
    const reportedEnd = { ...end, isNews: isWakeUp || end.problem?.code !== before.problem?.code };
    this.#log(instanceId, reportedEnd, before);
    return reportedEnd;
  }

  #log(instanceId: string, { result, error, isNews }: ReportedRunResult, before: InstanceStatus): void {
    const { logger } = this.#options;
    const fields = { instance_id: instanceId };
    const isStandby = result === 'standby';
    if (isStandby !== (before.state === 'standby')) {
      logger.info(fields, isStandby ? 'standing by' : 'no longer standing by');
    }
    if (result === 'interrupted') logger.info(fields, 'run interrupted');
    if (error !== undefined && isNews) logger.error({ ...fields, err: error }, 'instance not exported');
  }

  /** Waits for the next work. Returns true if a wake-up ended the wait, false if it is time to look again. */
  async #waitForWork(hasToLook: boolean): Promise<boolean> {
    const { lookAgainMs = LOOK_AGAIN_MS } = this.#options;
    const signal = AbortSignal.any([this.#options.signal, this.#wakeUp.signal]);
    // A wake-up aborts the sleep and is no failure.
    await sleep(hasToLook ? lookAgainMs : FOREVER_MS, undefined, { signal }).catch(() => undefined);
    const isWoken = this.#wakeUp.signal.aborted;
    if (isWoken) this.#wakeUp = new AbortController();
    return isWoken;
  }
}

/** Returns whether all was done; null if this process ran none. Pure. */
export function judgeRuns(ends: readonly Pick<WorkerRunResult, 'result'>[]): boolean | null {
  const finishedEnds = ends.filter(({ result }) => result !== 'standby' && result !== 'interrupted');
  return finishedEnds.length === 0 ? null : finishedEnds.every(({ result }) => result === 'complete');
}

export type Schedule = Awaited<ReturnType<typeof armSchedule>>;

/**
 * Calls `onWake`, which must not throw, at the times of a cron expression, in UTC. It decides nothing: due days are
 * read from the ledger, so no missed or doubled wake-up can lose a day.
 */
export async function armSchedule(expression: string, onWake: (isMissed: boolean) => void) {
  const task = createTask(expression, () => onWake(false), {
    name: 'export',
    timezone: 'UTC',
    logger: silent,
  });
  // The process was paused or blocked when the wake-up was due.
  task.on('execution:missed', () => onWake(true));
  await task.start();
  return {
    nextWakeAt: () => task.getNextRun(),
    stop: async () => await task.destroy(),
  };
}

/** node-cron's own logger would print to stdout; `onWake` reports what matters. */
const silent: CronLogger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
