import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger as CronLogger, createTask } from 'node-cron';
import { consume, transform } from 'streaming-iterables';
import type { InstanceStatus, Trouble, WakeEnd } from '../console/sources.ts';
import type { InstanceConfig } from '../settings/config.ts';
import { showDuration } from '../terminal/words.ts';
import { DAY_MS } from '../usage/day.ts';
import type { Heartbeat, WakeUpHeartbeat } from './heartbeat.ts';
import { exportInstance, looksAgain, type RunEnd, type RunTools, type WorkerTools } from './instance-run.ts';

export interface WorkerLoopOptions extends WorkerTools {
  readonly heartbeat: Heartbeat;
  readonly nextWakeAt: () => Date | null;
  /** The time after which a standby, or a worker whose database was unreachable, looks again. */
  readonly lookAgainMs?: number;
}

/** The time within which a lapsed lease is taken over; with the lease itself, under a minute and a half. */
const LOOK_AGAIN_MS = 20_000;

/** The time after which a process that stands by says so. */
const STANDBY_MS = 60_000;

/** The number of instances exported at once, so that a slow one does not hold up the others. */
const INSTANCES_AT_ONCE = 4;

/** The most wake-ups kept: one instance woken each minute, or many woken each hour. */
const WAKES_MAX = 1_440;

/** The longest time that a timer takes; after it the loop simply waits again. */
const FOREVER_MS = 2 ** 31 - 1;

/** WorkerLoop runs every instance at the start and at each wake-up; it stands by for those of others. */
export class WorkerLoop {
  readonly #options: WorkerLoopOptions & RunTools;
  readonly #statuses = new Map<string, InstanceStatus>();
  readonly #standbySinceMs = new Map<string, number>();
  /** The wake-ups of the last 24 hours that did not stand by, oldest first, at most {@link WAKES_MAX}. */
  wakes: readonly WakeEnd[] = [];
  #isWoken = false;
  #isWorking = false;
  #wakeUp: AbortController = new AbortController();

  constructor(options: WorkerLoopOptions) {
    this.#options = { ...options, gates: new Map(), settled: new Map() };
    for (const { instanceId } of options.config.instances) {
      const none = { progress: null, lastRun: null, lastCompleteRunAt: null, trouble: null };
      this.#statuses.set(instanceId, { instanceId, state: 'starting', ...none });
    }
  }

  get statuses(): readonly InstanceStatus[] {
    return [...this.#statuses.values()];
  }

  /** Handles a wake-up. One that comes while runs are under way is not lost: new runs follow. */
  wake(kind: Wake): void {
    const { metrics, logger } = this.#options;
    const outcome = this.#isWorking ? 'skipped' : kind;
    metrics.countWake(outcome);
    if (kind === 'missed') logger.warn('missed wake-up, running now');
    else if (outcome === 'skipped')
      logger.info('wake-up came during a run, another run follows when it ends');
    this.#isWoken = true;
    this.#wakeUp.abort();
  }

  /** Runs the loop. Resolves when the signal has aborted and the runs under way have ended. */
  async run(): Promise<void> {
    const { config, signal, logger, nextWakeAt } = this.#options;
    let due: readonly InstanceConfig[] = config.instances;
    let isWakeUp = true;
    while (!signal.aborted) {
      const again = await this.runAll(due);
      if (isWakeUp && !signal.aborted) {
        logger.info({ next_wake_at: nextWakeAt()?.toISOString() }, 'waiting for the next wake-up');
      }
      isWakeUp = await this.#waitForWork(again.length > 0);
      due = isWakeUp ? config.instances : again;
    }
  }

  /** Runs each of these instances. Returns those to look at again before the next wake-up. */
  async runAll(instances: readonly InstanceConfig[]): Promise<InstanceConfig[]> {
    this.#isWorking = true;
    const heartbeat = this.#options.heartbeat.begin();
    const ends = new Map<InstanceConfig, RunEnd>();
    const runOne = async (each: InstanceConfig) => ends.set(each, await this.#runOne(each, heartbeat));
    try {
      await consume(transform(INSTANCES_AT_ONCE, runOne, instances));
    } finally {
      this.#isWorking = false;
    }
    const isGood = judgeRuns([...ends.values()]);
    if (isGood !== null) await heartbeat.end(isGood);
    return [...ends].filter(([, end]) => looksAgain(end)).map(([instance]) => instance);
  }

  async #runOne(instance: InstanceConfig, heartbeat: WakeUpHeartbeat): Promise<RunEnd> {
    const { instanceId } = instance;
    const before = this.#statuses.get(instanceId) as InstanceStatus;
    const show = (status: Partial<InstanceStatus>) => {
      this.#statuses.set(instanceId, { ...before, ...this.#statuses.get(instanceId), ...status });
    };
    const end = await exportInstance(this.#options, instance, {
      onProgress: (progress) => {
        heartbeat.start();
        show({ state: 'working', progress });
      },
      onWait: (trouble) => show({ trouble: trouble ?? before.trouble }),
    });
    const { hostNow, logger } = this.#options;
    const { result, trouble } = end;
    const finishedAt = new Date(hostNow()).toISOString();
    const isStandby = result === 'standby';
    if (!isStandby) {
      const dayAgo = new Date(hostNow() - DAY_MS).toISOString();
      const kept = this.wakes.filter(({ at }) => at >= dayAgo).slice(1 - WAKES_MAX);
      this.wakes = [...kept, { instanceId, at: finishedAt, result }];
    }
    if (isStandby !== (before.state === 'standby')) {
      logger.info({ instance_id: instanceId }, isStandby ? 'standing by' : 'no longer standing by');
    }
    show({
      state: isStandby ? 'standby' : 'idle',
      progress: null,
      lastRun: { finishedAt, result },
      lastCompleteRunAt: result === 'complete' ? finishedAt : before.lastCompleteRunAt,
      trouble: this.#judgeStandby(instanceId, end) ?? trouble,
    });
    return end;
  }

