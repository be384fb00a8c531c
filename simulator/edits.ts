/** The changes made to past usage on purpose: restated and emptied days, and days whose buckets are left out. */

export type CounterAction =
  | 'deviceCounts'
  | 'notebookMinuteCounts'
  | 'payloadCounts'
  | 'payloadCountsBreakdown';

/**
 * Groups of counters that share their numbers: both payload actions count the same payloads. `sources`
 * is the split of payloads alone, which changes no total.
 */
export type CounterGroup = 'devices' | 'notebooks' | 'payloads' | 'sources';

/** The variants of `payloadCountsBreakdown`; the other counters have none. */
export const BREAKDOWN_VARIANTS = ['billable_count', 'billable_bytes', 'all_count', 'all_bytes'] as const;
export type BreakdownVariant = (typeof BREAKDOWN_VARIANTS)[number];

export const COUNTER_ACTIONS: readonly CounterAction[] = [
  'deviceCounts',
  'notebookMinuteCounts',
  'payloadCounts',
  'payloadCountsBreakdown',
];

export interface Edits {
  /** Returns how often the numbers of this organization, day and group were restated. */
  restated(orgKey: string, day: number, group: CounterGroup): number;
  restate(orgKey: string, day: number, group: CounterGroup, times: number): number;
  /** Whether the day has no usage although its organization was active. */
  isEmptied(orgKey: string, day: number, group: CounterGroup): boolean;
  setEmptied(orgKey: string, day: number, group: CounterGroup, emptied: boolean): void;
  isOmitted(orgKey: string, day: number, answer: Answered): boolean;
  setOmitted(orgKey: string, day: number, answer: Answered, omitted: boolean): void;
  /** Returns the change made to an hour of payloads, which the day's own numbers do not show; null if there is none. */
  hour(orgKey: string, day: number, hour: number): HourEdit | null;
  setHour(orgKey: string, day: number, hour: number, edit: HourEdit): void;
  /** Returns a number that rises with every change. */
  version(): number;
}

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

export function createEdits(): Edits {
  const restatements = new Map<string, number>();
  const omissions = new Set<string>();
  const hours = new Map<string, HourEdit>();
  const emptied = new Set<string>();
  let version = 0;
  return {
    restated: (orgKey, day, group) =>
      restatements.size === 0 ? 0 : (restatements.get(`${orgKey} ${day} ${group}`) ?? 0),
    restate(orgKey, day, group, times) {
      const key = `${orgKey} ${day} ${group}`;
      const number = (restatements.get(key) ?? 0) + times;
      restatements.set(key, number);
      version++;
      return number;
    },
    isEmptied: (orgKey, day, group) => emptied.size > 0 && emptied.has(`${orgKey} ${day} ${group}`),
    setEmptied(orgKey, day, group, isEmptied) {
      const key = `${orgKey} ${day} ${group}`;
      if (isEmptied) emptied.add(key);
      else emptied.delete(key);
      version++;
    },
    isOmitted: (orgKey, day, { action, variant }) =>
      omissions.size > 0 && [null, variant].some((one) => omissions.has(`${orgKey} ${day} ${action} ${one}`)),
    setOmitted(orgKey, day, { action, variant }, omitted) {
      const variants = variant === null && !omitted ? [null, ...BREAKDOWN_VARIANTS] : [variant];
      for (const one of variants) {
        if (omitted) omissions.add(`${orgKey} ${day} ${action} ${one}`);
        else omissions.delete(`${orgKey} ${day} ${action} ${one}`);
      }
      version++;
    },
    hour: (orgKey, day, hour) => (hours.size === 0 ? null : (hours.get(`${orgKey} ${day} ${hour}`) ?? null)),
    setHour(orgKey, day, hour, edit) {
      hours.set(`${orgKey} ${day} ${hour}`, edit);
      version++;
    },
    version: () => version,
  };
}
