import type { LosantErrorKind } from '../errors.ts';
import { LONGEST_WAIT_MS } from './gate.ts';

/** Why an attempt did not end in a JSON body, as a value to decide on. */
export interface AttemptFailure {
  readonly kind: LosantErrorKind;
  /** True if the same request must fail the same way, whatever its kind. */
  readonly isFinal: boolean;
  /** HTTP status, or null if there was no answer. */
  readonly status: number | null;
  /** What the API asked to wait, or null if it did not say. */
  readonly retryAfterMs: number | null;
  /** What happened, for the error message. */
  readonly detail: string;
  /** The answer's body, capped; null if there was none. */
  readonly body: string | null;
  readonly cause?: unknown;
}

export interface RetryState {
  /** Attempts spent so far, this one included; answers that only asked to wait are not counted. */
  readonly attempt: number;
  readonly attempts: number;
  readonly failure: Pick<AttemptFailure, 'kind' | 'isFinal' | 'retryAfterMs'>;
  /** How often the API asked this request to wait before. */
  readonly waits: number;
  /** The sum of those waits. */
  readonly waitedMs: number;
  /** From 0 up to 1. */
  readonly random: number;
}

export interface RetryPlan {
  readonly retry: boolean;
  /** Wait of this request alone. */
  readonly delayMs: number;
  /** Pause of all requests of the token; 0 for none. Also due when this request is given up. */
  readonly pauseAllMs: number;
  readonly spendsAttempt: boolean;
}

const BACKOFF_BASE_MS = 500;
const BACKOFF_CAP_MS = 20_000;
/** Also the least pause: an API that answers 429 with `Retry-After: 0` for ever must reach the bound. */
const PAUSE_BASE_MS = 1_000;
const PAUSE_CAP_MS = 60_000;

const RETRIED: ReadonlySet<LosantErrorKind> = new Set(['server_error', 'unreachable', 'timeout', 'bad_body']);

/** Decides what follows a failed attempt. */
export function planRetry(state: RetryState): RetryPlan {
  const { attempt, attempts, failure, waits, waitedMs, random } = state;
  if (failure.kind === 'rate_limited') {
    const pauseAllMs = pauseMs(failure.retryAfterMs, waits);
    return { retry: waitedMs + pauseAllMs <= LONGEST_WAIT_MS, delayMs: 0, pauseAllMs, spendsAttempt: false };
  }
  if (failure.isFinal || !RETRIED.has(failure.kind) || attempt >= attempts) {
    return { retry: false, delayMs: 0, pauseAllMs: 0, spendsAttempt: true };
  }
  const backoffMs = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempt - 1));
  // Half of it is fixed, so that a struggling API gets its rest; half is random, so that processes spread.
  return { retry: true, delayMs: backoffMs * (0.5 + random / 2), pauseAllMs: 0, spendsAttempt: true };
}

function pauseMs(retryAfterMs: number | null, waits: number): number {
  if (retryAfterMs !== null) return Math.max(PAUSE_BASE_MS, retryAfterMs);
  return Math.min(PAUSE_CAP_MS, PAUSE_BASE_MS * 2 ** waits);
}

/**
 * Milliseconds that a Retry-After header asks to wait: seconds, or an HTTP date
 * measured against the answer's own Date so that our clock does not matter.
 * Null if there is none or it cannot be read.
 */
export function readRetryAfter(header: string | null, answeredAtMs: number): number | null {
  if (header === null) return null;
  const text = header.trim();
  if (/^\d+$/.test(text)) return Number.parseInt(text, 10) * 1000;
  const dateMs = Date.parse(text);
  return Number.isNaN(dateMs) ? null : Math.max(0, dateMs - answeredAtMs);
}
