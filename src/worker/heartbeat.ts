import ky, { isHTTPError, isTimeoutError } from 'ky';
import type { RunResult } from '../console/sources.ts';
import type { Logger } from '../logger.ts';

/** What became of an instance since the wake-up before. */
export interface InstanceActivity {
  /** The results of the runs of this process that have ended since. */
  readonly results: readonly RunResult[];
  /** The run under way, of this process or a backfill of another one; null without any. */
  readonly runUnderWay: {
    /** Whether it has stored a slice since the wake-up before. */
    readonly hasStored: boolean;
    readonly hasFailedReads: boolean;
  } | null;
}

export interface JudgedMoment {
  /** Whether the next wake-up has come, so that runs under way are waited for no longer. */
  readonly isWakeUp: boolean;
  /** Whether a run has ended since the process started. */
  readonly hasEndedRun: boolean;
}

/**
 * Returns whether a wake-up went well over all instances that this process runs: each has ended a run since, and all
 * were complete; a run under way counts as one that stores what it reads. Null if there is nothing to tell, or not yet.
 */
export function judgeWakeUp(
  activities: readonly InstanceActivity[],
  { isWakeUp, hasEndedRun }: JudgedMoment,
): boolean | null {
  const active = activities.filter(
    ({ results, runUnderWay }) => runUnderWay !== null || results.some(isOfThisProcess),
  );
  const isUnderWay = active.some(({ runUnderWay }) => runUnderWay !== null);
  if (!hasEndedRun || active.length === 0 || (isUnderWay && !isWakeUp)) return null;
  return active.every(isWell);
}

/** Returns whether a run was one of this process: where another one has the instance, that one tells of it. */
export function isOfThisProcess(result: RunResult): boolean {
  return result !== 'standby' && result !== 'interrupted';
}

function isWell({ results, runUnderWay }: InstanceActivity): boolean {
  if (runUnderWay?.hasFailedReads === true) return false;
  const ownResults = results.filter(isOfThisProcess);
  if (ownResults.length === 0) return runUnderWay?.hasStored === true;
  return ownResults.every((result) => result === 'complete');
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

/** The reports to a dead man's switch, whose answers never change a run. */
export type Heartbeat = ReturnType<typeof createHeartbeat>;

/**
 * Returns what pings by the Healthchecks convention: GET `URL` for success, `URL/fail` otherwise, in the order of the
 * calls. A ping that fails is logged without its address.
 */
export function createHeartbeat({ url, logger }: HeartbeatOptions) {
  const ping = async (suffix: '' | '/fail') => {
    const answer = url === null ? 200 : await ask(url, suffix);
    if (isGood(answer)) return;
    const reason = typeof answer === 'number' ? `HTTP ${answer}` : answer;
    logger.warn({ ping: suffix === '' ? 'success' : 'fail', reason }, 'heartbeat not delivered');
  };
  let sent = Promise.resolve();
  return {
    /** Resolves once this ping and those before have been answered, or given up. */
    async send(isWell: boolean): Promise<void> {
      sent = sent.then(() => ping(isWell ? '' : '/fail'));
      await sent;
    },
  };
}

/** The status of the monitor's answer, or why there is none, in words that cannot contain the address. */
type MonitorAnswer = number | 'timeout' | 'no connection';

export function isGood(answer: MonitorAnswer): boolean {
  return typeof answer === 'number' && answer >= 200 && answer < 300;
}

/** Asks by the one address of the convention that changes no state. */
export async function probeHeartbeat(url: string): Promise<MonitorAnswer> {
  return await ask(url, '/log');
}

async function ask(url: string, suffix: string): Promise<MonitorAnswer> {
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
