import { unzipSync } from 'node:zlib';
import { type Dispatcher, EnvHttpProxyAgent, getGlobalDispatcher, Pool } from 'undici';
import { parseJson } from '../usage/body.ts';
import {
  AttemptError,
  badBody,
  type Failure,
  failureOfStatus,
  KEPT_BODY_BYTES,
  type Question,
} from './attempt.ts';
import {
  type ApiResponse,
  headerOf,
  type ResponseHeaders,
  readAge,
  readDate,
  readRetryAfter,
} from './response.ts';

export interface TransportOptions {
  /** The API's address, e.g. `https://api.losant.com`; it may have a path. */
  readonly apiUrl: string;
  readonly token: string;
  /** The domain of a white-label install, sent as the `losantdomain` header. */
  readonly domain?: string | null | undefined;
  /** The version of this program. */
  readonly version: string;
  /** The bound on each request, from waiting for a connection to the end of the body. */
  readonly timeoutMs: number;
  /** The most connections, which is also the most requests under way. */
  readonly connections: number;
  readonly now: () => number;
  /** Called with the API's clock minus `now`, in ms, for every answer that has a Date header (whole seconds). */
  readonly onClock?: ((aheadMs: number) => void) | undefined;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Returns what sends one request and reads its answer to the end. A body that is slow, cut, huge or not JSON fails the
 * attempt; a redirect is not followed. Throws an {@link AttemptError} for anything but an answer, and the signal's
 * reason as soon as the signal aborts.
 *
 * The function sends any method, so only client.ts, which sends nothing but GET, and admin.ts may import it.
 */
export function createTransport(options: TransportOptions) {
  const { token, timeoutMs, now, onClock } = options;
  const { origin } = new URL(options.apiUrl);
  const dispatcher = createDispatcher(origin, options.connections);
  const headers = headersFor(options);
  return async (
    method: 'GET' | 'PATCH' | 'DELETE',
    url: string,
    question: Question,
    json: string | null = null,
  ): Promise<ApiResponse> => {
    const { signal } = question;
    signal.throwIfAborted();
    const type = json === null ? {} : { 'content-type': 'application/json' };
    const path = url.slice(origin.length);
    const request = { origin, path, method, headers: { ...headers, ...type }, body: json };
    const sentAtMs = now();
    const received = await exchange(dispatcher, request, { timeoutMs, signal });
    signal.throwIfAborted();
    const receivedAtMs = now();
    const dateMs = readDate(received.headers);
    if (dateMs !== null) onClock?.(dateMs - receivedAtMs);
    const ageSeconds = readAge(received.headers);
    let answer: ApiResponse = { body: undefined, text: '', sentAtMs, receivedAtMs, dateMs, ageSeconds };
    try {
      const text = strictUtf8.decode(received.content);
      answer = { ...answer, body: parseJson(text), text };
    } catch {
      // The body is not JSON, which its status may explain.
    }
    const failure = failureOf(received, answer, token);
    if (failure !== null) throw new AttemptError(question, failure, token);
    return answer;
  };
}

function headersFor({ token, domain, version }: TransportOptions): Record<string, string> {
  return {
    accept: 'application/json',
    // A day of an organization is below 2 kB: decompressing would cost more than it saves.
    'accept-encoding': 'identity',
    authorization: `Bearer ${token}`,
    // A number that a cache keeps may be one of before its day was over.
    'cache-control': 'no-cache',
    // The official clients of the API version whose schemas this program follows send this.
    'accept-version': '^1.30.0',
    'user-agent': `losant-usage-export/${version}`,
    ...(domain == null ? {} : { losantdomain: domain }),
  };
}

/**
 * Returns the connections to one origin. Proxies are used where Node's own fetch would use them: with
 * NODE_USE_ENV_PROXY or --use-env-proxy, recognized by the global dispatcher.
 */
function createDispatcher(origin: string, connections: number): Dispatcher {
  // The bound on the whole request is enough. Idle connections end soon, so that a run leaves none behind.
  const timeouts = { headersTimeout: 0, bodyTimeout: 0, keepAliveMaxTimeout: 4_000 };
  // A connection is released a moment after its response; without the bound there would be twice as many.
  const options = { connections, pipelining: 1, ...timeouts };
  const usesProxies = getGlobalDispatcher().constructor.name === EnvHttpProxyAgent.name;
  return usesProxies ? new EnvHttpProxyAgent(options) : new Pool(origin, options);
}

/** An answer as far as it came: without a status if nothing came, with a failure if its content is not complete. */
type Received = Awaited<ReturnType<typeof exchange>>;

/** The bound on one body; a year of all counters is below 1 MiB. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** Sends a request and reads its answer to the end, or to a bound. A server may compress it unasked. */
async function exchange(
  dispatcher: Dispatcher,
  request: Dispatcher.RequestOptions,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
) {
  const bound = new AbortController();
  const stop = () => bound.abort();
  const timer = setTimeout(stop, timeoutMs);
  signal.addEventListener('abort', stop);
  let status: number | null = null;
  let headers: ResponseHeaders = {};
  let failure: Failure | null = null;
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    const answer = await dispatcher.request({ ...request, signal: bound.signal });
    ({ statusCode: status, headers } = answer);
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > (status === 200 ? MAX_BODY_BYTES : KEPT_BODY_BYTES)) break;
    }
  } catch (error) {
    failure = bound.signal.aborted
      ? { kind: 'timeout', problem: `no complete response within ${timeoutMs} ms` }
      : { kind: 'unreachable', problem: `connection failed: ${describeCause(error)}` };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
  }
  let content = Buffer.concat(chunks);
  const encoding = headerOf(headers, 'content-encoding') ?? 'identity';
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

/** Returns why an answer cannot be used; null if it can. Its status alone decides an error, which the body explains. */
function failureOf(received: Received, answer: ApiResponse, token: string): Failure | null {
  const { status, headers, content, failure } = received;
  if (status !== null && status !== 200) {
    return failureOfStatus(status, content, readRetryAfter(headers, answer.receivedAtMs));
  }
  if (failure !== null) return failure;
  if (content.length > MAX_BODY_BYTES) {
    return badBody(`the body is larger than ${MAX_BODY_BYTES} bytes`, content);
  }
  if (answer.body === undefined) {
    const type = headerOf(headers, 'content-type') ?? 'unknown';
    return badBody(`the body is not JSON (content type ${type})`, content);
  }
  // Bodies may be kept for people to read, so one that repeats the request's headers is refused.
  if (!answer.text.includes(token)) return null;
  return badBody('the body contains the token, as if a proxy had echoed the request', content);
}

function describeCause(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  // OpenSSL's own words are of its source; this one mostly means an http port.
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return `the server does not speak TLS on that port (${code})`;
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}
