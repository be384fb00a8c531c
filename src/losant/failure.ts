import { LosantError, type LosantErrorKind } from '../errors.ts';
import { type Answer, type AttemptFailure, KEPT_BODY_BYTES } from './attempt.ts';

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
  failure: Omit<AttemptFailure, 'isFinal'>,
  {
    token,
    hint = hintsFor(asked.action)[failure.kind],
  }: { readonly token?: string; readonly hint?: string } = {},
): LosantError {
  const scrub = (text: string) => (token === undefined ? text : text.replaceAll(token, '[token]'));
  const { kind, status, detail, body } = failure;
  const ids = Object.entries(asked.ids ?? {}).map(([name, value]) => `${name} ${value}`);
  const about = ids.length === 0 ? '' : ` (${ids.join(', ')})`;
  const cause = plainCause(failure.cause, scrub);
  return new LosantError(kind, `${asked.action}${about}: ${harmless(scrub(detail))}`, {
    action: asked.action,
    status,
    body: body === null ? null : scrub(body),
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** `unusableAnswer` returns the error for an answer of status 200 that does not have the expected form. */
export function unusableAnswer(asked: Asked, { text }: Pick<Answer, 'text'>, problem: string): LosantError {
  const detail = `unexpected body: ${problem}`;
  return losantError(asked, { kind: 'bad_body', status: 200, detail, body: text.slice(0, KEPT_BODY_BYTES) });
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
