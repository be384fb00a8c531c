import { setTimeout as sleep } from 'node:timers/promises';
import ky from 'ky';
import type { LosantErrorKind } from '../errors.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';
import type { Answer } from './answer.ts';
import { AttemptError, type Question } from './attempt.ts';
import { type Gate, LONGEST_WAIT_MS } from './gate.ts';
import { createTransport, pathOf, type Transport, type TransportOptions } from './transport.ts';

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

/** All that ky needs to see of an answer, whose body was read already. */
const ANSWERED = new Response(null, { status: 204 });

export function createLosantClient(options: LosantClientOptions): LosantClient {
  const { apiUrl, gate, attempts } = options;
  const transport = createTransport({ ...options, connections: gate.concurrency });
  // ky gets neither signal nor headers, which it would copy for each attempt: both are below the fetch.
  const api = ky.create({
    prefix: apiUrl,
    // Each attempt has its own timeout, which starts when the gate lets the attempt go.
    timeout: false,
    retry: {
      limit: attempts - 1,
      methods: ['get'],
      shouldRetry: ({ error }) => error instanceof AttemptError && error.isWorthAnotherTry,
      // The fetch waits itself, as only it can be aborted.
      delay: () => 0,
    },
  });
  return {
    async get(request) {
      const asking = new Asking(request, { ...options, transport });
      try {
        await api.get(pathOf(request), {
          fetch: (input) => asking.fetch(input instanceof Request ? input.url : String(input)),
          ...(request.attempts === undefined ? {} : { retry: { limit: request.attempts - 1 } }),
        });
      } catch (error) {
        request.signal.throwIfAborted();
        if (error instanceof AttemptError) error.countAttempts(asking.sent);
        throw error;
      }
      if (asking.answer === null) throw new Error('ky took an answer that nobody sent');
      return asking.answer;
    },
  };
}

type ClientParts = LosantClientOptions & { readonly transport: Transport };

/**
 * The fetch of one request, whose attempts go through the gate. Where the API asks to wait, all requests of the token
 * pause and this one is sent again, until the waits add up to more than {@link LONGEST_WAIT_MS}: to ky, all of that is
 * one attempt.
 */
class Asking {
  answer: Answer | null = null;
  /** The number of requests sent so far. */
  sent = 0;
  readonly #request: GetRequest;
  readonly #client: ClientParts;
  #attempts = 0;
  #waits = 0;
  #waitedMs = 0;
  #isAskedToWait = false;

  constructor(request: GetRequest, client: ClientParts) {
    this.#request = request;
    this.#client = client;
  }

  async fetch(url: string): Promise<Response> {
    const { gate, random, backoffMs } = this.#client;
    const { signal } = this.#request;
    const backoff = this.#attempts === 0 ? 0 : backoffOf(this.#attempts, random(), backoffMs);
    if (backoff > 0) await sleep(backoff, undefined, { signal });
    this.#attempts += 1;
    for (;;) {
      this.#isAskedToWait = false;
      try {
        this.answer = await gate.run((waitedMs) => this.#send(url, waitedMs), this.#request);
        return ANSWERED;
      } catch (error) {
        if (!this.#isAskedToWait) throw error;
      }
    }
  }

  async #send(url: string, gateWaitMs: number): Promise<Answer> {
    const { now, onAttempt, transport } = this.#client;
    const startedAtMs = now();
    const report = (status: number | null, retryReason: LosantErrorKind | null) => {
      const { action } = this.#request;
      onAttempt?.({ action, status, durationMs: now() - startedAtMs, gateWaitMs, retryReason });
    };
    this.sent += 1;
    try {
      const answer = await transport('GET', url, this.#request);
      report(200, null);
      return answer;
    } catch (error) {
      const failure = error instanceof AttemptError ? error : null;
      report(failure?.status ?? null, failure && this.#isSentAgain(failure) ? failure.kind : null);
      throw error;
    }
  }

  /** Returns whether the request is sent again: by ky, or after a pause of all requests that the API asks for. */
  #isSentAgain(error: AttemptError): boolean {
    const { gate, attempts } = this.#client;
    if (error.kind !== 'rate_limited') {
      return error.isWorthAnotherTry && this.#attempts < (this.#request.attempts ?? attempts);
    }
    const pauseMs = pauseOf(error.retryAfterMs, this.#waits);
    gate.pauseFor(pauseMs);
    this.#waits += 1;
    this.#waitedMs += pauseMs;
    this.#isAskedToWait = this.#waitedMs <= LONGEST_WAIT_MS;
    return this.#isAskedToWait;
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
