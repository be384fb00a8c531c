import { setTimeout as sleep } from 'node:timers/promises';
import ky, { type RetryOptions } from 'ky';
import { FAILURES, type LosantErrorKind } from '../errors.ts';
import { AttemptError, type Question } from './attempt.ts';
import { type Gate, LONGEST_WAIT_MS } from './gate.ts';
import { type ApiResponse, findClockProblem } from './response.ts';
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

/** A question by GET. */
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

/** ky only needs a status: the body has been read already. */
const ANSWERED = new Response(null, { status: 204 });

/**
 * ky decides about retries, and nothing else: it would copy signal and headers for each attempt, and its timeout
 * would include the wait at the gate, so all of these are handled below the fetch.
 */
const RETRY: RetryOptions = {
  limit: Number.MAX_SAFE_INTEGER,
  shouldRetry: ({ error }) => error instanceof AttemptError && error.isRepeated,
  delay: () => 0,
};

/** The expense of a request so far: attempts sent, and waits that the API asked for. */
interface Spent {
  sent: number;
  waits: number;
  waitedMs: number;
}

export function createLosantClient(options: LosantClientOptions) {
  const { gate, random, backoffMs, now, onAttempt } = options;
  const send = createTransport({ ...options, connections: gate.concurrency });
  const api = ky.create({ prefix: options.apiUrl, timeout: false, retry: RETRY });
  /** Sends a request once, and reports it. */
  const attempt = async (request: GetRequest, url: string, spent: Spent, gateWaitMs: number) => {
    const startedAtMs = now();
    let status: number | null = 200;
    let retryReason: LosantErrorKind | null = null;
    spent.sent += 1;
    try {
      const answer = await send('GET', url, request);
      const failure = findClockProblem(answer, request);
      if (failure !== null) throw new AttemptError(request, failure);
      return answer;
    } catch (error) {
      const failure = error instanceof AttemptError ? error : null;
      if (failure) failure.isRepeated = mayRepeat(failure, spent, options);
      if (failure?.isRepeated) retryReason = failure.kind;
      status = failure?.status ?? null;
      throw error;
    } finally {
      const durationMs = now() - startedAtMs;
      onAttempt?.({ action: request.action, status, durationMs, gateWaitMs, retryReason });
    }
  };
  return {
    /**
     * Returns the JSON answer, with retries where they may help. Throws a `LosantError` that never contains the token,
     * or the signal's reason once the signal has aborted.
     */
    async get(request: GetRequest): Promise<ApiResponse> {
      const { path, signal } = request;
      const query = new URLSearchParams({ ...QUERY_FOR_ALL, ...request.query });
      const spent: Spent = { sent: 0, waits: 0, waitedMs: 0 };
      let answer = null as ApiResponse | null;
      const fetch = async (input: Request | URL | string) => {
        const url = input instanceof Request ? input.url : String(input);
        const failed = spent.sent - spent.waits;
        if (failed > 0) await sleep(backoffOf(failed, random(), backoffMs), undefined, { signal });
        await gate.run(async (waitedMs) => {
          answer = await attempt(request, url, spent, waitedMs);
        }, request);
        return ANSWERED;
      };
      try {
        await api.get(`${path}?${query.toString()}`, { fetch });
      } catch (error) {
        signal.throwIfAborted();
        const isRetried = error instanceof AttemptError && spent.sent > 1;
        if (isRetried) error.message += ` (after ${spent.sent} attempts)`;
        throw error;
      }
      return answer as ApiResponse;
    },
  };
}

/**
 * Returns whether an attempt is left. A wait that the API asks for spends none: all requests of the token pause and
 * this one is sent again, until its waits add up to more than {@link LONGEST_WAIT_MS}.
 */
function mayRepeat(failure: AttemptError, spent: Spent, { attempts, gate }: LosantClientOptions): boolean {
  const { kind, retryAfterMs } = failure;
  if (kind !== 'rate_limited') return FAILURES[kind].isRetried && spent.sent - spent.waits < attempts;
  const pauseMs = pauseOf(retryAfterMs, spent.waits);
  gate.pauseFor(pauseMs);
  spent.waits += 1;
  spent.waitedMs += pauseMs;
  return spent.waitedMs <= LONGEST_WAIT_MS;
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
