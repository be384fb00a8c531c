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
export const counterInput = z.preprocess(
  (name) => (typeof name === 'string' ? (STREAM_ACTIONS[name] ?? name) : name),
  z.enum(COUNTER_ACTIONS),
);

/** A number of the instance that disagrees with the sum of its organizations. */
const bias = z.strictObject({
  counter: counterInput,
  day: dayInput,
  /** The amount added to the instance's number of the day. */
  by: z.number(),
});

/** The behaviour that the platform's documentation leaves open, and delays and faults. */
const settings = z.strictObject({
  latencyMs: z.number(),
  /** The requests within any second beyond which the answer is 429 with Retry-After; null for no limit. */
  requestsPerSecond: z.number().nullable(),
  /** The largest page, to which a larger `perPage` is cut. */
  pageSizeMax: z.number(),
  /** Whether buckets whose values are all zero are left out. */
  omitZeroDays: z.boolean(),
  /** Whether hours without payloads are left out of an answer by hour. */
  omitZeroHours: z.boolean(),
  /** Whether bodies have the window's start and end. */
  echoWindow: z.boolean(),
  /** The number of days whose detail is kept, without today. */
  detailDays: z.number(),
  /** The form of days beyond `detailDays`: buckets of zeros, no buckets, or 400. */
  retention: z.enum(['zeros', 'empty', 'refuse']),
  /** The longest window in days, beyond which the answer is 400; null for no limit. */
  maxRangeDays: z.number().nullable(),
  /** How far the simulator's time is from the host's. */
  clock: z.strictObject({ offsetMs: z.number() }),
  /** A single jump of the clock after this many more requests of the API; null for none. */
  clockJump: z.strictObject({ afterRequests: z.number(), byMs: z.number() }).nullable(),
  /** The ms added to the time of the Date header alone. */
  dateOffsetMs: z.number(),
  /** Whether answers have a Date header. */
  sendsDate: z.boolean(),
  list: listFaults.nullable().transform((faults) => faults ?? {}),
  bias: z
    .array(bias)
    .nullable()
    .transform((biases) => biases ?? []),
  faults: z
    .union([faultPlan.transform((plan) => [plan]), z.array(faultPlan).readonly()])
    .nullable()
    .transform((plans) => plans ?? []),
});
export type Settings = z.output<typeof settings>;

/** Any of the settings, as a caller gives them. */
export const settingsInput = settings.partial();
export type SettingsInput = z.input<typeof settingsInput>;

const DEFAULTS: Settings = {
  latencyMs: 0,
  requestsPerSecond: null,
  pageSizeMax: 1000,
  omitZeroDays: false,
  omitZeroHours: false,
  echoWindow: true,
  detailDays: 93,
  retention: 'empty',
  maxRangeDays: null,
  clock: { offsetMs: 0 },
  clockJump: null,
  dateOffsetMs: 0,
  sendsDate: true,
  list: {},
  bias: [],
  faults: [],
};

export function createSettings(input: SettingsInput): Settings {
  return { ...DEFAULTS, ...parseSettings(input) };
}

/** Returns the settings that the input names. Throws a ZodError for one that makes no sense. */
export function parseSettings(input: unknown): Partial<Settings> {
  const named = Object.entries(settingsInput.parse(input)).filter(([, value]) => value !== undefined);
  return Object.fromEntries(named);
}
