import { SettingsError } from '../errors.ts';
import { addDays, dayAt, type UsageDay } from '../usage/day.ts';

/** Years before the platform existed: an earlier day is a slip, not a request. */
const EARLIEST_DAY = '2010-01-01';

/** A day as it is asked for on the command line: only a day that is over can be. */
export function requirePastDay(option: string, day: UsageDay, nowMs: number): void {
  if (day < EARLIEST_DAY) {
    throw new SettingsError(`${option} ${day}: Losant has no usage of days before ${EARLIEST_DAY}`, {
      hint: 'correct the year',
    });
  }
  if (day < dayAt(nowMs)) return;
  throw new SettingsError(`${option} ${day}: that day is not over in UTC`, {
    hint: `the newest day that can be read is ${addDays(dayAt(nowMs), -1)}`,
  });
}