  /** Returns the trouble of a process that has stood by for a minute or longer; null for any other. */
  #judgeStandby(instanceId: string, { result, holder }: RunEnd): Trouble | null {
    const { hostNow, metrics } = this.#options;
    const nowMs = hostNow();
    if (result === 'standby') {
      const sinceMs = this.#standbySinceMs.get(instanceId) ?? nowMs;
      this.#standbySinceMs.set(instanceId, sinceMs);
      const waitedMs = nowMs - sinceMs;
      metrics.showWaiting(instanceId, 'lease', waitedMs >= STANDBY_MS ? waitedMs : 0);
      if (waitedMs < STANDBY_MS) return null;
      return {
        code: 'waiting_for_lease',
        kind: 'waiting',
        message: `standing by for ${showDuration(waitedMs)}: ${holder ?? 'another process has the lease'}`,
        hint: 'the worker goes on when the other process is done; the lease of a dead one lapses within a minute',
      };
    }
    this.#standbySinceMs.delete(instanceId);
    metrics.showWaiting(instanceId, 'lease', 0);
    return null;
  }

  /** Waits for the next work. Returns true if a wake-up ended the wait, false if it is time to look again. */
  async #waitForWork(looksAgain: boolean): Promise<boolean> {
    const { lookAgainMs = LOOK_AGAIN_MS } = this.#options;
    const waitMs = looksAgain ? lookAgainMs : FOREVER_MS;
    if (!this.#isWoken) {
      this.#wakeUp = new AbortController();
      const signal = AbortSignal.any([this.#options.signal, this.#wakeUp.signal]);
      // A wake-up aborts the sleep and is no failure.
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
    const isWoken = this.#isWoken;
    this.#isWoken = false;
    return isWoken;
  }
}

/** `judgeRuns` returns whether all was done and no gap is left; null if this process ran none. Pure. */
export function judgeRuns(ends: readonly Pick<RunEnd, 'result' | 'trouble'>[]): boolean | null {
  const own = ends.filter(({ result }) => result !== 'standby' && result !== 'interrupted');
  if (own.length === 0) return null;
  return own.every(({ result, trouble }) => result === 'complete' && trouble === null);
}

/** `missed` means that the process was paused or blocked when the wake-up was due. */
export type Wake = 'on_time' | 'missed';

export interface Schedule {
  /** Returns false before the schedule is armed and after it is stopped. */
  readonly isArmed: () => boolean;
  readonly nextWakeAt: () => Date | null;
  readonly stop: () => Promise<void>;
}

/**
 * `armSchedule` calls `onWake`, which must not throw, at the times of a cron expression, in UTC. It decides
 * nothing: due days are read from the ledger, so no missed or doubled wake-up can lose a day.
 */
export async function armSchedule(expression: string, onWake: (wake: Wake) => void): Promise<Schedule> {
  let isArmed = true;
  const task = createTask(expression, () => onWake('on_time'), {
    name: 'export',
    timezone: 'UTC',
    logger: silent,
  });
  task.on('execution:missed', () => onWake('missed'));
  await task.start();
  return {
    isArmed: () => isArmed,
    nextWakeAt: () => (isArmed ? task.getNextRun() : null),
    stop: async () => {
      isArmed = false;
      await task.destroy();
    },
  };
}

/** node-cron's own logger would print to stdout; `onWake` reports what matters. */
const silent: CronLogger = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
