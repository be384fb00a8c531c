import { z } from 'zod';
import { DAY_MS } from './calendar.ts';
import { COUNTER_ACTIONS, type CounterAction } from './edits.ts';
import { faultPlan } from './faults.ts';
import { listFaults } from './list-faults.ts';

/** A day as `YYYY-MM-DD`, read as a day number. */
export const dayInput = z.iso.date().transform((text) => Date.parse(text) / DAY_MS);

const STREAM_ACTIONS: Readonly<Record<string, CounterAction>> = {
  device_counts: 'deviceCounts',
  notebook_minutes: 'notebookMinuteCounts',
  payload_sources: 'payloadCounts',
  payload_totals: 'payloadCountsBreakdown',
  payload_hours: 'payloadCountsBreakdown',
};

/** A counter by its own name or by that of the stream built on it. */
export const counterInput = z
  .string()
  .transform((name) => STREAM_ACTIONS[name] ?? name)
  .pipe(z.enum(COUNTER_ACTIONS));

/** A number of the instance that disagrees with the sum of its organizations. */
const bias = z.strictObject({ counter: counterInput, day: dayInput, by: z.number() });

/** The behaviour that the platform's documentation leaves open, and delays and faults. */
export const settings = z.strictObject({
  latencyMs: z.number().default(0),
  /** The requests within any second beyond which the answer is 429 with Retry-After; null for no limit. */
  requestsPerSecond: z.number().nullable().default(null),
  /** The largest page, to which a larger `perPage` is cut. */
  pageSizeMax: z.number().default(1000),
  /** Whether buckets whose values are all zero are left out. */
  omitZeroDays: z.boolean().default(false),
  /** Whether hours without payloads are left out of an answer by hour. */
  omitZeroHours: z.boolean().default(false),
  /** Whether bodies have the window's start and end. */
  echoWindow: z.boolean().default(true),
  /** The number of days whose detail is kept, without today. */
  detailDays: z.number().default(93),
  /** The form of days beyond `detailDays`: buckets of zeros, no buckets, or 400. */
  retention: z.enum(['zeros', 'empty', 'refuse']).default('empty'),
  /** The longest window in days, beyond which the answer is 400; null for no limit. */
  maxRangeDays: z.number().nullable().default(null),
  /** How far the simulator's time is from the host's. */
  clock: z.strictObject({ offsetMs: z.number() }).default({ offsetMs: 0 }),
  /** A single jump of the clock after this many more requests of the API; null for none. */
  clockJump: orNone(z.strictObject({ afterRequests: z.number(), byMs: z.number() }).nullable(), null),
  /** The ms added to the time of the Date header alone. */
  dateOffsetMs: z.number().default(0),
  list: orNone(listFaults, {}),
  bias: orNone(z.array(bias), []),
  faults: orNone(z.union([z.array(faultPlan), faultPlan.transform((plan) => [plan])]), []),
});
export type Settings = z.output<typeof settings>;
export type SettingsInput = z.input<typeof settings>;

/** Returns a schema that takes null and nothing for `none`. */
function orNone<S extends z.ZodType>(schema: S, none: z.output<S>) {
  return schema.nullish().transform((value) => value ?? none);
}

/** Returns the settings with the changes that the input names. Throws a ZodError if one makes no sense. */
export function changeSettings(current: Settings, input: unknown): Settings {
  const changed = Object.entries(settings.parse(input));
  return { ...current, ...Object.fromEntries(changed.filter(([key]) => key in Object(input))) };
}
