import PQueue from 'p-queue';

/**
 * The longest pause a request waits for. A longer one refuses the waiting
 * requests at once: a run that ends early is taken up by the next wake-up, a
 * run that sleeps for an hour blocks it.
 */
export const LONGEST_WAIT_MS = 15 * 60_000;

/** The longest pause that is believed, so that one absurd Retry-After cannot silence a worker for days. */
const LONGEST_PAUSE_MS = 60 * 60_000;

export interface GateOptions {
  /** Most requests under way at once. */
  readonly concurrency: number;
  /** Requests started per second, evenly spaced; may be a fraction. */
  readonly requestsPerSecond: number;
  readonly now: () => number;
}

/** The API asked for a pause longer than {@link LONGEST_WAIT_MS}: the request was not sent. */
export class PausedTooLongError extends Error {
  override readonly name = 'PausedTooLongError';
  readonly pauseMs: number;

  constructor(pauseMs: number) {
    super(`all requests of this token are paused for another ${Math.ceil(pauseMs / 1000)} s`);
    this.pauseMs = pauseMs;
  }
}

/**
 * The one way out for all requests of a token: bounds how many are under way,
 * spaces their starts evenly, and stops them all when the API asks for it.
 */
export class Gate {
  readonly #slots: PQueue;
  readonly #now: () => number;
  /** Hands out one ticket per request at the rate; replaced when the rate changes. */
  #tickets: PQueue;
  #requestsPerSecond: number;
  #pausedUntilMs = 0;
  #resumeTimer: NodeJS.Timeout | undefined;
  #waiting = 0;

  constructor({ concurrency, requestsPerSecond, now }: GateOptions) {
    this.#slots = new PQueue({ concurrency });
    this.#now = now;
    this.#requestsPerSecond = requestsPerSecond;
    this.#tickets = ticketQueue(requestsPerSecond);
  }

  /** Requests that have not started yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Milliseconds until the pause ends; 0 when there is none. */
  get pauseLeftMs(): number {
    return this.#resumeTimer === undefined ? 0 : Math.max(0, this.#pausedUntilMs - this.#now());
  }

  /**
   * Runs `task` when its turn comes, and tells it how long it waited. Rejects
   * with the signal's reason as soon as the signal aborts, waiting or not, and
   * with {@link PausedTooLongError} without running the task.
   */
  async run<T>(task: (waitedMs: number) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.pauseLeftMs > LONGEST_WAIT_MS) throw new PausedTooLongError(this.pauseLeftMs);
    const since = this.#now();
    let waiting = true;
    const endWait = () => {
      if (waiting) this.#countWaiting(-1);
      waiting = false;
    };
    this.#countWaiting(1);
    try {
      return await this.#slots.add(
        async () => {
          await this.#takeTicket(signal);
          endWait();
          return await task(this.#now() - since);
        },
        { signal },
      );
    } catch (error) {
      if (waiting && !signal.aborted && this.pauseLeftMs > LONGEST_WAIT_MS) {
        throw new PausedTooLongError(this.pauseLeftMs);
      }
      throw error;
    } finally {
      endWait();
    }
  }

  /** Lets no request start for `ms`; a pause that ends later stays. Requests under way go on. */
  pauseFor(ms: number): void {
    const pauseMs = Math.min(ms, LONGEST_PAUSE_MS);
    if (pauseMs <= this.pauseLeftMs) return;
    clearTimeout(this.#resumeTimer);
    this.#tickets.pause();
    this.#pausedUntilMs = this.#now() + pauseMs;
    this.#resumeTimer = setTimeout(() => {
      this.#resumeTimer = undefined;
      this.#tickets.start();
    }, pauseMs);
    this.#countWaiting(0);
    if (pauseMs > LONGEST_WAIT_MS) {
      this.#slots.clear();
      this.#tickets.clear();
    }
  }

  /** Changes the rate, also for the requests that wait already: processes share a token's rate. */
  setRate(requestsPerSecond: number): void {
    if (requestsPerSecond === this.#requestsPerSecond) return;
    const replaced = this.#tickets;
    this.#requestsPerSecond = requestsPerSecond;
    this.#tickets = ticketQueue(requestsPerSecond);
    if (this.#resumeTimer !== undefined) this.#tickets.pause();
    replaced.clear();
  }

  async #takeTicket(signal: AbortSignal): Promise<void> {
    for (;;) {
      const tickets = this.#tickets;
      try {
        await tickets.add(() => undefined, { signal });
        return;
      } catch (error) {
        const wasReplaced = tickets !== this.#tickets && !signal.aborted;
        if (!wasReplaced) throw error;
      }
    }
  }

  /** Only a waiting request keeps the process alive through a pause, not the pause itself. */
  #countWaiting(change: number): void {
    this.#waiting += change;
    if (this.#waiting > 0) this.#resumeTimer?.ref();
    else this.#resumeTimer?.unref();
  }
}

/**
 * A queue that starts one task per ticket. Windows are as short as timers allow
 * (20 ms): a queue that allows 50 starts per 1,000 ms sends 63 in some seconds.
 */
function ticketQueue(requestsPerSecond: number): PQueue {
  const intervalCap = Math.max(1, Math.ceil(requestsPerSecond / 50));
  return new PQueue({ intervalCap, interval: Math.ceil((intervalCap * 1000) / requestsPerSecond) });
}
