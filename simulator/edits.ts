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

/** An answer of a counter. The variant is null for counters that have none; in an edit it stands for all. */
export interface Answered {
  readonly action: CounterAction;
  readonly variant: BreakdownVariant | null;
}

/**
 * Counters that share their numbers: both payload actions count the same payloads. `sources` is the
 * split of payloads alone, which changes no total.
 */
export type CounterGroup = 'devices' | 'notebooks' | 'payloads' | 'sources';

export function groupOf(action: CounterAction): CounterGroup {
  if (action === 'deviceCounts') return 'devices';
  return action === 'notebookMinuteCounts' ? 'notebooks' : 'payloads';
}

/** The changes made on purpose to one day of an organization. */
export class DayEdits {
  /** How often the numbers were restated. */
  readonly restated: Record<CounterGroup, number> = { devices: 0, notebooks: 0, payloads: 0, sources: 0 };
  /** The groups that have no usage although their organization was active. */
  readonly emptied = new Set<CounterGroup>();
  /** By how much hours of payloads are wrong, which the day's own numbers do not show. */
  readonly hours = new Map<number, number>();
  readonly #omitted = new Set<string>();

  /** Whether the day's bucket is left out of the answer. */
  isOmitted({ action, variant }: Answered): boolean {
    return this.#omitted.has(`${action} ${variant}`);
  }

  setOmitted({ action, variant }: Answered, omitted: boolean): void {
    for (const each of variant === null ? [null, ...BREAKDOWN_VARIANTS] : [variant]) {
      if (omitted) this.#omitted.add(`${action} ${each}`);
      else this.#omitted.delete(`${action} ${each}`);
    }
  }
}

/** The changes made to past usage, by organization and day. */
export class Edits {
  readonly #days = new Map<string, DayEdits>();

  /** Returns the changes of a day, which must not be changed themselves. */
  of(orgKey: string, day: number): DayEdits {
    return this.#days.get(`${orgKey} ${day}`) ?? UNCHANGED;
  }

  /** Returns the changes of a day to be added to. */
  change(orgKey: string, day: number): DayEdits {
    const edits = this.#days.get(`${orgKey} ${day}`) ?? new DayEdits();
    this.#days.set(`${orgKey} ${day}`, edits);
    return edits;
  }
}

/** The edits of a day that nobody changed. */
export const UNCHANGED = new DayEdits();
