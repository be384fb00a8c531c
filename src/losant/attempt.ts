import { z } from 'zod';
import { LosantError, type LosantErrorKind } from '../errors.ts';
import { getHint } from './hints.ts';

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
    const scrub = (text: string) => (token === undefined ? text : text.replaceAll(token, '[token]'));
    const names = Object.entries(ids).map(([name, value]) => `${name} ${value}`);
    const subject = names.length === 0 ? '' : ` (${names.join(', ')})`;
    const { kind, problem, status = null, retryAfterMs = null } = failure;
    const body = failure.body === undefined ? null : scrub(failure.body);
    // Neither a database nor a terminal can take control characters and lone surrogates.
    const safeProblem = scrub(problem)
      .toWellFormed()
      .replaceAll(/\p{Cc}/gu, '\uFFFD');
    super(kind, `${action}${subject}: ${safeProblem}`, { action, status, body, hint: getHint(action, kind) });
    this.retryAfterMs = retryAfterMs;
  }
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

/** Returns the error for a JSON body that does not have the expected form. */
export function unexpectedBody(
  request: ApiRequest,
  { text }: { text: string },
  problem: string,
): AttemptError {
  return new AttemptError(request, badBody(`unexpected body: ${problem}`, Buffer.from(text)));
}

/** Returns the failure of a status other than 200, whose body may be incomplete: it only adds to the message. */
export function failureOfStatus(status: number, content: Uint8Array, retryAfterMs: number | null): Failure {
  const body = decodeExcerpt(content);
  const kind = kindOfStatus(status, retryAfterMs);
  const problem = `responded ${describeStatus(status, kind)}${describeApiError(body)}`;
  return { kind, problem, status, body, retryAfterMs };
}

const KINDS: Readonly<Record<number, LosantErrorKind>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'not_supported',
  408: 'timeout',
  429: 'rate_limited',
};

function kindOfStatus(status: number, retryAfterMs: number | null): LosantErrorKind {
  if (status === 503 && retryAfterMs !== null) return 'rate_limited';
  if (status >= 500) return 'server_error';
  if (status >= 400) return KINDS[status] ?? 'refused';
  // The API never redirects, so a redirect comes from something else; 304 is none. Below 300, the body is incomplete.
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
    const text = [type, message].filter(Boolean).join(': ');
    const parts = [text, ...validationErrors.filter((each) => !text.includes(each))];
    const explanation = parts.filter(Boolean).join('; ');
    return explanation && `: ${explanation.slice(0, 500)}`;
  } catch {
    return '';
  }
}
