import { unzipSync } from 'node:zlib';
import { type Dispatcher, EnvHttpProxyAgent, getGlobalDispatcher, Pool } from 'undici';
import {
  type Answer,
  type AnswerHeaders,
  findOtherTime,
  headerOf,
  readAnswer,
  readRetryAfter,
} from './answer.ts';
import {
  AttemptError,
  badBody,
  type Failure,
  failureOfStatus,
  KEPT_BODY_BYTES,
  type Question,
} from './attempt.ts';

export interface TransportOptions {
  /** The API's address, e.g. `https://api.losant.com`; it may have a path. */
  readonly apiUrl: string;
  readonly token: string;
  /** The domain of a white-label install, sent as the `losantdomain` header. */
  readonly domain?: string | null | undefined;
  readonly userAgent?: string | undefined;
  /** The bound on each request, from waiting for a connection to the end of the body. */
  readonly timeoutMs: number;
  /** The bound on one body; a year of all counters is below 1 MiB. */
  readonly maxBodyBytes?: number | undefined;
  /** The most connections, which is also the most requests under way. */
  readonly connections: number;
  /** Whether answers of another time are taken too, by a caller that judges the clocks itself. */
  readonly takesAnyTime?: boolean | undefined;
  readonly now: () => number;
  /** Called with the API's clock minus `now`, in ms, for every answer that has a Date header (whole seconds). */
  readonly onClock?: ((aheadMs: number) => void) | undefined;
}

/**
 * Sends one request and reads its answer to the end. A body that is slow, cut, huge or not JSON fails the attempt,
 * as does an answer of another time; a redirect is not followed. Throws an {@link AttemptError} for anything but
 * an answer, and the signal's reason as soon as the signal aborts.
 *
 * A transport sends any method, so only client.ts, which sends nothing but GET, and admin.ts may import it.
 */
export type Transport = (
  method: 'GET' | 'PATCH' | 'DELETE',
  url: string,
  question: Question,
  json?: string | null,
) => Promise<Answer>;

const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** The query sent with each request to keep bodies small: this program follows no hypermedia. */
const QUERY_FOR_ALL = '_actions=false&_links=false&_embedded=false';

/** Returns the path and query of a question, below the API's address. */
export function pathOf({ path, query }: Question): string {
  const own = new URLSearchParams(query).toString();
  return `${path}?${QUERY_FOR_ALL}${own && `&${own}`}`;
}

export function createTransport(options: TransportOptions): Transport {
  const { token, timeoutMs, maxBodyBytes = MAX_BODY_BYTES, now, onClock, takesAnyTime = false } = options;
  const { origin } = new URL(options.apiUrl);
  const dispatcher = createDispatcher(origin, options.connections);
  const headers = headersFor(options);
  return async (method, url, question, json = null) => {
    const { signal } = question;
    signal.throwIfAborted();
    const request = {
      origin,
      path: url.slice(origin.length),
      method,
      headers: json === null ? headers : { ...headers, 'content-type': 'application/json' },
      body: json,
    };
    const sentAtMs = now();
    const received = await exchange(dispatcher, request, { timeoutMs, maxBytes: maxBodyBytes, signal });
    signal.throwIfAborted();
    const receivedAtMs = now();
    const answer = readAnswer(received, { sentAtMs, receivedAtMs });
    if (answer.dateMs !== null) onClock?.(answer.dateMs - receivedAtMs);
    const failure =
      failureOf(received, answer, token) ?? (takesAnyTime ? null : findOtherTime(answer, question));
    if (failure !== null) throw new AttemptError(question, failure, token);
    return answer;
  };
}

/** Returns why an answer cannot be used; null if it can. Its status alone decides an error, which the body explains. */
function failureOf(
  { status, headers, content, failure }: Received,
  answer: Answer,
  token: string,
): Failure | null {
  if (status !== null && status !== 200) {
    return failureOfStatus(status, content, readRetryAfter(headers, answer.receivedAtMs));
  }
  if (failure !== null) return failure;
  if (answer.body === undefined) {
    const type = headerOf(headers, 'content-type') ?? 'unknown';
    return badBody(`the body is not JSON (content type ${type})`, content);
  }
  // Bodies may be kept for people to read, so one that repeats the request's headers is refused.
  const isRepeating = answer.text.includes(token);
  return isRepeating
    ? badBody('the body repeats the token, as a proxy that shows requests would', content, true)
    : null;
}

