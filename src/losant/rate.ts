import { AttemptError, type Question } from './attempt.ts';

/** The longest pause a request waits for: a run that ends goes on at the next wake-up, one that sleeps blocks it. */
export const LONGEST_WAIT_MS = 15 * 60_000;

/** The longest pause that is believed, so that one absurd Retry-After cannot stop a worker for days. */
const LONGEST_PAUSE_MS = 60 * 60_000;

/** The most that late starts catch up. Without catching up, each late timer would lower the rate. */
const CATCH_UP_MS = 100;

/** A request that waits for its turn. */
interface Waiter {
  readonly question: Question;
  /** Whether its gate lets one more request go. */
  readonly mayStart: () => boolean;
  start(): void;
  refuse(reason: unknown): void;
}

/** Returns the error for a pause longer than {@link LONGEST_WAIT_MS}; the request was not sent. */
function pausedTooLong(question: Question, pauseMs: number): AttemptError {
  const problem = `all requests of this token are paused for another ${Math.ceil(pauseMs / 1000)} s`;
  return new AttemptError(question, { kind: 'rate_limited', problem });
}

/**
 * The rate of a token, shared by the gates of all its instances: it spaces the starts of requests evenly, in the order
 * in which they come, and stops them all while the API asks for a pause. A request whose gate is full holds up none of
 * another gate. All times are on the monotonic clock.
 */
export class Rate {
  /** Waiting requests in order of arrival. */
  readonly #waiters = new Set<Waiter>();
  /** The time between two starts. */
  #spacingMs: number;
  #nextStartMs = 0;
  #pausedUntilMs = 0;
  /** The timer for the next start, set only while nothing but time prevents it. */
  #timer: NodeJS.Timeout | undefined;

  /** Takes the number of requests started per second; may be a fraction. */
  constructor(requestsPerSecond: number) {
    this.#spacingMs = 1000 / requestsPerSecond;
  }

  /** The milliseconds until the pause ends; 0 without a pause. */
  get pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntilMs - performance.now());
  }

  /** Lowers the rate to this one, unless it is lower already: the instances of a token may be set to several. */
  limitTo(requestsPerSecond: number): void {
    this.#spacingMs = Math.max(this.#spacingMs, 1000 / requestsPerSecond);
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

  /**
   * Calls `start` when the request's turn has come, and resolves. Rejects with the signal's reason as soon as the
   * signal aborts, or with an {@link AttemptError} if the pause is too long.
   */
  async waitForTurn(
    question: Question,
    { mayStart, start }: Pick<Waiter, 'mayStart' | 'start'>,
  ): Promise<void> {
    const { signal } = question;
    signal.throwIfAborted();
    const { pauseLeftMs } = this;
    if (pauseLeftMs > LONGEST_WAIT_MS) throw pausedTooLong(question, pauseLeftMs);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const refuse = (reason: unknown) => {
      this.#waiters.delete(waiter);
      reject(reason);
    };
    const begin = () => {
      start();
      resolve();
    };
    const waiter: Waiter = { question, mayStart, start: begin, refuse };
    const abort = () => refuse(signal.reason);
    // A schedule in the past, with nothing waiting, meant no demand and is not caught up.
    if (this.#waiters.size === 0) this.#nextStartMs = Math.max(this.#nextStartMs, performance.now());
    this.#waiters.add(waiter);
    signal.addEventListener('abort', abort);
    this.startWaiters();
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
  startWaiters(): void {
    for (const waiter of this.#waiters) {
      if (!waiter.mayStart()) continue;
      // The clock is read once: if the turn came between two readings, nothing would ever start the request.
      const nowMs = performance.now();
      if (this.#nextStartMs > nowMs) {
        // A timer that fires too early is set again.
        this.#timer ??= setTimeout(
          () => {
            this.#timer = undefined;
            this.startWaiters();
          },
          Math.ceil(this.#nextStartMs - nowMs),
        );
        return;
      }
      this.#nextStartMs = Math.max(this.#nextStartMs, nowMs - CATCH_UP_MS) + this.#spacingMs;
      this.#waiters.delete(waiter);
      waiter.start();
    }
  }
}
