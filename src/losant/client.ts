import ky from 'ky';
import type { LosantErrorKind } from '../errors.ts';
import type { Config, InstanceConfig } from '../settings/config.ts';
import {
  type Answer,
  type Asked,
  AttemptError,
  isWorthAnotherTry,
  losantError,
  requireOwnTime,
} from './attempt.ts';
import { type Gate, LONGEST_WAIT_MS } from './gate.ts';
import {
  AnswerResponse,
  createTransport,
  headersFor,
  QUERY_FOR_ALL,
  type RequestOptions,
  type Transport,
} from './transport.ts';

export interface LosantClientOptions extends RequestOptions {
  readonly gate: Gate;
  /** Attempts per request; waits that the API asked for are not counted. */
  readonly attempts: number;
  /** The bound on one body; a year of all counters is below 1 MiB. */
  readonly maxBodyBytes?: number | undefined;
  readonly random: () => number;
  /** Wait in ms before a second attempt, doubled for each further one. */
  readonly backoffMs?: number | undefined;
  /** Whether answers of another time are taken too, by a caller that judges the clocks itself. */
  readonly takesAnyTime?: boolean | undefined;
  /** Called once for each attempt sent, as soon as it is known whether another follows. */
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
  readonly outcome: 'ok' | 'aborted' | LosantErrorKind;
  /** The reason why another attempt follows; null if none does. */
  readonly retryReason: LosantErrorKind | null;
}

export interface GetRequest extends Asked {
  /** The path below the API URL, without a leading slash; its segments are already encoded. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** The time before which no cache may have made the answer; no bound if unset. */
  readonly notBeforeMs?: number | undefined;
  /** The number of attempts instead of the client's, for a question that can wait for a later run. */
  readonly attempts?: number | undefined;
  readonly signal: AbortSignal;
}

/** LosantClient reads from one Losant API with one token. It can send nothing but GET. */
export interface LosantClient {
  /**
   * `get` returns the JSON answer, with retries where they may help. Throws a `LosantError` that never
   * contains the token, or the signal's reason once the signal has aborted.
   */
  get(request: GetRequest): Promise<Answer>;
}

interface ClientEnvironment {
  readonly config: Pick<Config, 'request'>;
  readonly random: () => number;
  readonly version: string;
}

type InstanceOptions = Pick<LosantClientOptions, 'gate' | 'now'> & Partial<LosantClientOptions>;

/** `openClient` returns the client of a configured instance. Its token is read anew unless it is given. */
export function openClient(
  { config, random, version }: ClientEnvironment,
  { apiUrl, domain, readToken }: InstanceConfig,
  { token = readToken(), ...options }: InstanceOptions,
): LosantClient {
  const userAgent = `losant-usage-export/${version}`;
  return createLosantClient({ apiUrl, domain, token, userAgent, random, ...config.request, ...options });
}

const MAX_BODY_BYTES = 32 * 1024 * 1024;

export function createLosantClient(options: LosantClientOptions): LosantClient {
  const { apiUrl, token, gate, attempts, random, backoffMs, maxBodyBytes = MAX_BODY_BYTES } = options;
  const transport = createTransport({ ...options, maxBodyBytes, connections: gate.concurrency });
  const api = ky.create({
    prefix: apiUrl,
    headers: headersFor(options),
    // Each attempt has its own timeout, which starts when the gate lets the attempt go.
    timeout: false,
    retry: {
      limit: attempts - 1,
      methods: ['get'],
      shouldRetry: ({ error }) => isWorthAnotherTry(error),
      delay: (attempt) => backoffOf(attempt, backoffMs),
      jitter: (ms) => halfAtRandom(ms, random),
    },
  });
  const times: AnswerTimes = { isConfirmed: false, off: 0 };
  return {
    async get(request) {
      const { signal } = request;
      // The query is part of the path because ky would build a second Request from `searchParams`.
      const query = new URLSearchParams({ ...request.query, ...QUERY_FOR_ALL }).toString();
      const politely = new PoliteFetch(request, options, { transport, times });
      try {
        const response = await api.get(`${request.path}?${query}`, {
          signal,
          fetch: async (input) => new AnswerResponse(await politely.fetch(input as Request)),
          ...(request.attempts === undefined ? {} : { retry: { limit: request.attempts - 1 } }),
        });
        return (response as AnswerResponse).answer;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof AttemptError)) throw error;
        throw losantError(request, error, { token, attempts: politely.sent });
      } finally {
        politely.report({ isRepeated: false });
      }
    },
  };
}

const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 20_000;

