import { createJsonResponse, type FaultContext, type HttpResponse } from './delivery.ts';
import { createErrorBody } from './rejection.ts';

type CreateFault = (good: HttpResponse, context: FaultContext) => HttpResponse;

const LIMITED = createErrorBody('RateLimit', 'Too many requests');
const UNAVAILABLE = createErrorBody('ServiceUnavailable', 'Service is unavailable');
const BROKEN = createErrorBody('InternalError', 'Something went wrong');
const HTML = { 'Content-Type': 'text/html; charset=utf-8' };

const seconds = ({ retryAfterSeconds }: FaultContext) => ({ 'Retry-After': String(retryAfterSeconds) });

/** Faults that replace the response, and after which a retry makes sense. */
export const TRANSIENT_RESPONSES = {
  rate_limit: () => createJsonResponse(429, LIMITED),
  rate_limit_seconds: (_, context) => createJsonResponse(429, LIMITED, seconds(context)),
  rate_limit_date: (_, { nowMs, retryAfterSeconds }) =>
    createJsonResponse(429, LIMITED, { 'Retry-After': formatHttpDate(nowMs + retryAfterSeconds * 1000) }),
  unavailable: () => createJsonResponse(503, UNAVAILABLE),
  unavailable_after: (_, context) => createJsonResponse(503, UNAVAILABLE, seconds(context)),
  server_error: (_, { pick }) => createJsonResponse(pick % 2 === 0 ? 500 : 502, BROKEN),
  gateway_timeout: () => createJsonResponse(504, BROKEN),
  server_error_after: (_, context) => createJsonResponse(500, BROKEN, seconds(context)),
  html_ok: () => ({ status: 200, text: '<!doctype html><title>Sign in</title>', headers: HTML }),
  html_error: () => ({ status: 502, text: '<!doctype html><title>502 Bad Gateway</title>', headers: HTML }),
  redirect: (_, { url }) => ({ status: 302, text: '', headers: { Location: `${url}/elsewhere` } }),
  no_content: () => ({ status: 204, text: '', headers: {} }),
  // The body is complete: only the status suggests otherwise.
  partial_content: (good) => ({ ...good, status: 206 }),
  not_modified: () => ({ status: 304, text: '', headers: {} }),
} satisfies Record<string, CreateFault>;

/** Three and a half days. */
const CACHED_SECONDS = 302_400;

/** All faults that replace the response, including final ones and cached responses with half of the counts. */
export const FAULT_RESPONSES = {
  ...TRANSIENT_RESPONSES,
  unauthorized: () => createJsonResponse(401, createErrorBody('Unauthorized', 'Invalid or missing access token')),
  forbidden: () => createJsonResponse(403, createErrorBody('Forbidden', 'The access token lacks the scope')),
  not_found: () => createJsonResponse(404, createErrorBody('NotFound', 'Organization was not found')),
  too_large: () => createJsonResponse(413, createErrorBody('PayloadTooLarge', 'The result is too large')),
  odd_message: () => createJsonResponse(400, createErrorBody('Validation', ODD_MESSAGE)),
  cached: (good, { nowMs }) => halveCounts(good, { Date: new Date(nowMs - CACHED_SECONDS * 1000).toUTCString() }),
  cached_age: (good) => halveCounts(good, { Age: String(CACHED_SECONDS) }),
} satisfies Record<string, CreateFault>;

const ODD_MESSAGE = 'a NUL \0, an escape \u001b[2J\u001b[31m and half a pair \ud83d';

/** Keys of numbers that are not counts of usage. */
const OTHER_KEYS = ['start', 'end', 'date', 'count', 'totalCount', 'page', 'perPage'];

/** Returns the response with half of every count. */
function halveCounts(good: HttpResponse, headers: Record<string, string>): HttpResponse {
  const halve = (key: string, value: unknown) =>
    typeof value === 'number' && !OTHER_KEYS.includes(key) ? Math.floor(value / 2) : value;
  const text = JSON.stringify(JSON.parse(good.text, halve));
  return { ...good, text, headers: { ...good.headers, ...headers } };
}

/** Formats an HTTP date. It is rounded up to a second, so that it is never too early. */
function formatHttpDate(epochMs: number): string {
  return new Date(Math.ceil(epochMs / 1000) * 1000).toUTCString();
}
