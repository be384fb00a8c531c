import { z } from 'zod';
import { LosantError, type LosantErrorKind } from '../errors.ts';
import { joinParts, showDuration } from '../terminal/words.ts';

/** What errors tell about a request, and the signal that cancels it. */
export interface ApiRequest {
  /** For example `instanceOrg.deviceCounts`: also the name of the scope that it needs. */
  readonly action: string;
  /** For the message, for example `{ org: '575…', days: '2026-11-01..2026-11-23' }`. */
  readonly ids?: Readonly<Record<string, string>> | undefined;
  readonly signal: AbortSignal;
}

/** Why an attempt did not end in a JSON body. */
export interface Failure {
  readonly kind: LosantErrorKind;
  readonly problem: string;
  /** The HTTP status; unset without a response. */
  readonly status?: number;
  /** The beginning of the body; unset without a response. */
  readonly body?: string;
  /** The wait in ms that the response asks for; null if it asks for none. */
  readonly retryAfterMs?: number | null;
}

/**
 * The error of an attempt. It consists of plain texts without a cause, because a proxy's error page or a library's
 * error may quote the token. The message has no control characters; the body is as received except for the token.
 */
export class AttemptError extends LosantError {
  readonly retryAfterMs: number | null;
  isRetried = false;

  constructor({ action, ids = {} }: ApiRequest, failure: Failure, token?: string) {
    const scrub = (text: string) => (token === undefined ? text : removeToken(text, token));
    const names = Object.entries(ids).map(([name, value]) => `${name} ${value}`);
    const subject = names.length === 0 ? '' : ` (${names.join(', ')})`;
    const { kind, problem, status = null, retryAfterMs = null } = failure;
    const body = failure.body === undefined ? null : scrub(failure.body);
    // Neither a database nor a terminal can take control characters and lone surrogates.
    const safeProblem = scrub(problem)
      .slice(0, PROBLEM_LENGTH_MAX)
      .toWellFormed()
      .replaceAll(/\p{Cc}/gu, '\uFFFD');
    super(kind, `${action}${subject}: ${safeProblem}`, { action, status, body, hint: getHint(action, kind) });
    this.retryAfterMs = retryAfterMs;
  }
}

/** A message is cut there, because the explanation and the headers that it quotes may be long. Chosen. */
const PROBLEM_LENGTH_MAX = 600;

/** A shorter beginning of the token may be any other text, and is of no use to anybody. */
const TOKEN_START_LENGTH = 4;

/** Removes the token from a text that may be cut in the middle of it. */
function removeToken(text: string, token: string): string {
  const scrubbed = text.replaceAll(token, '[token]');
  for (let length = token.length - 1; length >= TOKEN_START_LENGTH; length -= 1) {
    if (scrubbed.endsWith(token.slice(0, length))) return `${scrubbed.slice(0, -length)}[token]`;
  }
  return scrubbed;
}

/** Bytes of an unusable body that its error contains: enough to recognize it. Chosen. */
export const ERROR_BODY_BYTES = 64 * 1024;

function decodeExcerpt(content: Uint8Array): string {
  return new TextDecoder().decode(content.subarray(0, ERROR_BODY_BYTES));
}

/** Returns the failure of a response with status 200 and an unusable body. */
export function badBody(problem: string, content: Uint8Array): Failure {
  return { kind: 'bad_body', problem, status: 200, body: decodeExcerpt(content) };
}

export function unexpectedBody(request: ApiRequest, { text }: { text: string }, problem: string): AttemptError {
  return new AttemptError(request, badBody(`unexpected body: ${problem}`, Buffer.from(text)));
}

/** Returns the failure of a status other than 200, whose body may be incomplete: it only adds to the message. */
export function failureOfStatus(status: number, content: Uint8Array, retryAfterMs: number | null): Failure {
  const body = decodeExcerpt(content);
  const kind = kindOfStatus(status, retryAfterMs);
  const wait = kind === 'rate_limited' && retryAfterMs !== null ? ` (wait ${showDuration(retryAfterMs)})` : '';
  const problem = `responded ${describeStatus(status, kind)}${wait}${describeApiError(body)}`;
  return { kind, problem, status, body, retryAfterMs };
}

