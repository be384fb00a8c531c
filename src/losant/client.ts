import { setTimeout as sleep } from 'node:timers/promises';
import type { LosantErrorKind } from '../errors.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';
import type { Answer } from './answer.ts';
import { AttemptError, type Question } from './attempt.ts';
import { type Gate, LONGEST_WAIT_MS } from './gate.ts';
import { createTransport, type TransportOptions } from './transport.ts';

export interface LosantClientOptions extends Omit<TransportOptions, 'connections'> {
  readonly gate: Gate;
  /** Attempts per request; waits that the API asked for are not counted. */
  readonly attempts: number;
  readonly random: () => number;
  /** Wait in ms before a second attempt, doubled for each further one. */
  readonly backoffMs?: number | undefined;
  /** Called once for each attempt sent, at its end. */
  readonly onAttempt?: ((report: AttemptReport) => void) | undefined;
}

export interface AttemptReport {
  readonly action: string;
  /** The HTTP status, or null if there was no answer. */
  readonly status: number | null;
  /** The time from sending to the end of the body. */
  readonly durationMs: number;
  /** The time spent waiting for a free slot, the rate and pauses. */
  readonly gateWaitMs: number;
  /** The reason why another attempt follows; null if none does. */
  readonly retryReason: LosantErrorKind | null;
}

export interface GetRequest extends Question {
  /** The number of attempts instead of the client's, for a question that can wait for a later run. */
  readonly attempts?: number | undefined;
}

/** Reads from one Losant API with one token. It can send nothing but GET. */
export interface LosantClient {
  /**
   * Returns the JSON answer, with retries where they may help. Throws a `LosantError` that never contains the
   * token, or the signal's reason once the signal has aborted.
   */
  get(request: GetRequest): Promise<Answer>;
}

/** Returns the client of a configured instance. Its token is read anew unless it is given. */
export function openClient(
  { config, random, version }: { config: Pick<Config, 'request'>; random: () => number; version: string },
  { apiUrl, domain, readToken }: InstanceConfig,
  {
    token = readToken(),
    ...options
  }: Pick<LosantClientOptions, 'gate' | 'now'> & Partial<LosantClientOptions>,
): LosantClient {
  const userAgent = `losant-usage-export/${version}`;
  return createLosantClient({ apiUrl, domain, token, userAgent, random, ...config.request, ...options });
}

export function createLosantClient(options: LosantClientOptions): LosantClient {
  const { gate, now, onAttempt } = options;
  const transport = createTransport({ ...options, connections: gate.concurrency });
  return {
    async get(request) {
      const { action, signal } = request;
      const course = new Course(request, options);
      let waitMs: number | null = null;
      const attempt = async (gateWaitMs: number) => {
        const startedAtMs = now();
        const report = (status: number | null, retryReason: LosantErrorKind | null) =>
          onAttempt?.({ action, status, durationMs: now() - startedAtMs, gateWaitMs, retryReason });
        try {
          const answer = await transport('GET', request);
          report(200, null);
          return answer;
        } catch (error) {
          const failure = error instanceof AttemptError ? error : null;
          waitMs = failure && course.waitAfter(failure);
          report(failure?.status ?? null, waitMs === null ? null : (failure?.kind ?? null));
          throw error;
        }
      };
      for (;;) {
        waitMs = null;
        try {
          return await gate.run(attempt, request);
        } catch (error) {
          if (waitMs === null) throw course.ended(error);
        }
        // An aborted wait throws an error of its own.
        if (waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    },
  };
}

/**
 * The attempts of one request. Where the API asks to wait, all requests of the token pause and no attempt is spent,
 * until the waits add up to more than {@link LONGEST_WAIT_MS}.
 */
class Course {
  readonly #attempts: number;
  readonly #options: LosantClientOptions;
  #failed = 0;
  #waits = 0;
  #waitedMs = 0;

  constructor({ attempts }: GetRequest, options: LosantClientOptions) {
    this.#attempts = attempts ?? options.attempts;
    this.#options = options;
  }

  /** Returns the time in ms after which the request is sent again; null if it is not. */
  waitAfter(error: AttemptError): number | null {
    const { gate, random, backoffMs } = this.#options;
    if (error.kind !== 'rate_limited') {
      this.#failed += 1;
      const isOver = !error.isWorthAnotherTry || this.#failed >= this.#attempts;
      return isOver ? null : backoffOf(this.#failed, random(), backoffMs);
    }
    const pauseMs = pauseOf(error.retryAfterMs, this.#waits);
    gate.pauseFor(pauseMs);
    this.#waits += 1;
    this.#waitedMs += pauseMs;
    return this.#waitedMs > LONGEST_WAIT_MS ? null : 0;
  }

  ended(error: unknown): unknown {
    if (error instanceof AttemptError) error.countAttempts(this.#failed + this.#waits);
    return error;
  }
}

const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 20_000;

/**
 * Returns the wait after a failed attempt, in ms: half of it for the API to rest, the other half spread at random.
 */
export function backoffOf(attempt: number, random: number, baseMs = BACKOFF_BASE_MS): number {
  return Math.min(BACKOFF_CAP_MS, baseMs * 2 ** (attempt - 1)) * (0.5 + random / 2);
}

/** The shortest pause: an API that keeps answering 429 with `Retry-After: 0` must reach the bound. */
const PAUSE_BASE_MS = 1_000;
const PAUSE_CAP_MS = 60_000;

/**
 * Returns the pause in ms, for all requests of a token, that follows a 429. `waits` is the number of earlier
 * waits of the same request.
 */
export function pauseOf(retryAfterMs: number | null, waits: number): number {
  if (retryAfterMs !== null) return Math.max(PAUSE_BASE_MS, retryAfterMs);
  return Math.min(PAUSE_CAP_MS, PAUSE_BASE_MS * 2 ** waits);
}
