import { FAILURES, isFailure } from '../errors.ts';
import { addDays, dayAt, dayEndMs, FIRST_DAY, HOUR_MS, type UsageDay } from './day.ts';

export interface Policy {
  /** The checkpoints: hours after the end of a day at which it is read, ascending. */
  readonly readAtHours: readonly number[];
  /** Hours after the end of a day from which a read makes its cells final. */
  readonly finalAfterHours: number;
  /** The number of days that Losant retains; older days are not requested. */
  readonly horizonDays: number;
}

/** Hours after the end of a day until an unstored number is late, as in the database function `late_before`. */
export const LATE_AFTER_HOURS = 6;

export function isLate(day: UsageDay, atMs: number): boolean {
  return atMs >= dayEndMs(day) + LATE_AFTER_HOURS * HOUR_MS;
}

export function lastEndedDay(nowMs: number): UsageDay {
  return addDays(dayAt(nowMs), -1);
}

export function horizonStart(nowMs: number, { horizonDays }: Pick<Policy, 'horizonDays'>): UsageDay {
  const day = addDays(dayAt(nowMs), -horizonDays);
  return day < FIRST_DAY ? FIRST_DAY : day;
}

export function isFinalRead(day: UsageDay, sentAtMs: number, { finalAfterHours }: Policy): boolean {
  return sentAtMs >= dayEndMs(day) + finalAfterHours * HOUR_MS;
}

/** Returns the first checkpoint after `afterMs`; null after the last one. */
export function nextCheckpointMs(day: UsageDay, afterMs: number, { readAtHours }: Policy): number | null {
  const endMs = dayEndMs(day);
  const hours = readAtHours.find((each) => endMs + each * HOUR_MS > afterMs);
  return hours === undefined ? null : endMs + hours * HOUR_MS;
}

/** At the next wake-up after a first transient failure; otherwise 2, 4, 8, 16, then 24 hours later. */
export function retryAtMs(failedAtMs: number, failedReads: number, code: string): number {
  const isTransient = isFailure(code) && FAILURES[code].retryWhen === 'at_next_wake_up';
  if (failedReads === 1 && isTransient) return floorToWakeUp(failedAtMs);
  return floorToWakeUp(failedAtMs + Math.min(2 ** failedReads, 24) * HOUR_MS);
}

/** Wake-ups come at fixed minutes, and responses seconds later: an exact time would just miss the next one. */
const STEP_MS = 5 * 60_000;

/** Rounds an instant down, so that cells which become due at about the same time share it. */
export function floorToWakeUp(atMs: number): number {
  return atMs - (atMs % STEP_MS);
}
