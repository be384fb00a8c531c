import { FAILURES, isFailure } from '../errors.ts';
import { addDays, dayAt, dayEndMs, HOUR_MS, type UsageDay } from './day.ts';

/** The rules for when usage days are read and how long they can be. */
export interface Policy {
  /** Ages in hours after a day's end at which it is read, ascending. */
  readonly readAtHours: readonly number[];
  /** The age in hours from which a read makes the day final. */
  readonly finalAtHours: number;
  /** The number of days for which Losant keeps the detail; older days are not asked for. */
  readonly horizonDays: number;
}

/** The time after its day's end from which a number that is not stored is late. */
export const LATE_AFTER_HOURS = 6;

/** The number of answers, an hour apart, that must have left out an unconfirmed zero before it is final. */
export const OMISSIONS_NEEDED = 3;

/**
 * Whether a number of `day` that is not stored at `atMs` is late. The function `late_before` of the
 * database is the same rule.
 */
export function isLate(day: UsageDay, atMs: number): boolean {
  return atMs >= dayEndMs(day) + LATE_AFTER_HOURS * HOUR_MS;
}

/** `lastCompleteDay` returns the newest usage day that is over at `nowMs`. */
export function lastCompleteDay(nowMs: number): UsageDay {
  return addDays(dayAt(nowMs), -1);
}

/** `horizonStart` returns the oldest day inside the horizon at `nowMs`. */
export function horizonStart(nowMs: number, { horizonDays }: Policy): UsageDay {
  return addDays(dayAt(nowMs), -horizonDays);
}

/**
 * `nextCheckpointMs` returns the time at which a day is read next: the first checkpoint after its accepted
 * read (null if it has none). Returns null after the last checkpoint. The function `next_checkpoint` of
 * the database is the same rule.
 */
export function nextCheckpointMs(
  day: UsageDay,
  verifiedAtMs: number | null,
  { readAtHours }: Policy,
): number | null {
  const endMs = dayEndMs(day);
  const later = readAtHours.filter(
    (hours) => verifiedAtMs === null || endMs + hours * HOUR_MS > verifiedAtMs,
  );
  return later.length === 0 ? null : endMs + Math.min(...later) * HOUR_MS;
}

/**
 * `lastDueDay` returns the newest day whose first checkpoint has passed: a tracked day up to it that was never read
 * is due.
 */
export function lastDueDay(nowMs: number, { readAtHours }: Policy): UsageDay {
  return lastCompleteDay(nowMs - Math.min(...readAtHours) * HOUR_MS);
}

/** The consequences of a read's age for its day. */
export interface ReadAge {
  /** The time from which a read, this one or another, makes the day final. */
  readonly finalFromMs: number;
  /** Whether it came after the day's last checkpoint, so that no further read is planned. */
  readonly isLastRead: boolean;
  readonly isPastHorizon: boolean;
  /** The checkpoint after this read; null after the last one. */
  readonly nextCheckpointMs: number | null;
}

export function ageOfRead(day: UsageDay, sentAtMs: number, policy: Policy): ReadAge {
  const endMs = dayEndMs(day);
  return {
    finalFromMs: endMs + policy.finalAtHours * HOUR_MS,
    isLastRead: sentAtMs >= endMs + Math.max(...policy.readAtHours) * HOUR_MS,
    isPastHorizon: day < horizonStart(sentAtMs, policy),
    nextCheckpointMs: nextCheckpointMs(day, sentAtMs, policy),
  };
}

/**
 * Retries are rounded down to this step. Wake-ups come at fixed minutes and a failure some seconds
 * later, so an exact retry would miss its wake-up.
 */
const RETRY_STEP_MS = 5 * 60_000;

/** The longest time after a failure until the next read. */
export const RETRY_HOURS_MAX = 24;

/**
 * `retryAtMs` returns the time at which a cell that failed for the `attempts`-th time in a row is read again: at
 * the next wake-up after a first failure that mostly passes by itself, otherwise 2, 4, 8, 16, then 24
 * hours later.
 */
export function retryAtMs(failedAtMs: number, attempts: number, code: string | null = null): number {
  const mostlyPasses = code !== null && isFailure(code) && FAILURES[code].dueAgain === 'at_next_wake_up';
  if (attempts === 1 && mostlyPasses) return wakeUpMs(failedAtMs);
  return wakeUpMs(failedAtMs + Math.min(2 ** attempts, RETRY_HOURS_MAX) * HOUR_MS);
}

/** `wakeUpMs` returns the instant rounded down, so that cells which become due at about the same time share one. */
export function wakeUpMs(atMs: number): number {
  return atMs - (atMs % RETRY_STEP_MS);
}
