import { type Abortable, AbortWatch } from './abort-watch.ts';

/**
 * The longest pause a request waits for. A longer one refuses the waiting
 * requests at once: a run that ends early is taken up by the next wake-up, a
 * run that sleeps for an hour blocks it.
 */
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

/** A request that waits for its turn. */
interface Waiter extends Abortable {
  start(): void;
}

/**
 * The one way out for all requests of a token: bounds how many are under way,
 * spaces their starts evenly, and stops them all when the API asks for it.
 */
export class Gate {
  /** Most requests under way at once. */
  readonly concurrency: number;
  readonly #now: () => number;
  readonly #aborts = new AbortWatch();
  /** In the order in which they came. */
  readonly #waiters = new Set<Waiter>();
  #underWay = 0;
  /** Between two starts. */
  #spacingMs: number;
  /** By the steady clock, like the start timer. */
  #nextStartMs = 0;
  #startTimer: NodeJS.Timeout | undefined;
  #pausedUntilMs = 0;
  #resumeTimer: NodeJS.Timeout | undefined;

  constructor({ concurrency, requestsPerSecond, now }: GateOptions) {
    this.concurrency = concurrency;
    this.#spacingMs = 1000 / requestsPerSecond;
    this.#now = now;
  }

  /** Requests that have not started yet. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** Milliseconds until the pause ends; 0 when there is none. */
  get pauseLeftMs(): number {
    return this.#resumeTimer === undefined ? 0 : Math.max(0, this.#pausedUntilMs - this.#now());
  }

  /**
   * Runs `task` when its turn comes, and tells it how long it waited. As long as
   * it waits, rejects with the signal's reason as soon as the signal aborts, and
   * with {@link PausedTooLongError}; afterwards the task itself has to watch the signal.
   */
  async run<T>(task: (waitedMs: number) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.pauseLeftMs > LONGEST_WAIT_MS) throw new PausedTooLongError(this.pauseLeftMs);
    let waitedMs = 0;
    if (this.#waiters.size === 0 && this.#startsIn() <= 0) {
      // Nothing was waiting: what the schedule is behind was not asked for, and is not made up for.
      this.#takeTurn(performance.now());
    } else {
      const since = this.#now();
      await this.#waitForTurn(signal);
      waitedMs = this.#now() - since;
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
    clearTimeout(this.#resumeTimer);
    this.#pausedUntilMs = this.#now() + pauseMs;
    this.#resumeTimer = setTimeout(() => {
      this.#resumeTimer = undefined;
      this.#nextStartMs = Math.max(this.#nextStartMs, performance.now());
      this.#startWaiters();
    }, pauseMs);
    this.#holdProcess();
    if (pauseMs <= LONGEST_WAIT_MS) return;
    for (const waiter of this.#waiters) waiter.abort(new PausedTooLongError(pauseMs));
  }

  /** Changes the rate, also for the requests that wait already: processes share a token's rate. */
  setRate(requestsPerSecond: number): void {
    const spacingMs = 1000 / requestsPerSecond;
    if (spacingMs === this.#spacingMs) return;
    this.#spacingMs = spacingMs;
    this.#nextStartMs = Math.min(this.#nextStartMs, performance.now() + spacingMs);
    clearTimeout(this.#startTimer);
    this.#startTimer = undefined;
    this.#startWaiters();
  }

  #waitForTurn(signal: AbortSignal): Promise<void> {
    const turn = Promise.withResolvers<void>();
    const leave = () => {
      this.#waiters.delete(waiter);
      this.#aborts.delete(signal, waiter);
      this.#holdProcess();
    };
    const waiter: Waiter = {
      start: () => {
        leave();
        turn.resolve();
      },
      abort: (reason) => {
        leave();
        turn.reject(reason);
      },
    };
    this.#waiters.add(waiter);
    this.#aborts.add(signal, waiter);
    this.#holdProcess();
    this.#startWaiters();
    return turn.promise;
  }

  /** Starts all whose turn has come; for the next one a timer is set. */
  #startWaiters(): void {
    const now = performance.now();
    // Of the one that is to wait, read once: if its turn came between two readings, nothing would ever start it.
    let startsInMs = 0;
    for (const waiter of this.#waiters) {
      startsInMs = this.#startsIn();
      if (startsInMs > 0) break;
      this.#takeTurn(now - CATCH_UP_MS);
      waiter.start();
    }
    const isRateBound = this.#waiters.size > 0 && startsInMs < Infinity;
    if (!isRateBound || this.#startTimer !== undefined) return;
    this.#startTimer = setTimeout(
      () => {
        this.#startTimer = undefined;
        this.#startWaiters();
      },
      Math.ceil(this.#nextStartMs - now),
    );
  }

  /** Milliseconds until the rate allows a start; Infinity while something else has to end first. */
  #startsIn(): number {
    if (this.#underWay >= this.concurrency || this.#resumeTimer !== undefined) return Infinity;
    const early = Math.max(0, TICK_MS - this.#spacingMs);
    return this.#nextStartMs - early - performance.now();
  }

  /** A schedule that lies before `earliestMs` goes on from there. */
  #takeTurn(earliestMs: number): void {
    this.#underWay += 1;
    this.#nextStartMs = Math.max(this.#nextStartMs, earliestMs) + this.#spacingMs;
  }

  /** Only a waiting request keeps the process alive, not a pause or the time of the next start. */
  #holdProcess(): void {
    if (this.#waiters.size > 0) this.#resumeTimer?.ref();
    else {
      this.#resumeTimer?.unref();
      clearTimeout(this.#startTimer);
      this.#startTimer = undefined;
    }
  }
}