function headersFor({ token, domain, userAgent }: TransportOptions): Record<string, string> {
  return {
    accept: 'application/json',
    // A day of an organization is below 2 kB: decompressing would cost more than it saves.
    'accept-encoding': 'identity',
    authorization: `Bearer ${token}`,
    // A number that a cache keeps may be one of before its day was over.
    'cache-control': 'no-cache',
    // The official clients of the API version whose schemas this program follows send this.
    'accept-version': '^1.30.0',
    'user-agent': userAgent ?? 'losant-usage-export',
    ...(domain == null ? {} : { losantdomain: domain }),
  };
}

/** An idle connection ends after this time, whatever the server says: a run leaves none behind. */
const IDLE_MAX_MS = 4_000;

/**
 * Returns the connections to one origin. Proxies are used where Node's own fetch would use them: with
 * NODE_USE_ENV_PROXY or --use-env-proxy, recognized by the global dispatcher.
 */
function createDispatcher(origin: string, connections: number): Dispatcher {
  // A connection becomes free only a moment after its answer: without the bound there would be twice as many.
  const bounds = { connections, pipelining: 1, keepAliveMaxTimeout: IDLE_MAX_MS };
  // undici's own timers are off because the bound on the whole request is enough.
  const options = { ...bounds, headersTimeout: 0, bodyTimeout: 0 };
  const usesProxies = getGlobalDispatcher().constructor.name === EnvHttpProxyAgent.name;
  return usesProxies ? new EnvHttpProxyAgent(options) : new Pool(origin, options);
}

/** An answer as far as it came. */
export interface Received {
  /** The status; null if nothing was received. */
  readonly status: number | null;
  readonly headers: AnswerHeaders;
  /** The content, without the compression of a server that compresses unasked. */
  readonly content: Buffer;
  /** The reason why the content is not complete; null if it is. */
  readonly failure: Failure | null;
}

interface Bounds {
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Sends a request, and resolves with its answer at its end or at a bound. What comes later is passed over. */
function exchange(
  dispatcher: Dispatcher,
  request: Dispatcher.DispatchOptions,
  { timeoutMs, maxBytes, signal }: Bounds,
): Promise<Received> {
  const { promise, resolve } = Promise.withResolvers<Received>();
  const timedOut: Failure = { kind: 'timeout', problem: `no complete answer within ${timeoutMs} ms` };
  const chunks: Buffer[] = [];
  let size = 0;
  let status: number | null = null;
  let headers: AnswerHeaders = {};
  let controller: Dispatcher.DispatchController | null = null;
  let isOver = false;
  const end = (failure: Failure | null) => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    signal.removeEventListener('abort', stop);
    resolve(unzip({ status, headers, content: Buffer.concat(chunks, size), failure }, maxBytes));
    if (failure !== null) controller?.abort(new Error(failure.problem));
  };
  const stop = () => end(timedOut);
  const timer = setTimeout(stop, timeoutMs);
  signal.addEventListener('abort', stop);
  dispatcher.dispatch(request, {
    onRequestStart(given) {
      controller = given;
      if (isOver) given.abort(new Error(timedOut.problem));
    },
    onResponseStart(_, code, fields) {
      // An interim answer is passed over.
      if (code >= 200) [status, headers] = [code, fields];
    },
    onResponseData(_, chunk) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > (status === 200 ? maxBytes : KEPT_BODY_BYTES))
        end(tooLarge(maxBytes, Buffer.concat(chunks)));
    },
    onResponseEnd: () => end(null),
    onResponseError: (_, error) =>
      end({ kind: 'unreachable', problem: `connection failed: ${describeCause(error)}` }),
  });
  return promise;
}

function tooLarge(maxBytes: number, content: Buffer): Failure {
  return badBody(`the body is larger than ${maxBytes} bytes`, content, true);
}

function unzip(received: Received, maxOutputLength: number): Received {
  const { headers, content, failure } = received;
  const encoding = headerOf(headers, 'content-encoding');
  if (encoding === undefined || encoding === 'identity' || content.length === 0) return received;
  try {
    return { ...received, content: unzipSync(content, { maxOutputLength }) };
  } catch (error) {
    const problem = `the body (${encoding}) cannot be decompressed: ${describeCause(error)}`;
    const isHuge = error instanceof RangeError;
    return {
      ...received,
      failure: failure ?? (isHuge ? tooLarge(maxOutputLength, content) : badBody(problem, content)),
    };
  }
}

function describeCause(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  // OpenSSL's own words are of its source; this one mostly means an http port.
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return `no TLS is spoken there, as on a port for http (${code})`;
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}
