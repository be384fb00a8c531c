import type { Amount } from './amount.ts';
import { DAY_MS } from './calendar.ts';
import type { Answered, HourEdit } from './edits.ts';
import type { Org } from './population.ts';
import { type DeviceDay, deviceDay, type NotebookDay, notebookDay, part, payloadDay } from './usage.ts';
import type { World } from './world.ts';

export interface SourceAmount {
  readonly type: string;
  readonly source: string;
  readonly billable: boolean;
  readonly count: Amount;
  readonly bytes: Amount;
}

/**
 * The usage so far, of one organization or of the instance. Past days are complete; today is counted
 * up to the clock's time; later days are not asked for.
 */
export interface Meter {
  devices(day: number): Record<keyof DeviceDay, Amount>;
  notebooks(day: number): Record<keyof NotebookDay, Amount>;
  /** Returns the payloads within [fromMs, toMs) after midnight; pairs without payloads are left out. */
  payloads(day: number, fromMs: number, toMs: number): readonly SourceAmount[];
  /** Whether the bucket is left out of the answer although there is usage. */
  isOmitted(day: number, answer: Answered): boolean;
  /** Returns the change made to an hour, which only answers by hour show; null if there is none. */
  hourEdit(day: number, hour: number): HourEdit | null;
}

const NO_NOTEBOOKS = { minutes: 0, completed: 0, canceled: 0, errored: 0, timeout: 0 };

export function orgMeter(world: World, org: Org): Meter {
  const { edits, clock } = world;
  const elapsed = (day: number) => Math.max(0, Math.min(DAY_MS, clock.now() - day * DAY_MS));
  return {
    devices(day) {
      if (edits.isEmptied(org.key, day, 'devices')) return { created: 0, deleted: 0, total: 0 };
      const whole = deviceDay(org.profile, day, edits.restated(org.key, day, 'devices'));
      const ms = elapsed(day);
      if (ms === DAY_MS) return { ...whole };
      const created = part(whole.created, 0, ms);
      const deleted = part(whole.deleted, 0, ms);
      const total = whole.total - (whole.created - created) + (whole.deleted - deleted);
      return { created, deleted, total: Math.max(0, total) };
    },
    notebooks(day) {
      if (edits.isEmptied(org.key, day, 'notebooks')) return NO_NOTEBOOKS;
      const whole = notebookDay(org.profile, day, edits.restated(org.key, day, 'notebooks'));
      const ms = elapsed(day);
      return {
        minutes: part(whole.minutes, 0, ms),
        completed: part(whole.completed, 0, ms),
        canceled: part(whole.canceled, 0, ms),
        errored: part(whole.errored, 0, ms),
        timeout: part(whole.timeout, 0, ms),
      };
    },
    payloads(day, fromMs, toMs) {
      if (edits.isEmptied(org.key, day, 'payloads')) return [];
      const counted = payloadDay(org.profile, day, edits.restated(org.key, day, 'payloads'));
      const rows = moveSource(counted, edits.restated(org.key, day, 'sources'));
      const to = Math.min(toMs, elapsed(day));
      if (fromMs === 0 && to === DAY_MS) return rows;
      return rows
        .map((row) => ({ ...row, count: part(row.count, fromMs, to), bytes: part(row.bytes, fromMs, to) }))
        .filter((row) => row.count > 0 || row.bytes > 0);
    },
    isOmitted: (day, answer) => edits.isOmitted(org.key, day, answer),
    hourEdit: (day, hour) => edits.hour(org.key, day, hour),
  };
}

/** Attributes the payloads of the first source to another one, which changes no total. */
function moveSource<R extends { readonly source: string }>(rows: readonly R[], moved: number): readonly R[] {
  const [first, ...others] = rows;
  if (moved === 0 || first === undefined) return rows;
  return [{ ...first, source: `${first.source}.moved${moved}` }, ...others];
}
