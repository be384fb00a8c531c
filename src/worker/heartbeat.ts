import ky, { isHTTPError, isTimeoutError } from 'ky';
import type { Logger } from '../logger.ts';

/** The report of one wake-up to a dead man's switch, whose success or failure never changes a run. */
export type Heartbeat = ReturnType<typeof beginHeartbeat>;

export interface HeartbeatOptions {
  /** The address, a secret: whoever knows it can report that all is well. Null without a monitor. */
  readonly url: string | null;
  readonly logger: Logger;
}

/** A monitor that hangs delays a wake-up by a few of these timeouts and no more. */
const monitor = ky.create({
  timeout: 5_000,
  redirect: 'manual',
  retry: { limit: 1, shouldRetry: () => true, delay: () => 1_000 },
});

/**
 * Begins the report of a wake-up, which pings by the Healthchecks convention: GET `URL/start`, then `URL` for runs that
 * left nothing due, or `URL/fail`. A ping that fails is logged without its address.
 */
export function beginHeartbeat({ url, logger }: HeartbeatOptions) {
  const ping = async (suffix: string) => {
    const answer = url === null ? 200 : await ask(url, suffix);
    if (isGood(answer)) return;
    const reason = typeof answer === 'number' ? `HTTP ${answer}` : answer;
    logger.warn({ ping: suffix === '' ? 'success' : suffix.slice(1), reason }, 'heartbeat not delivered');
  };
  let started: Promise<void> | null = null;
  return {
    /** Reports that a run has begun; later calls do nothing. */
    start() {
      started ??= ping('/start');
    },
    async end(isComplete: boolean) {
      // The pings are sent in this order, or the monitor would take the run for one that never ends.
      await started;
      await ping(isComplete ? '' : '/fail');
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
