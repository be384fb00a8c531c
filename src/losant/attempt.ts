import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import { LosantError, type LosantErrorKind } from '../errors.ts';
import { showDuration } from '../terminal/words.ts';
import { parseJson } from '../usage/body.ts';

/** Bytes kept of a body that could not be used: enough to recognize it. */
export const KEPT_BODY_BYTES = 64 * 1024;

/** A complete JSON answer. */
export interface Answer {
  /** The parsed body, with markers for numbers that a double would round and for repeated keys. */
  readonly body: unknown;
  /** The body as received. */
  readonly text: string;
  readonly headers: Headers;
  /** The time at which the attempt that succeeded was sent, by the client's clock. */
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  /** The response's Date header; null if it has none. */
  readonly dateMs: number | null;
  /** The response's Age header, the seconds that a cache has kept the answer; null if it has none. */
  readonly ageSeconds: number | null;
}

/** The parts of a response that were received. */
export interface Received {
  /** Headers by lower-case name; a repeated header has its first value. */
  readonly headers: Readonly<Record<string, string>>;
  /** The body as far as it was read: complete, or the beginning of an error's body. */
  readonly content: Uint8Array;
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true });

/** `readAnswer` returns the answer of a status of 200. Throws {@link AttemptError} if its body is not JSON. */
export function readAnswer(
  { headers, content: bytes }: Received,
  times: Pick<Answer, 'sentAtMs' | 'receivedAtMs'>,
): Answer {
  const { age = '', 'content-type': type = 'unknown', 'content-encoding': encoding } = headers;
  const ageSeconds = /^\d{1,10}$/.test(age) ? Number(age) : null;
  try {
    const text = strictUtf8.decode(bytes);
    const body = parseJson(text);
    return {
      body,
      text,
      headers: new Headers(headers),
      ...times,
      dateMs: readDate(headers),
      ageSeconds,
    };
  } catch {
    const compressed =
      encoding === undefined ? '' : `, content encoding ${encoding}, which was not asked for`;
    throw badBody(`the body is not JSON (content type ${type}${compressed})`, bytes);
  }
}

export interface AttemptErrorDetails {
  /** The HTTP status; unset if there was no answer. */
  readonly status?: number;
  /** The answer's body, capped; unset if there was none. */
  readonly body?: string;
  /** Whether the same request must fail the same way, whatever the kind. */
  readonly isFinal?: boolean;
  /** The wait in ms that the answer asks for; null if it names none. */
  readonly retryAfterMs?: number | null;
  readonly cause?: unknown;
}

/** The reason why an attempt of a request did not end in a JSON body. */
export class AttemptError extends Error {
  override readonly name = 'AttemptError';
  readonly kind: LosantErrorKind;
  readonly status: number | null;
  readonly body: string | null;
  readonly isFinal: boolean;
  readonly retryAfterMs: number | null;

  constructor(kind: LosantErrorKind, message: string, details: AttemptErrorDetails = {}) {
    super(message, { cause: details.cause });
    const { status = null, body = null, isFinal = false, retryAfterMs = null } = details;
    this.kind = kind;
    this.status = status;
    this.body = body;
    this.isFinal = isFinal;
    this.retryAfterMs = retryAfterMs;
  }
}

/** `badBody` returns the error for a status of 200 whose body cannot be used. */
export function badBody(detail: string, bytes: Uint8Array, { isFinal = false } = {}): AttemptError {
  return new AttemptError('bad_body', detail, { status: 200, body: keptText(bytes), isFinal });
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
    throw new AttemptError('wrong_date', detail, { status: 200, isFinal });
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
  return error instanceof AttemptError && !error.isFinal && RETRIED.has(error.kind);
}

/**
 * `statusError` returns the error for a status other than 200. A body that is cut, slow or huge only shortens
 * the message.
 */
export function statusError(
  status: number,
  { headers, content, receivedAtMs }: Received & { readonly receivedAtMs: number },
): AttemptError {
  const body = keptText(content);
  const retryAfterMs = readRetryAfter(headers, receivedAtMs);
  const message = `${describeStatus(status)}${describeApiError(body)}`;
  const isFinal = isRedirect(status);
  return new AttemptError(kindOfStatus(status, retryAfterMs), message, {
    status,
    body,
    isFinal,
    retryAfterMs,
  });
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
export function readDate({ date = '' }: Received['headers']): number | null {
  const dateMs = Date.parse(date);
  return Number.isNaN(dateMs) ? null : dateMs;
}

/**
 * `readRetryAfter` returns the wait in ms that the Retry-After header asks for: seconds, or an HTTP date
 * measured against the answer's own Date, so that our clock does not matter. Returns null if the header is
 * missing or cannot be read.
 */
export function readRetryAfter(headers: Received['headers'], receivedAtMs: number): number | null {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number.parseInt(text, 10) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - (readDate(headers) ?? receivedAtMs));
}

