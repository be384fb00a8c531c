import { STATUS_CODES } from 'node:http';
import { HTTPError } from 'ky';
import { z } from 'zod';
import type { LosantErrorKind } from '../errors.ts';
import { parseJson } from '../usage/exact-json.ts';
import { PausedTooLongError } from './gate.ts';

/** Bytes kept of a body that could not be used: enough to see what it was. */
export const KEPT_BODY_BYTES = 64 * 1024;

/** A complete JSON answer. */
export interface Answer {
  /** The parsed body, with markers where the text has a number that a double would round, or a key twice. */
  readonly body: unknown;
  /** The body as received. */
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly headers: Headers;
  /** The time at which the attempt that succeeded was sent, by the client's clock. */
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  /** The response's Date header; null if it has none. */
  readonly dateMs: number | null;
  /** The response's Age header: for how long a cache has kept the answer; null if it has none. */
  readonly ageSeconds: number | null;
}

/** What came of one request. */
export interface Reply {
  readonly status: number;
  /** Headers by their names in lower case; of one that is there more than once the first. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body as far as it was read: to its end, or the beginning of an error's. */
  readonly content: Uint8Array;
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
}

/** A response whose body has been read: its text is here without a stream, which is a fifth of the cost of a request. */
export class WholeResponse extends Response {
  readonly reply: Reply;
  /** What a response of status 200 says. */
  readonly answer: Answer | null;

  /** Throws an {@link AttemptError} for a status of 200 whose body is no JSON. */
  constructor(reply: Reply) {
    const { status, headers } = reply;
    super(null, { status, headers });
    this.reply = reply;
    this.answer = status === 200 ? readAnswer(reply, this.headers) : null;
  }

  override readonly text = (): Promise<string> =>
    Promise.resolve(new TextDecoder().decode(this.reply.content));
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

function readAnswer(reply: Reply, headers: Headers): Answer {
  const { content: bytes, sentAtMs, receivedAtMs } = reply;
  const times = { sentAtMs, receivedAtMs, dateMs: readDate(reply), ageSeconds: readAge(reply) };
  try {
    const text = strictUtf8.decode(bytes);
    return { body: parseJson(text), text, bytes, headers, ...times };
  } catch {
    const { 'content-type': type = 'unknown', 'content-encoding': encoding } = reply.headers;
    const compressed =
      encoding === undefined ? '' : `, content encoding ${encoding}, which was not asked for`;
    throw badBody(`the body is not JSON (content type ${type}${compressed})`, bytes);
  }
}

/** The answer that a client's response is. */
export function answerOf(response: Response): Answer {
  if (response instanceof WholeResponse && response.answer !== null) return response.answer;
  throw new Error('a response that was not read whole');
}

/** Why a request did not end in a JSON body. */
export interface AttemptFailure {
  readonly kind: LosantErrorKind;
  /** HTTP status, or null if there was no answer. */
  readonly status: number | null;
  /** What happened, for the error message. */
  readonly detail: string;
  /** The answer's body, capped; null if there was none. */
  readonly body: string | null;
  readonly cause?: unknown;
  /** Whether the same request must fail the same way, whatever its kind. */
  readonly isFinal: boolean;
}

/** An attempt that came to no response whose status could say what is wrong. */
export class AttemptError extends Error {
  override readonly name = 'AttemptError';
  readonly failure: AttemptFailure;

