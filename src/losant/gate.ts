import { type ApiRequest, AttemptError } from './attempt.ts';

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
  /** The most requests at the same time. */
  readonly concurrency: number;
  /** Requests started per second, evenly spaced; may be a fraction. */
  readonly requestsPerSecond: number;
}

interface Waiter {
  readonly request: ApiRequest;
  start(): void;
  reject(reason: unknown): void;
}

/** Creates the error of a request that was not sent because of a pause longer than {@link LONGEST_WAIT_MS}. */
function createPauseError(request: ApiRequest, pauseMs: number): AttemptError {
  const problem = `all requests with this token are paused for another ${Math.ceil(pauseMs / 1000)} s`;
  return new AttemptError(request, { kind: 'rate_limited', problem });
}

/**
 * All requests with a token go through its gate. It limits how many run at the same time, spaces their starts evenly,
 * and holds them while the API asks for a pause. All times are on the monotonic clock.
 */
export class Gate {
  readonly concurrency: number;
  /** In order of arrival. */
  readonly #waiters = new Set<Waiter>();
  #running = 0;
  /** Between two starts. */
  readonly #spacingMs: number;
  #nextStartMs = 0;
  #pausedUntilMs = 0;
  /** Set only while nothing but time prevents the next start. */
  #timer: NodeJS.Timeout | undefined;

  constructor({ concurrency, requestsPerSecond }: GateOptions) {
    this.concurrency = concurrency;
    this.#spacingMs = 1000 / requestsPerSecond;
  }

  /** 0 without a pause. */
  get pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntilMs - performance.now());
  }

  /**
   * Runs `task` when its turn comes, with the time that it waited. Rejects while it waits: with the signal's reason as
   * soon as the signal aborts, with an {@link AttemptError} if the pause is too long. A running task must watch the
   * signal itself.
   */
  async run<T>(task: (waitedMs: number) => Promise<T>, request: ApiRequest): Promise<T> {
    request.signal.throwIfAborted();
    const { pauseLeftMs } = this;
    if (pauseLeftMs > LONGEST_WAIT_MS) throw createPauseError(request, pauseLeftMs);
    const arrivedAtMs = performance.now();
    await this.#waitForTurn(request);
    try {
      return await task(performance.now() - arrivedAtMs);
    } finally {
      this.#running -= 1;
      this.#startWaiters();
    }
  }

  /** Starts no request for `ms`. A pause that ends later stays in force; running requests continue. */
  pauseFor(ms: number): void {
    const pauseMs = Math.min(ms, LONGEST_PAUSE_MS);
    if (pauseMs <= this.pauseLeftMs) return;
    this.#pausedUntilMs = performance.now() + pauseMs;
    this.#nextStartMs = Math.max(this.#nextStartMs, this.#pausedUntilMs);
    if (pauseMs <= LONGEST_WAIT_MS) return;
    for (const waiter of this.#waiters) waiter.reject(createPauseError(waiter.request, pauseMs));
  }

  async #waitForTurn(request: ApiRequest): Promise<void> {
    const { signal } = request;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = {
      request,
      start: resolve,
      reject: (reason) => {
        this.#waiters.delete(waiter);
        reject(reason);
      },
    };
    const abort = () => waiter.reject(signal.reason);
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

  /** Starts the requests whose turn has come, and sets the timer for the next. */
  #startWaiters(): void {
    for (const waiter of this.#waiters) {
      if (this.#running >= this.concurrency) return;
      // Read once: if the turn came between two reads of the clock, nothing would ever start the request.
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
      this.#running += 1;
      this.#nextStartMs = Math.max(this.#nextStartMs, nowMs - CATCH_UP_MS) + this.#spacingMs;
      this.#waiters.delete(waiter);
      waiter.start();
    }
  }
}
