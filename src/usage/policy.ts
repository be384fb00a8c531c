import { FAILURES, isFailure } from '../errors.ts';
import { addDays, DAY_MS, dayAt, dayEndMs, HOUR_MS, type UsageDay } from './day.ts';

/** The rules for when usage days are read and how long they can be. */
export interface Policy {
  /** Ages in hours after a day's end at which it is read, ascending: the checkpoints. */
  readonly readAtHours: readonly number[];
  /** The age in hours from which a read makes the day final. */
  readonly finalAfterHours: number;
  /** The number of days for which Losant keeps the detail; older days are not asked for. */
  readonly horizonDays: number;
}

/** The days for which usage can be stored; checked where rows are written, too. */
export const FIRST_DAY: UsageDay = '2015-01-01';
export const LAST_DAY: UsageDay = '2049-12-31';

/**
 * Hours after the end of a day from which an unstored number is late. The database function of the same rule is
 * `late_before`.
 */
const LATE_AFTER_HOURS = 6;

/** The number of answers, an hour apart, that must have left out a zero that nothing confirms before it is final. */
export const OMISSIONS_NEEDED = 3;

/** Whether a number of `day` that is not stored at `atMs` is late. */
export function isLate(day: UsageDay, atMs: number): boolean {
  return atMs >= dayEndMs(day) + LATE_AFTER_HOURS * HOUR_MS;
}

/** Returns the newest usage day that is over at `nowMs`. */
export function lastEndedDay(nowMs: number): UsageDay {
  return addDays(dayAt(nowMs), -1);
}

/** Returns the oldest day inside the horizon at `nowMs`. */
export function horizonStart(nowMs: number, { horizonDays }: Policy): UsageDay {
  const day = addDays(dayAt(nowMs), -horizonDays);
  return day < FIRST_DAY ? FIRST_DAY : day;
}

/** Whether a read sent at `sentAtMs` makes its day final. */
export function isFinalRead(day: UsageDay, sentAtMs: number, { finalAfterHours }: Policy): boolean {
  return sentAtMs >= dayEndMs(day) + finalAfterHours * HOUR_MS;
}

/** Returns the first checkpoint after `afterMs`; null after the last one. */
export function nextCheckpointMs(day: UsageDay, afterMs: number, { readAtHours }: Policy): number | null {
  const endMs = dayEndMs(day);
  const hours = readAtHours.find((each) => endMs + each * HOUR_MS > afterMs);
  return hours === undefined ? null : endMs + hours * HOUR_MS;
}

/**
 * Returns the time at which a cell that failed for the `attempts`-th time in a row is read again: at the next wake-up
 * after a first failure that mostly passes by itself, otherwise 2, 4, 8, 16, then 24 hours later.
 */
export function retryAtMs(failedAtMs: number, attempts: number, code: string): number {
  const isTransient = isFailure(code) && FAILURES[code].retryWhen === 'at_next_wake_up';
  if (attempts === 1 && isTransient) return floorToWakeUp(failedAtMs);
  return floorToWakeUp(failedAtMs + Math.min(2 ** attempts, 24) * HOUR_MS);
}

/** The delay before a number that waits for another one is read again: an hour on the first day, then a day. */
export function recheckDelayMs(day: UsageDay, sentAtMs: number): number {
  return sentAtMs < dayEndMs(day) + DAY_MS ? HOUR_MS : DAY_MS;
}

/**
 * Wake-ups come at fixed minutes, and responses seconds later; an exact due time would always just miss the next
 * wake-up.
 */
const STEP_MS = 5 * 60_000;

/** Returns the instant rounded down, so that cells which become due at about the same time share one. */
export function floorToWakeUp(atMs: number): number {
  return atMs - (atMs % STEP_MS);
}
