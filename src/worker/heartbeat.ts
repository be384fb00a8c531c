import ky, { isHTTPError, isTimeoutError } from 'ky';
import type { Logger } from '../logger.ts';

/**
 * A heartbeat reports the runs of one wake-up to a dead man's switch. Its success or failure never
 * changes them.
 */
export interface WakeUpHeartbeat {
  /** Reports that a run has begun; later calls do nothing. */
  start(): void;
  /** Reports that all runs have ended. */
  end(isGood: boolean): Promise<void>;
}

export interface Heartbeat {
  readonly begin: () => WakeUpHeartbeat;
}

export interface HeartbeatOptions {
  /**
   * The address of the monitor; null if there is none. It is a secret: whoever knows it can report that
   * all is well.
   */
  readonly url: string | null;
  readonly logger: Logger;
}

/**
 * The client for the monitor. A monitor that hangs delays a wake-up by a few of these timeouts and no
 * more.
 */
const monitor = ky.create({
  timeout: 5_000,
  redirect: 'manual',
  retry: { limit: 1, shouldRetry: () => true, delay: () => 1_000 },
});

/**
 * `createHeartbeat` creates a heartbeat that pings by the Healthchecks convention: GET `URL/start`, then
 * `URL` for runs that left nothing due, or `URL/fail`. A ping that fails is logged without its address.
 */
export function createHeartbeat({ url, logger }: HeartbeatOptions): Heartbeat {
  if (url === null) return { begin: () => ({ start: () => {}, end: () => Promise.resolve() }) };
  return {
    begin() {
      let started: Promise<void> | null = null;
      return {
        start() {
          started ??= ping(url, '/start', logger);
        },
        async end(isGood) {
          // The pings are sent in this order, or the monitor would take the run for one that never ends.
          await started;
          await ping(url, isGood ? '' : '/fail', logger);
        },
      };
    },
  };
}

/**
 * `probeHeartbeat` asks the monitor by the one address of the convention that changes no state (`URL/log`) and
 * returns the status of its answer, or the reason why there is none.
 */
export async function probeHeartbeat(url: string): Promise<number | 'timeout' | 'no connection'> {
  try {
    const response = await monitor.get(address(url, '/log'));
    await response.body?.cancel();
    return response.status;
  } catch (error) {
    if (isHTTPError(error)) return error.response.status;
    return isTimeoutError(error) ? 'timeout' : 'no connection';
  }
}

async function ping(url: string, suffix: string, logger: Logger): Promise<void> {
  try {
    const response = await monitor.get(address(url, suffix));
    await response.body?.cancel();
  } catch (error) {
    const reason = describe(error);
    logger.warn({ ping: suffix === '' ? 'success' : suffix.slice(1), reason }, 'heartbeat not delivered');
  }
}

/** `describe` returns the reason why a ping failed, in words that cannot contain the address. */
function describe(error: unknown): string {
  if (isHTTPError(error)) return `HTTP ${error.response.status}`;
  return isTimeoutError(error) ? 'timeout' : 'no connection';
}

function address(url: string, suffix: string): string {
  if (suffix === '') return url;
  const target = new URL(url);
  target.pathname = target.pathname.replace(/\/+$/, '') + suffix;
  return target.href;
}