/** `backoffOf` returns the wait after a failed attempt, in ms. */
export function backoffOf(attempt: number, baseMs = BACKOFF_BASE_MS): number {
  return Math.min(BACKOFF_CAP_MS, baseMs * 2 ** (attempt - 1));
}

/** `halfAtRandom` keeps half of a wait, for the API to rest, and spreads the other half at random. */
export function halfAtRandom(ms: number, random: () => number): number {
  return ms * (0.5 + random() / 2);
}

/** The shortest pause: an API that keeps answering 429 with `Retry-After: 0` must reach the bound. */
const PAUSE_BASE_MS = 1_000;
const PAUSE_CAP_MS = 60_000;

/**
 * `pauseOf` returns the pause in ms, for all requests of a token, that follows a 429. `waits` is the number
 * of earlier waits of the same request.
 */
export function pauseOf(retryAfterMs: number | null, waits: number): number {
  if (retryAfterMs !== null) return Math.max(PAUSE_BASE_MS, retryAfterMs);
  return Math.min(PAUSE_CAP_MS, PAUSE_BASE_MS * 2 ** waits);
}

/** Whether any answer was one of now, and the number of those that were not. */
interface AnswerTimes {
  isConfirmed: boolean;
  off: number;
}

/**
 * The answers of another time, before any of now, after which asking again is in vain: not a cache but
 * a clock is wrong.
 */
const OFF_MAX = 2;

/**
 * PoliteFetch is the fetch of one request, whose attempts go through the gate. When the API asks to
 * wait, all requests of the token pause and this one is sent again, until its waits add up to more
 * than {@link LONGEST_WAIT_MS}. To ky, all of that is one attempt.
 */
class PoliteFetch {
  /** The number of requests sent so far. */
  sent = 0;
  readonly #request: GetRequest;
  readonly #options: LosantClientOptions;
  readonly #transport: Transport;
  readonly #times: AnswerTimes;
  #waits = 0;
  #waitedMs = 0;
  /** The last attempt, kept until it is known whether another follows. */
  #unreported: Omit<AttemptReport, 'retryReason'> | null = null;

  constructor(
    request: GetRequest,
    options: LosantClientOptions,
    { transport, times }: { readonly transport: Transport; readonly times: AnswerTimes },
  ) {
    this.#request = request;
    this.#options = options;
    this.#transport = transport;
    this.#times = times;
  }

  async fetch(input: Request): Promise<Answer> {
    if (input.method !== 'GET') throw new Error('only a GET is ever sent');
    const { gate } = this.#options;
    for (;;) {
      try {
        return await gate.run((waitedMs) => this.#attempt(input, waitedMs), this.#request.signal);
      } catch (error) {
        const mayWait = error instanceof AttemptError && error.kind === 'rate_limited' && !error.isFinal;
        if (!mayWait) throw error;
        const pauseMs = pauseOf(error.retryAfterMs, this.#waits);
        gate.pauseFor(pauseMs);
        if (this.#waitedMs + pauseMs > LONGEST_WAIT_MS) throw error;
        this.#waits += 1;
        this.#waitedMs += pauseMs;
        this.report({ isRepeated: true });
      }
    }
  }

  /** `report` reports the last attempt unless it has been reported. */
  report({ isRepeated }: { readonly isRepeated: boolean }): void {
    const last = this.#unreported;
    if (last === null) return;
    this.#unreported = null;
    const { outcome } = last;
    const retryReason = isRepeated && outcome !== 'ok' && outcome !== 'aborted' ? outcome : null;
    this.#options.onAttempt?.({ ...last, retryReason });
  }

  async #attempt(request: Request, gateWaitMs: number): Promise<Answer> {
    this.report({ isRepeated: true });
    const { now, takesAnyTime = false } = this.#options;
    const { action, signal } = this.#request;
    const startedAtMs = now();
    this.sent += 1;
    const settle = (status: number | null, outcome: AttemptReport['outcome']) => {
      this.#unreported = { action, status, durationMs: now() - startedAtMs, gateWaitMs, outcome };
    };
    try {
      const answer = await this.#transport(request, signal);
      if (!takesAnyTime) this.#judgeTime(answer);
      settle(200, 'ok');
      return answer;
    } catch (error) {
      if (error instanceof AttemptError) settle(error.status, error.kind);
      else settle(null, 'aborted');
      throw error;
    }
  }

  #judgeTime(answer: Answer): void {
    const times = this.#times;
    times.off += 1;
    const isFinal = !times.isConfirmed && times.off >= OFF_MAX;
    requireOwnTime(answer, this.#request.notBeforeMs ?? Number.NEGATIVE_INFINITY, { isFinal });
    times.off -= 1;
    times.isConfirmed = true;
  }
}
