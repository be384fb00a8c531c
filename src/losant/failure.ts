/** Turns what went wrong with a request into a `LosantError`. */
import { isForceRetryError, isHTTPError, isNetworkError, isTimeoutError } from 'ky';
import { z } from 'zod';
import { LosantError, type LosantErrorKind } from '../errors.ts';
import { joinParts, showDuration } from '../terminal/words.ts';
import { type ApiRequest, type ApiResponse, parseRetryAfter } from './response.ts';

/** Why an attempt did not end in a JSON body. */
export interface Failure {
  readonly kind: LosantErrorKind;
  readonly problem: string;
  /** The HTTP status; unset without a response. */
  readonly status?: number;
  /** The body, which may be long; unset without a response. */
  readonly body?: string;
  /** Whether another attempt cannot help, whatever its kind. */
  readonly isFinal?: boolean;
}

/** A message is cut there, because the explanation and the headers that it quotes may be long. Chosen. */
const PROBLEM_LENGTH_MAX = 600;

/** The beginning of an unusable body that its error contains: enough to recognize it. Chosen. */
const BODY_LENGTH_MAX = 64 * 1024;

/**
 * Creates an error of plain texts without a cause, because a proxy's error page or a library's error may quote the
 * token. The message has no control characters; the body is as received except for the token.
 */
export function createLosantError({ action, ids = {} }: ApiRequest, failure: Failure, token?: string): LosantError {
  const scrub = (text: string) => (token === undefined ? text : text.replaceAll(token, '[token]'));
  const names = Object.entries(ids).map(([name, value]) => `${name} ${value}`);
  const subject = names.length === 0 ? '' : ` (${names.join(', ')})`;
  const { kind, problem, status = null, body = null } = failure;
  // Neither a database nor a terminal can take control characters and lone surrogates.
  const safeProblem = scrub(problem)
    .slice(0, PROBLEM_LENGTH_MAX)
    .toWellFormed()
    .replaceAll(/\p{Cc}/gu, '\uFFFD');
  const excerpt = body === null ? null : scrub(body).slice(0, BODY_LENGTH_MAX);
  const details = { action, status, body: excerpt, hint: getHint(action, kind) };
  return new LosantError(kind, `${action}${subject}: ${safeProblem}`, details);
}

/** Returns the `LosantError` for an error of ky, which holds the request and with it the token; others as they are. */
export function toLosantError(
  error: unknown,
  request: ApiRequest,
  { timeoutMs, token }: { readonly timeoutMs: number; readonly token: string },
): unknown {
  const create = (failure: Failure) => createLosantError(request, failure, token);
  if (isForceRetryError(error)) return error.cause;
  if (isTimeoutError(error)) return create(lateResponse(timeoutMs));
  if (isNetworkError(error)) return create(lostConnection(error));
  if (!isHTTPError<unknown>(error)) return error;
  const { response, data } = error;
  // A gateway may send a 503 for a change that was made, so its Retry-After does not turn it into a rejection.
  const retryAfterMs = isChange(request.action) ? null : parseRetryAfter(response.headers);
  const body = typeof data === 'string' ? data : JSON.stringify(data ?? '');
  return create(failureOfStatus(response.status, body, retryAfterMs));
}

export function lateResponse(timeoutMs: number): Failure {
  return { kind: 'timeout', problem: `no complete response within ${timeoutMs} ms` };
}

export function lostConnection(error: unknown): Failure {
  return { kind: 'unreachable', problem: `connection failed: ${describeCause(error)}` };
}

/** Returns the failure of a response with status 200 and an unusable body. */
export function badBody(problem: string, body: string): Failure {
  return { kind: 'bad_body', problem, status: 200, body };
}

export function unexpectedBody(request: ApiRequest, { text }: ApiResponse, problem: string): LosantError {
  return createLosantError(request, badBody(`unexpected body: ${problem}`, text));
}

/** Returns the failure of a status other than 200, whose body may be incomplete: it only adds to the message. */
export function failureOfStatus(status: number, body = '', retryAfterMs: number | null = null): Failure {
  const kind = kindOfStatus(status, retryAfterMs);
  const wait = kind === 'rate_limited' && retryAfterMs !== null ? ` (wait ${showDuration(retryAfterMs)})` : '';
  const problem = `responded ${describeStatus(status, kind)}${wait}${describeApiError(body)}`;
  return { kind, problem, status, body };
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

export function kindOfStatus(status: number, retryAfterMs: number | null): LosantErrorKind {
  if (status === 503 && retryAfterMs !== null) return 'rate_limited';
  if (status >= 400) return KINDS[status] ?? (status >= 500 ? 'server_error' : 'rejected');
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

/** Describes the innermost cause: fetch itself says only that it failed. */
function describeCause(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return describeCause(error.cause);
  const { message, code } = error as NodeJS.ErrnoException;
  // OpenSSL's message quotes its source code. The error usually means a port for http.
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER') return `the server does not speak TLS on that port (${code})`;
  return code === undefined || message.includes(code) ? message : `${message} (${code})`.trim();
}

function getHint(action: string, kind: LosantErrorKind): string {
  // After any other error of a change, the organization is read back.
  const hint = isChange(action) ? (CHANGE_HINTS[kind] ?? '') : READ_HINTS[kind];
  return hint.replace('ACTION', action);
}

function isChange(action: string): boolean {
  return action === 'instanceOrg.patch' || action === 'instanceOrg.delete';
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
  rejected: 'Losant rejects this request, and its response says why; sending it again will not help.',
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
  rejected: "Nothing was changed; fix what Losant's response names, then try again.",
  rate_limited: 'Nothing was changed, and the request is not retried; wait a minute and try again.',
};
