import { type Amount, add } from './amount.ts';
import { DAY_MS } from './calendar.ts';
import { type Meter, orgMeter } from './meter.ts';
import { createSourceSum } from './source-sum.ts';
import type { World } from './world.ts';

const DEVICE_FIELDS = ['created', 'deleted', 'total'] as const;
const NOTEBOOK_FIELDS = ['minutes', 'completed', 'canceled', 'errored', 'timeout'] as const;

/**
 * The number of days remembered: adding up thousands of organizations for each request would stall the
 * server.
 */
const REMEMBERED = 500;

/**
 * Creates the meter of the instance, the sum of its current organizations. A deleted one takes its
 * history along. Buckets left out of an organization's answers are counted here, so that the
 * instance's totals can contradict them.
 */
export function createInstanceMeter(world: World): Meter {
  const remember = createMemory(world);
  const wholeDay = (day: number) => remember(`${day}`, day, () => sumDay(world, day));
  return {
    devices: (day) => wholeDay(day).devices,
    notebooks: (day) => wholeDay(day).notebooks,
    payloads: (day, fromMs, toMs) =>
      fromMs === 0 && toMs === DAY_MS
        ? wholeDay(day).payloads
        : remember(`payloads ${day} ${fromMs} ${toMs}`, day, () => sumPayloads(world, day, { fromMs, toMs })),
    isOmitted: () => false,
    hourEdit: () => null,
  };
}

/** Sums all counters in one pass, because a million organizations are not kept but computed for it. */
function sumDay(world: World, day: number) {
  const devices = zeros(DEVICE_FIELDS);
  const notebooks = zeros(NOTEBOOK_FIELDS);
  const payloads = createSourceSum();
  for (const meter of metersOf(world)) {
    addFields(devices, meter.devices(day));
    addFields(notebooks, meter.notebooks(day));
    payloads.add(meter.payloads(day, 0, DAY_MS));
  }
  return { devices, notebooks, payloads: payloads.rows() };
}

function sumPayloads(world: World, day: number, { fromMs, toMs }: { fromMs: number; toMs: number }) {
  const sum = createSourceSum();
  for (const meter of metersOf(world)) sum.add(meter.payloads(day, fromMs, toMs));
  return sum.rows();
}

function* metersOf(world: World): Generator<Meter> {
  for (const org of world.population.each(world.population.living())) yield orgMeter(world, org);
}

function zeros<F extends string>(fields: readonly F[]): Record<F, Amount> {
  return Object.fromEntries(fields.map((field) => [field, 0])) as Record<F, Amount>;
}

function addFields<F extends string>(sums: Record<F, Amount>, values: Readonly<Record<F, Amount>>): void {
  for (const field of Object.keys(sums) as F[]) sums[field] = add(sums[field], values[field]);
}

/** Returns a memory for figures of days that are over, valid until an organization or a past day changes. */
function createMemory(world: World): <T>(key: string, day: number, compute: () => T) => T {
  const memory = new Map<string, unknown>();
  let version = '';
  return <T>(key: string, day: number, compute: () => T): T => {
    const current = `${world.population.version()} ${world.edits.version()}`;
    if (current !== version) memory.clear();
    version = current;
    if (memory.has(key)) return memory.get(key) as T;
    const value = compute();
    if ((day + 1) * DAY_MS > world.clock.now()) return value;
    const oldest = memory.size >= REMEMBERED ? memory.keys().next().value : undefined;
    if (oldest !== undefined) memory.delete(oldest);
    memory.set(key, value);
    return value;
  };
}
