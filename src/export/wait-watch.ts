import { FAILURES } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { AttemptReport, LosantClient } from '../losant/client.ts';
import { showDuration } from '../terminal/words.ts';

/** The cause that keeps a run from working. */
export interface Wait {
  readonly waitsFor: 'losant' | 'database';
  /** The time since which nothing has moved, in ms by the host's clock. */
  readonly sinceMs: number;
  readonly message: string;
  readonly hint: string;
}

/** The time without any progress after which a run counts as waiting. */
const WAIT_MS = 60_000;
/** The interval at which that is looked at. */
const LOOK_MS = 1_000;

export interface WaitWatchOptions {
  readonly logger: Logger;
  readonly instanceId: string;
  /** Returns the time in ms by this host's clock. */
  readonly hostNow: () => number;
  /** Returns the ms until the pause ends that Losant asked for; 0 without one. */
  readonly pauseLeftMs: () => number;
  /** Called about once a second while a run is under way; null while it does not wait, and at its end. */
  readonly onWait?: ((wait: Wait | null) => void) | undefined;
}

/**
 * WaitWatch notices that a run has not moved for a minute: no answer of Losant came, nothing was
 * planned or loaded. While requests are under way Losant is to blame, by a pause, failures or silence;
 * otherwise it is the database, by locks or slowness. Each wait is logged once, and its end.
 */
export class WaitWatch {
  readonly #options: WaitWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #movedAtMs = 0;
  #requests = 0;
  /** The outcome of the newest request that was not answered; null once one was. */
  #failure: string | null = null;
  #waitsFor: Wait['waitsFor'] | null = null;

  constructor(options: WaitWatchOptions) {
    this.#options = options;
  }

  start(): void {
    this.moved();
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.moved();
  }

  /** Notes that the run has got on. */
  moved(): void {
    const { hostNow, logger, instanceId, onWait } = this.#options;
    const nowMs = hostNow();
    const waitedMs = nowMs - this.#movedAtMs;
    this.#movedAtMs = nowMs;
    if (this.#waitsFor === null) return;
    this.#waitsFor = null;
    logger.info({ instance_id: instanceId, waited_ms: Math.round(waitedMs) }, 'no longer waiting');
    onWait?.(null);
  }

  /** Notes how an attempt of a request ended. */
  noteAttempt({ outcome }: Pick<AttemptReport, 'outcome'>): void {
    if (outcome === 'aborted') return;
    // Without an answer the same question is asked again, now or later.
    this.#failure = outcome === 'ok' || FAILURES[outcome].isAnswer ? null : outcome;
    if (this.#failure === null) this.moved();
  }

  /** Returns the client with its requests counted as long as they are under way. */
  watch(client: LosantClient): LosantClient {
    return {
      get: async (request) => {
        // Until now it was the database that was worked with.
        if (this.#requests === 0 && this.#failure === null) this.moved();
        this.#requests += 1;
        try {
          return await client.get(request);
        } finally {
          this.#requests -= 1;
        }
      },
    };
  }

  #look(): void {
    const { hostNow, logger, instanceId, onWait } = this.#options;
    if (hostNow() - this.#movedAtMs < WAIT_MS) return;
    const wait = this.#requests > 0 ? this.#describeLosant() : this.#describeDatabase();
    if (wait.waitsFor !== this.#waitsFor) {
      const fields = { instance_id: instanceId, waits_for: wait.waitsFor, since: isoOf(wait.sinceMs) };
      logger.warn({ ...fields, reason: wait.message, hint: wait.hint }, 'waiting');
    }
    this.#waitsFor = wait.waitsFor;
    onWait?.(wait);
  }

  #describeLosant(): Wait {
    const sinceMs = this.#movedAtMs;
    const isPaused = this.#failure === 'rate_limited' || this.#options.pauseLeftMs() > 0;
    const why = isPaused
      ? 'it asks for a pause (429, or 503 with Retry-After)'
      : `the newest request ended with ${this.#failure ?? 'nothing yet'}`;
    return {
      waitsFor: 'losant',
      sinceMs,
      message: `Losant has not answered for ${this.#duration()}: ${why}`,
      hint: isPaused
        ? 'requests go on by themselves when the pause ends; if it lasts, lower REQUESTS_PER_SECOND or ask Losant for a higher limit'
        : 'requests are repeated by themselves; if it lasts, check the network and ask Losant support',
    };
  }

  #describeDatabase(): Wait {
    return {
      waitsFor: 'database',
      sinceMs: this.#movedAtMs,
      message: `the database has not got on for ${this.#duration()}`,
      hint: 'look for a session that holds locks, or what else the server does: select pid, usename, state, wait_event_type, pg_blocking_pids(pid), query from pg_stat_activity',
    };
  }

  #duration(): string {
    return showDuration(this.#options.hostNow() - this.#movedAtMs);
  }
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
