import ky, { isHTTPError, isTimeoutError } from 'ky';
import type { RunResult } from '../console/sources.ts';
import type { Logger } from '../logger.ts';

/** What happened since the last wake-up. */
export interface WakeUpActivity {
  /** The results of the runs of this process that have ended. */
  readonly results: readonly RunResult[];
  /** The run in progress, of this process or a backfill of another one; null if there is none. */
  readonly currentRun: {
    /** Whether it has read cells since the last wake-up. */
    readonly hasProgress: boolean;
    readonly hasFailedReads: boolean;
  } | null;
}

/**
 * Returns whether the runs since the last wake-up left nothing due. A run in progress counts as complete if it has read
 * cells, and no read failed. Null if there is nothing to report, or if a run is in progress, which is
 * reported at the next wake-up.
 */
export function assessWakeUp({ results, currentRun }: WakeUpActivity, isWakeUp: boolean): boolean | null {
  const finishedResults = results.filter(isFinishedHere);
  if (currentRun === null && finishedResults.length === 0) return null;
  if (currentRun !== null && !isWakeUp) return null;
  if (currentRun?.hasFailedReads === true) return false;
  if (finishedResults.length === 0) return currentRun?.hasProgress === true;
  return finishedResults.every((result) => result === 'complete');
}

/** Returns whether this process finished the run. The process that has the lease instead reports its own. */
export function isFinishedHere(result: RunResult): boolean {
  return result !== 'standby' && result !== 'interrupted';
}

/** A monitor that hangs delays what comes after by a few of these timeouts and no more. */
const monitor = ky.create({
  timeout: 5_000,
  redirect: 'manual',
  retry: { limit: 1, shouldRetry: () => true, delay: () => 1_000 },
});

/** The reports to the heartbeat monitor, whose success or failure never changes a run. */
export type Heartbeat = ReturnType<typeof createHeartbeat>;

/**
 * Sends pings by the Healthchecks convention: GET `URL` for success, `URL/fail` otherwise, in the order of the calls. A
 * ping that fails is logged without its address: whoever knows it can report that all is well.
 */
export function createHeartbeat({ url, logger }: { url: string | null; logger: Logger }) {
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

/** The status of the response, or why there is none, in words that cannot contain the address. */
type Delivery = number | 'timeout' | 'no connection';

export function isDelivered(outcome: Delivery): boolean {
  return typeof outcome === 'number' && outcome >= 200 && outcome < 300;
}

/** Only `/log` changes no state. */
export async function sendPing(url: string, suffix: '' | '/fail' | '/log'): Promise<Delivery> {
  const target = new URL(url);
  if (suffix !== '') target.pathname = target.pathname.replace(/\/+$/, '') + suffix;
  return await deliver(monitor.get(target));
}

/** Waits for a response, whose body does not matter. Never throws. */
export async function deliver(request: Promise<Response>): Promise<Delivery> {
  try {
    const response = await request;
    await response.body?.cancel();
    return response.status;
  } catch (error) {
    if (isHTTPError(error)) return error.response.status;
    return isTimeoutError(error) ? 'timeout' : 'no connection';
  }
}
