/** What was changed about past usage on purpose: restated days and days whose buckets are left out. */

export type CounterAction =
  | 'deviceCounts'
  | 'notebookMinuteCounts'
  | 'payloadCounts'
  | 'payloadCountsBreakdown';

/** Counters that share their numbers: both payload actions count the same payloads. */
export type CounterGroup = 'devices' | 'notebooks' | 'payloads';

export const COUNTER_ACTIONS: readonly CounterAction[] = [
  'deviceCounts',
  'notebookMinuteCounts',
  'payloadCounts',
  'payloadCountsBreakdown',
];

export interface Edits {
  /** How often the numbers of this organization, day and group were restated. */
  restated(orgKey: string, day: number, group: CounterGroup): number;
  restate(orgKey: string, day: number, group: CounterGroup, times: number): number;
  isOmitted(orgKey: string, day: number, action: CounterAction): boolean;
  setOmitted(orgKey: string, day: number, action: CounterAction, omitted: boolean): void;
  /** Rises with every change. */
  version(): number;
}

export function groupOf(action: CounterAction): CounterGroup {
  if (action === 'deviceCounts') return 'devices';
  return action === 'notebookMinuteCounts' ? 'notebooks' : 'payloads';
}

export function createEdits(): Edits {
  const restatements = new Map<string, number>();
  const omissions = new Set<string>();
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
    isOmitted: (orgKey, day, action) => omissions.size > 0 && omissions.has(`${orgKey} ${day} ${action}`),
    setOmitted(orgKey, day, action, omitted) {
      if (omitted) omissions.add(`${orgKey} ${day} ${action}`);
      else omissions.delete(`${orgKey} ${day} ${action}`);
      version++;
    },
    version: () => version,
  };
}
