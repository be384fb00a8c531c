import ky, { isHTTPError, isTimeoutError } from 'ky';
import type { RunResult } from '../console/sources.ts';
import type { Logger } from '../logger.ts';

/** What an instance has done since the last wake-up. */
export interface InstanceActivity {
  /** The results of the runs that have finished. */
  readonly results: readonly RunResult[];
  /** The run in progress, of this process or a backfill of another one; null if there is none. */
  readonly currentRun: {
    /** Whether it has read cells since the last wake-up. */
    readonly hasProgress: boolean;
    readonly hasFailedReads: boolean;
  } | null;
}

export interface WakeUpMoment {
  /** Whether the next wake-up has come, which does not wait for runs in progress. */
  readonly isWakeUp: boolean;
  /** Whether a run has finished since the process started. */
  readonly hasFinishedRun: boolean;
}

/**
 * Returns whether the runs since the last wake-up left nothing due in any instance that this process runs. A run in
 * progress counts as complete if it has read cells, and no read failed. Null if there is nothing to report, or not yet.
 */
export function assessWakeUp(
  activities: readonly InstanceActivity[],
  { isWakeUp, hasFinishedRun }: WakeUpMoment,
): boolean | null {
  const activeInstances = activities.filter(
    ({ results, currentRun }) => currentRun !== null || results.some(isFinishedHere),
  );
  const isRunning = activeInstances.some(({ currentRun }) => currentRun !== null);
  if (!hasFinishedRun || activeInstances.length === 0 || (isRunning && !isWakeUp)) return null;
  return activeInstances.every(isComplete);
}

/** Returns whether this process finished the run. A process that runs the instance instead reports it. */
export function isFinishedHere(result: RunResult): boolean {
  return result !== 'standby' && result !== 'interrupted';
}

function isComplete({ results, currentRun }: InstanceActivity): boolean {
  if (currentRun?.hasFailedReads === true) return false;
  const finishedResults = results.filter(isFinishedHere);
  if (finishedResults.length === 0) return currentRun?.hasProgress === true;
  return finishedResults.every((result) => result === 'complete');
}

export interface HeartbeatOptions {
  /** The address, a secret: whoever knows it can report that all is well. Null without a monitor. */
  readonly url: string | null;
  readonly logger: Logger;
}

/** A monitor that hangs delays what comes after by a few of these timeouts and no more. */
const monitor = ky.create({
  timeout: 5_000,
  redirect: 'manual',
  retry: { limit: 1, shouldRetry: () => true, delay: () => 1_000 },
});

/** The reports to a dead man's switch, whose success or failure never changes a run. */
export type Heartbeat = ReturnType<typeof createHeartbeat>;

/**
 * Sends pings by the Healthchecks convention: GET `URL` for success, `URL/fail` otherwise, in the order of the calls. A
 * ping that fails is logged without its address.
 */
export function createHeartbeat({ url, logger }: HeartbeatOptions) {
  const ping = async (suffix: '' | '/fail') => {
    const outcome = url === null ? 200 : await sendPing(url, suffix);
    if (isDelivered(outcome)) return;
    const reason = typeof outcome === 'number' ? `HTTP ${outcome}` : outcome;
    logger.warn({ ping: suffix === '' ? 'success' : 'fail', reason }, 'heartbeat not delivered');
  };
  let lastPing = Promise.resolve();
  return {
    /** Resolves once this ping and those before it were delivered or have failed. */
    async send(isSuccess: boolean): Promise<void> {
      lastPing = lastPing.then(() => ping(isSuccess ? '' : '/fail'));
      await lastPing;
    },
  };
}

/** The status of the monitor's response, or why there is none, in words that cannot contain the address. */
type PingOutcome = number | 'timeout' | 'no connection';

export function isDelivered(outcome: PingOutcome): boolean {
  return typeof outcome === 'number' && outcome >= 200 && outcome < 300;
}

/** Pings the one address of the convention that changes no state. */
export async function probeHeartbeat(url: string): Promise<PingOutcome> {
  return await sendPing(url, '/log');
}

async function sendPing(url: string, suffix: string): Promise<PingOutcome> {
  try {
    const target = new URL(url);
    if (suffix !== '') target.pathname = target.pathname.replace(/\/+$/, '') + suffix;
    const response = await monitor.get(target);
    await response.body?.cancel();
    return response.status;
  } catch (error) {
    if (isHTTPError(error)) return error.response.status;
    return isTimeoutError(error) ? 'timeout' : 'no connection';
  }
}
