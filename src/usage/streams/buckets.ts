import * as z from 'zod';
import { billed, describeProblems, ifRepeated, instant } from '../body.ts';
import { DAY_MS, type DayRange, dayAt, dayEndMs, dayStartMs, eachDay, type UsageDay } from '../day.ts';
import { type DayReading, type Fact, UnplaceableBodyError, type WindowReading } from './stream.ts';

const envelope = z.looseObject({
  start: instant.optional(),
  end: instant.optional(),
  counts: z.array(z.looseObject({ date: instant }), { error: ifRepeated }),
});

/** The billed numbers of one bucket, in the order of a stream's columns. */
type BucketSchema = z.ZodObject<Readonly<Record<string, typeof billed>>>;

/** The bucket of a body that has one column. */
const single = z.object({ value: billed });

/** The readings of a body's buckets by their starts, in ms. */
interface BucketReadings extends Omit<WindowReading, 'days'> {
  readonly at: ReadonlyMap<number, DayReading>;
}

/** `readDays` reads a body of daily buckets, as {@link readBuckets} does. */
export function readDays(body: unknown, window: DayRange, bucket: BucketSchema): WindowReading {
  const { at, ...counts } = readBuckets(body, window, bucket, DAY_MS);
  return { ...counts, days: new Map([...at].map(([startMs, reading]) => [dayAt(startMs), reading])) };
}

/**
 * `readColumns` reads a body for each column, with one number for each of the keys of a day, which parts it equally.
 * A bucket that some bodies left out although the day is in others reads 0 and is named in `missingColumns`.
 */
export function readColumns(
  bodies: readonly unknown[],
  window: DayRange,
  { columns, keys }: { readonly columns: readonly string[]; readonly keys: readonly Fact['key'][] },
): WindowReading {
  const lengthMs = DAY_MS / keys.length;
  const readings = bodies.map((body) => readBuckets(body, window, single, lengthMs));
  const days = new Map<UsageDay, DayReading>();
  for (const day of eachDay(window)) {
    const starts = keys.map((_, index) => dayStartMs(day) + index * lengthMs);
    const parts = readings.map(({ at }) => starts.map((startMs) => at.get(startMs)));
    if (parts.flat().some((part) => part !== undefined)) days.set(day, joinColumns(parts, columns, keys));
  }
  return {
    days,
    outsideBuckets: readings.reduce((sum, reading) => sum + reading.outsideBuckets, 0),
    unknownKeys: readings.reduce((sum, reading) => sum + reading.unknownKeys, 0),
  };
}

/** `joinColumns` joins the parts of one day, by column and key. */
function joinColumns(
  parts: readonly (readonly (DayReading | undefined)[])[],
  columns: readonly string[],
  keys: readonly Fact['key'][],
): DayReading {
  const missingColumns: string[] = [];
  const facts = keys.map((key) => ({ key, values: [] as number[] }));
  for (const [column, name] of columns.entries()) {
    let sum = 0;
    for (const [index, { key, values }] of facts.entries()) {
      const part = parts[column]?.[index];
      const place = [name, ...key].join(' ');
      if (part?.kind === 'quarantined') return { ...part, message: `${place}: ${part.message}` };
      if (part === undefined) missingColumns.push(place);
      const [value = 0] = part?.facts[0]?.values ?? [];
      values.push(value);
      sum += value;
    }
    if (!Number.isSafeInteger(sum)) {
      const message = `${name}: the hours add up to more than 2^53 - 1`;
      return { kind: 'quarantined', code: 'invalid_value', message };
    }
  }
  return { kind: 'values', facts, missingColumns };
}

/**
 * `readBuckets` reads a body `{start, end, counts: [{date, …}]}` of buckets of a day or an hour. `date` is their
 * start, in UTC; `start` and `end`, when present, must cover the window (Losant's `end` is inclusive, in ms). A
 * bucket that does not fit its schema quarantines its own day. Throws UnplaceableBodyError for a body without
 * `counts`, a wrong window, a bucket off UTC midnight or the hour, one that occurs twice, or a body that has buckets
 * of other days only and does not state that it covers the window.
 */
function readBuckets(
  body: unknown,
  window: DayRange,
  bucket: BucketSchema,
  lengthMs: number,
): BucketReadings {
  const parsed = envelope.safeParse(body);
  if (!parsed.success) throw new UnplaceableBodyError(describeProblems(parsed.error));
  const { start, end, counts, ...rest } = parsed.data;
  requireWindow(window, start, end);
  const isDaily = lengthMs === DAY_MS;
  const firstMs = dayStartMs(window.from);
  const lastMs = dayEndMs(window.to) - 1;
  const at = new Map<number, DayReading>();
  const outside = new Set<number>();
  let outsideBuckets = 0;
  let unknownKeys = countUnknown(rest);
  for (const { date, ...numbers } of counts) {
    if (date % lengthMs !== 0) {
      const place = isDaily ? 'at UTC midnight' : 'on the hour';
      throw new UnplaceableBodyError(`bucket ${showInstant(date)} does not start ${place}`);
    }
    if (at.has(date) || (!isDaily && outside.has(date))) {
      const name = isDaily ? `day ${dayAt(date)}` : `hour ${showInstant(date)}`;
      throw new UnplaceableBodyError(`${name} is in the body twice`);
    }
    if (date < firstMs || date > lastMs) {
      outside.add(date);
      outsideBuckets += 1;
      continue;
    }
    unknownKeys += countUnknown(numbers, bucket.shape);
    at.set(date, readBucket(numbers, bucket));
  }
  const statesWindow = start !== undefined && end !== undefined;
  if (at.size === 0 && outsideBuckets > 0 && !statesWindow) {
    throw new UnplaceableBodyError(
      `none of its ${outsideBuckets} buckets is of the days asked for, ${window.from} to ${window.to}`,
    );
  }
  return { at, outsideBuckets, unknownKeys };
}

function readBucket(numbers: unknown, bucket: BucketSchema): DayReading {
  const { data, error } = bucket.safeParse(numbers);
  if (error) return { kind: 'quarantined', code: 'invalid_value', message: describeProblems(error) };
  return { kind: 'values', facts: [{ key: [], values: Object.values(data) }], missingColumns: [] };
}

function requireWindow(window: DayRange, start: number | undefined, end: number | undefined): void {
  const late = start !== undefined && start > dayStartMs(window.from);
  const early = end !== undefined && end < dayEndMs(window.to) - 1;
  if (late || early) {
    throw new UnplaceableBodyError(
      `the body covers ${showInstant(start)} to ${showInstant(end)}, but the request was for ${window.from} to ${window.to}`,
    );
  }
}

/**
 * `countUnknown` returns the number of keys unknown to this version; keys that start with `_` are the API's own
 * envelope.
 */
function countUnknown(object: object, known: object = {}): number {
  return Object.keys(object).filter((key) => !Object.hasOwn(known, key) && !key.startsWith('_')).length;
}

function showInstant(epochMs: number | undefined): string {
  return epochMs === undefined ? '(not said)' : new Date(epochMs).toISOString();
}
