import { type Amount, add } from './amount.ts';
import { DAY_MS } from './calendar.ts';
import type { Answered, CounterAction, HourEdit } from './edits.ts';
import type { Org } from './organizations.ts';
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
  /** Returns the amount by which the answer is wrong on purpose. */
  biasOf(day: number, action: CounterAction): number;
}

const NO_DEVICES = { created: 0, deleted: 0, total: 0 };
const NO_NOTEBOOKS = { minutes: 0, completed: 0, canceled: 0, errored: 0, timeout: 0 };

export function orgMeter(world: World, org: Org): Meter {
  const { edits } = world;
  const elapsed = (day: number) => Math.max(0, Math.min(DAY_MS, world.now() - day * DAY_MS));
  return {
    devices(day) {
      if (edits.isEmptied(org.key, day, 'devices')) return NO_DEVICES;
      const whole = deviceDay(org.profile, day, edits.restated(org.key, day, 'devices'));
      const created = part(whole.created, 0, elapsed(day));
      const deleted = part(whole.deleted, 0, elapsed(day));
      const total = whole.total - (whole.created - created) + (whole.deleted - deleted);
      return { created, deleted, total: Math.max(0, total) };
    },
    notebooks(day) {
      if (edits.isEmptied(org.key, day, 'notebooks')) return NO_NOTEBOOKS;
      const whole = notebookDay(org.profile, day, edits.restated(org.key, day, 'notebooks'));
      return mapFields(whole, (value) => part(value, 0, elapsed(day)));
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
    biasOf: () => 0,
  };
}

/** Attributes the payloads of the first source to another one, which changes no total. */
function moveSource<R extends { readonly source: string }>(rows: readonly R[], moved: number): readonly R[] {
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
  const remember = createMemory(world);
  const wholeDay = (day: number) => remember(`${day}`, day, () => sumDay(world, day, 0, DAY_MS));
  return {
    devices: (day) => wholeDay(day).devices,
    notebooks: (day) => wholeDay(day).notebooks,
    payloads(day, fromMs, toMs) {
      if (fromMs === 0 && toMs === DAY_MS) return wholeDay(day).payloads;
      return remember(`${day} ${fromMs} ${toMs}`, day, () => sumDay(world, day, fromMs, toMs)).payloads;
    },
    isOmitted: () => false,
    hourEdit: () => null,
    biasOf: (day, action) =>
      world.settings.bias
        .filter((bias) => bias.day === day && bias.counter === action)
        .reduce((sum, { by }) => sum + by, 0),
  };
}

type DaySum = ReturnType<typeof sumDay>;

/** Sums all counters in one pass, because the organizations are not kept but computed for it. */
function sumDay(world: World, day: number, fromMs: number, toMs: number) {
  let devices: Record<keyof DeviceDay, Amount> = NO_DEVICES;
  let notebooks: Record<keyof NotebookDay, Amount> = NO_NOTEBOOKS;
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
  fields: Readonly<Record<F, V>>,
  map: (value: V, field: F) => R,
): Record<F, R> {
  const entries = (Object.entries(fields) as [F, V][]).map(([field, value]) => [field, map(value, field)]);
  return Object.fromEntries(entries) as Record<F, R>;
}

/** The number of sums remembered: adding up thousands of organizations for each request would stall the server. */
const REMEMBERED = 500;

/** Returns a memory for sums of days that are over, valid until an organization or a past day changes. */
function createMemory(world: World): (key: string, day: number, compute: () => DaySum) => DaySum {
  const memory = new Map<string, DaySum>();
  let version = '';
  return (key, day, compute) => {
    const current = `${world.organizations.version} ${world.edits.version}`;
    if (current !== version || memory.size >= REMEMBERED) memory.clear();
    version = current;
    const sum = memory.get(key) ?? compute();
    if ((day + 1) * DAY_MS <= world.now()) memory.set(key, sum);
    return sum;
  };
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
