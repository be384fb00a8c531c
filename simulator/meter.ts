import { type Amount, add } from './amount.ts';
import { DAY_MS } from './calendar.ts';
import { type CounterAction, type DayEdits, NO_EDITS } from './edits.ts';
import type { Org } from './organizations.ts';
import { computePart, countPayloads, DAY_ACTIONS, DAY_COUNTERS, type DayAction, type SourceDay } from './usage.ts';
import type { World } from './world.ts';

type Fields = Readonly<Record<string, Amount>>;
export type SourceAmount = Omit<SourceDay, 'count' | 'bytes'> & {
  readonly count: Amount;
  readonly bytes: Amount;
};

/** Counts the usage of one organization or of the instance: the current day up to now, never a later one. */
export interface Meter {
  count(action: DayAction, day: number): Fields;
  /** Returns the payloads within [fromMs, toMs) after midnight, without sources that have none. */
  payloads(day: number, fromMs: number, toMs: number): readonly SourceAmount[];
  /** Returns the edits, some of which only affect responses: omitted buckets and wrong hours. */
  getEdits(day: number): DayEdits;
  /** Returns the error that a test has added to the response. */
  getBias(day: number, action: CounterAction): number;
}

export function createOrgMeter(world: World, org: Org): Meter {
  const getEdits = (day: number) => world.edits.read(org.key, day);
  const toElapsedMs = (day: number) => Math.max(0, Math.min(DAY_MS, world.now() - day * DAY_MS));
  return {
    count(action, day) {
      const { emptyGroups, restatements } = getEdits(day);
      const { none, count } = DAY_COUNTERS[action];
      if (emptyGroups.has(action)) return none;
      return count(org.profile, day, restatements[action] ?? 0, toElapsedMs(day));
    },
    payloads(day, fromMs, toMs) {
      const { emptyGroups, restatements } = getEdits(day);
      if (emptyGroups.has('payloads')) return [];
      const rows = renameSource(countPayloads(org.profile, day, restatements.payloads ?? 0), restatements.sources);
      const to = Math.min(toMs, toElapsedMs(day));
      return rows
        .map((row) => ({
          ...row,
          count: computePart(row.count, fromMs, to),
          bytes: computePart(row.bytes, fromMs, to),
        }))
        .filter((row) => row.count > 0 || row.bytes > 0);
    },
    getEdits,
    getBias: () => 0,
  };
}

/** Moves the payloads of the first source to another source, so that the totals stay. */
function renameSource(rows: readonly SourceDay[], version = 0): readonly SourceDay[] {
  const [first, ...others] = rows;
  if (version === 0 || first === undefined) return rows;
  return [{ ...first, source: `${first.source}.moved${version}` }, ...others];
}

/**
 * Creates the meter of the instance: the sums over its current organizations, so a deleted one is removed from past
 * days as well. Omitted buckets of an organization count here, so that the instance's totals can contradict them.
 */
export function createInstanceMeter(world: World): Meter {
  const sums = new Map<string, DaySum>();
  let { version } = world;
  /** Caches the sums of ended days, because adding up thousands of organizations takes long. */
  const sumOf = (day: number, fromMs = 0, toMs = DAY_MS): DaySum => {
    if (world.version !== version) sums.clear();
    version = world.version;
    const key = `${day} ${fromMs} ${toMs}`;
    const sum = sums.get(key) ?? addUpDay(world, day, fromMs, toMs);
    if ((day + 1) * DAY_MS <= world.now()) sums.set(key, sum);
    return sum;
  };
  return {
    count: (action, day) => sumOf(day).counts.get(action) ?? DAY_COUNTERS[action].none,
    payloads: (day, fromMs, toMs) => sumOf(day, fromMs, toMs).payloads,
    getEdits: () => NO_EDITS,
    getBias(day, action) {
      const biases = world.settings.bias.filter((bias) => bias.day === day && bias.counter === action);
      return biases.reduce((sum, { by }) => sum + by, 0);
    },
  };
}

type DaySum = ReturnType<typeof addUpDay>;

/** Adds up all counters in one pass, because each organization is computed for it. */
function addUpDay(world: World, day: number, fromMs: number, toMs: number) {
  const counts = new Map<DayAction, Fields>();
  const payloads = new SourceSum();
  for (const org of world.organizations.each(world.organizations.existingKeys())) {
    const meter = createOrgMeter(world, org);
    for (const action of DAY_ACTIONS) counts.set(action, addFields(counts.get(action), meter.count(action, day)));
    payloads.add(meter.payloads(day, fromMs, toMs));
  }
  return { counts, payloads: payloads.toRows() };
}

function addFields(sums: Fields = {}, fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, add(sums[field] ?? 0, value)]));
}

/** The exact sum of payloads by type and source. */
export class SourceSum {
  readonly #sums = new Map<string, SourceAmount>();

  add(rows: readonly SourceAmount[]): void {
    for (const row of rows) {
      const key = `${row.type}\t${row.source}`;
      const { count, bytes } = this.#sums.get(key) ?? { count: 0, bytes: 0 };
      this.#sums.set(key, { ...row, count: add(count, row.count), bytes: add(bytes, row.bytes) });
    }
  }

  toRows(): SourceAmount[] {
    return [...this.#sums.values()];
  }
}
