import { AttemptError, type Question } from './attempt.ts';

/**
 * A request gives up rather than wait longer: the run ends and continues at the next wake-up, instead of sleeping
 * under its lease.
 */
export const LONGEST_WAIT_MS = 15 * 60_000;

/** A Retry-After beyond this is capped, so that one absurd value cannot stop a worker for days. */
const LONGEST_PAUSE_MS = 60 * 60_000;

/**
 * How far late starts may catch up. Without it every late timer would lower the rate; without a bound a burst
 * would follow a stall.
 */
const CATCH_UP_MS = 100;

export interface GateOptions {
  /** The most requests under way at once. */
  readonly concurrency: number;
  /** The number of requests started per second, evenly spaced; may be a fraction. */
  readonly requestsPerSecond: number;
}

/** A request that waits for its turn. */
interface Waiter {
  readonly question: Question;
  start(): void;
  refuse(reason: unknown): void;
}

/** Returns the error for a pause longer than {@link LONGEST_WAIT_MS}; the request was not sent. */
function pausedTooLong(question: Question, pauseMs: number): AttemptError {
  const problem = `all requests with this token are paused for another ${Math.ceil(pauseMs / 1000)} s`;
  return new AttemptError(question, { kind: 'rate_limited', problem });
}

/**
 * The only way out for the requests of a token. It bounds how many are under way, spaces their starts evenly, and
 * stops them all while the API asks for a pause. All times are on the monotonic clock.
 */
export class Gate {
  readonly concurrency: number;
  /** Waiting requests in order of arrival. */
  readonly #waiters = new Set<Waiter>();
  #underWay = 0;
  /** The time between two starts. */
  readonly #spacingMs: number;
  #nextStartMs = 0;
  #pausedUntilMs = 0;
  /** The timer for the next start, set only while nothing but time prevents it. */
  #timer: NodeJS.Timeout | undefined;

  constructor({ concurrency, requestsPerSecond }: GateOptions) {
    this.concurrency = concurrency;
    this.#spacingMs = 1000 / requestsPerSecond;
  }

  /** The milliseconds until the pause ends; 0 without a pause. */
  get pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntilMs - performance.now());
  }

  /**
   * Runs `task` when its turn comes and passes it the time it waited. While it waits, the promise rejects with the
   * signal's reason as soon as the signal aborts, or with an {@link AttemptError} if the pause is too
   * long. Once started, the task has to watch the signal itself.
   */
  async run<T>(task: (waitedMs: number) => Promise<T>, question: Question): Promise<T> {
    question.signal.throwIfAborted();
    const { pauseLeftMs } = this;
    if (pauseLeftMs > LONGEST_WAIT_MS) throw pausedTooLong(question, pauseLeftMs);
    const sinceMs = performance.now();
    await this.#waitForTurn(question);
    try {
      return await task(performance.now() - sinceMs);
    } finally {
      this.#underWay -= 1;
      this.#startWaiters();
    }
  }

  /** Starts no request for `ms`. A later end stays in force; requests under way go on. */
  pauseFor(ms: number): void {
    const pauseMs = Math.min(ms, LONGEST_PAUSE_MS);
    if (pauseMs <= this.pauseLeftMs) return;
    this.#pausedUntilMs = performance.now() + pauseMs;
    this.#nextStartMs = Math.max(this.#nextStartMs, this.#pausedUntilMs);
    if (pauseMs <= LONGEST_WAIT_MS) return;
    for (const waiter of this.#waiters) waiter.refuse(pausedTooLong(waiter.question, pauseMs));
  }

  async #waitForTurn(question: Question): Promise<void> {
    const { signal } = question;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const refuse = (reason: unknown) => {
      this.#waiters.delete(waiter);
      reject(reason);
    };
    const waiter: Waiter = { question, start: resolve, refuse };
    const abort = () => refuse(signal.reason);
    // With nobody waiting, a start time in the past means there was no demand; nothing to catch up.
    if (this.#waiters.size === 0) this.#nextStartMs = Math.max(this.#nextStartMs, performance.now());
    this.#waiters.add(waiter);
    signal.addEventListener('abort', abort);
    this.#startWaiters();
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
      if (this.#waiters.size === 0) {
        clearTimeout(this.#timer);
        this.#timer = undefined;
      }
    }
  }

  /** Starts every request whose turn has come and sets the timer for the next. */
  #startWaiters(): void {
    for (const waiter of this.#waiters) {
      if (this.#underWay >= this.concurrency) return;
      // The clock is read once: if the turn came between two readings, nothing would ever start the request.
      const nowMs = performance.now();
      if (this.#nextStartMs > nowMs) {
        // A timer that fires too early is set again.
        this.#timer ??= setTimeout(
          () => {
            this.#timer = undefined;
            this.#startWaiters();
          },
          Math.ceil(this.#nextStartMs - nowMs),
        );
        return;
      }
      this.#underWay += 1;
      this.#nextStartMs = Math.max(this.#nextStartMs, nowMs - CATCH_UP_MS) + this.#spacingMs;
      this.#waiters.delete(waiter);
      waiter.start();
    }
  }
}
