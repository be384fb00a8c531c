import ky, { type KyInstance, type Options } from 'ky';
import { FAILURES, LosantError, type LosantErrorKind } from '../errors.ts';
import { type ApiOptions, createApi } from './api.ts';
import { readJson } from './body.ts';
import { createLosantError, type Failure, failureOfStatus, kindOfStatus, toLosantError } from './failure.ts';
import { type Gate, LONGEST_WAIT_MS } from './rate.ts';
import { type ApiRequest, type ApiResponse, findClockProblem, parseDateHeader, parseRetryAfter } from './response.ts';

export interface LosantClientOptions extends ApiOptions {
  readonly gate: Gate;
  /** Attempts per request. After a wait that Losant asked for they are counted from the beginning. */
  readonly attempts: number;
  /** The longest wait in ms before a second attempt, doubled for each further one. */
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
  /** The wait for a place, the rate and pauses. */
  readonly gateWaitMs: number;
  /** Why another attempt follows; null if none does. */
  readonly retryReason: LosantErrorKind | null;
}

export interface GetRequest extends ApiRequest {
  /** What follows the path of the instance, with encoded segments, such as `/orgs`. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>> | undefined;
  /** A response from a cache must not be older than this; no bound if unset. */
  readonly notBeforeMs?: number | undefined;
}

/** Reads from one instance with one token. It can only send GET. */
export type LosantClient = ReturnType<typeof createLosantClient>;

/** Keeps bodies small: this program follows no hypermedia. */
const COMMON_QUERY = { _actions: 'false', _links: 'false', _embedded: 'false' };

/** The shortest pause, so that an API which keeps responding 429 with `Retry-After: 0` reaches the bound. */
const PAUSE_MIN_MS = 1_000;
/** The pause after a 429 that does not say how long to wait. Chosen. */
const PAUSE_DEFAULT_MS = 10_000;
/** The longest wait before another attempt. */
const BACKOFF_MAX_MS = 20_000;

export function createLosantClient(options: LosantClientOptions) {
  const { instanceId, gate } = options;
  const api = createApi(options);
  let aheadMs: number | null = null;
  const setAheadMs = (ms: number) => {
    aheadMs = ms;
  };
  return {
    instanceId,
    /** Returns the API's clock minus `now` in ms, as of the newest response; null before the first. */
    getAheadMs: () => aheadMs,
    /** Retries where it may help. Throws a `LosantError` without the token, or the signal's reason. */
    async get(request: GetRequest): Promise<ApiResponse> {
      const exchange = new Exchange(request, { ...options, setAheadMs });
      return await gate.run(() => exchange.finish(api));
    },
  };
}

interface ExchangeOptions extends LosantClientOptions {
  readonly setAheadMs: (aheadMs: number) => void;
}

/** A request and its attempts. ky decides when to send the next one, by its limit and {@link FAILURES}. */
class Exchange {
  readonly #request: GetRequest;
  readonly #options: ExchangeOptions;
  #response: ApiResponse | null = null;
  #attempts = 0;
  /** The pauses that Losant asked for. */
  #pausedMs = 0;
  /** Since when the attempt waits for its turn. */
  #readyAtMs: number;
  #gateWaitMs = 0;
  #sentAtMs = 0;
  #isSent = false;

  constructor(request: GetRequest, options: ExchangeOptions) {
    this.#request = request;
    this.#options = options;
    this.#readyAtMs = options.now();
  }