/** A question to the API, as every error names it. */
export interface Asked {
  /** The action, e.g. `instanceOrg.deviceCounts`, which is also the name of the scope it needs. */
  readonly action: string;
  /** Names for the message, e.g. `{ org: '575…', days: '2026-11-01..2026-11-23' }`. */
  readonly ids?: Readonly<Record<string, string>>;
}

/**
 * `losantError` returns the error that ends a request. It is built from plain texts only, because a proxy's
 * error page or a library's message may quote the token. Its message contains no control characters, and its
 * body is kept as received except for the token.
 */
export function losantError(
  asked: Asked,
  { kind, status, body, message, cause }: AttemptError,
  {
    token,
    attempts = 1,
    hint = hintsFor(asked.action)[kind],
  }: { readonly token?: string; readonly attempts?: number; readonly hint?: string } = {},
): LosantError {
  const scrub = (text: string) => (token === undefined ? text : text.replaceAll(token, '[token]'));
  const ids = Object.entries(asked.ids ?? {}).map(([name, value]) => `${name} ${value}`);
  const about = ids.length === 0 ? '' : ` (${ids.join(', ')})`;
  const tried = attempts > 1 ? ` (after ${attempts} attempts)` : '';
  return new LosantError(kind, `${asked.action}${about}: ${harmless(scrub(message + tried))}`, {
    action: asked.action,
    status,
    body: body === null ? null : scrub(body),
    hint,
    cause: plainCause(cause, scrub),
  });
}

/** `unusableAnswer` returns the error for an answer of status 200 that does not have the expected form. */
export function unusableAnswer(asked: Asked, { text }: Pick<Answer, 'text'>, problem: string): LosantError {
  const details = { status: 200, body: text.slice(0, KEPT_BODY_BYTES) };
  return losantError(asked, new AttemptError('bad_body', `unexpected body: ${problem}`, details));
}

/**
 * `harmless` replaces control characters and lone surrogates with U+FFFD: an answer may contain them, and
 * neither a database nor a terminal takes them.
 */
function harmless(text: string): string {
  return text.toWellFormed().replaceAll(/\p{Cc}/gu, '\uFFFD');
}

/** `plainCause` returns a copy of an error with its name, message and code and nothing else. */
function plainCause(error: unknown, scrub: (text: string) => string): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  const inner = plainCause(error.cause, scrub);
  const copy = new Error(harmless(scrub(error.message)), inner && { cause: inner });
  const { code } = error as NodeJS.ErrnoException;
  // The copy's own stack would name this line; the original's stack may quote a secret.
  copy.stack = `${error.name}: ${copy.message}`;
  return Object.assign(copy, { name: error.name }, typeof code === 'string' && { code });
}

/** `hintsFor` returns the next step for each kind of error of a request for `action`. */
function hintsFor(action: string): Readonly<Record<LosantErrorKind, string>> {
  return {
    unauthorized:
      'The token is unknown, expired or revoked: create a new instance API token and set LOSANT_API_TOKEN.',
    forbidden: `The token lacks a scope: add ${action} to it, or all.Instance.read, which opens every read.`,
    not_found:
      'Check LOSANT_INSTANCE_ID, the organization id and the path of LOSANT_API_URL, which mostly has none; the token ' +
      'may belong to another instance.',
    not_supported:
      'This Losant install is too old for the endpoint: update it, or leave the stream out of STREAMS.',
    refused: 'Losant will refuse the same request again: its answer says why.',
    rate_limited:
      'Lower REQUESTS_PER_SECOND, or ask Losant for a higher limit; the next run takes up what is missing.',
    server_error:
      'Losant has a problem of its own: the next run tries again; if it lasts, ask Losant support.',
    unreachable:
      'Check LOSANT_API_URL and the network; behind a proxy set NODE_USE_ENV_PROXY=1 and HTTPS_PROXY, ' +
      'for a private certificate authority set NODE_EXTRA_CA_CERTS.',
    timeout: 'Raise REQUEST_TIMEOUT_MS if Losant is only slow; the next run tries again.',
    wrong_date:
      'Something between here and Losant keeps answers, or a clock is wrong: let it pass on requests that say ' +
      'Cache-Control: no-cache, and set the clocks (NTP).',
    bad_body: 'Check that LOSANT_API_URL is the API itself and no proxy or login page answers in its place.',
  };
}
