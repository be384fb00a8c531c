import { addDays, dayAt, dayEndMs, HOUR_MS, type UsageDay } from './day.ts';

/** When usage days are read, and until when they can be. */
export interface Policy {
  /** Ages in hours after a day's end at which it is read, ascending. */
  readonly readAtHours: readonly number[];
  /** Age in hours from which a read makes the day final. */
  readonly finalAtHours: number;
  /** Days for which Losant keeps the detail; older ones are not asked for. */
  readonly horizonDays: number;
}

/** A number that is not stored is late this long after its day's end. */
export const LATE_AFTER_HOURS = 6;

/** Answers, an hour apart, that must have left out a zero which nothing confirms before it is final. */
export const OMISSIONS_NEEDED = 3;

/** Whether a number of `day` that is not stored at `atMs` is late. The function `late_before` of the database is the same rule. */
export function isLate(day: UsageDay, atMs: number): boolean {
  return atMs >= dayEndMs(day) + LATE_AFTER_HOURS * HOUR_MS;
}

/** The newest usage day that is over at `nowMs`. */
export function lastCompleteDay(nowMs: number): UsageDay {
  return addDays(dayAt(nowMs), -1);
}

/** The oldest day inside the horizon at `nowMs`. */
export function horizonStart(nowMs: number, { horizonDays }: Policy): UsageDay {
  return addDays(dayAt(nowMs), -horizonDays);
}

/**
 * When a day is read next: the first checkpoint after its accepted read (null: it has none).
 * Null after the last checkpoint. The function `next_checkpoint` of the database is the same rule.
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

/** The newest day whose first checkpoint has passed: a tracked day up to it that was never read is due. */
export function lastDueDay(nowMs: number, { readAtHours }: Policy): UsageDay {
  return lastCompleteDay(nowMs - Math.min(...readAtHours) * HOUR_MS);
}

/** Whether a read sent at `atMs` came after the day's last checkpoint: nothing more is expected of it. */
export function isLastRead(day: UsageDay, atMs: number, { readAtHours }: Policy): boolean {
  return atMs >= dayEndMs(day) + Math.max(...readAtHours) * HOUR_MS;
}

/** From when on a read makes the day final. */
export function finalFromMs(day: UsageDay, { finalAtHours }: Policy): number {
  return dayEndMs(day) + finalAtHours * HOUR_MS;
}

/** What the age of a read means for its day. */
export interface ReadAge {
  /** From when on a read makes the day final, be it this one or another. */
  readonly finalFromMs: number;
  readonly isLastRead: boolean;
  readonly isPastHorizon: boolean;
  /** The checkpoint after this read; null after the last one. */
  readonly nextCheckpointMs: number | null;
}

export function ageOfRead(day: UsageDay, sentAtMs: number, policy: Policy): ReadAge {
  return {
    finalFromMs: finalFromMs(day, policy),
    isLastRead: isLastRead(day, sentAtMs, policy),
    isPastHorizon: day < horizonStart(sentAtMs, policy),
    nextCheckpointMs: nextCheckpointMs(day, sentAtMs, policy),
  };
}

/** Wake-ups come at fixed minutes and a failure some seconds later: rounded down, a retry does not miss its wake-up. */
const RETRY_STEP_MS = 5 * 60_000;

/** What failed is read again at the latest this long after it. */
export const RETRY_HOURS_MAX = 24;

/** Codes of failures that mostly pass by themselves. */
const PASSING: readonly string[] = ['timeout', 'server_error', 'unreachable'];

/**
 * When what failed for the `attempts`-th time in a row is read again: by the next wake-up after a first failure that
 * mostly passes by itself, otherwise 2, 4, 8, 16, then 24 hours later.
 */
export function retryAtMs(failedAtMs: number, attempts: number, code: string | null = null): number {
  if (attempts === 1 && code !== null && PASSING.includes(code)) return wakeUpMs(failedAtMs);
  return wakeUpMs(failedAtMs + Math.min(2 ** attempts, RETRY_HOURS_MAX) * HOUR_MS);
}

/** The instant rounded down, so that cells which become due at about the same time share one. */
export function wakeUpMs(atMs: number): number {
  return atMs - (atMs % RETRY_STEP_MS);
}
