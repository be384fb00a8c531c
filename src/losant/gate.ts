/** The longest pause that a request waits for: a run that ends is taken up by the next wake-up, one that sleeps blocks it. */
export const LONGEST_WAIT_MS = 15 * 60_000;

/** The longest pause that is believed, so that one absurd Retry-After cannot silence a worker for days. */
const LONGEST_PAUSE_MS = 60 * 60_000;

/** Starts that are due within this time go at once: a rate above 50 per second would need finer timers than there are. */
const TICK_MS = 20;

/** How far the starts may fall behind and still catch up: without it, each late timer would lower the rate. */
const CATCH_UP_MS = 100;

export interface GateOptions {
  /** Most requests under way at once. */
  readonly concurrency: number;
  /** Requests started per second, evenly spaced; may be a fraction. */
  readonly requestsPerSecond: number;
}

/** The API asked for a pause longer than {@link LONGEST_WAIT_MS}: the request was not sent. */
export class PausedTooLongError extends Error {
  override readonly name = 'PausedTooLongError';

  constructor(pauseMs: number) {
    super(`all requests of this token are paused for another ${Math.ceil(pauseMs / 1000)} s`);
  }
}

/** A request that waits for its turn. */
interface Waiter {
  start(): void;
  refuse(reason: unknown): void;
}

/**
 * Gate is the one way out for all requests of a token: it bounds how many are under
 * way, spaces their starts evenly, and stops them all while the API asks for a pause.
 * All times are of the steady clock. Only a waiting request keeps the process alive.
 */
export class Gate {
  readonly concurrency: number;
  /** Waiting requests, in the order in which they came. */
  readonly #waiters = new Set<Waiter>();
  #underWay = 0;
  /** Time between two starts. */
  #spacingMs: number;
  #nextStartMs = 0;
  #pausedUntilMs = 0;
  /** The timer for the next start, if only time is in its way. */
  #timer: NodeJS.Timeout | undefined;

  constructor({ concurrency, requestsPerSecond }: GateOptions) {
    this.concurrency = concurrency;
    this.#spacingMs = 1000 / requestsPerSecond;
  }

  /** The number of requests that have not started yet. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Milliseconds until the pause ends; 0 when there is none. */
  get pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntilMs - performance.now());
  }

  /**
   * Runs `task` when its turn comes, and tells it how long it waited. While it waits, the
   * promise rejects with the signal's reason as soon as the signal aborts, and with
   * {@link PausedTooLongError}; once started, the task itself has to watch the signal.
   */
  async run<T>(task: (waitedMs: number) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const { pauseLeftMs } = this;
    if (pauseLeftMs > LONGEST_WAIT_MS) throw new PausedTooLongError(pauseLeftMs);
    const sinceMs = performance.now();
    let waitedMs = 0;
    if (this.#waiters.size === 0 && this.#startsInMs() <= 0) {
      // Nothing was waiting: a schedule that lies behind was not asked for, and is not made up for.
      this.#takeTurn(sinceMs);
    } else {
      await this.#waitForTurn(signal);
      waitedMs = performance.now() - sinceMs;
    }
    try {
      return await task(waitedMs);
    } finally {
      this.#underWay -= 1;
      this.#startWaiters();
    }
  }

  /** Lets no request start for `ms`; a pause that ends later stays. Requests under way go on. */
  pauseFor(ms: number): void {
    const pauseMs = Math.min(ms, LONGEST_PAUSE_MS);
    if (pauseMs <= this.pauseLeftMs) return;
    this.#pausedUntilMs = performance.now() + pauseMs;
    this.#nextStartMs = Math.max(this.#nextStartMs, this.#pausedUntilMs);
    if (pauseMs <= LONGEST_WAIT_MS) return;
    for (const waiter of this.#waiters) waiter.refuse(new PausedTooLongError(pauseMs));
  }

  /** Changes the rate, also for the requests that wait already: processes share a token's rate. */
  setRate(requestsPerSecond: number): void {
    const spacingMs = 1000 / requestsPerSecond;
    if (spacingMs === this.#spacingMs) return;
    this.#spacingMs = spacingMs;
    this.#nextStartMs = Math.min(this.#nextStartMs, performance.now() + spacingMs);
    this.#setTimer(null);
    this.#startWaiters();
  }

  #waitForTurn(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = () => {
      this.#waiters.delete(waiter);
      signal.removeEventListener('abort', onAbort);
      if (this.#waiters.size === 0) this.#setTimer(null);
    };
    const waiter: Waiter = {
      start: () => {
        leave();
        resolve();
      },
      refuse: (reason) => {
        leave();
        reject(reason);
      },
    };
    const onAbort = () => waiter.refuse(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiters.add(waiter);
    this.#startWaiters();
    return promise;
  }

  /** Starts every request whose turn has come, and sets the timer for the next. */
  #startWaiters(): void {
    for (const waiter of this.#waiters) {
      // Read once: if the turn came between two readings of the clock, nothing would ever start the request.
      const startsInMs = this.#startsInMs();
      if (startsInMs > 0) {
        if (startsInMs < Infinity) this.#setTimer(startsInMs + this.#earlyMs);
        return;
      }
      this.#takeTurn(performance.now() - CATCH_UP_MS);
      waiter.start();
    }
  }

  /** A timer that is set already stays: should it ring too early, it is set anew. */
  #setTimer(ms: number | null): void {
    if (ms === null) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#startWaiters();
    }, Math.ceil(ms));
  }

  /** How long before its time a start may go. */
  get #earlyMs(): number {
    return Math.max(0, TICK_MS - this.#spacingMs);
  }

  /** Milliseconds until the next start; Infinity while another request has to end first. */
  #startsInMs(): number {
    if (this.#underWay >= this.concurrency) return Infinity;
    return Math.max(this.#nextStartMs - this.#earlyMs, this.#pausedUntilMs) - performance.now();
  }

  /** Counts a start; a schedule that lies before `earliestMs` goes on from there. */
  #takeTurn(earliestMs: number): void {
    this.#underWay += 1;
    this.#nextStartMs = Math.max(this.#nextStartMs, earliestMs) + this.#spacingMs;
  }
}
