import { setImmediate as nextTurn } from 'node:timers/promises';
import { unzipSync } from 'node:zlib';
import { type Dispatcher, EnvHttpProxyAgent, getGlobalDispatcher, Pool } from 'undici';
import { parseJson } from '../usage/body.ts';
import {
  type ApiRequest,
  type ApiResponse,
  AttemptError,
  badBody,
  ERROR_BODY_BYTES,
  type Failure,
  failureOfStatus,
  getHeader,
  onAbort,
  parseDateHeader,
  parseRetryAfter,
  type ResponseHeaders,
} from './attempt.ts';

export interface TransportOptions {
  /** For example `https://api.losant.com`; may have a path. */
  readonly apiUrl: string;
  readonly token: string;
  /** The domain of a white-label install, sent as the `losantdomain` header. */
  readonly domain?: string | null | undefined;
  readonly version: string;
  /** Limits each request, from waiting for a connection to the end of the body. */
  readonly timeoutMs: number;
  /** The most connections, and so the most requests at the same time. */
  readonly connections: number;
  readonly now: () => number;
  /** Called with the API's clock minus `now`, in ms, for every response with a Date header (whole seconds). */
  readonly onClock?: ((aheadMs: number) => void) | undefined;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Creates a function that sends one request and reads the response to the end. A body that is slow, cut, huge or not
 * JSON fails the attempt; a redirect is not followed. The function throws an {@link AttemptError} for anything but a
 * JSON response with status 200, and the signal's reason as soon as the signal aborts. It calls `onReceived` once a
 * response with status 200 has been received to its end, before it is parsed.
 *
 * It can send any method, so only client.ts, which sends nothing but GET, and admin.ts may import it.
 */
export function createTransport(options: TransportOptions) {
  const { token, timeoutMs, now, onClock } = options;
  const { origin } = new URL(options.apiUrl);
  const dispatcher = createDispatcher(origin, options.connections);
  const headers = createHeaders(options);
  return async (
    method: 'GET' | 'PATCH' | 'DELETE',
    url: string,
    request: ApiRequest,
    { json, onReceived }: { json?: string; onReceived?: () => void } = {},
  ): Promise<ApiResponse> => {
    const { signal } = request;
    signal.throwIfAborted();
    const path = url.slice(origin.length);
    const requestHeaders = json === undefined ? headers : { ...headers, 'content-type': 'application/json' };
    const sentAtMs = now();
    const raw = await exchange(
      dispatcher,
      { origin, path, method, headers: requestHeaders, body: json ?? null },
      { timeoutMs, signal },
    );
    signal.throwIfAborted();
    const receivedAtMs = now();
    if (onReceived !== undefined && raw.status === 200 && raw.failure === null) {
      onReceived();
      // Responses come in bunches. The next requests are sent before any of a bunch is parsed: the first turn of the
      // event loop ends the bunch, the second sends what it has started.
      await nextTurn();
      await nextTurn();
      signal.throwIfAborted();
    }
    const dateMs = parseDateHeader(raw.headers);
    if (dateMs !== null) onClock?.(dateMs - receivedAtMs);
    if (raw.status !== null && raw.status !== 200) {
      // A gateway may send a 503 for a change that was made, so its Retry-After does not turn it into a rejection.
      const retryAfterMs = method === 'GET' ? parseRetryAfter(raw.headers, receivedAtMs) : null;
      throw new AttemptError(request, failureOfStatus(raw.status, raw.content, retryAfterMs), token);
    }
    const content = raw.failure ?? parseContent(raw, token);
    if ('kind' in content) throw new AttemptError(request, content, token);
    return { ...content, sentAtMs, receivedAtMs, dateMs, headers: raw.headers };
  };
}

function createHeaders({ token, domain, version }: TransportOptions): Record<string, string> {
  return {
    accept: 'application/json',
    // A day of an organization has less than 2 kB: decompressing would cost more than it saves.
    'accept-encoding': 'identity',
    authorization: `Bearer ${token}`,
    // A cached response may be from before the end of its day.
    'cache-control': 'no-cache',
    // The official clients of API version 1.30.0, whose schemas this program follows, send this.
    'accept-version': '^1.30.0',
    'user-agent': `losant-usage/${version}`,
    ...(domain == null ? {} : { losantdomain: domain }),
  };
}

/** Uses a proxy if Node's own fetch would, with NODE_USE_ENV_PROXY: the global dispatcher shows it. */
function createDispatcher(origin: string, connections: number): Dispatcher {
  // The timeout of the whole request is enough. Idle connections close soon, so that a run leaves none open.
  const timeouts = { headersTimeout: 0, bodyTimeout: 0, keepAliveMaxTimeout: 4_000 };
  // A connection is released a moment after its response; without the bound there would be twice as many.
  const options = { connections, pipelining: 1, ...timeouts };
  const usesProxies = getGlobalDispatcher().constructor.name === EnvHttpProxyAgent.name;
  return usesProxies ? new EnvHttpProxyAgent(options) : new Pool(origin, options);
}

/** A response as far as it was received. */
interface RawResponse {
  /** Null if nothing was received. */
  readonly status: number | null;
  readonly headers: ResponseHeaders;
  readonly content: Buffer;
  /** Null if all of it was received, or as much as is read. */
  readonly failure: Failure | null;
}

/**
 * A year of all counters has less than 1 MiB, as has a page of organizations. Parsed, a body takes up to 40 times its
 * size, and several at once must not exhaust the memory of the image.
 */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** Sends a request and reads the response to its end or to a bound. A server may compress it unrequested. */
async function exchange(
  dispatcher: Dispatcher,
  request: Dispatcher.DispatchOptions,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal },
): Promise<RawResponse> {
  const { promise, resolve } = Promise.withResolvers<Failure | null>();
  let controller: Dispatcher.DispatchController | null = null;
  let isStopped = false;
  let status: number | null = null;
  let headers: ResponseHeaders = {};
  const chunks: Buffer[] = [];
  let size = 0;
  const stop = (reason: Failure | null) => {
    isStopped = true;
    resolve(reason);
    controller?.abort(STOPPED);
  };
  const stopLate = () => {
    stop({ kind: 'timeout', problem: `no complete response within ${timeoutMs} ms` });
  };
  const timer = setTimeout(stopLate, timeoutMs);
  const unsubscribe = onAbort(signal, stopLate);
  dispatcher.dispatch(request, {
    onRequestStart: (started) => {
      controller = started;
      if (isStopped) started.abort(STOPPED);
    },
    onResponseStart: (_, statusCode, responseHeaders) => {
      status = statusCode;
      headers = responseHeaders;
    },
    onResponseData: (_, chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > (status === 200 ? MAX_BODY_BYTES : ERROR_BODY_BYTES)) stop(null);
    },
    onResponseEnd: () => {
      resolve(null);
    },
    onResponseError: (_, error) => {
      resolve({ kind: 'unreachable', problem: `connection failed: ${describeCause(error)}` });
    },
  });
  let failure = await promise;
  clearTimeout(timer);
  unsubscribe();
  let content = Buffer.concat(chunks);
  const encoding = getHeader(headers, 'content-encoding') ?? 'identity';
  if (encoding !== 'identity' && size > 0) {
    try {
      content = unzipSync(content, { maxOutputLength: MAX_BODY_BYTES });
    } catch (error) {
      const problem = `the body (${encoding}) cannot be decompressed: ${describeCause(error)}`;
      failure ??= badBody(problem, content);
    }
  }
  return { status, headers, content, failure };
}

/** Only undici sees it. */
const STOPPED = new Error('stopped');

function parseContent({ headers, content }: RawResponse, token: string): Failure | Pick<ApiResponse, 'body' | 'text'> {
  if (content.length > MAX_BODY_BYTES) return badBody(`the body is larger than ${MAX_BODY_BYTES} bytes`, content);
  try {
    const text = strictUtf8.decode(content);
    const body = parseJson(text);
    // Bodies may be quarantined for people to read, so one that repeats the request's headers is rejected.
    if (!text.includes(token)) return { body, text };
    return badBody('the body contains the token, as if a proxy had echoed the request', content);
  } catch {
    const type = getHeader(headers, 'content-type') ?? 'unknown';
    return badBody(`the body is not JSON (content type ${type})`, content);
  }
}

function describeCause(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  // OpenSSL's message quotes its source code. The error usually means a port for http.
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return `the server does not speak TLS on that port (${code})`;
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}
