import { setTimeout as sleep } from 'node:timers/promises';
import { transform } from 'streaming-iterables';
import type { Wake } from './schedule.ts';
import type { InstanceStatus, PassResult } from '../server/status.ts';
import type { InstanceConfig } from '../settings/instance.ts';
import { describeDatabaseError } from '../database/connect/sqlstate.ts';
import type { Heartbeat, PassPulse } from './heartbeat.ts';
import { judgeFailure, type PassEnd, type PassTools, passInstance } from './worker-run.ts';

export interface WorkerLoopOptions extends PassTools {
  readonly heartbeat: Heartbeat;
  /** The clock of a pass, by the database's; rejects if the database is away or too far off. */
  readonly readNow: () => Promise<() => number>;
  /** How soon a standby, or a worker whose database was away, looks again. */
  readonly lookAgainMs?: number;
}

/** A lapsed lease is found within this and taken over: together with it less than a minute and a half. */
const LOOK_AGAIN_MS = 20_000;

/** Instances exported at once: one that is slow does not hold up the others. */
const INSTANCES_AT_ONCE = 4;

/**
 * Makes a pass at the start and at each wake-up, one at a time, until the signal
 * aborts. What is exported by another process, it stands by for.
 */
export class WorkerLoop {
  readonly #options: WorkerLoopOptions;
  readonly #statuses = new Map<string, InstanceStatus>();
  #isWoken = false;
  #isWorking = false;
  #wakeUp: AbortController = new AbortController();

  constructor(options: WorkerLoopOptions) {
    this.#options = options;
    for (const { instanceId } of options.context.config.instances) {
      const status = { instanceId, state: 'starting', lastPass: null, trouble: null } as const;
      this.#statuses.set(instanceId, { ...status, lastCompletePassAt: null });
    }
  }

  get statuses(): readonly InstanceStatus[] {
    return [...this.#statuses.values()];
  }

  /** A wake-up. One that comes during a pass is not lost: another pass follows. */
  wake(kind: Wake): void {
    const { metrics, context } = this.#options;
    const outcome = this.#isWorking ? 'skipped' : kind;
    metrics.countWake(outcome);
    if (kind === 'missed') context.logger.warn('wake-up missed, made up for now');
    else if (outcome === 'skipped')
      context.logger.info('wake-up came during a pass, another follows when it ends');
    this.#isWoken = true;
    this.#wakeUp.abort();
  }

  /** Returns when the signal has aborted and the pass under way has ended. */
  async run(): Promise<void> {
    const { context } = this.#options;
    let due: readonly InstanceConfig[] = context.config.instances;
    while (!context.signal.aborted) {
      const again = await this.pass(due);
      due = await this.#waitForWork(again);
    }
  }

  /** One pass over these instances. Returns those to look at again before the next wake-up. */
  async pass(instances: readonly InstanceConfig[]): Promise<InstanceConfig[]> {
    this.#isWorking = true;
    const pulse = this.#options.heartbeat.beginPass();
    const ends: { readonly instance: InstanceConfig; readonly end: PassEnd }[] = [];
    try {
      const passOne = async (instance: InstanceConfig) => ({
        instance,
        end: await this.#passInstance(instance, pulse),
      });
      for await (const ended of transform(INSTANCES_AT_ONCE, passOne, instances)) ends.push(ended);
    } finally {
      this.#isWorking = false;
    }
    const isGood = judgePass(ends.map(({ end }) => end.result));
    if (isGood !== null) await pulse.end(isGood);
    return ends.filter(({ end }) => end.lookAgain).map(({ instance }) => instance);
  }

  async #passInstance(instance: InstanceConfig, pulse: PassPulse): Promise<PassEnd> {
    const { instanceId } = instance;
    const before = this.#statuses.get(instanceId) as InstanceStatus;
    const end = await this.#passWithClock(instance, () => {
      pulse.start();
      this.#statuses.set(instanceId, { ...before, state: 'working' });
    });
    const { context } = this.#options;
    const { result, trouble } = end;
    const finishedAt = new Date(context.hostNow()).toISOString();
    const isStandby = result === 'standby';
    if (isStandby !== (before.state === 'standby')) {
      context.logger.info({ instance_id: instanceId }, isStandby ? 'standing by' : 'no longer standing by');
    }
    this.#statuses.set(instanceId, {
      instanceId,
      state: isStandby ? 'standby' : 'idle',
      lastPass: { finishedAt, result },
      lastCompletePassAt: result === 'complete' ? finishedAt : before.lastCompletePassAt,
      trouble,
    });
    return end;
  }

  async #passWithClock(instance: InstanceConfig, onStart: () => void): Promise<PassEnd> {
    const { context, handle, metrics, readNow } = this.#options;
    const { instanceId } = instance;
    let now: () => number;
    try {
      now = await readNow();
    } catch (error) {
      const known = describeDatabaseError(error, handle.describe) ?? error;
      context.logger.error({ err: known, instance_id: instanceId }, 'instance not exported');
      const end = judgeFailure(known, context.signal.aborted);
      metrics.countPass(instanceId, { result: end.result, durationMs: 0, endedAtMs: context.hostNow() });
      return end;
    }
    return await passInstance(this.#options, instance, { now, onStart });
  }

  /** The instances of the next pass: all at a wake-up, else those to look at again. */
  async #waitForWork(again: readonly InstanceConfig[]): Promise<readonly InstanceConfig[]> {
    const { context, lookAgainMs = LOOK_AGAIN_MS } = this.#options;
    const waitMs = again.length > 0 ? lookAgainMs : FOREVER_MS;
    if (!this.#isWoken) {
      this.#wakeUp = new AbortController();
      const signal = AbortSignal.any([context.signal, this.#wakeUp.signal]);
      // Being woken is no failure.
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    }
    const due = this.#isWoken ? context.config.instances : again;
    this.#isWoken = false;
    return due;
  }
}

/** The longest that a timer takes; the loop then simply waits anew. */
const FOREVER_MS = 2 ** 31 - 1;

/** Whether a pass over several instances left nothing due; null: none of them was this process's. Pure. */
export function judgePass(results: readonly PassResult[]): boolean | null {
  const own = results.filter((result) => result !== 'standby' && result !== 'interrupted');
  return own.length === 0 ? null : own.every((result) => result === 'complete');
}
