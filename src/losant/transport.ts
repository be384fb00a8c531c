import { pipeline, type Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { type Dispatcher, EnvHttpProxyAgent, getGlobalDispatcher, Pool } from 'undici';
import {
  type Answer,
  AttemptError,
  badBody,
  KEPT_BODY_BYTES,
  type Received,
  readAnswer,
  readDate,
  statusError,
} from './attempt.ts';

/** The options that all requests of a client have in common. */
export interface RequestOptions {
  /** The API's address, e.g. `https://api.losant.com`; it may have a path. */
  readonly apiUrl: string;
  /**
   * The token, added to each request at the last moment, so that no error of a library above can contain
   * it.
   */
  readonly token: string;
  /** The domain of a white-label install, sent as the `losantdomain` header. */
  readonly domain?: string | null | undefined;
  /** `losant-usage-export/VERSION`. */
  readonly userAgent?: string | undefined;
  /** The bound on each request, from waiting for a connection to the end of the body. */
  readonly timeoutMs: number;
  readonly now: () => number;
  /** Called with the API's clock minus `now`, in ms, for every answer that has a Date header (whole seconds). */
  readonly onClock?: ((aheadMs: number) => void) | undefined;
}

export interface TransportOptions extends RequestOptions {
  /** The bound on the body of an answer. */
  readonly maxBodyBytes: number;
  /** The most connections, which is also the most requests under way. */
  readonly connections: number;
}

/**
 * Sends one request to the API and reads its answer to the end, within one bound on time and one on size. A body
 * that is slow, cut, huge or not JSON fails the attempt. Redirects are not followed. Throws an
 * {@link AttemptError} for anything but an answer, and the signal's reason as soon as the signal aborts.
 *
 * A transport sends any method, so only client.ts, which sends nothing but GET, and admin.ts may
 * import it.
 */
export type Transport = (request: Request, signal: AbortSignal) => Promise<Answer>;

/**
 * The response by which an answer passes through ky. Its body has already been read: reading it from a stream
 * would be a fifth of the cost of a request.
 */
export class AnswerResponse extends Response {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(null);
    this.answer = answer;
  }
}

export function createTransport(options: TransportOptions): Transport {
  const { token, timeoutMs, maxBodyBytes, now, onClock } = options;
  const { origin } = new URL(options.apiUrl);
  const dispatcher = createDispatcher(origin, options.connections);
  return async (request, signal) => {
    signal.throwIfAborted();
    const { method } = request;
    const path = request.url.slice(origin.length);
    const headers = { ...Object.fromEntries(request.headers), authorization: `Bearer ${token}` };
    const body = request.body === null ? null : await request.text();
    // One controller and a timer cost half of AbortSignal.any with AbortSignal.timeout.
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(TIMED_OUT), timeoutMs);
    const onAbort = () => stop.abort(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    const sentAtMs = now();
    const sent = { origin, path, method, headers, body, signal: stop.signal };
    const received = await exchange(dispatcher, sent, maxBodyBytes);
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    signal.throwIfAborted();
    const receivedAtMs = now();
    const dateMs = readDate(received.headers);
    if (dateMs !== null) onClock?.(dateMs - receivedAtMs);
    // The status alone decides an error; the body only explains it.
    const { status } = received;
    if (status === null || (status === 200 && received.end !== 'complete')) {
      throw stop.signal.reason === TIMED_OUT ? timedOut(timeoutMs) : unfinished(received, maxBodyBytes);
    }
    if (status !== 200) throw statusError(status, { ...received, receivedAtMs });
    const answer = readAnswer(received, { sentAtMs, receivedAtMs });
    // Bodies may be kept for people to read, so one that repeats the request's headers is refused.
    if (answer.text.includes(token)) {
      const detail = 'the body repeats the token, as a proxy that shows requests would';
      throw badBody(detail, received.content, { isFinal: true });
    }
    return answer;
  };
}

export function headersFor({ domain, userAgent }: RequestOptions) {
  return {
    accept: 'application/json',
    // A day of an organization is below 2 kB: decompressing would cost more than it saves.
    'accept-encoding': 'identity',
    // A number that a cache keeps may be one of before its day was over.
    'cache-control': 'no-cache',
    // The official clients of the API version whose schemas this program follows send this.
    'accept-version': '^1.30.0',
    'user-agent': userAgent ?? 'losant-usage-export',
    ...(domain == null ? {} : { losantdomain: domain }),
  };
}

