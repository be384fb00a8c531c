import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../logger.ts';

/** Tells a dead man's switch how the runs of one wake-up go. Nothing it does or fails to do changes them. */
export interface WakeUpHeartbeat {
  /** A run has begun; later calls do nothing. */
  start(): void;
  /** All runs have ended. */
  end(isGood: boolean): Promise<void>;
}

export interface Heartbeat {
  readonly begin: () => WakeUpHeartbeat;
}

export interface HeartbeatOptions {
  /** Null: nobody is told. Secret: whoever knows it can say that all is well. */
  readonly url: string | null;
  readonly logger: Logger;
}

/** A monitor that hangs delays a wake-up by no more than two of these and the wait between. */
const TIMEOUT_MS = 5_000;
const ATTEMPTS = 2;
const RETRY_AFTER_MS = 1_000;

/**
 * Pings by the Healthchecks convention: GET `URL/start`, then `URL` for runs
 * that left nothing due, or `URL/fail`. A ping that fails is logged without its
 * address.
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
          // In this order, or the monitor would take the run for one that never ends.
          await started;
          await ping(url, isGood ? '' : '/fail', logger);
        },
      };
    },
  };
}

async function ping(url: string, suffix: string, logger: Logger): Promise<void> {
  let reason = '';
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    if (attempt > 1) await sleep(RETRY_AFTER_MS);
    const failure = await send(address(url, suffix));
    if (failure === null) return;
    reason = failure;
  }
  logger.warn({ ping: suffix === '' ? 'success' : suffix.slice(1), reason }, 'heartbeat not delivered');
}

/** Why it failed, in words that cannot hold the address; null: it did not. */
async function send(target: string): Promise<string | null> {
  try {
    const response = await fetch(target, { redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
    await response.body?.cancel();
    return response.ok ? null : `HTTP ${response.status}`;
  } catch (error) {
    return error instanceof Error && error.name === 'TimeoutError' ? 'timeout' : 'no connection';
  }
}

function address(url: string, suffix: string): string {
  if (suffix === '') return url;
  const target = new URL(url);
  target.pathname = target.pathname.replace(/\/+$/, '') + suffix;
  return target.href;
}
