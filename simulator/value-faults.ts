import { DAY_MS, dayOf, dayText, HOUR_MS, isoMs, type Window } from './calendar.ts';
import type { Body } from './rejection.ts';

export type Bucket = { date: string } & Body;

/** A body with one fault, and the day that it affects. */
export interface SpoiledBody {
  readonly body: Body;
  readonly day: string;
}

/** Marks a repeated key, which no object can have. */
const REPEATED_PREFIX = '@again ';

/** Replaces marked keys in the text of a body by repeated ones. */
export function repeatKeys(text: string): string {
  return text.replaceAll(`"${REPEATED_PREFIX}`, '"');
}

/** Faults of a single number: by kind, the changed or added field. */
const VALUES = {
  negative: (value: number, field: string) => ({ [field]: -value - 1 }),
  // Beyond 2^50 a double would lose the fraction.
  fractional: (value: number, field: string) => ({ [field]: value > 2 ** 50 ? 0.5 : value + 0.5 }),
  text_number: (value: number, field: string) => ({ [field]: String(value) }),
  null_value: (_: number, field: string) => ({ [field]: null }),
  boolean_value: (_: number, field: string) => ({ [field]: true }),
  above_safe: (_: number, field: string) => ({ [field]: JSON.rawJSON('9007199254740993') }),
  // JSON.parse reads both of these as integers.
  rounded: (value: number, field: string) => ({ [field]: JSON.rawJSON(`${value}.00000000000000000001`) }),
  near_zero: (_: number, field: string) => ({ [field]: JSON.rawJSON('1e-400') }),
  repeated_key: (value: number, field: string) => ({ [`${REPEATED_PREFIX}${field}`]: value }),
};

/** Faults of a bucket: by kind, the buckets in its place. */
const BUCKETS = {
  missing_value: (bucket: Bucket, field: string) => [{ ...bucket, [field]: undefined }],
  missing_bucket: () => [],
  duplicate_bucket: (bucket: Bucket) => [bucket, bucket],
  misplaced_bucket: (bucket: Bucket) => [{ ...bucket, date: isoMs(Date.parse(bucket.date) + 5 * HOUR_MS) }],
  unknown_keys: (bucket: Bucket) => [{ ...bucket, archived: 3 }],
};

/** Faults of a whole body: by kind, its changed keys. */
const BODIES = {
  outside_bucket: (counts: Bucket[], { startMs }: Window) => {
    const date = isoMs((dayOf(startMs) - 1) * DAY_MS);
    return { counts: [{ ...counts[0], date }, ...counts] };
  },
  wrong_window: (_: Bucket[], { startMs, endMs }: Window) => ({
    start: isoMs(startMs - DAY_MS),
    end: isoMs(endMs - DAY_MS),
  }),
  no_counts: () => ({ counts: undefined }),
};

/** All faults in an otherwise good body. */
export const VALUE_FAULTS = { ...VALUES, ...BUCKETS, ...BODIES };
export type ValueKind = keyof typeof VALUE_FAULTS;

/** Returns a copy of the body with a fault in the bucket and field that `pick` selects; null if that is impossible. */
export function spoilBody(kind: ValueKind, body: Body, window: Window, pick: number): SpoiledBody | null {
  const counts = body['counts'] as Bucket[] | undefined;
  const day = dayText(dayOf(window.startMs));
  if (counts === undefined) return spoilSources(kind, body, day, pick);
  if (isKeyOf(BODIES, kind)) {
    const spoiledDay = kind === 'outside_bucket' ? dayText(dayOf(window.startMs) - 1) : day;
    return { body: { ...body, ...BODIES[kind](counts, window) }, day: spoiledDay };
  }
  const index = pick % counts.length;
  const bucket = counts[index];
  if (bucket === undefined) return null;
  const fields = Object.keys(bucket).filter((key) => key !== 'date');
  const field = fields[(pick >>> 8) % fields.length] ?? 'value';
  const spoiled = isKeyOf(VALUES, kind)
    ? [{ ...bucket, ...VALUES[kind](numberOf(bucket[field]), field) }]
    : BUCKETS[kind](bucket, field);
  const granularity = kind === 'unknown_keys' ? { granularity: 'day' } : {};
  const spoiledCounts = counts.toSpliced(index, 1, ...spoiled);
  return { body: { ...body, ...granularity, counts: spoiledCounts }, day: bucket.date.slice(0, 10) };
}

/** Like {@link spoilBody}, for a body of `payloadCounts`. */
function spoilSources(kind: ValueKind, body: Body, day: string, pick: number): SpoiledBody | null {
  if (kind === 'unknown_keys') return { body: { ...body, _granularity: 'total' }, day };
  const fields = Object.entries(body)
    .filter(([type]) => !type.startsWith('_'))
    .flatMap(([type, sources]) =>
      Object.entries(Object(sources) as Body).map(([name, value]) => ({ type, name, value })),
    );
  const field = fields[pick % fields.length];
  if (field === undefined || !isKeyOf(VALUES, kind)) return null;
  const { type, name, value } = field;
  const sources = { ...(body[type] as Body), ...VALUES[kind](numberOf(value), name) };
  return { body: { ...body, [type]: sources }, day };
}

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 1;
}

function isKeyOf<T extends object>(table: T, key: PropertyKey): key is keyof T {
  return key in table;
}
