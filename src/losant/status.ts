import { STATUS_CODES } from 'node:http';
import type { LosantErrorKind } from '../errors.ts';

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
  // No body, a part of one, or one that somebody has kept.
  return 'bad_body';
}

/** 304 is none: it points nowhere. */
export function isRedirect(status: number): boolean {
  return status >= 300 && status < 400 && status !== 304;
}

/** The beginning of the message about a status other than 200. */
export function describeStatus(status: number): string {
  if (isRedirect(status)) return `answered with a redirect (HTTP ${status}), which is never followed`;
  if (status >= 400) return `answered HTTP ${status}`;
  const name = STATUS_CODES[status];
  return `answered HTTP ${status}${name === undefined ? '' : ` (${name})`} instead of 200 with a whole body`;
}
