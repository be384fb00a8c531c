import { errorBody } from './bodies.ts';
import { jsonReply, type Reply } from './deliver.ts';
import type { ChosenFault, ReplyKind } from './faults.ts';

/** Returns the answer that replaces the good one; `url` is the simulator's own. */
export function faultReply(
  kind: ReplyKind,
  { plan, pick }: ChosenFault,
  { nowMs, url, good }: { nowMs: number; url: string; good: Reply },
): Reply {
  const seconds = plan.retryAfterSeconds ?? 1;
  const ageSeconds = plan.ageSeconds ?? CACHED_SECONDS;
  const retryAfter = { 'Retry-After': String(seconds) };
  const html = { 'Content-Type': 'text/html; charset=utf-8' };
  const limited = errorBody('RateLimit', 'Too many requests');
  const unavailable = errorBody('ServiceUnavailable', 'Service is unavailable');
  switch (kind) {
    case 'rate_limit':
      return jsonReply(429, limited);
    case 'rate_limit_seconds':
      return jsonReply(429, limited, retryAfter);
    case 'rate_limit_date':
      return jsonReply(429, limited, { 'Retry-After': httpDate(nowMs + seconds * 1000) });
    case 'unavailable':
      return jsonReply(503, unavailable);
    case 'unavailable_after':
      return jsonReply(503, unavailable, retryAfter);
    case 'server_error':
      return jsonReply([500, 502, 504][pick % 3] ?? 500, errorBody('InternalError', 'Something went wrong'));
    case 'server_error_after':
      return jsonReply(500, errorBody('InternalError', 'Something went wrong'), retryAfter);
    case 'html_ok':
      return { status: 200, text: '<!doctype html><title>Sign in</title>', headers: html };
    case 'html_error':
      return { status: 502, text: '<!doctype html><title>502 Bad Gateway</title>', headers: html };
    case 'redirect':
      return { status: 302, text: '', headers: { Location: plan.redirectTo ?? `${url}/elsewhere` } };
    case 'no_content':
      return { status: 204, text: '', headers: {} };
    case 'partial_content':
      // The body is complete: only the status shows that it may be a part.
      return { ...good, status: 206 };
    case 'not_modified':
      return { status: 304, text: '', headers: {} };
    case 'cached':
      return cachedReply(good, { Date: new Date(nowMs - ageSeconds * 1000).toUTCString() });
    case 'cached_age':
      return cachedReply(good, { Age: String(ageSeconds) });
    case 'unauthorized':
      return jsonReply(401, errorBody('Unauthorized', 'Invalid or missing access token'));
    case 'forbidden':
      return jsonReply(403, errorBody('Forbidden', 'The access token lacks the scope'));
    case 'not_found':
      return jsonReply(404, errorBody('NotFound', 'Organization was not found'));
    case 'too_large':
      return jsonReply(413, errorBody('PayloadTooLarge', 'The result is too large'));
    case 'odd_message':
      return jsonReply(
        400,
        errorBody('Validation', 'a NUL \0, an escape \u001b[2J\u001b[31m and half a pair \ud83d'),
      );
  }
}

const CACHED_SECONDS = 3.5 * 86_400;

/** Returns the answer as a cache kept it from a time at which half of everything had been counted. */
function cachedReply(good: Reply, headers: Record<string, string>): Reply {
  const halve = (key: string, value: unknown) =>
    typeof value === 'number' && !ENVELOPE.includes(key) ? Math.floor(value / 2) : value;
  const text = JSON.stringify(JSON.parse(good.text, halve));
  return { ...good, text, headers: { ...good.headers, ...headers } };
}

/** Numbers that are no counts. */
const ENVELOPE = ['start', 'end', 'date', 'count', 'totalCount', 'page', 'perPage'];

/** Returns an HTTP date. It has whole seconds and is rounded up, so that it is never too early. */
function httpDate(epochMs: number): string {
  return new Date(Math.ceil(epochMs / 1000) * 1000).toUTCString();
}