  /** Sends the request again after each wait that Losant asks for, up to {@link LONGEST_WAIT_MS} in total. */
  async finish(api: KyInstance): Promise<ApiResponse> {
    const { path, query, signal } = this.#request;
    const url = `${encodeURIComponent(this.#options.instanceId)}${path}`;
    const options = { ...this.#createOptions(), searchParams: { ...COMMON_QUERY, ...query }, signal };
    while (this.#response === null) {
      try {
        signal.throwIfAborted();
        await api.get(url, options);
        this.#report(200, null);
      } catch (error) {
        this.#handleFailure(error);
      }
    }
    return this.#response;
  }

  #createOptions(): Options {
    const { attempts, backoffMs = 500 } = this.#options;
    const begin = () => this.#begin();
    return {
      retry: {
        limit: attempts - 1,
        delay: (attempt) => backoffMs * 2 ** (attempt - 1),
        backoffLimit: BACKOFF_MAX_MS,
        jitter: true,
        shouldRetry: ({ error }) => this.#isRetried(error),
      },
      hooks: {
        beforeRequest: [begin],
        beforeRetry: [begin],
        afterResponse: [({ response, retryCount }) => this.#receive(response, retryCount)],
      },
    };
  }

  async #begin(): Promise<void> {
    const { gate, now } = this.#options;
    await gate.waitForTurn(this.#request);
    this.#attempts += 1;
    this.#sentAtMs = now();
    this.#gateWaitMs = this.#sentAtMs - this.#readyAtMs;
    this.#isSent = true;
  }

  /** Reads the body of a good response. ky handles any other as an error, except for those that it takes for good. */
  async #receive(response: Response, retryCount: number): Promise<Response | ReturnType<typeof ky.retry> | undefined> {
    const { attempts, now, token, setAheadMs } = this.#options;
    const { status, headers, ok } = response;
    const dateMs = parseDateHeader(headers);
    if (dateMs !== null) setAheadMs(dateMs - now());
    this.#pause(response);
    if (!ok) return undefined;
    const content = status === 200 ? await this.#readContent(response, dateMs) : failureOfStatus(status);
    this.#request.signal.throwIfAborted();
    if ('kind' in content) {
      const cause = createLosantError(this.#request, content, token);
      if (content.isFinal) throw cause;
      if (retryCount < attempts - 1) this.#report(status, content.kind);
      return ky.retry({ cause });
    }
    this.#response = content;
    // ky discards the body that was read.
    return new Response();
  }

  async #readContent(response: Response, dateMs: number | null): Promise<Failure | ApiResponse> {
    const { timeoutMs, now, token } = this.#options;
    const sentAtMs = this.#sentAtMs;
    const content = await readJson(response, { leftMs: timeoutMs - (now() - sentAtMs), timeoutMs, token });
    if ('kind' in content) return content;
    const { headers } = response;
    const received = { ...content, sentAtMs, receivedAtMs: now(), dateMs, headers };
    const problem = findClockProblem(received, this.#request.notBeforeMs);
    return problem === null ? received : { kind: 'wrong_date', problem, status: 200 };
  }

  /** Pauses all requests of the token if the response asks for it. */
  #pause({ status, headers }: Response): void {
    const retryAfterMs = parseRetryAfter(headers);
    if (kindOfStatus(status, retryAfterMs) !== 'rate_limited') return;
    const pauseMs = Math.max(PAUSE_MIN_MS, retryAfterMs ?? PAUSE_DEFAULT_MS);
    this.#options.gate.pauseFor(pauseMs);
    this.#pausedMs += pauseMs;
  }

  #isRetried(error: unknown): boolean {
    const failure = toLosantError(error, this.#request, this.#options);
    if (!(failure instanceof LosantError) || !FAILURES[failure.kind].isRetried) return false;
    this.#report(failure.status, failure.kind);
    return true;
  }

  /** Throws unless the failure is a wait that Losant asked for. */
  #handleFailure(error: unknown): void {
    const failure = toLosantError(error, this.#request, this.#options);
    const { kind = null, status = null } = failure instanceof LosantError ? failure : {};
    const isWait = this.#isSent && kind === 'rate_limited' && this.#pausedMs <= LONGEST_WAIT_MS;
    this.#report(status, isWait ? 'rate_limited' : null);
    this.#request.signal.throwIfAborted();
    if (isWait) return;
    if (failure instanceof LosantError && this.#attempts > 1) failure.message += ` (after ${this.#attempts} attempts)`;
    throw failure;
  }

  /** Reports the attempt that was sent, once. */
  #report(status: number | null, retryReason: LosantErrorKind | null): void {
    if (!this.#isSent) return;
    this.#isSent = false;
    this.#readyAtMs = this.#options.now();
    const durationMs = this.#readyAtMs - this.#sentAtMs;
    const { action } = this.#request;
    this.#options.onAttempt?.({ action, status, durationMs, gateWaitMs: this.#gateWaitMs, retryReason });
  }
}
