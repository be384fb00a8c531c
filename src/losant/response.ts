/** What a request asks, what a response says, and when it says so. */
import { showDuration } from '../terminal/words.ts';

/** What errors tell about a request, and the signal that cancels it. */
export interface ApiRequest {
  /** For example `instanceOrg.deviceCounts`: also the name of the scope that it needs. */
  readonly action: string;
  /** For the message, for example `{ org: '575…', days: '2026-11-01..2026-11-23' }`. */
  readonly ids?: Readonly<Record<string, string>> | undefined;
  readonly signal: AbortSignal;
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
  readonly headers: Headers;
}

/** Returns null if the header is missing or invalid. */
export function parseDateHeader(headers: Headers): number | null {
  const ms = Date.parse(headers.get('date') ?? '');
  return Number.isNaN(ms) ? null : ms;
}

/** Returns the wait in ms; null if missing or invalid. A date is compared with the response's own Date header. */
export function parseRetryAfter(headers: Headers): number | null {
  const text = headers.get('retry-after')?.trim() ?? '';
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  // `Date.parse` takes almost any text with a number for a date.
  const dateMs = text.endsWith('GMT') ? Date.parse(text) : Number.NaN;
  const responseMs = parseDateHeader(headers);
  return Number.isNaN(dateMs) || responseMs === null ? null : Math.max(0, dateMs - responseMs);
}

/** A response that is dated further from the host's clock than this is rejected. Clocks may differ by less. */
export const RESPONSE_SKEW_MAX_MS = 5 * 60_000;

/** Returns why a response is not from now, or came from a cache and from before `notBeforeMs`; null if it is fine. */
export function findClockProblem(
  { dateMs, headers, receivedAtMs }: ApiResponse,
  notBeforeMs = Number.NEGATIVE_INFINITY,
): string | null {
  const aheadMs = (dateMs ?? receivedAtMs) - receivedAtMs;
  if (Math.abs(aheadMs) > RESPONSE_SKEW_MAX_MS) {
    const distance = showDuration(Math.abs(aheadMs));
    return `the response is dated ${distance} ${aheadMs > 0 ? 'in the future' : 'ago'} (Date header)`;
  }
  const ageSeconds = Number.parseInt(headers.get('age') ?? '', 10) || 0;
  const ageMs = ageSeconds * 1_000;
  if (ageMs > RESPONSE_SKEW_MAX_MS) {
    return `a cache served a response that is ${showDuration(ageMs)} old (Age header)`;
  }
  return ageMs > 0 && receivedAtMs - ageMs < notBeforeMs
    ? `a cache served a response from before the days had ended: ${ageSeconds} s old (Age header)`
    : null;
}
