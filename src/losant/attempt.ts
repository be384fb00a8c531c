import { STATUS_CODES } from 'node:http';
import { HTTPError } from 'ky';
import { z } from 'zod';
import type { LosantErrorKind } from '../errors.ts';
import { showDuration } from '../terminal/words.ts';
import { parseJson } from '../usage/exact-json.ts';
import { PausedTooLongError } from './gate.ts';

/** Bytes kept of a body that could not be used: enough to recognize it. */
export const KEPT_BODY_BYTES = 64 * 1024;

/** A complete JSON answer. */
export interface Answer {
  /** The parsed body, with markers for numbers that a double would round and for repeated keys. */
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
  /** The response's Age header, the seconds that a cache has kept the answer; null if it has none. */
  readonly ageSeconds: number | null;
}

/** The result of one request. */
export interface Reply {
  readonly status: number;
  /** Headers by lower-case name; a repeated header has its first value. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body as far as it was read: complete, or the beginning of an error's body. */
  readonly content: Uint8Array;
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
}

/**
 * A response whose body has already been read. Its text needs no stream, which would be a fifth of the
 * cost of a request.
 */
export class WholeResponse extends Response {
  readonly reply: Reply;
  /** The answer of a response with status 200; null for any other status. */
  readonly answer: Answer | null;

  /** The constructor throws an {@link AttemptError} for a status of 200 whose body is not JSON. */
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

/** `answerOf` returns the answer that a client's response carries. */
export function answerOf(response: Response): Answer {
  if (response instanceof WholeResponse && response.answer !== null) return response.answer;
  throw new Error('a response that was not read to its end');
}

/** The reason why a request did not end in a JSON body. */
export interface AttemptFailure {
  readonly kind: LosantErrorKind;
  /** The HTTP status, or null if there was no answer. */
  readonly status: number | null;
  /** A description for the error message. */
  readonly detail: string;
  /** The answer's body, capped; null if there was none. */
  readonly body: string | null;
  readonly cause?: unknown;
  /** Whether the same request must fail the same way, whatever the kind. */
  readonly isFinal: boolean;
}

/** A failed attempt without a response whose status could explain it. */
export class AttemptError extends Error {
  override readonly name = 'AttemptError';
  readonly failure: AttemptFailure;

