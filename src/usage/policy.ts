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

/** A gap is a promised number that is still not held this long after its day's end. */
export const GAP_AFTER_HOURS = 6;

/** Whether a number of `day` that is not held at `atMs` is a gap. */
export function isGapAge(day: UsageDay, atMs: number): boolean {
  return atMs >= dayEndMs(day) + GAP_AFTER_HOURS * HOUR_MS;
}

/** The newest usage day that is over at `nowMs`. */
export function lastCompleteDay(nowMs: number): UsageDay {
  return addDays(dayAt(nowMs), -1);
}

/** The oldest day inside the horizon at `nowMs`. */
export function horizonStart(nowMs: number, { horizonDays }: Policy): UsageDay {
  return addDays(dayAt(nowMs), -horizonDays);
}

/** When the newest checkpoint of `day` passed; null while none has. */
export function latestCheckpointMs(day: UsageDay, nowMs: number, { readAtHours }: Policy): number | null {
  const passed = readAtHours.filter((hours) => dayEndMs(day) + hours * HOUR_MS <= nowMs).at(-1);
  return passed === undefined ? null : dayEndMs(day) + passed * HOUR_MS;
}

/** Whether a read sent at `atMs` came after the day's last checkpoint: nothing more is expected of it. */
export function isLastRead(day: UsageDay, atMs: number, { readAtHours }: Policy): boolean {
  return atMs >= dayEndMs(day) + Math.max(...readAtHours) * HOUR_MS;
}

/** Whether a read sent at `atMs` makes the day final. */
export function isFinalRead(day: UsageDay, atMs: number, { finalAtHours }: Policy): boolean {
  return atMs >= dayEndMs(day) + finalAtHours * HOUR_MS;
}

/** How long to wait after the `attempts`-th failure in a row: 2, 4, 8, 16, then 24 hours. */
export function retryDelayMs(attempts: number): number {
  return Math.min(2 ** attempts, 24) * HOUR_MS;
}
