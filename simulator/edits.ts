export const COUNTER_ACTIONS = [
  'deviceCounts',
  'notebookMinuteCounts',
  'payloadCounts',
  'payloadCountsBreakdown',
] as const;
export type CounterAction = (typeof COUNTER_ACTIONS)[number];

/** The variants of `payloadCountsBreakdown`; the other counters have none. */
export const BREAKDOWN_VARIANTS = ['billable_count', 'billable_bytes', 'all_count', 'all_bytes'] as const;
export type BreakdownVariant = (typeof BREAKDOWN_VARIANTS)[number];

/**
 * The numbers that counters share: both payload actions count the same payloads. `sources` is the split
 * of payloads alone, which changes no total.
 */
export type CounterGroup = 'devices' | 'notebooks' | 'payloads' | 'sources';

/** An answer of a counter. A null variant stands for all variants. */
export interface Answered {
  readonly action: CounterAction;
  readonly variant: BreakdownVariant | null;
}

/** A wrong hour: its numbers are off by an amount, or it is left out. */
export interface HourEdit {
  readonly by: number;
  readonly omitted: boolean;
}

export function groupOf(action: CounterAction): CounterGroup {
  if (action === 'deviceCounts') return 'devices';
  return action === 'notebookMinuteCounts' ? 'notebooks' : 'payloads';
}

/** The changes made to past usage on purpose, by organization and day. */
export class Edits {
  readonly #restated = new Map<string, number>();
  readonly #emptied = new Set<string>();
  readonly #omitted = new Set<string>();
  readonly #hours = new Map<string, HourEdit>();
  /** Rises with every change. */
  version = 0;

  /** Returns how often the numbers were restated. */
  restated(orgKey: string, day: number, group: CounterGroup): number {
    return this.#restated.get(`${orgKey} ${day} ${group}`) ?? 0;
  }

  /** Restates the numbers so many times more, and returns how often they have been. */
  restate(orgKey: string, day: number, group: CounterGroup, times: number): number {
    const restated = this.restated(orgKey, day, group) + times;
    this.#restated.set(`${orgKey} ${day} ${group}`, restated);
    this.version++;
    return restated;
  }

  /** Whether the day has no usage although its organization was active. */
  isEmptied(orgKey: string, day: number, group: CounterGroup): boolean {
    return this.#emptied.has(`${orgKey} ${day} ${group}`);
  }

  setEmptied(orgKey: string, day: number, group: CounterGroup, emptied: boolean): void {
    const key = `${orgKey} ${day} ${group}`;
    if (emptied) this.#emptied.add(key);
    else this.#emptied.delete(key);
    this.version++;
  }

  /** Whether the day's bucket is left out of the answer. */
  isOmitted(orgKey: string, day: number, { action, variant }: Answered): boolean {
    if (this.#omitted.size === 0) return false;
    return [null, variant].some((each) => this.#omitted.has(`${orgKey} ${day} ${action} ${each}`));
  }

  setOmitted(orgKey: string, day: number, { action, variant }: Answered, omitted: boolean): void {
    const variants = variant === null && !omitted ? [null, ...BREAKDOWN_VARIANTS] : [variant];
    for (const each of variants) {
      if (omitted) this.#omitted.add(`${orgKey} ${day} ${action} ${each}`);
      else this.#omitted.delete(`${orgKey} ${day} ${action} ${each}`);
    }
    this.version++;
  }

  /** Returns the change made to an hour of payloads, which the day's own numbers do not show. */
  hour(orgKey: string, day: number, hour: number): HourEdit | null {
    return this.#hours.get(`${orgKey} ${day} ${hour}`) ?? null;
  }

  setHour(orgKey: string, day: number, hour: number, edit: HourEdit): void {
    this.#hours.set(`${orgKey} ${day} ${hour}`, edit);
    this.version++;
  }
}
