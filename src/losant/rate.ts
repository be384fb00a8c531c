import { showDuration } from '../terminal/words.ts';
import { type ApiRequest, AttemptError, onAbort } from './attempt.ts';

/** A request that would wait longer gives up: the next wake-up continues, instead of a run that sleeps. */
export const LONGEST_WAIT_MS = 15 * 60_000;

/** A Retry-After beyond this is capped, so that one absurd value cannot stop a worker for days. */
const LONGEST_PAUSE_MS = 60 * 60_000;

/** Without catching up, late timers would lower the rate; without a bound, a burst would follow a stall. */
const CATCH_UP_MS = 100;

interface Waiter {
  readonly gate: Gate;
  readonly request: ApiRequest;
  readonly start: () => void;
  readonly reject: (reason: unknown) => void;
}

/** Creates the error of a request that was not sent because of a pause longer than {@link LONGEST_WAIT_MS}. */
function createPauseError(request: ApiRequest, pauseMs: number): AttemptError {
  const problem = `Losant asked to send nothing with this token for another ${showDuration(pauseMs)}`;
  return new AttemptError(request, { kind: 'rate_limited', problem });
}

/**
 * The rate of a token, shared by the gates of its instances. It spaces the starts of requests evenly, in order of
 * arrival, and holds them while the API asks for a pause. A full gate delays no request of another gate. All times are
 * on the monotonic clock.
 */
export class Rate {
  /** In order of arrival. */
  readonly #waiters = new Set<Waiter>();
  /** Between two starts. */
  #spacingMs: number;
  #nextStartMs = 0;
  #pausedUntilMs = 0;
  /** Set only while nothing but time prevents the next start. */
  #timer: NodeJS.Timeout | undefined;

  /** Takes the number of requests started per second, which may be a fraction. */
  constructor(requestsPerSecond: number) {
    this.#spacingMs = 1000 / requestsPerSecond;
  }

  get pauseLeftMs(): number {
    return Math.max(0, this.#pausedUntilMs - performance.now());
  }

  /** Lowers the rate, never raises it: the instances of a token may have different settings. */
  limitTo(requestsPerSecond: number): void {
    this.#spacingMs = Math.max(this.#spacingMs, 1000 / requestsPerSecond);
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

  /**
   * Waits until a request runs in its gate. Rejects with the signal's reason when it aborts, with an
   * {@link AttemptError} if the pause is too long.
   */
  async waitForTurn(gate: Gate, request: ApiRequest): Promise<void> {
    const { signal } = request;
    signal.throwIfAborted();
    const { pauseLeftMs } = this;
    if (pauseLeftMs > LONGEST_WAIT_MS) throw createPauseError(request, pauseLeftMs);
    const { promise, resolve: start, reject: fail } = Promise.withResolvers<void>();
    const reject = (reason: unknown) => {
      this.#waiters.delete(waiter);
      fail(reason);
    };
    const waiter: Waiter = { gate, request, start, reject };
    // With nobody waiting, a start time in the past means there was no demand; nothing to catch up.
    if (this.#waiters.size === 0) this.#nextStartMs = Math.max(this.#nextStartMs, performance.now());
    this.#waiters.add(waiter);
    const unsubscribe = onAbort(signal, () => reject(signal.reason));
    this.startWaiters();
    try {
      await promise;
    } finally {
      unsubscribe();
      if (this.#waiters.size === 0) {
        clearTimeout(this.#timer);
        this.#timer = undefined;
      }
    }
  }

  /** Starts the requests whose turn has come, and sets the timer for the next. */
  startWaiters(): void {
    for (const waiter of this.#waiters) {
      const { gate } = waiter;
      if (gate.running >= gate.concurrency) continue;
      // Read once: if the turn came between two reads of the clock, nothing would ever start the request.
      const nowMs = performance.now();
      if (this.#nextStartMs > nowMs) {
        // A timer that fires too early is set again.
        const startNext = () => {
          this.#timer = undefined;
          this.startWaiters();
        };
        this.#timer ??= setTimeout(startNext, Math.ceil(this.#nextStartMs - nowMs));
        return;
      }
      this.#nextStartMs = Math.max(this.#nextStartMs, nowMs - CATCH_UP_MS) + this.#spacingMs;
      this.#waiters.delete(waiter);
      gate.running += 1;
      waiter.start();
    }
  }
}

/** All requests of an instance go through its gate. It limits how many run at once, at the rate of the token. */
export class Gate {
  readonly concurrency: number;
  /** The rate of the token, which other gates may share. */
  readonly rate: Rate;
  /** The rate adds the requests that it starts. */
  running = 0;

  constructor({ concurrency, rate }: Pick<Gate, 'concurrency' | 'rate'>) {
    this.concurrency = concurrency;
    this.rate = rate;
  }

  /**
   * Runs `task` when its turn comes, with the time that it waited. The next request starts when the task calls
   * `release` or ends. Rejects while it waits as {@link Rate.waitForTurn} does. A running task must watch the signal.
   */
  async run<T>(task: (waitedMs: number, release: () => void) => Promise<T>, request: ApiRequest): Promise<T> {
    const arrivedAtMs = performance.now();
    await this.rate.waitForTurn(this, request);
    let isRunning = true;
    const release = () => {
      if (!isRunning) return;
      isRunning = false;
      this.running -= 1;
      this.rate.startWaiters();
    };
    try {
      return await task(performance.now() - arrivedAtMs, release);
    } finally {
      release();
    }
  }
}