  constructor(failure: Omit<AttemptFailure, 'isFinal'> & { readonly isFinal?: boolean }) {
    super(failure.detail);
    this.failure = { isFinal: false, ...failure };
  }
}

/** `badBody` returns the error for a status of 200 whose body cannot be used. */
export function badBody(detail: string, bytes: Uint8Array, { isFinal = false } = {}): AttemptError {
  return new AttemptError({ kind: 'bad_body', status: 200, detail, body: keptText(bytes), isFinal });
}

/** The most that an answer's own time may differ from this clock; beyond it, the answer is not one of now. */
export const ANSWER_SKEW_MAX_MS = 5 * 60_000;

/**
 * `requireOwnTime` throws an {@link AttemptError} for an answer that was made at another time: by its Date, or by the
 * Age that a cache adds. One with an Age must not have been made before `notBeforeMs` either.
 */
export function requireOwnTime(answer: Answer, notBeforeMs: number, { isFinal }: { isFinal: boolean }): void {
  const { dateMs, ageSeconds, receivedAtMs } = answer;
  const byAgeMs = receivedAtMs - (ageSeconds ?? 0) * 1_000;
  const fail = (detail: string) => {
    throw new AttemptError({ kind: 'wrong_date', status: 200, detail, body: null, isFinal });
  };
  const aheadMs = (dateMs ?? receivedAtMs) - receivedAtMs;
  if (Math.abs(aheadMs) > ANSWER_SKEW_MAX_MS) {
    fail(
      `the answer was made ${showDuration(Math.abs(aheadMs))} ${aheadMs > 0 ? 'from now' : 'ago'} by its Date`,
    );
  }
  if (receivedAtMs - byAgeMs > ANSWER_SKEW_MAX_MS) {
    fail(`a cache has kept the answer for ${showDuration(receivedAtMs - byAgeMs)}, by its Age`);
  }
  if (byAgeMs < receivedAtMs && byAgeMs < notBeforeMs) {
    fail(`a cache has kept the answer since before the days were over: for ${ageSeconds} s, by its Age`);
  }
}

/**
 * `failureOf` returns the failure behind a response or an error. Returns null for an answer, and for an error
 * that did not come from the wire, such as an abort.
 */
export function failureOf(outcome: unknown): AttemptFailure | null {
  if (outcome instanceof AttemptError) return outcome.failure;
  if (outcome instanceof HTTPError) return failureOf(outcome.response);
  if (outcome instanceof WholeResponse) return outcome.answer === null ? statusFailure(outcome.reply) : null;
  if (!(outcome instanceof PausedTooLongError)) return null;
  return { kind: 'rate_limited', status: null, detail: outcome.message, body: null, isFinal: true };
}

const RETRIED: ReadonlySet<LosantErrorKind> = new Set([
  'server_error',
  'unreachable',
  'timeout',
  'wrong_date',
  'bad_body',
]);

/**
 * `isWorthAnotherTry` returns whether the same request may succeed if repeated. A wait that the API asked for
 * is no failure and is not decided here.
 */
export function isWorthAnotherTry(error: unknown): boolean {
  const failure = failureOf(error);
  return failure !== null && !failure.isFinal && RETRIED.has(failure.kind);
}

/**
 * `statusFailure` returns the failure for a status other than 200. A body that is cut, slow or huge only
 * shortens the message.
 */
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

export function kindOfStatus(status: number, retryAfterMs: number | null): LosantErrorKind {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'forbidden';
  if (status === 404) return 'not_found';
  if (status === 405) return 'not_supported';
  if (status === 408) return 'timeout';
  if (status === 429 || (status === 503 && retryAfterMs !== null)) return 'rate_limited';
  if (status >= 500) return 'server_error';
  if (status >= 400) return 'refused';
  // Only something other than the API redirects.
  if (isRedirect(status)) return 'unreachable';
  // The body is missing or partial, or the server claims that a cache has it.
  return 'bad_body';
}

/** `isRedirect` returns whether a status is a redirect. A 304 is none: it points nowhere. */
function isRedirect(status: number): boolean {
  return status >= 300 && status < 400 && status !== 304;
}

/** `describeStatus` returns the beginning of the message about a status other than 200. */
export function describeStatus(status: number): string {
  if (isRedirect(status)) return `answered with a redirect (HTTP ${status}), which is never followed`;
  if (status >= 400) return `answered HTTP ${status}`;
  const name = STATUS_CODES[status];
  return `answered HTTP ${status}${name === undefined ? '' : ` (${name})`} instead of 200 with a complete body`;
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

/** The API's own `{type, message}`. A 400 sometimes also lists where the body or query is wrong, and how. */
const apiError = z.object({
  type: word,
  message: word,
  validationErrors: z.array(validationError).catch([]),
});

/** `describeApiError` returns the API's own words, if the body has them. */
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

/** `readDate` returns the Date header in ms, or null if it is missing or cannot be read. */
export function readDate({ headers: { date = '' } }: Pick<Reply, 'headers'>): number | null {
  const dateMs = Date.parse(date);
  return Number.isNaN(dateMs) ? null : dateMs;
}

function readAge({ headers: { age = '' } }: Pick<Reply, 'headers'>): number | null {
  return /^\d{1,10}$/.test(age) ? Number(age) : null;
}

/**
 * `readRetryAfter` returns the wait in ms that the Retry-After header asks for: seconds, or an HTTP date
 * measured against the answer's own Date, so that our clock does not matter. Returns null if the header is
 * missing or cannot be read.
 */
export function readRetryAfter(reply: Pick<Reply, 'headers' | 'receivedAtMs'>): number | null {
  const text = reply.headers['retry-after']?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number.parseInt(text, 10) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - (readDate(reply) ?? reply.receivedAtMs));
}
