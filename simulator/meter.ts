import { type Amount, add } from './amount.ts';
import { DAY_MS } from './calendar.ts';
import { type CounterAction, type DayEdits, NO_EDITS } from './edits.ts';
import type { Org } from './organizations.ts';
import { computePart, countDevices, countNotebooks, countPayloads, type SourceDay } from './usage.ts';
import type { World } from './world.ts';

const NO_DEVICES = { created: 0, deleted: 0, total: 0 };
const NO_NOTEBOOKS = { minutes: 0, completed: 0, canceled: 0, errored: 0, timeout: 0 };
type Devices = Record<keyof typeof NO_DEVICES, Amount>;
type Notebooks = Record<keyof typeof NO_NOTEBOOKS, Amount>;
export type SourceAmount = Omit<SourceDay, 'count' | 'bytes'> & {
  readonly count: Amount;
  readonly bytes: Amount;
};

/** Counts the usage of one organization or of the instance: the current day up to now, never a later one. */
export interface Meter {
  devices(day: number): Devices;
  notebooks(day: number): Notebooks;
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
    devices(day) {
      const { emptyGroups, restatements } = getEdits(day);
      if (emptyGroups.has('devices')) return NO_DEVICES;
      const whole = countDevices(org.profile, day, restatements.devices);
      const created = computePart(whole.created, 0, toElapsedMs(day));
      const deleted = computePart(whole.deleted, 0, toElapsedMs(day));
      const total = whole.total - (whole.created - created) + (whole.deleted - deleted);
      return { created, deleted, total: Math.max(0, total) };
    },
    notebooks(day) {
      const { emptyGroups, restatements } = getEdits(day);
      if (emptyGroups.has('notebooks')) return NO_NOTEBOOKS;
      const whole = countNotebooks(org.profile, day, restatements.notebooks);
      return mapFields(whole, (value) => computePart(value, 0, toElapsedMs(day)));
    },
    payloads(day, fromMs, toMs) {
      const { emptyGroups, restatements } = getEdits(day);
      if (emptyGroups.has('payloads')) return [];
      const rows = renameSource(countPayloads(org.profile, day, restatements.payloads), restatements.sources);
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
function renameSource(rows: readonly SourceDay[], version: number): readonly SourceDay[] {
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
    devices: (day) => sumOf(day).devices,
    notebooks: (day) => sumOf(day).notebooks,
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
  let devices: Devices = NO_DEVICES;
  let notebooks: Notebooks = NO_NOTEBOOKS;
  const payloads = new SourceSum();
  for (const org of world.organizations.each(world.organizations.existingKeys())) {
    const meter = createOrgMeter(world, org);
    const [orgDevices, orgNotebooks] = [meter.devices(day), meter.notebooks(day)];
    devices = mapFields(devices, (sum, field) => add(sum, orgDevices[field]));
    notebooks = mapFields(notebooks, (sum, field) => add(sum, orgNotebooks[field]));
    payloads.add(meter.payloads(day, fromMs, toMs));
  }
  return { devices, notebooks, payloads: payloads.toRows() };
}

function mapFields<F extends string, V, R>(fields: Record<F, V>, map: (value: V, field: F) => R): Record<F, R> {
  const entries = (Object.entries(fields) as [F, V][]).map(([field, value]) => [field, map(value, field)]);
  return Object.fromEntries(entries) as Record<F, R>;
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