const KINDS: Readonly<Record<number, LosantErrorKind>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'not_supported',
  408: 'timeout',
  429: 'rate_limited',
  504: 'timeout',
};

function kindOfStatus(status: number, retryAfterMs: number | null): LosantErrorKind {
  if (status === 503 && retryAfterMs !== null) return 'rate_limited';
  if (status >= 400) return KINDS[status] ?? (status >= 500 ? 'server_error' : 'refused');
  // The API never redirects, so a redirect, which 304 is not, comes from elsewhere. Below 300, the body is incomplete.
  return status >= 300 && status !== 304 ? 'unreachable' : 'bad_body';
}

function describeStatus(status: number, kind: LosantErrorKind): string {
  if (kind === 'unreachable') return `with a redirect (HTTP ${status}), which is never followed`;
  return `with HTTP ${status}${kind === 'bad_body' ? ' instead of 200 with a complete body' : ''}`;
}

const word = z.string().catch('');
const words = z.record(z.string(), word).transform((map) => Object.values(map).join(' ').trim());

/** The API's error body. A 400 sometimes also lists what is wrong in the body or query. */
const apiError = z.object({
  type: word,
  message: word,
  validationErrors: z.array(z.union([z.string(), words])).catch([]),
});

/** Returns the API's explanation, or '' if the body has none. */
function describeApiError(body: string): string {
  try {
    const { type, message, validationErrors } = apiError.parse(JSON.parse(body));
    const text = joinParts(': ', type, message);
    const explanation = joinParts('; ', text, ...validationErrors.filter((each) => !text.includes(each)));
    return explanation && `: ${explanation}`;
  } catch {
    return '';
  }
}

function getHint(action: string, kind: LosantErrorKind): string {
  const isChange = action === 'instanceOrg.patch' || action === 'instanceOrg.delete';
  // After any other error of a change, the organization is read back.
  const hint = isChange ? (CHANGE_HINTS[kind] ?? '') : READ_HINTS[kind];
  return hint.replace('ACTION', action);
}

const READ_HINTS: Readonly<Record<LosantErrorKind, string>> = {
  unauthorized:
    'The token is unknown, expired or revoked. Create a new instance API token and put it in LOSANT_API_TOKEN, or ' +
    'in the file that LOSANT_API_TOKEN_FILE names.',
  forbidden: 'The token lacks a scope: add ACTION, or all.Instance.read, which allows every read.',
  not_found:
    'Check LOSANT_INSTANCE_ID, the organization ID, and LOSANT_API_URL, which usually has no path; the token ' +
    'may belong to another instance.',
  not_supported:
    'Check LOSANT_API_URL, which usually has no path. If it is correct, this Losant install is too old for the ' +
    'endpoint: update it, or remove the stream from STREAMS.',
  refused: 'Losant rejects this request, and its response says why; sending it again will not help.',
  rate_limited:
    'Losant asked to wait for longer than a run waits; later runs continue. If it often does, lower ' +
    'REQUESTS_PER_SECOND, or ask Losant for a higher limit.',
  server_error: 'Losant reported an internal error. The next run tries again; if it persists, contact Losant support.',
  unreachable:
    'Check LOSANT_API_URL and the network; behind a proxy set NODE_USE_ENV_PROXY=1 and HTTPS_PROXY, ' +
    'for a private certificate authority set NODE_EXTRA_CA_CERTS.',
  timeout: 'Raise REQUEST_TIMEOUT_MS if Losant is only slow; the next run tries again.',
  wrong_date:
    'A cache between here and Losant serves old responses, or a clock is wrong. Make the cache honor ' +
    'Cache-Control: no-cache, and synchronize the clocks (NTP).',
  bad_body: 'Check that LOSANT_API_URL reaches the API itself, not a proxy or login page.',
};

const CHANGE_HINTS: Readonly<Partial<Record<LosantErrorKind, string>>> = {
  unauthorized: 'LOSANT_ADMIN_TOKEN is unknown, expired or revoked. Nothing was changed; create a new token.',
  forbidden: 'LOSANT_ADMIN_TOKEN lacks a scope. Nothing was changed; add ACTION, or all.Instance.',
  not_found: 'LOSANT_API_TOKEN can see the organization; check that LOSANT_ADMIN_TOKEN belongs to the same instance.',
  not_supported: 'This Losant install does not support the request: nothing was changed; use the Losant web UI.',
  refused: "Nothing was changed; fix what Losant's response names, then try again.",
  rate_limited: 'Nothing was changed, and the request is not retried; wait a minute and try again.',
};

