import { type Amount, add } from './amount.ts';
import { DAY_MS } from './calendar.ts';
import { type CounterAction, type DayEdits, UNCHANGED } from './edits.ts';
import type { Org } from './organizations.ts';
import { deviceDay, notebookDay, part, payloadDay, type SourceDay } from './usage.ts';
import type { World } from './world.ts';

const NO_DEVICES = { created: 0, deleted: 0, total: 0 };
const NO_NOTEBOOKS = { minutes: 0, completed: 0, canceled: 0, errored: 0, timeout: 0 };
type Devices = Record<keyof typeof NO_DEVICES, Amount>;
type Notebooks = Record<keyof typeof NO_NOTEBOOKS, Amount>;
export type SourceAmount = Omit<SourceDay, 'count' | 'bytes'> & {
  readonly count: Amount;
  readonly bytes: Amount;
};

/**
 * The usage so far, of one organization or of the instance. Past days are complete; today is counted
 * up to the clock's time; later days are not asked for.
 */
export interface Meter {
  devices(day: number): Devices;
  notebooks(day: number): Notebooks;
  /** Returns the payloads within [fromMs, toMs) after midnight; pairs without payloads are left out. */
  payloads(day: number, fromMs: number, toMs: number): readonly SourceAmount[];
  /** Returns the changes of which some show in answers alone: buckets left out, and wrong hours. */
  editsOf(day: number): DayEdits;
  /** Returns the amount by which the answer is wrong on purpose. */
  biasOf(day: number, action: CounterAction): number;
}

export function orgMeter(world: World, org: Org): Meter {
  const editsOf = (day: number) => world.edits.of(org.key, day);
  const elapsed = (day: number) => Math.max(0, Math.min(DAY_MS, world.now() - day * DAY_MS));
  return {
    devices(day) {
      const { emptied, restated } = editsOf(day);
      if (emptied.has('devices')) return NO_DEVICES;
      const whole = deviceDay(org.profile, day, restated.devices);
      const created = part(whole.created, 0, elapsed(day));
      const deleted = part(whole.deleted, 0, elapsed(day));
      const total = whole.total - (whole.created - created) + (whole.deleted - deleted);
      return { created, deleted, total: Math.max(0, total) };
    },
    notebooks(day) {
      const { emptied, restated } = editsOf(day);
      if (emptied.has('notebooks')) return NO_NOTEBOOKS;
      const whole = notebookDay(org.profile, day, restated.notebooks);
      return mapFields(whole, (value) => part(value, 0, elapsed(day)));
    },
    payloads(day, fromMs, toMs) {
      const { emptied, restated } = editsOf(day);
      if (emptied.has('payloads')) return [];
      const rows = moveSource(payloadDay(org.profile, day, restated.payloads), restated.sources);
      const to = Math.min(toMs, elapsed(day));
      return rows
        .map((row) => ({ ...row, count: part(row.count, fromMs, to), bytes: part(row.bytes, fromMs, to) }))
        .filter((row) => row.count > 0 || row.bytes > 0);
    },
    editsOf,
    biasOf: () => 0,
  };
}

/** Attributes the payloads of the first source to another one, which changes no total. */
function moveSource(rows: readonly SourceDay[], moved: number): readonly SourceDay[] {
  const [first, ...others] = rows;
  if (moved === 0 || first === undefined) return rows;
  return [{ ...first, source: `${first.source}.moved${moved}` }, ...others];
}

/**
 * Creates the meter of the instance, the sum of its present organizations; a deleted one takes its
 * history along. Buckets left out of an organization's answers are counted here, so that the
 * instance's totals can contradict them.
 */
export function createInstanceMeter(world: World): Meter {
  const sums = new Map<string, DaySum>();
  let { version } = world;
  /** Sums of days that are over are remembered, because adding up thousands of organizations takes long. */
  const sumOf = (day: number, fromMs = 0, toMs = DAY_MS): DaySum => {
    if (world.version !== version) sums.clear();
    version = world.version;
    const key = `${day} ${fromMs} ${toMs}`;
    const sum = sums.get(key) ?? sumDay(world, day, fromMs, toMs);
    if ((day + 1) * DAY_MS <= world.now()) sums.set(key, sum);
    return sum;
  };
  return {
    devices: (day) => sumOf(day).devices,
    notebooks: (day) => sumOf(day).notebooks,
    payloads: (day, fromMs, toMs) => sumOf(day, fromMs, toMs).payloads,
    editsOf: () => UNCHANGED,
    biasOf(day, action) {
      const biases = world.settings.bias.filter((bias) => bias.day === day && bias.counter === action);
      return biases.reduce((sum, { by }) => sum + by, 0);
    },
  };
}

type DaySum = ReturnType<typeof sumDay>;

/** Sums all counters in one pass, because the organizations are not kept but computed for it. */
function sumDay(world: World, day: number, fromMs: number, toMs: number) {
  let devices: Devices = NO_DEVICES;
  let notebooks: Notebooks = NO_NOTEBOOKS;
  const payloads = new SourceSum();
  for (const org of world.organizations.each(world.organizations.living())) {
    const meter = orgMeter(world, org);
    const [orgDevices, orgNotebooks] = [meter.devices(day), meter.notebooks(day)];
    devices = mapFields(devices, (sum, field) => add(sum, orgDevices[field]));
    notebooks = mapFields(notebooks, (sum, field) => add(sum, orgNotebooks[field]));
    payloads.add(meter.payloads(day, fromMs, toMs));
  }
  return { devices, notebooks, payloads: payloads.rows() };
}

function mapFields<F extends string, V, R>(
  fields: Record<F, V>,
  map: (value: V, field: F) => R,
): Record<F, R> {
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

  rows(): SourceAmount[] {
    return [...this.#sums.values()];
  }
}
