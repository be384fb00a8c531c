import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib';
import { type Dispatcher, EnvHttpProxyAgent, getGlobalDispatcher, Pool } from 'undici';
import { onAbort } from './abort.ts';
import {
  type Answer,
  type AnswerHeaders,
  findOtherTime,
  headerOf,
  readAnswer,
  readDate,
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
  /** The token, added to each request below ky, so that no error of ky can contain it. */
  readonly token: string;
  /** The domain of a white-label install, sent as the `losantdomain` header. */
  readonly domain?: string | null | undefined;
  readonly userAgent?: string | undefined;
  /** The bound on each request, from waiting for a connection to the end of the body. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
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

/** The answers of another time, before any of now, after which it is no cache but a clock that is wrong. */
const OFF_MAX = 2;

export function createTransport(options: TransportOptions): Transport {
  const { token, timeoutMs, maxBodyBytes, now, onClock, takesAnyTime = false } = options;
  const { origin } = new URL(options.apiUrl);
  const dispatcher = createDispatcher(origin, options.connections);
  const headers = headersFor(options);
  const ofJson = { ...headers, 'content-type': 'application/json' };
  const timedOut: Failure = { kind: 'timeout', problem: `no complete answer within ${timeoutMs} ms` };
  let isTimeConfirmed = false;
  let off = 0;
  return async (method, url, question, json = null) => {
    const { signal, notBeforeMs } = question;
    const fail = (failure: Failure) => new AttemptError(question, failure, token);
    signal.throwIfAborted();
    const sentAtMs = now();
    const exchange = new Exchange(maxBodyBytes);
    const timer = setTimeout(() => exchange.stop(timedOut), timeoutMs);
    const forget = onAbort(signal, () => exchange.stop(timedOut));
    const path = url.slice(origin.length);
    dispatcher.dispatch(
      { origin, path, method, headers: json === null ? headers : ofJson, body: json },
      exchange,
    );
    await exchange.ended.promise;
    clearTimeout(timer);
    forget();
    signal.throwIfAborted();
    const receivedAtMs = now();
    const content = exchange.takeContent();
    const { status, failure } = exchange;
    const dateMs = readDate(exchange.headers);
    if (dateMs !== null) onClock?.(dateMs - receivedAtMs);
    // The status alone decides an error; the body only explains it.
    if (status !== null && status !== 200) {
      throw fail(failureOfStatus(status, content, readRetryAfter(exchange.headers, receivedAtMs)));
    }
    if (failure !== null) throw fail(failure);
    const answer = readAnswer({ headers: exchange.headers, content }, { sentAtMs, receivedAtMs, dateMs });
    const type = headerOf(exchange.headers, 'content-type') ?? 'unknown';
    if (answer === null) throw fail(badBody(`the body is not JSON (content type ${type})`, content));
    // Bodies may be kept for people to read, so one that repeats the request's headers is refused.
    const repeated = 'the body repeats the token, as a proxy that shows requests would';
    if (answer.text.includes(token)) throw fail(badBody(repeated, content, true));
    const problem = takesAnyTime ? null : findOtherTime(answer, notBeforeMs);
    if (problem !== null) {
      off += 1;
      throw fail({ kind: 'wrong_date', problem, status: 200, isFinal: !isTimeConfirmed && off >= OFF_MAX });
    }
    isTimeConfirmed = true;
    return answer;
  };
}

/** The query sent with each request to keep bodies small: this program follows no hypermedia. */
export const QUERY_FOR_ALL = '_actions=false&_links=false&_embedded=false';

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

/** Collects the answer to a request, up to its end or a bound. It ends once: what comes later is passed over. */
class Exchange implements Dispatcher.DispatchHandler {
  /** The status; null if nothing was received. */
  status: number | null = null;
  headers: AnswerHeaders = {};
  /** The reason why the content is not complete; null if it is. */
  failure: Failure | null = null;
  readonly ended = Promise.withResolvers<void>();
  readonly #maxBytes: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #controller: Dispatcher.DispatchController | null = null;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Takes the content as far as it came, without the compression of a server that compresses unasked. */
  takeContent(): Buffer {
    const raw = Buffer.concat(this.#chunks, this.#size);
    const encoding = headerOf(this.headers, 'content-encoding');
    if (encoding === undefined) return raw;
    try {
      return decompress(raw, encoding, this.#maxBytes);
    } catch (error) {
      const problem = `the body cannot be decompressed: ${describeCause(error)}`;
      this.failure ??= error instanceof RangeError ? this.#tooLarge(raw) : badBody(problem, raw);
      return raw;
    }
  }

  stop(failure: Failure): void {
    this.failure ??= failure;
    this.ended.resolve();
    this.#controller?.abort(new Error(failure.problem));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.failure !== null) this.stop(this.failure);
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: AnswerHeaders): void {
    // An interim answer is passed over.
    if (status >= 200) Object.assign(this, { status, headers });
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    const maxBytes = this.status === 200 ? this.#maxBytes : KEPT_BODY_BYTES;
    if (this.#size > maxBytes) this.stop(this.#tooLarge(Buffer.concat(this.#chunks)));
  }

  onResponseEnd(): void {
    this.ended.resolve();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.failure ??= { kind: 'unreachable', problem: `connection failed: ${describeCause(error)}` };
    this.ended.resolve();
  }

  #tooLarge(content: Buffer): Failure {
    return badBody(`the body is larger than ${this.#maxBytes} bytes`, content, true);
  }
}

const DECODERS = new Map([
  ['gzip', gunzipSync],
  ['x-gzip', gunzipSync],
  ['deflate', inflateSync],
  ['br', brotliDecompressSync],
]);

function decompress(content: Buffer, encoding: string, maxOutputLength: number): Buffer {
  const names = encoding.toLowerCase().split(',', 5);
  const decoders = names.flatMap((name) => DECODERS.get(name.trim()) ?? []);
  return decoders.reduceRight((rest, decode) => decode(rest, { maxOutputLength }), content);
}

function describeCause(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  // OpenSSL's own words are of its source; this one mostly means an http port.
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER')
    return `no TLS is spoken there, as on a port for http (${code})`;
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}
