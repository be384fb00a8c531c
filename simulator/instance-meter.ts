import { type Amount, add } from './amount.ts';
import { DAY_MS } from './calendar.ts';
import { type Meter, orgMeter } from './meter.ts';
import { createSourceSum } from './source-sum.ts';
import type { World } from './world.ts';

const DEVICE_FIELDS = ['created', 'deleted', 'total'] as const;
const NOTEBOOK_FIELDS = ['minutes', 'completed', 'canceled', 'errored', 'timeout'] as const;

/** Days remembered: adding up thousands of organizations for each request would stall the server. */
const REMEMBERED = 500;

/**
 * The instance: the sum of the organizations it has now. A deleted one takes its
 * history along. Buckets left out of an organization's answers are counted here,
 * so that the instance can bear witness against them.
 */
export function createInstanceMeter(world: World): Meter {
  const remember = createMemory(world);
  const meters = () => world.population.living().map((org) => orgMeter(world, org));
  return {
    devices: (day) =>
      remember(`devices ${day}`, day, () =>
        sumFields(DEVICE_FIELDS, meters(), (meter) => meter.devices(day)),
      ),
    notebooks: (day) =>
      remember(`notebooks ${day}`, day, () =>
        sumFields(NOTEBOOK_FIELDS, meters(), (meter) => meter.notebooks(day)),
      ),
    payloads: (day, fromMs, toMs) =>
      remember(`payloads ${day} ${fromMs} ${toMs}`, day, () => {
        const sum = createSourceSum();
        for (const meter of meters()) sum.add(meter.payloads(day, fromMs, toMs));
        return sum.rows();
      }),
    isOmitted: () => false,
  };
}

function sumFields<F extends string>(
  fields: readonly F[],
  meters: readonly Meter[],
  read: (meter: Meter) => Record<F, Amount>,
): Record<F, Amount> {
  const sums = Object.fromEntries(fields.map((field) => [field, 0])) as Record<F, Amount>;
  for (const meter of meters) {
    const values = read(meter);
    for (const field of fields) sums[field] = add(sums[field], values[field]);
  }
  return sums;
}

/** Remembers what was computed of days that are over, until an organization or a past day changes. */
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
