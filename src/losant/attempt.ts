import { parseJson } from '../usage/exact-json.ts';
import { decodeBody } from './decode.ts';
import type { Reply } from './exchange.ts';
import { type AttemptFailure, readRetryAfter } from './retry.ts';
import { describeStatus, isRedirect, kindOfStatus } from './status.ts';

/** Text kept of a body that could not be used, enough to see what it was. */
export const KEPT_BODY_BYTES = 64 * 1024;

/** A complete JSON answer. */
export interface Answer {
  /** With markers where the text has a number that a double would round, or a key twice. */
  readonly body: unknown;
  /** The body as received. */
  readonly text: string;
  /** The same as bytes, without compression. */
  readonly bytes: Buffer;
  /** When the attempt that succeeded was sent, by the client's clock. */
  readonly sentAtMs: number;
  /** The response's Date header; null if it has none. */
  readonly dateMs: number | null;
  readonly receivedAtMs: number;
}

export type AttemptResult =
  | { readonly ok: true; readonly answer: Answer }
  | { readonly ok: false; readonly failure: AttemptFailure };

/** How a reply is judged. */
export interface ReplyOptions {
  /** Bound on the whole attempt, the body included; whoever sends it keeps it. */
  readonly timeoutMs: number;
  /** Bound on the body, counted after decompression. */
  readonly maxBodyBytes: number;
  /** ms of a Date header, null if it is none. */
  readonly readDate: (header: string) => number | null;
  /** Told the API's clock minus this one, in ms, for every answer that has a Date header. */
  readonly onClock?: ((aheadMs: number) => void) | undefined;
}

/** What came of a request, and when. */
export interface Received {
  readonly reply: Reply;
  /** By the client's clock, like the next. */
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
}

/** What a reply means. Failures are values: it never throws. */
export async function readReply(received: Received, options: ReplyOptions): Promise<AttemptResult> {
  const { reply, sentAtMs, receivedAtMs } = received;
  const dateHeader = headerOf(reply, 'date');
  const dateMs = dateHeader === null ? null : options.readDate(dateHeader);
  if (dateMs !== null) options.onClock?.(dateMs - receivedAtMs);
  if (reply.status === 200) return await readAnswer(reply, options, { sentAtMs, dateMs, receivedAtMs });
  const failure =
    reply.status === null
      ? unanswered(reply, options)
      : await statusFailure(reply, reply.status, dateMs ?? receivedAtMs);
  return { ok: false, failure };
}

async function readAnswer(
  reply: Reply,
  options: ReplyOptions,
  times: Pick<Answer, 'sentAtMs' | 'dateMs' | 'receivedAtMs'>,
): Promise<AttemptResult> {
  const { maxBodyBytes } = options;
  if (reply.end === 'timeout' || reply.end === 'broken') return failed(unanswered(reply, options));
  if (reply.end === 'too_large') return failed(tooLarge(reply.body, maxBodyBytes));
  let bytes = reply.body;
  const encoding = headerOf(reply, 'content-encoding');
  if (encoding !== null) {
    try {
      const decoded = await decodeBody(bytes, encoding, maxBodyBytes);
      if (!decoded.isWhole) return failed(tooLarge(decoded.bytes, maxBodyBytes));
      bytes = decoded.bytes;
    } catch (error) {
      return failed(badBody(`the body cannot be decompressed: ${describeCause(error)}`, bytes));
    }
  }
  try {
    const text = strictUtf8.decode(bytes);
    return { ok: true, answer: { body: parseJson(text), text, bytes, ...times } };
  } catch {
    const type = headerOf(reply, 'content-type') ?? 'unknown';
    return failed(badBody(`the body is not JSON (content type ${type})`, bytes));
  }
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/** The status alone decides: a body that is cut, slow or huge only shortens the message. */
async function statusFailure(reply: Reply, status: number, answeredAtMs: number): Promise<AttemptFailure> {
  const retryAfterMs = readRetryAfter(headerOf(reply, 'retry-after'), answeredAtMs);
  const body = keptText(await decodeLeniently(reply));
  const detail = `${describeStatus(status)}${describeApiError(body)}`;
  const kind = kindOfStatus(status, retryAfterMs);
  return { kind, detail, status, body, retryAfterMs, isFinal: isRedirect(status) };
}

async function decodeLeniently(reply: Reply): Promise<Buffer> {
  const encoding = headerOf(reply, 'content-encoding');
  if (encoding === null) return reply.body;
  try {
    return (await decodeBody(reply.body, encoding, KEPT_BODY_BYTES)).bytes;
  } catch {
    return Buffer.alloc(0);
  }
}

/** Neither status nor body can be used: it took too long, or the connection broke. */
function unanswered({ end, cause }: Reply, { timeoutMs }: ReplyOptions): AttemptFailure {
  if (end !== 'timeout') return unreachable(cause);
  return { ...NOTHING, kind: 'timeout', detail: `no complete answer within ${timeoutMs} ms` };
}

function unreachable(cause: unknown): AttemptFailure {
  return { ...NOTHING, kind: 'unreachable', detail: `connection failed: ${describeCause(cause)}`, cause };
}

const NOTHING = { isFinal: false, status: null, retryAfterMs: null, body: null } as const;

function tooLarge(bytes: Buffer, maxBodyBytes: number): AttemptFailure {
  return { ...badBody(`the body is larger than ${maxBodyBytes} bytes`, bytes), isFinal: true };
}

function badBody(detail: string, bytes: Buffer): AttemptFailure {
  return { ...NOTHING, kind: 'bad_body', detail, status: 200, body: keptText(bytes) };
}

function failed(failure: AttemptFailure): AttemptResult {
  return { ok: false, failure };
}

function keptText(bytes: Buffer): string {
  return new TextDecoder().decode(bytes.subarray(0, KEPT_BODY_BYTES));
}

/** The first one, should there be several. */
function headerOf({ headers }: Reply, name: string): string | null {
  const value = headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

/** The API's own `{type, message}`, when the body has it. */
function describeApiError(body: string): string {
  try {
    const parsed: unknown = JSON.parse(body);
    if (typeof parsed !== 'object' || parsed === null) return '';
    const { type, message, validationErrors } = parsed as Record<string, unknown>;
    const parts = [type, message].filter((part) => typeof part === 'string' && part !== '');
    const text = parts.join(': ');
    const wrong = describeValidation(validationErrors).filter((each) => !text.includes(each));
    const all = [text, ...wrong].filter((each) => each !== '').join('; ');
    return all === '' ? '' : `: ${all.slice(0, 500)}`;
  } catch {
    return '';
  }
}

/** What a 400 sometimes lists beside its message: where the body or query is wrong, and how. */
function describeValidation(errors: unknown): string[] {
  if (!Array.isArray(errors)) return [];
  return errors.map((error: unknown) => {
    if (typeof error !== 'object' || error === null) return String(error);
    const { path, field, message } = error as Record<string, unknown>;
    const texts = [path ?? field, message].filter((part) => typeof part === 'string' && part !== '');
    return texts.length === 0 ? JSON.stringify(error) : texts.join(' ');
  });
}

/** The innermost cause: what a library says of its own is mostly that it failed. */
function describeCause(error: unknown): string {
  let inner = error;
  while (inner instanceof Error && inner.cause instanceof Error) inner = inner.cause;
  if (!(inner instanceof Error)) return 'unknown error';
  const { code } = inner as NodeJS.ErrnoException;
  return code === undefined || inner.message.includes(code) ? inner.message : `${inner.message} (${code})`;
}