/** The listeners of each signal that has any, and what calls them. */
const listeners = new WeakMap<AbortSignal, { readonly all: Set<() => void>; readonly callAll: () => void }>();

/**
 * Calls `listener` once the signal aborts, until the returned function is called. All requests of a run have the same
 * signal, and a signal looks through all its listeners whenever one is added or removed. So it gets a single one. It
 * loses that one with the last listener: a combined signal that has any stays in memory until it aborts.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  const { all, callAll } = listeners.get(signal) ?? listen(signal);
  all.add(listener);
  return () => {
    all.delete(listener);
    if (all.size > 0) return;
    signal.removeEventListener('abort', callAll);
    listeners.delete(signal);
  };
}

function listen(signal: AbortSignal) {
  const all = new Set<() => void>();
  const entry = { all, callAll: () => all.forEach((each) => each()) };
  signal.addEventListener('abort', entry.callAll);
  listeners.set(signal, entry);
  return entry;
}

export interface ApiResponse {
  /** The result of `parseJson`. */
  readonly body: unknown;
  /** The body as received. */
  readonly text: string;
  /** When the successful attempt was sent, by the client's clock. */
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  /** The Date header; null if there is none. */
  readonly dateMs: number | null;
  readonly headers: ResponseHeaders;
}

/** Headers by lower-case name. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

export function getHeader(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'object' ? value[0] : value;
}

/** Returns null if the header is missing or invalid. */
export function parseDateHeader(headers: ResponseHeaders): number | null {
  const ms = Date.parse(getHeader(headers, 'date') ?? '');
  return Number.isNaN(ms) ? null : ms;
}

/** Returns 0 if the header is missing or invalid. */
function parseAge(headers: ResponseHeaders): number {
  const age = getHeader(headers, 'age') ?? '';
  return /^\d{1,10}$/.test(age) ? Number(age) : 0;
}

/** Returns null if missing or invalid. A date is compared with the response's own Date: clocks may differ. */
export function parseRetryAfter(headers: ResponseHeaders, receivedAtMs: number): number | null {
  const text = getHeader(headers, 'retry-after')?.trim() ?? '';
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  // `Date.parse` takes almost any text with a number for a date.
  const dateMs = text.endsWith('GMT') ? Date.parse(text) : Number.NaN;
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - (parseDateHeader(headers) ?? receivedAtMs));
}

/** A response that is dated further from the host's clock than this is rejected. Clocks may differ by less. */
export const RESPONSE_SKEW_MAX_MS = 5 * 60_000;

/** Returns why a response is not from now, or came from a cache and from before `notBeforeMs`; null if it is fine. */
export function findClockProblem(
  { dateMs, headers, receivedAtMs }: ApiResponse,
  { notBeforeMs = Number.NEGATIVE_INFINITY }: { notBeforeMs?: number | undefined },
): Failure | null {
  const toFailure = (problem: string): Failure => ({ kind: 'wrong_date', problem, status: 200 });
  const aheadMs = (dateMs ?? receivedAtMs) - receivedAtMs;
  if (Math.abs(aheadMs) > RESPONSE_SKEW_MAX_MS) {
    const distance = showDuration(Math.abs(aheadMs));
    return toFailure(`the response is dated ${distance} ${aheadMs > 0 ? 'in the future' : 'ago'} (Date header)`);
  }
  const ageSeconds = parseAge(headers);
  const ageMs = ageSeconds * 1_000;
  if (ageMs > RESPONSE_SKEW_MAX_MS) {
    return toFailure(`a cache served a response that is ${showDuration(ageMs)} old (Age header)`);
  }
  return ageMs > 0 && receivedAtMs - ageMs < notBeforeMs
    ? toFailure(`a cache served a response from before the days had ended: ${ageSeconds} s old (Age header)`)
    : null;
}
