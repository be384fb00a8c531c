import { setTimeout as sleep } from 'node:timers/promises';
import ky, { type RetryOptions } from 'ky';
import { FAILURES, type LosantErrorKind } from '../errors.ts';
import { type ApiRequest, type ApiResponse, AttemptError, findClockProblem } from './attempt.ts';
import { type Gate, LONGEST_WAIT_MS } from './rate.ts';
import { createTransport, type TransportOptions } from './transport.ts';

export interface LosantClientOptions extends Omit<TransportOptions, 'connections' | 'onClock'> {
  readonly gate: Gate;
  /** Attempts per request, not counting those that ended in a wait that the API asked for. */
  readonly attempts: number;
  readonly random: () => number;
  /** The wait in ms before a second attempt, doubled for each further one. */
  readonly backoffMs?: number | undefined;
  /** Called at the end of each attempt that was sent. */
  readonly onAttempt?: ((report: AttemptReport) => void) | undefined;
}

export interface AttemptReport {
  readonly action: string;
  /** The HTTP status; null without a response. */
  readonly status: number | null;
  /** From sending to the end of the body. */
  readonly durationMs: number;
  /** The wait for a free slot, the rate and pauses. */
  readonly gateWaitMs: number;
  /** Why another attempt follows; null if none does. */
  readonly retryReason: LosantErrorKind | null;
}

export interface GetRequest extends ApiRequest {
  /** The path below the API URL, without a leading slash and with encoded segments. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** A response from a cache must not be older than this; no bound if unset. */
  readonly notBeforeMs?: number | undefined;
}

/** Reads from one Losant API with one token. It can only send GET. */
export type LosantClient = ReturnType<typeof createLosantClient>;

/** Keeps bodies small: this program follows no hypermedia. */
const COMMON_QUERY = { _actions: 'false', _links: 'false', _embedded: 'false' };

/** What ky returns: a response that has been received to its end, and parsed. */
class ReceivedResponse extends Response {
  readonly content: ApiResponse;

  constructor(content: ApiResponse) {
    super(null);
    this.content = content;
  }
}

/** ky neither waits nor times out: what the API asks for pauses all requests of the token, so attempts do both. */
const RETRY: RetryOptions = {
  limit: Number.MAX_SAFE_INTEGER,
  shouldRetry: ({ error }) => error instanceof AttemptError && error.isRetried,
  delay: () => 0,
};

/** The attempts of one request so far, and the waits that the API asked for. */
interface AttemptTally {
  attempts: number;
  waits: number;
  waitedMs: number;
}

export function createLosantClient(options: LosantClientOptions) {
  const { gate, random, backoffMs, now, onAttempt } = options;
  let aheadMs: number | null = null;
  const onClock = (ms: number) => {
    aheadMs = ms;
  };
  const send = createTransport({ ...options, connections: gate.concurrency, onClock });
  const api = ky.create({ prefix: options.apiUrl, timeout: false, retry: RETRY });
  const sendOnce = async (
    request: GetRequest,
    url: string,
    { tally, gateWaitMs, release }: { tally: AttemptTally; gateWaitMs: number; release: () => void },
  ): Promise<ReceivedResponse> => {
    const startedAtMs = now();
    let status: number | null = 200;
    let retryReason: LosantErrorKind | null = null;
    tally.attempts += 1;
    try {
      const response = await send('GET', url, request, { onReceived: release });
      const failure = findClockProblem(response, request);
      if (failure !== null) throw new AttemptError(request, failure);
      return new ReceivedResponse(response);
    } catch (error) {
      const failure = error instanceof AttemptError ? error : null;
      if (failure) failure.isRetried = planRetry(failure, tally, options);
      if (failure?.isRetried) retryReason = failure.kind;
      status = failure?.status ?? null;
      throw error;
    } finally {
      const durationMs = now() - startedAtMs;
      onAttempt?.({ action: request.action, status, durationMs, gateWaitMs, retryReason });
    }
  };
  return {
    /** Returns the API's clock minus `now` in ms, as of the newest response; null before the first. */
    getAheadMs: () => aheadMs,
    /** Retries where it may help. Throws a `LosantError` without the token, or the signal's reason. */
    async get(request: GetRequest): Promise<ApiResponse> {
      const { path, signal } = request;
      const query = new URLSearchParams({ ...COMMON_QUERY, ...request.query });
      const tally: AttemptTally = { attempts: 0, waits: 0, waitedMs: 0 };
      const fetch = async (input: Request | URL | string) => {
        const url = input instanceof Request ? input.url : String(input);
        const failures = tally.attempts - tally.waits;
        if (failures > 0) await sleep(computeBackoffMs(failures, random(), backoffMs), undefined, { signal });
        return gate.run((gateWaitMs, release) => sendOnce(request, url, { tally, gateWaitMs, release }), request);
      };
      try {
        const response = await api.get(`${path}?${query.toString()}`, { fetch });
        return (response as Response as ReceivedResponse).content;
      } catch (error) {
        signal.throwIfAborted();
        const wasRetried = error instanceof AttemptError && tally.attempts > 1;
        if (wasRetried) error.message += ` (after ${tally.attempts} attempts)`;
        throw error;
      }
    },
  };
}

/**
 * Returns whether another attempt follows. A wait that the API asks for does not count as an attempt: this pauses all
 * requests of the token, and the request is sent again until its waits exceed {@link LONGEST_WAIT_MS}.
 */
function planRetry(failure: AttemptError, tally: AttemptTally, { attempts, gate }: LosantClientOptions): boolean {
  const { kind, retryAfterMs } = failure;
  if (kind !== 'rate_limited') return FAILURES[kind].isRetried && tally.attempts - tally.waits < attempts;
  const pauseMs = computePauseMs(retryAfterMs, tally.waits);
  gate.rate.pauseFor(pauseMs);
  tally.waits += 1;
  tally.waitedMs += pauseMs;
  return tally.waitedMs <= LONGEST_WAIT_MS;
}

/** Returns the wait after a failed attempt. Half of it is fixed, the other half random, so that retries spread. */
export function computeBackoffMs(attempt: number, random: number, baseMs = 500): number {
  return Math.min(20_000, baseMs * 2 ** (attempt - 1)) * (0.5 + random / 2);
}

/** The shortest pause, so that an API which keeps responding 429 with `Retry-After: 0` reaches the bound. */
const PAUSE_BASE_MS = 1_000;

/** Returns the pause of all requests of a token; `waits` counts the earlier pauses of the same request. */
export function computePauseMs(retryAfterMs: number | null, waits: number): number {
  if (retryAfterMs !== null) return Math.max(PAUSE_BASE_MS, retryAfterMs);
  return Math.min(60_000, PAUSE_BASE_MS * 2 ** waits);
}
