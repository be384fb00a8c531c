import type { KyInstance } from 'ky';
import { parseJson } from '../usage/exact-json.ts';
import { type AttemptFailure, readRetryAfter } from './retry.ts';
import { describeStatus, isRedirect, kindOfStatus } from './status.ts';

/** Text kept of a body that could not be used, enough to see what it was. */
const KEPT_BODY_BYTES = 64 * 1024;

/** A complete JSON answer. */
export interface Answer {
  readonly body: unknown;
  /** The body as received. */
  readonly text: string;
  /** When the attempt that succeeded was sent, by the client's clock. */
  readonly sentAtMs: number;
  /** The response's Date header; null if it has none. */
  readonly dateMs: number | null;
  readonly receivedAtMs: number;
}

export type AttemptResult =
  | { readonly ok: true; readonly answer: Answer }
  | { readonly ok: false; readonly failure: AttemptFailure };

export interface AttemptOptions {
  readonly http: KyInstance;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Bound on the whole attempt, the body included. */
  readonly timeoutMs: number;
  /** Bound on the body, counted after decompression. */
  readonly maxBodyBytes: number;
  readonly now: () => number;
  /** Told the API's clock minus this one, in ms, for every answer that has a Date header. */
  readonly onClock?: ((aheadMs: number) => void) | undefined;
  readonly signal: AbortSignal;
}

/**
 * Sends one GET and reads its answer to the end. Failures are values; throws
 * only the signal's reason once it has aborted.
 */
export async function sendAttempt(options: AttemptOptions): Promise<AttemptResult> {
  const { timeoutMs, signal } = options;
  signal.throwIfAborted();
  const abort = new AbortController();
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    abort.abort();
  }, timeoutMs);
  const onAbort = () => abort.abort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await requestAndRead(options, abort);
  } catch (error) {
    signal.throwIfAborted();
    const failure: AttemptFailure = timedOut
      ? failed('timeout', `no complete answer within ${timeoutMs} ms`)
      : failed('unreachable', `connection failed: ${describeCause(error)}`, { cause: error });
    return { ok: false, failure };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

async function requestAndRead(options: AttemptOptions, abort: AbortController): Promise<AttemptResult> {
  const { http, path, query, now, maxBodyBytes } = options;
  const sentAtMs = now();
  // Not as ky's `searchParams`: with them each request is put together twice, a tenth of its CPU time.
  const url = `${path}?${new URLSearchParams(query).toString()}`;
  const response = await http.get(url, { signal: abort.signal });
  const dateMs = readDate(response.headers.get('date'));
  if (dateMs !== null) options.onClock?.(dateMs - now());
  if (response.status !== 200) {
    return { ok: false, failure: await statusFailure(response, dateMs ?? now(), abort) };
  }
  const { bytes, isComplete } = await readBytes(response, maxBodyBytes, abort.signal);
  if (!isComplete) {
    abort.abort();
    const detail = `the body is larger than ${maxBodyBytes} bytes`;
    const body = keptText(bytes);
    return { ok: false, failure: failed('bad_body', detail, { status: 200, body, isFinal: true }) };
  }
  const receivedAtMs = now();
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const body = parseJson(text);
    return { ok: true, answer: { body, text, sentAtMs, dateMs, receivedAtMs } };
  } catch {
    const detail = `the body is not JSON (content type ${response.headers.get('content-type') ?? 'unknown'})`;
    return { ok: false, failure: failed('bad_body', detail, { status: 200, body: keptText(bytes) }) };
  }
}

/** The status alone decides: a body that is cut, slow or huge only shortens the message. */
async function statusFailure(
  response: Response,
  answeredAtMs: number,
  abort: AbortController,
): Promise<AttemptFailure> {
  const { status, headers } = response;
  const retryAfterMs = readRetryAfter(headers.get('retry-after'), answeredAtMs);
  const { bytes, isComplete } = await readBytes(response, KEPT_BODY_BYTES, abort.signal).catch(
    () => nothingRead,
  );
  if (!isComplete) abort.abort();
  const body = keptText(bytes);
  const detail = `${describeStatus(status)}${describeApiError(body)}`;
  const isFinal = isRedirect(status);
  return failed(kindOfStatus(status, retryAfterMs), detail, { status, body, retryAfterMs, isFinal });
}

const nothingRead = { bytes: Buffer.alloc(0), isComplete: false };

/**
 * Reads the body as a stream and stops as soon as it exceeds `maxBytes`. Watches the signal itself: fetch
 * no longer does once its request object is garbage collected, which may be long before the body ends.
 */
async function readBytes(
  response: Response,
  maxBytes: number,
  signal: AbortSignal,
): Promise<{ bytes: Buffer; isComplete: boolean }> {
  signal.throwIfAborted();
  const reader = (response.body as ReadableStream<Uint8Array> | null)?.getReader();
  if (!reader) return { bytes: Buffer.alloc(0), isComplete: true };
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  const chunks: Uint8Array[] = [];
  let size = 0;
  let isEnded = false;
  try {
    while (size <= maxBytes) {
      const { done, value } = await Promise.race([reader.read(), aborted.promise]);
      isEnded = done;
      if (done) break;
      chunks.push(value);
      size += value.byteLength;
    }
    return { bytes: Buffer.concat(chunks), isComplete: isEnded };
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Drops the connection of a body that goes on; there is nobody left to tell of a failure.
    if (!isEnded) await reader.cancel().catch(() => undefined);
  }
}

function keptText(bytes: Buffer): string {
  return new TextDecoder().decode(bytes.subarray(0, KEPT_BODY_BYTES));
}

function readDate(header: string | null): number | null {
  const dateMs = header === null ? Number.NaN : Date.parse(header);
  return Number.isNaN(dateMs) ? null : dateMs;
}

/** The API's own `{type, message}`, when the body has it. */
function describeApiError(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== 'object' || parsed === null) return '';
    const { type, message } = parsed as Record<string, unknown>;
    const parts = [type, message].filter((part) => typeof part === 'string' && part !== '');
    return parts.length === 0 ? '' : `: ${parts.join(': ').slice(0, 500)}`;
  } catch {
    return '';
  }
}

/** The innermost cause: fetch's own message is always "fetch failed". */
function describeCause(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (!(inner instanceof Error)) return 'unknown error';
  const { code } = inner as NodeJS.ErrnoException;
  return code === undefined || inner.message.includes(code) ? inner.message : `${inner.message} (${code})`;
}

function failed(
  kind: AttemptFailure['kind'],
  detail: string,
  known: Partial<AttemptFailure> = {},
): AttemptFailure {
  return { isFinal: false, status: null, retryAfterMs: null, body: null, ...known, kind, detail };
}