  constructor(failure: Omit<AttemptFailure, 'isFinal'> & { readonly isFinal?: boolean }) {
    super(failure.detail);
    this.failure = { isFinal: false, ...failure };
  }
}

/** A status of 200 whose body cannot be used. */
export function badBody(detail: string, bytes: Uint8Array, { isFinal = false } = {}): AttemptError {
  return new AttemptError({ kind: 'bad_body', status: 200, detail, body: keptText(bytes), isFinal });
}

/**
 * What a request failed with, by its response or the error it ended in; null for an answer,
 * and for an error that is none of the wire, such as an abort.
 */
export function failureOf(outcome: unknown): AttemptFailure | null {
  if (outcome instanceof AttemptError) return outcome.failure;
  if (outcome instanceof HTTPError) return failureOf(outcome.response);
  if (outcome instanceof WholeResponse) return outcome.answer === null ? statusFailure(outcome.reply) : null;
  if (!(outcome instanceof PausedTooLongError)) return null;
  return { kind: 'rate_limited', status: null, detail: outcome.message, body: null, isFinal: true };
}

const RETRIED: ReadonlySet<LosantErrorKind> = new Set(['server_error', 'unreachable', 'timeout', 'bad_body']);

/** Whether the same request may fare better. A wait that the API asked for is no failure, and not decided here. */
export function isWorthAnotherTry(error: unknown): boolean {
  const failure = failureOf(error);
  return failure !== null && !failure.isFinal && RETRIED.has(failure.kind);
}

/** The failure that a status other than 200 is: a body that is cut, slow or huge only shortens the message. */
export function statusFailure(reply: Reply): AttemptFailure {
  const { status } = reply;
  const body = keptText(reply.content);
  return {
    kind: kindOfStatus(status, readRetryAfter(reply)),
    status,
    detail: `${describeStatus(status)}${describeApiError(body)}`,
    body,
    isFinal: isRedirect(status),
  };
}

/** What an HTTP status other than 200 means. */
export function kindOfStatus(status: number, retryAfterMs: number | null): LosantErrorKind {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  if (status === 405) return 'not_supported';
  if (status === 408) return 'timeout';
  if (status === 429 || (status === 503 && retryAfterMs !== null)) return 'rate_limited';
  if (status >= 500) return 'server_error';
  if (status >= 400) return 'refused';
  // Whatever answers there, it is not the API.
  if (isRedirect(status)) return 'unreachable';
  // No body, a part of one, or one that a cache is said to have.
  return 'bad_body';
}

/** A status of 304 is no redirect: it points nowhere. */
function isRedirect(status: number): boolean {
  return status >= 300 && status < 400 && status !== 304;
}

/** The beginning of the message about a status other than 200. */
export function describeStatus(status: number): string {
  if (isRedirect(status)) return `answered with a redirect (HTTP ${status}), which is never followed`;
  if (status >= 400) return `answered HTTP ${status}`;
  const name = STATUS_CODES[status];
  return `answered HTTP ${status}${name === undefined ? '' : ` (${name})`} instead of 200 with a whole body`;
}

const word = z.string().min(1).optional().catch(undefined);
const validationError = z.union([
  z.string(),
  z.looseObject({ path: word, field: word, message: word }).transform(({ path, field, message, ...rest }) => {
    const words = [path ?? field, message].filter((each) => each !== undefined);
    return words.length === 0 ? JSON.stringify(rest) : words.join(' ');
  }),
  z.unknown().transform((each) => JSON.stringify(each)),
]);

/** The API's own `{type, message}`; a 400 sometimes lists beside them where the body or query is wrong, and how. */
const apiError = z.object({
  type: word,
  message: word,
  validationErrors: z.array(validationError).catch([]),
});

/** The API's own words, when the body has them. */
function describeApiError(body: string): string {
  const { data } = apiError.safeParse(jsonOrNull(body));
  if (data === undefined) return '';
  const text = [data.type, data.message].filter((each) => each !== undefined).join(': ');
  const wrong = data.validationErrors.filter((each) => !text.includes(each));
  const all = [text, ...wrong].filter((each) => each !== '').join('; ');
  return all === '' ? '' : `: ${all.slice(0, 500)}`;
}

function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function keptText(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes.subarray(0, KEPT_BODY_BYTES));
}

/** The Date header in ms, or null if there is none that can be read. */
export function readDate({ headers: { date = '' } }: Pick<Reply, 'headers'>): number | null {
  const dateMs = Date.parse(date);
  return Number.isNaN(dateMs) ? null : dateMs;
}

function readAge({ headers: { age = '' } }: Pick<Reply, 'headers'>): number | null {
  return /^\d{1,10}$/.test(age) ? Number(age) : null;
}

/**
 * Milliseconds that the Retry-After header asks to wait: seconds, or an HTTP date measured
 * against the answer's own Date, so that our clock does not matter. Null if there is none
 * or it cannot be read.
 */
export function readRetryAfter(reply: Pick<Reply, 'headers' | 'receivedAtMs'>): number | null {
  const text = reply.headers['retry-after']?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number.parseInt(text, 10) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - (readDate(reply) ?? reply.receivedAtMs));
}
