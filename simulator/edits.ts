import { DAY_ACTIONS, type DayAction } from './usage.ts';

export const COUNTER_ACTIONS = [...DAY_ACTIONS, 'payloadCounts', 'payloadCountsBreakdown'] as const;
export type CounterAction = (typeof COUNTER_ACTIONS)[number];

/** The variants of `payloadCountsBreakdown`; the other counters have none. */
export const BREAKDOWN_VARIANTS = ['billable_count', 'billable_bytes', 'all_count', 'all_bytes'] as const;
type BreakdownVariant = (typeof BREAKDOWN_VARIANTS)[number];

/** A kind of counter response. The variant is null for counters without variants; in an edit null means all. */
export interface CounterVariant {
  readonly action: CounterAction;
  readonly variant: BreakdownVariant | null;
}

/** Counters with common numbers: both payload actions count the same. `sources` is only their split by source. */
export type CounterGroup = DayAction | 'payloads' | 'sources';

export function groupOf(action: CounterAction): CounterGroup {
  return action === 'payloadCounts' || action === 'payloadCountsBreakdown' ? 'payloads' : action;
}

/** The changes of a test to one day of an organization. */
export class DayEdits {
  /** Numbers of restatements. */
  readonly restatements: Partial<Record<CounterGroup, number>> = {};
  /** The groups without usage although the organization was active. */
  readonly emptyGroups = new Set<CounterGroup>();
  /** Added to hours of payloads in hourly responses, and not in the day's total. */
  readonly hourOffsets = new Map<number, number>();
  readonly #omittedVariants = new Set<string>();

  isOmitted({ action, variant }: CounterVariant): boolean {
    return this.#omittedVariants.has(`${action} ${variant}`);
  }

  setOmitted({ action, variant }: CounterVariant, isOmitted: boolean): void {
    for (const each of variant === null ? [null, ...BREAKDOWN_VARIANTS] : [variant]) {
      if (isOmitted) this.#omittedVariants.add(`${action} ${each}`);
      else this.#omittedVariants.delete(`${action} ${each}`);
    }
  }
}

/** The edits by organization and day. */
export class Edits {
  readonly #days = new Map<string, DayEdits>();

  /** Returns the edits of a day, which must not be changed. */
  read(orgKey: string, day: number): DayEdits {
    return this.#days.get(`${orgKey} ${day}`) ?? NO_EDITS;
  }

  /** Returns the edits of a day, which may be changed. */
  edit(orgKey: string, day: number): DayEdits {
    const edits = this.#days.get(`${orgKey} ${day}`) ?? new DayEdits();
    this.#days.set(`${orgKey} ${day}`, edits);
    return edits;
  }
}

export const NO_EDITS = new DayEdits();
