import { z } from 'zod';
import { LosantError, type LosantErrorKind } from '../errors.ts';
import { hintFor } from './hints.ts';

/** A question to the API, as every error names it, until the signal aborts. */
export interface Question {
  /** The action, e.g. `instanceOrg.deviceCounts`, which is also the name of the scope it needs. */
  readonly action: string;
  /** Names for the message, e.g. `{ org: '575…', days: '2026-11-01..2026-11-23' }`. */
  readonly ids?: Readonly<Record<string, string>> | undefined;
  readonly signal: AbortSignal;
}

/** The way in which an attempt of a request did not end in a JSON body. */
export interface Failure {
  readonly kind: LosantErrorKind;
  readonly problem: string;
  /** The HTTP status; unset if there was no answer. */
  readonly status?: number;
  /** The beginning of the answer's body; unset if there was none. */
  readonly body?: string;
  /** The wait in ms that the answer asks for; null if it names none. */
  readonly retryAfterMs?: number | null;
}

/**
 * The error of an attempt. It is built from plain texts only and has no cause, because a proxy's error page or a
 * library's error may quote the token. Its message contains no control characters, and its body is kept as
 * received except for the token.
 */
export class AttemptError extends LosantError {
  readonly retryAfterMs: number | null;
  isRepeated = false;

  constructor({ action, ids = {} }: Question, failure: Failure, token?: string) {
    const scrub = (text: string) => (token === undefined ? text : text.replaceAll(token, '[token]'));
    const names = Object.entries(ids).map(([name, value]) => `${name} ${value}`);
    const about = names.length === 0 ? '' : ` (${names.join(', ')})`;
    const { kind, problem, status = null, retryAfterMs = null } = failure;
    const body = failure.body === undefined ? null : scrub(failure.body);
    // Neither a database nor a terminal takes control characters and lone surrogates.
    const harmless = scrub(problem)
      .toWellFormed()
      .replaceAll(/\p{Cc}/gu, '\uFFFD');
    super(kind, `${action}${about}: ${harmless}`, { action, status, body, hint: hintFor(action, kind) });
    this.retryAfterMs = retryAfterMs;
  }
}

/** Bytes kept of a body that could not be used: enough to recognize it. */
export const KEPT_BODY_BYTES = 64 * 1024;

function keptText(content: Uint8Array): string {
  return new TextDecoder().decode(content.subarray(0, KEPT_BODY_BYTES));
}

/** Returns the failure of a status of 200 whose body cannot be used. */
export function badBody(problem: string, content: Uint8Array): Failure {
  return { kind: 'bad_body', problem, status: 200, body: keptText(content) };
}

/** Returns the error for an answer of status 200 that does not have the expected form. */
export function unexpectedBody(asked: Question, { text }: { text: string }, problem: string): AttemptError {
  return new AttemptError(asked, badBody(`unexpected body: ${problem}`, Buffer.from(text)));
}

/** Returns the failure of a status other than 200. A body that is cut, slow or huge only shortens the message. */
export function failureOfStatus(status: number, content: Uint8Array, retryAfterMs: number | null): Failure {
  const body = keptText(content);
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
  // Only something other than the API redirects; 304 points nowhere. Below, the body is missing or partial.
  return status >= 300 && status !== 304 ? 'unreachable' : 'bad_body';
}

function describeStatus(status: number, kind: LosantErrorKind): string {
  if (kind === 'unreachable') return `with a redirect (HTTP ${status}), which is never followed`;
  return `with HTTP ${status}${kind === 'bad_body' ? ' instead of 200 with a complete body' : ''}`;
}

const word = z.string().catch('');
const words = z.record(z.string(), word).transform((map) => Object.values(map).join(' ').trim());

/** The API's own `{type, message}`. A 400 sometimes also lists where the body or query is wrong, and how. */
const apiError = z.object({
  type: word,
  message: word,
  validationErrors: z.array(z.union([z.string(), words])).catch([]),
});

/** Returns the API's own words, if the body has them. */
function describeApiError(body: string): string {
  try {
    const { type, message, validationErrors } = apiError.parse(JSON.parse(body));
    const text = [type, message].filter(Boolean).join(': ');
    const all = [text, ...validationErrors.filter((each) => !text.includes(each))].filter(Boolean).join('; ');
    return all && `: ${all.slice(0, 500)}`;
  } catch {
    return '';
  }
}
