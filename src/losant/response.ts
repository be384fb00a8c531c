import { showDuration } from '../terminal/words.ts';
import type { Failure } from './attempt.ts';

/** A complete JSON answer. */
export interface ApiResponse {
  /** The parsed body, with markers for rounded numbers and for repeated keys; undefined if it is not JSON. */
  readonly body: unknown;
  /** The body as received; empty if it is not JSON. */
  readonly text: string;
  /** The time at which the attempt that succeeded was sent, by the client's clock. */
  readonly sentAtMs: number;
  readonly receivedAtMs: number;
  /** The response's Date header; null if it has none. */
  readonly dateMs: number | null;
  /** The seconds that a cache has kept the answer, by its Age header. */
  readonly ageSeconds: number;
}

/** Headers by lower-case name. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** Returns a header; of a repeated one, the first value. */
export function headerOf(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'object' ? value[0] : value;
}

/** Returns the Date header in ms, or null if it is missing or cannot be read. */
export function readDate(headers: ResponseHeaders): number | null {
  const ms = Date.parse(headerOf(headers, 'date') ?? '');
  return Number.isNaN(ms) ? null : ms;
}

/** Returns the Age header in seconds; 0 if it is missing or cannot be read. */
export function readAge(headers: ResponseHeaders): number {
  const age = headerOf(headers, 'age') ?? '';
  return /^\d{1,10}$/.test(age) ? Number(age) : 0;
}

/**
 * Returns the wait in ms that the Retry-After header asks for: seconds, or an HTTP date measured against the
 * answer's own Date, so that our clock does not matter. Returns null if the header is missing or cannot be read.
 */
export function readRetryAfter(headers: ResponseHeaders, receivedAtMs: number): number | null {
  const text = headerOf(headers, 'retry-after')?.trim() ?? '';
  if (/^\d+$/.test(text)) return Number.parseInt(text, 10) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - (readDate(headers) ?? receivedAtMs));
}

/** The most that an answer's own time may differ from this clock; beyond it, the answer is not one of now. */
export const ANSWER_SKEW_MAX_MS = 5 * 60_000;

/**
 * Returns why the response is not from now, by its Date or by the Age that a cache adds; null if it is. A response
 * with an Age must also not be older than `notBeforeMs`.
 */
export function findClockProblem(
  { dateMs, ageSeconds, receivedAtMs }: ApiResponse,
  { notBeforeMs = Number.NEGATIVE_INFINITY }: { readonly notBeforeMs?: number | undefined },
): Failure | null {
  const wrong = (problem: string): Failure => ({ kind: 'wrong_date', problem, status: 200 });
  const aheadMs = (dateMs ?? receivedAtMs) - receivedAtMs;
  if (Math.abs(aheadMs) > ANSWER_SKEW_MAX_MS) {
    const distance = showDuration(Math.abs(aheadMs));
    return wrong(`the response is dated ${distance} ${aheadMs > 0 ? 'in the future' : 'ago'} (Date header)`);
  }
  const ageMs = ageSeconds * 1_000;
  if (ageMs > ANSWER_SKEW_MAX_MS) {
    return wrong(`a cache served a response that is ${showDuration(ageMs)} old (Age header)`);
  }
  return ageMs > 0 && receivedAtMs - ageMs < notBeforeMs
    ? wrong(`a cache served a response from before the days had ended: ${ageSeconds} s old (Age header)`)
    : null;
}
