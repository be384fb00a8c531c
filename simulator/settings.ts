import { z } from 'zod';
import { DAY_MS } from './calendar.ts';
import { COUNTER_ACTIONS, type CounterAction } from './edits.ts';
import { faultPlan } from './faults.ts';
import { listFaults } from './list-faults.ts';
import { DAY_ACTIONS, DAY_COUNTERS } from './usage.ts';

/** A day as `YYYY-MM-DD`, transformed into a day number. */
export const dayInput = z.iso.date().transform((text) => Date.parse(text) / DAY_MS);

const STREAM_ACTIONS: Readonly<Record<string, CounterAction>> = {
  ...Object.fromEntries(DAY_ACTIONS.map((action) => [DAY_COUNTERS[action].stream, action])),
  payload_sources: 'payloadCounts',
  payload_totals: 'payloadCountsBreakdown',
  payload_hours: 'payloadCountsBreakdown',
};

/** A counter by the name of its action or of a stream. */
export const counterInput = z
  .string()
  .transform((name) => STREAM_ACTIONS[name] ?? name)
  .pipe(z.enum(COUNTER_ACTIONS));

/** A total of the instance that differs from the sum over its organizations. */
const bias = z.strictObject({ counter: counterInput, day: dayInput, by: z.number() });

/** Behavior that the platform's documentation leaves open, delays and faults. */
export const settings = z.strictObject({
  latencyMs: z.number().default(0),
  /** More requests within a second get 429 with Retry-After; null: no limit. */
  requestsPerSecond: z.number().nullable().default(null),
  /** The upper bound of `perPage`. */
  pageSizeMax: z.number().default(1000),
  /** Whether buckets of zeros are omitted. */
  omitZeroDays: z.boolean().default(false),
  /** Whether hourly responses omit hours without payloads. */
  omitZeroHours: z.boolean().default(false),
  /** Whether bodies have the requested `start` and `end`. */
  echoWindow: z.boolean().default(true),
  /** The number of days whose detail is retained, without today. */
  detailDays: z.number().default(93),
  /** The response for days beyond `detailDays`: buckets of zeros, no buckets, or 400. */
  retention: z.enum(['zeros', 'empty', 'refuse']).default('empty'),
  /** The longest range in days; null: no limit. */
  maxRangeDays: z.number().nullable().default(null),
  /** The response for a longer range: 400, or its last days only. */
  longRange: z.enum(['refuse', 'cut']).default('refuse'),
  /** The offset of the simulator's clock from the host's. */
  clock: z.strictObject({ offsetMs: z.number() }).default({ offsetMs: 0 }),
  /** The clock jumps once, after that many more requests to the API; null: never. */
  clockJump: nullable(z.strictObject({ afterRequests: z.number(), byMs: z.number() }).nullable(), null),
  /** The offset of the Date header. */
  dateOffsetMs: z.number().default(0),
  list: nullable(listFaults, {}),
  bias: nullable(z.array(bias), []),
  faults: nullable(z.union([z.array(faultPlan), faultPlan.transform((plan) => [plan])]), []),
});
export type Settings = z.output<typeof settings>;
export type SettingsInput = z.input<typeof settings>;

/** Returns a schema that accepts null or nothing as `none`. */
function nullable<S extends z.ZodType>(schema: S, none: z.output<S>) {
  return schema.nullish().transform((value) => value ?? none);
}

/** Returns the settings with the keys of the input changed. Throws a ZodError for invalid input. */
export function changeSettings(current: Settings, input: unknown): Settings {
  const entries = Object.entries(settings.parse(input));
  return { ...current, ...Object.fromEntries(entries.filter(([key]) => key in Object(input))) };
}
