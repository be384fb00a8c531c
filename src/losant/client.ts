import { setTimeout as sleep } from 'node:timers/promises';
import ky from 'ky';
import { FAILURES, type LosantErrorKind } from '../errors.ts';
import { type Answer, findOtherTime } from './answer.ts';
import { AttemptError, type Question } from './attempt.ts';
import { type Gate, LONGEST_WAIT_MS } from './gate.ts';
import { createTransport, type Transport, type TransportOptions } from './transport.ts';

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

/** What is asked by GET. */
export interface GetRequest extends Question {
  /** The path below the API URL, without a leading slash; its segments are already encoded. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** The time before which no cache may have made the answer; no bound if unset. */
  readonly notBeforeMs?: number | undefined;
}

/** Reads from one Losant API with one token. It can send nothing but GET. */
export type LosantClient = ReturnType<typeof createLosantClient>;

/** The query sent with each request to keep bodies small: this program follows no hypermedia. */
const QUERY_FOR_ALL = { _actions: 'false', _links: 'false', _embedded: 'false' };

/** All that ky needs to see of an answer, whose body was read already. */
const ANSWERED = new Response(null, { status: 204 });

export function createLosantClient(options: LosantClientOptions) {
  const send = createTransport({ ...options, connections: options.gate.concurrency });
  // ky gets neither signal nor headers, which it would copy for each attempt: both are below the fetch, as are the
  // timeout, which starts when the gate lets an attempt go, and the wait before another one, which can be aborted.
  const api = ky.create({
    prefix: options.apiUrl,
    timeout: false,
    retry: {
      limit: Number.MAX_SAFE_INTEGER,
      shouldRetry: ({ error }) => error instanceof AttemptError && error.isRepeated,
      delay: () => 0,
    },
  });
  return {
    /**
     * Returns the JSON answer, with retries where they may help. Throws a `LosantError` that never contains the token,
     * or the signal's reason once the signal has aborted.
     */
    async get(request: GetRequest): Promise<Answer> {
      const asking = new Asking(request, { ...options, send });
      const query = new URLSearchParams({ ...QUERY_FOR_ALL, ...request.query });
      try {
        await api.get(`${request.path}?${query.toString()}`, {
          fetch: (input) => asking.fetch(input instanceof Request ? input.url : String(input)),
        });
      } catch (error) {
        request.signal.throwIfAborted();
        if (error instanceof AttemptError && asking.sent > 1) {
          error.message += ` (after ${asking.sent} attempts)`;
        }
        throw error;
      }
      return asking.answer as Answer;
    },
  };
}

type ClientParts = LosantClientOptions & { readonly send: Transport };

/** The fetch of one request, each attempt of which goes through the gate. */
class Asking {
  answer: Answer | null = null;
  /** The number of requests sent so far. */
  sent = 0;
  readonly #request: GetRequest;
  readonly #client: ClientParts;
  #waits = 0;
  #waitedMs = 0;

  constructor(request: GetRequest, client: ClientParts) {
    this.#request = request;
    this.#client = client;
  }

  async fetch(url: string): Promise<Response> {
    const { gate, random, backoffMs } = this.#client;
    const { signal } = this.#request;
    const failed = this.sent - this.#waits;
    if (failed > 0) await sleep(backoffOf(failed, random(), backoffMs), undefined, { signal });
    this.answer = await gate.run((waitedMs) => this.#send(url, waitedMs), this.#request);
    return ANSWERED;
  }

  async #send(url: string, gateWaitMs: number): Promise<Answer> {
    const { now, onAttempt, send } = this.#client;
    const { action } = this.#request;
    const startedAtMs = now();
    const report = (status: number | null, retryReason: LosantErrorKind | null) =>
      onAttempt?.({ action, status, durationMs: now() - startedAtMs, gateWaitMs, retryReason });
    this.sent += 1;
    try {
      const answer = await send('GET', url, this.#request);
      const failure = findOtherTime(answer, this.#request);
      if (failure !== null) throw new AttemptError(this.#request, failure);
      report(200, null);
      return answer;
    } catch (error) {
      if (!(error instanceof AttemptError)) {
        report(null, null);
        throw error;
      }
      error.isRepeated = this.#mayRepeat(error);
      report(error.status, error.isRepeated ? error.kind : null);
      throw error;
    }
  }

  /**
   * Returns whether an attempt is left. A wait that the API asks for spends none: all requests of the token pause and
   * this one is sent again, until its waits add up to more than {@link LONGEST_WAIT_MS}.
   */
  #mayRepeat({ kind, retryAfterMs }: AttemptError): boolean {
    const { attempts, gate } = this.#client;
    if (kind !== 'rate_limited') return FAILURES[kind].isRepeated && this.sent - this.#waits < attempts;
    const pauseMs = pauseOf(retryAfterMs, this.#waits);
    gate.pauseFor(pauseMs);
    this.#waits += 1;
    this.#waitedMs += pauseMs;
    return this.#waitedMs <= LONGEST_WAIT_MS;
  }
}

/** Returns the wait after a failed attempt, in ms: half of it for the API to rest, the other half spread at random. */
export function backoffOf(attempt: number, random: number, baseMs = 500): number {
  return Math.min(20_000, baseMs * 2 ** (attempt - 1)) * (0.5 + random / 2);
}

/** The shortest pause: an API that keeps answering 429 with `Retry-After: 0` must reach the bound. */
const PAUSE_BASE_MS = 1_000;

/** Returns the pause in ms of all requests of a token after a 429; `waits` counts earlier ones of the same request. */
export function pauseOf(retryAfterMs: number | null, waits: number): number {
  if (retryAfterMs !== null) return Math.max(PAUSE_BASE_MS, retryAfterMs);
  return Math.min(60_000, PAUSE_BASE_MS * 2 ** waits);
}
