import { type FaultContext, jsonReply, type Reply } from './deliver.ts';
import { errorBody } from './refusal.ts';

type MakeReply = (good: Reply, context: FaultContext) => Reply;

const LIMITED = errorBody('RateLimit', 'Too many requests');
const UNAVAILABLE = errorBody('ServiceUnavailable', 'Service is unavailable');
const BROKEN = errorBody('InternalError', 'Something went wrong');
const HTML = { 'Content-Type': 'text/html; charset=utf-8' };

const seconds = ({ retryAfterSeconds }: FaultContext) => ({ 'Retry-After': String(retryAfterSeconds) });

/** Faults that are a complete answer of their own. */
export const REPLIES = {
  rate_limit: () => jsonReply(429, LIMITED),
  rate_limit_seconds: (_, context) => jsonReply(429, LIMITED, seconds(context)),
  rate_limit_date: (_, { nowMs, retryAfterSeconds }) =>
    jsonReply(429, LIMITED, { 'Retry-After': httpDate(nowMs + retryAfterSeconds * 1000) }),
  unavailable: () => jsonReply(503, UNAVAILABLE),
  unavailable_after: (_, context) => jsonReply(503, UNAVAILABLE, seconds(context)),
  server_error: (_, { pick }) => jsonReply([500, 502, 504][pick % 3] ?? 500, BROKEN),
  server_error_after: (_, context) => jsonReply(500, BROKEN, seconds(context)),
  html_ok: () => ({ status: 200, text: '<!doctype html><title>Sign in</title>', headers: HTML }),
  html_error: () => ({ status: 502, text: '<!doctype html><title>502 Bad Gateway</title>', headers: HTML }),
  redirect: (_, { url }) => ({ status: 302, text: '', headers: { Location: `${url}/elsewhere` } }),
  no_content: () => ({ status: 204, text: '', headers: {} }),
  // The body is complete: only the status shows that it may be a part.
  partial_content: (good) => ({ ...good, status: 206 }),
  not_modified: () => ({ status: 304, text: '', headers: {} }),
} satisfies Record<string, MakeReply>;

/** Three and a half days. */
const CACHED_SECONDS = 302_400;

/** All faults that are answers: also final ones, and those that a cache made when half had been counted. */
export const ANSWERS = {
  ...REPLIES,
  unauthorized: () => jsonReply(401, errorBody('Unauthorized', 'Invalid or missing access token')),
  forbidden: () => jsonReply(403, errorBody('Forbidden', 'The access token lacks the scope')),
  not_found: () => jsonReply(404, errorBody('NotFound', 'Organization was not found')),
  too_large: () => jsonReply(413, errorBody('PayloadTooLarge', 'The result is too large')),
  odd_message: () => jsonReply(400, errorBody('Validation', ODD_MESSAGE)),
  cached: (good, { nowMs }) => halved(good, { Date: new Date(nowMs - CACHED_SECONDS * 1000).toUTCString() }),
  cached_age: (good) => halved(good, { Age: String(CACHED_SECONDS) }),
} satisfies Record<string, MakeReply>;

const ODD_MESSAGE = 'a NUL \0, an escape \u001b[2J\u001b[31m and half a pair \ud83d';

/** Numbers that are no counts. */
const ENVELOPE = ['start', 'end', 'date', 'count', 'totalCount', 'page', 'perPage'];

/** Returns the answer with half of every count. */
function halved(good: Reply, headers: Record<string, string>): Reply {
  const halve = (key: string, value: unknown) =>
    typeof value === 'number' && !ENVELOPE.includes(key) ? Math.floor(value / 2) : value;
  const text = JSON.stringify(JSON.parse(good.text, halve));
  return { ...good, text, headers: { ...good.headers, ...headers } };
}

/** Returns an HTTP date. It has whole seconds and is rounded up, so that it is never too early. */
function httpDate(epochMs: number): string {
  return new Date(Math.ceil(epochMs / 1000) * 1000).toUTCString();
}
