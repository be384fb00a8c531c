import { showDuration } from '../terminal/words.ts';
import type { Failure } from './attempt.ts';

export interface ApiResponse {
  /** The result of `parseJson`; undefined if the body is not JSON. */
  readonly body: unknown;
  /** The body as received; empty if it is not JSON. */
  readonly text: string;
  /** When the successful attempt was sent, by the client's clock. */
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  /** The Date header; null if there is none. */
  readonly dateMs: number | null;
  /** The Age header, which a cache adds; 0 if there is none. */
  readonly ageSeconds: number;
}

/** Headers by lower-case name. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

export function getHeader(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'object' ? value[0] : value;
}

/** Returns null if the header is missing or invalid. */
export function parseDateHeader(headers: ResponseHeaders): number | null {
  const ms = Date.parse(getHeader(headers, 'date') ?? '');
  return Number.isNaN(ms) ? null : ms;
}

/** Returns 0 if the header is missing or invalid. */
export function parseAge(headers: ResponseHeaders): number {
  const age = getHeader(headers, 'age') ?? '';
  return /^\d{1,10}$/.test(age) ? Number(age) : 0;
}

/**
 * Returns the wait in ms that the Retry-After header asks for; null if it is missing or invalid. A date is compared
 * with the Date header of the same response, because clocks may differ.
 */
export function parseRetryAfter(headers: ResponseHeaders, receivedAtMs: number): number | null {
  const text = getHeader(headers, 'retry-after')?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number.parseInt(text, 10) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - (parseDateHeader(headers) ?? receivedAtMs));
}

/** A response that is dated further from the host's clock than this is rejected. Clocks may differ by less. */
export const RESPONSE_SKEW_MAX_MS = 5 * 60_000;

/**
 * Returns why the response is not from now, by its Date or by the Age that a cache adds; null if it is. A response
 * with an Age must also not be older than `notBeforeMs`.
 */
export function findClockProblem(
  { dateMs, ageSeconds, receivedAtMs }: ApiResponse,
  { notBeforeMs = Number.NEGATIVE_INFINITY }: { readonly notBeforeMs?: number | undefined },
): Failure | null {
  const toFailure = (problem: string): Failure => ({ kind: 'wrong_date', problem, status: 200 });
  const aheadMs = (dateMs ?? receivedAtMs) - receivedAtMs;
  if (Math.abs(aheadMs) > RESPONSE_SKEW_MAX_MS) {
    const distance = showDuration(Math.abs(aheadMs));
    return toFailure(`the response is dated ${distance} ${aheadMs > 0 ? 'in the future' : 'ago'} (Date header)`);
  }
  const ageMs = ageSeconds * 1_000;
  if (ageMs > RESPONSE_SKEW_MAX_MS) {
    return toFailure(`a cache served a response that is ${showDuration(ageMs)} old (Age header)`);
  }
  return ageMs > 0 && receivedAtMs - ageMs < notBeforeMs
    ? toFailure(`a cache served a response from before the days had ended: ${ageSeconds} s old (Age header)`)
    : null;
}
