/** The local time at which the digest is due, and the days of its time zone. */
import { DAY_MS, type UsageDay } from '../usage/day.ts';

/** A time of day, `HH:MM`, and its time zone. */
type NotifyTime = Readonly<Record<'time' | 'timeZone', string>>;

const MINUTE_MS = 60_000;

/** Returns `HH:MM ZONE` as a time; null if it is not one, or the zone is unknown. The zone is UTC by default. */
export function parseNotifyTime(text: string): NotifyTime | null {
  const [, time = '', timeZone = 'UTC'] = /^((?:[01]\d|2[0-3]):[0-5]\d)(?: (\S+))?$/.exec(text) ?? [];
  if (time === '') return null;
  try {
    // Reading the table of zones takes a tenth of the start of the program.
    if (timeZone !== 'UTC') showLocalTime(0, timeZone);
    return { time, timeZone };
  } catch {
    return null;
  }
}

/** Returns the local time of an instant as `YYYY-MM-DD HH:MM`. */
function showLocalTime(ms: number, timeZone: string): string {
  return new Date(ms).toLocaleString('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'short' });
}

export function localDayAt(ms: number, { timeZone }: Pick<NotifyTime, 'timeZone'>): UsageDay {
  return showLocalTime(ms, timeZone).slice(0, 10);
}

/** Returns the first instant of a day at which the time has come: after the change of clocks, if that skips it. */
export function notifyInstantOf(day: UsageDay, { time, timeZone }: NotifyTime): number {
  const target = `${day} ${time}`;
  const asUtcMs = Date.parse(`${day}T${time}:00.000Z`);
  const offsetMs = (ms: number) => Date.parse(`${showLocalTime(ms, timeZone).replace(' ', 'T')}:00.000Z`) - ms;
  // The largest offset around the day gives the earliest candidate.
  let ms = asUtcMs - Math.max(offsetMs(asUtcMs - DAY_MS), offsetMs(asUtcMs + DAY_MS));
  while (showLocalTime(ms, timeZone) < target) ms += MINUTE_MS;
  return ms;
}