/** The query sent with each request to keep bodies small: this program follows no hypermedia. */
export const QUERY_FOR_ALL = { _actions: 'false', _links: 'false', _embedded: 'false' };

const TIMED_OUT = Symbol('timed out');

/** undici's own timers are off because the bound on the whole request is enough. */
const NO_OTHER_TIMERS = { headersTimeout: 0, bodyTimeout: 0 };

/**
 * An idle connection ends after this time, whatever the server says: each run has its own connections
 * and leaves none behind.
 */
const IDLE_MAX_MS = 4_000;

/**
 * `createDispatcher` returns the connections to one origin. Proxies are used where Node's own fetch would use
 * them: with NODE_USE_ENV_PROXY or --use-env-proxy, recognized by the global dispatcher.
 */
function createDispatcher(origin: string, connections: number): Dispatcher {
  // A connection becomes free only a moment after its answer: without the bound there would be twice as many.
  const options = { pipelining: 1, connections, keepAliveMaxTimeout: IDLE_MAX_MS };
  const usesProxies = getGlobalDispatcher().constructor.name === EnvHttpProxyAgent.name;
  return usesProxies ? new EnvHttpProxyAgent(options) : new Pool(origin, options);
}

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/** `decompress` undoes the compression of a server that compresses unasked, if its name is known. */
function decompress(body: Readable, encoding = ''): Readable {
  const names = encoding.toLowerCase().split(',', 5);
  return names.reduceRight((rest, name) => {
    const decoder = DECODERS[name.trim()]?.();
    return decoder === undefined ? rest : pipeline(rest, decoder, () => {});
  }, body);
}

interface Exchange extends Received {
  /** The status; null if nothing was received. */
  readonly status: number | null;
  readonly end: 'complete' | 'too_large' | 'cut';
  /** The error that cut the body. */
  readonly cause: unknown;
}

async function exchange(
  dispatcher: Dispatcher,
  request: Dispatcher.RequestOptions,
  maxBodyBytes: number,
): Promise<Exchange> {
  let status: number | null = null;
  let headers: Received['headers'] = {};
  const chunks: Uint8Array[] = [];
  let size = 0;
  const received = (end: Exchange['end'], cause: unknown = null): Exchange => {
    return { status, headers, content: Buffer.concat(chunks, size), end, cause };
  };
  try {
    const response = await dispatcher.request({ ...request, ...NO_OTHER_TIMERS });
    status = response.statusCode;
    headers = firstOfEach(response.headers);
    const bound = status === 200 ? maxBodyBytes : KEPT_BODY_BYTES;
    for await (const chunk of decompress(response.body, headers['content-encoding'])) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > bound) return received('too_large');
    }
    return received('complete');
  } catch (cause) {
    return received('cut', cause);
  }
}

/** `firstOfEach` returns the first value of each header, without characters that a Response does not take. */
function firstOfEach(headers: Readonly<Record<string, string | string[] | undefined>>): Received['headers'] {
  const first: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    const text = Array.isArray(value) ? value[0] : value;
    if (text !== undefined) first[name] = text.replaceAll(/[^\t\x20-\xff]/g, '?');
  }
  return first;
}

function timedOut(timeoutMs: number): AttemptError {
  return new AttemptError('timeout', `no complete answer within ${timeoutMs} ms`);
}

/** `unfinished` returns the failure of an answer that was cut, too large or cannot be decompressed. */
function unfinished({ headers, content, end, cause }: Exchange, maxBodyBytes: number): AttemptError {
  if (end === 'too_large') {
    return badBody(`the body is larger than ${maxBodyBytes} bytes`, content, { isFinal: true });
  }
  const reason = describeCause(cause);
  if (headers['content-encoding'] !== undefined)
    return badBody(`the body cannot be decompressed: ${reason}`, content);
  return new AttemptError('unreachable', `connection failed: ${reason}`, { cause });
}

/** `describeCause` returns the innermost cause: libraries often say only that something failed. */
function describeCause(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (!(inner instanceof Error)) return 'unknown error';
  const { code } = inner as NodeJS.ErrnoException;
  return code === undefined || inner.message.includes(code) ? inner.message : `${inner.message} (${code})`;
}
