import { LosantError, type LosantErrorKind } from '../errors.ts';
import type { AttemptResult } from './attempt.ts';
import type { AttemptFailure } from './retry.ts';

/** What was asked for; named in every error. */
export interface Asked {
  /** E.g. `instanceOrg.deviceCounts`: also the name of the scope it needs. */
  readonly action: string;
  /** What to name in the message, e.g. `{ org: '575…', days: '2026-11-01..2026-11-23' }`. */
  readonly ids?: Readonly<Record<string, string>>;
}

/**
 * The error a request ends with. Built from plain texts only: HTTP libraries'
 * own errors hold the request and with it the token. Its message has no control
 * character, whatever was answered; its body is kept as received.
 */
export function losantError(
  asked: Asked,
  failure: Omit<AttemptFailure, 'isFinal' | 'retryAfterMs'>,
  hint = hintFor(failure.kind, asked.action),
): LosantError {
  const { kind, status, detail, body, cause } = failure;
  const ids = Object.entries(asked.ids ?? {}).map(([name, value]) => `${name} ${value}`);
  const about = ids.length === 0 ? '' : ` (${ids.join(', ')})`;
  return new LosantError(kind, `${asked.action}${about}: ${harmless(detail)}`, {
    action: asked.action,
    status,
    body,
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The error of a failed attempt: a proxy's error page or a library's message may quote the token. */
export function errorWithoutToken(
  token: string,
  asked: Asked,
  failure: AttemptFailure,
  hint?: string,
): LosantError {
  const scrub = (text: string) => text.replaceAll(token, '[token]');
  const { kind, status, detail, body, cause } = failure;
  const plain = {
    detail: scrub(detail),
    body: body === null ? null : scrub(body),
    cause: plainCause(cause, scrub),
  };
  return losantError(asked, { kind, status, ...plain }, hint);
}

/** Bodies may be kept for people to look at: one that repeats the request's headers is no answer of the API. */
export function refuseEcho(token: string, result: AttemptResult): AttemptResult {
  if (!result.ok || !result.answer.text.includes(token)) return result;
  const detail = 'the body repeats the token, as a proxy that shows requests would';
  const failure = { kind: 'bad_body', detail, status: 200, body: result.answer.text } as const;
  return { ok: false, failure: { ...failure, isFinal: true, retryAfterMs: null } };
}

/** Neither a database nor a terminal takes what an answer may hold: U+FFFD for control characters and lone surrogates. */
function harmless(text: string): string {
  return text.toWellFormed().replaceAll(/\p{Cc}/gu, '\uFFFD');
}

/** A copy of an error that holds its name, message and code and nothing else. */
function plainCause(error: unknown, scrub: (text: string) => string): Error | undefined {
  if (!(error instanceof Error)) return undefined;
  const inner = plainCause(error.cause, scrub);
  const copy = new Error(harmless(scrub(error.message)), inner && { cause: inner });
  const { code } = error as NodeJS.ErrnoException;
  // The copy's stack would name this line; the original's may name files of libraries, never a secret.
  copy.stack = `${error.name}: ${copy.message}`;
  return Object.assign(copy, { name: error.name }, typeof code === 'string' && { code });
}

function hintFor(kind: LosantErrorKind, action: string): string {
  switch (kind) {
    case 'unauthorized':
      return 'The token is unknown, expired or revoked: create a new instance API token and set LOSANT_API_TOKEN.';
    case 'forbidden':
      return `The token lacks a scope: add ${action} to it, or all.Instance.read, which opens every read.`;
    case 'not_found':
      return 'Check LOSANT_INSTANCE_ID and the organization id; the token may belong to another instance.';
    case 'not_supported':
      return 'This Losant install is too old for the endpoint: update it, or leave the stream out of STREAMS.';
    case 'refused':
      return 'Losant will refuse the same request again: its answer says why.';
    case 'rate_limited':
      return 'Lower REQUESTS_PER_SECOND, or ask Losant for a higher limit; the next run takes up what is missing.';
    case 'server_error':
      return 'Losant has a problem of its own: the next run tries again; if it lasts, ask Losant support.';
    case 'unreachable':
      return (
        'Check LOSANT_API_URL and the network; behind a proxy set NODE_USE_ENV_PROXY=1 and HTTPS_PROXY, ' +
        'for a private certificate authority set NODE_EXTRA_CA_CERTS.'
      );
    case 'timeout':
      return 'Raise REQUEST_TIMEOUT_MS if Losant is only slow; the next run tries again.';
    case 'bad_body':
      return 'Check that LOSANT_API_URL is the API itself and no proxy or login page answers in its place.';
  }
}
