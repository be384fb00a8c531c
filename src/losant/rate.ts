import type { LosantError } from '../errors.ts';
import { showDuration } from '../terminal/words.ts';
import { createLosantError } from './failure.ts';
import type { ApiRequest } from './response.ts';

/** A request that would wait longer gives up: the next wake-up continues, instead of a run that sleeps. */
export const LONGEST_WAIT_MS = 15 * 60_000;

/** A Retry-After beyond this is capped, so that one absurd value cannot stop a worker for days. */
const LONGEST_PAUSE_MS = 60 * 60_000;

interface GateLimits {
  /** The most requests at the same time. */
  readonly concurrency: number;
  /** The most attempts that start per second; may be a fraction. */
  readonly requestsPerSecond: number;
}

/**
 * All requests with a token go through its gate. It limits how many run at once, spaces the starts of their attempts
 * evenly, and holds them while the API asks for a pause. All times are on the monotonic clock.
 */
export class Gate {
  readonly #concurrency: number;
  /** Between two starts. */
  readonly #spacingMs: number;
  /** The requests that wait for a place, in order of arrival. */
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #nextStartMs = 0;
  #pausedUntilMs = 0;

  constructor({ concurrency, requestsPerSecond }: GateLimits) {
    this.#concurrency = concurrency;
    this.#spacingMs = 1000 / requestsPerSecond;
  }

  get pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntilMs - performance.now());
  }

  /** Runs the task when there is a place. Running tasks must end when their signal aborts. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running < this.#concurrency) this.#running += 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      // A task that waits takes over the place.
      const startNext = this.#waiting.shift();
      if (startNext === undefined) this.#running -= 1;
      else startNext();
    }
  }

  /**
   * Waits until an attempt may start. Its time is reserved at once, so a timer that fires late delays no other attempt.
   * Throws a `LosantError` if Losant has asked for a pause that is too long.
   */
  async waitForTurn(request: ApiRequest): Promise<void> {
    const { signal } = request;
    for (;;) {
      signal.throwIfAborted();
      const { pauseLeftMs } = this;
      if (pauseLeftMs > LONGEST_WAIT_MS) throw createPauseError(request, pauseLeftMs);
      const nowMs = performance.now();
      const startMs = Math.max(nowMs, this.#nextStartMs);
      this.#nextStartMs = startMs + this.#spacingMs;
      if (startMs > nowMs) await sleep(Math.ceil(startMs - nowMs), signal);
      // A pause that began meanwhile makes the reserved time void.
      if (startMs >= this.#pausedUntilMs && !signal.aborted) return;
    }
  }

  /** Starts no attempt for `ms`. A pause that ends later stays in force; running attempts continue. */
  pauseFor(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, performance.now() + Math.min(ms, LONGEST_PAUSE_MS));
    this.#nextStartMs = Math.max(this.#nextStartMs, this.#pausedUntilMs);
  }
}

/** Creates the error of a request that was not sent. */
function createPauseError(request: ApiRequest, pauseMs: number): LosantError {
  const problem = `Losant asked to send nothing with this token for another ${showDuration(pauseMs)}`;
  return createLosantError(request, { kind: 'rate_limited', problem });
}

/** Waits until the time has passed or the signal aborts. */
async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const end = () => resolve();
  const timer = setTimeout(end, ms);
  signal.addEventListener('abort', end);
  await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', end);
}
