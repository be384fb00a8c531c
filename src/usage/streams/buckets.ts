import * as z from 'zod';
import { billed, describeProblems, ifRepeated, instant } from '../body.ts';
import { DAY_MS, type DayRange, dayAt, dayEndMs, dayStartMs, eachDay, type UsageDay } from '../day.ts';
import { nameOf, type Part } from '../numbers.ts';
import { type DayReading, UnplaceableBodyError, type WindowReading } from './stream.ts';

const envelope = z.looseObject({
  start: instant.optional(),
  end: instant.optional(),
  counts: z.array(z.looseObject({ date: instant }), { error: ifRepeated }),
});

/** The billed numbers of one bucket, in the order of a stream's columns. */
type BucketSchema = z.ZodObject<Readonly<Record<string, typeof billed>>>;

/** The bucket of a body that has one column. */
const single = z.object({ value: billed });

/** The numbers of one bucket, in the order of its schema, or what is wrong with it. */
type BucketReading = { readonly values: readonly number[] } | { readonly problem: string };

/** The readings of a body's buckets by their starts, in ms. */
interface BucketReadings extends Omit<WindowReading, 'days'> {
  readonly at: ReadonlyMap<number, BucketReading>;
}

/** Reads a body of daily buckets, as {@link readBuckets} does. */
export function readDays(
  body: unknown,
  window: DayRange,
  { bucket, columns }: { readonly bucket: BucketSchema; readonly columns: readonly string[] },
): WindowReading {
  const { at, outsideBuckets, unknownKeys } = readBuckets(body, window, bucket, DAY_MS);
  const days = new Map<UsageDay, DayReading>();
  for (const [startMs, reading] of at) {
    if ('problem' in reading) days.set(dayAt(startMs), invalid(reading.problem));
    else {
      const numbers = Object.fromEntries(
        columns.map((column, index) => [column, reading.values[index] as number]),
      );
      days.set(dayAt(startMs), { kind: 'named', numbers, leftOut: [] });
    }
  }
  return { days, outsideBuckets, unknownKeys };
}

/**
 * Reads a body for each column, with one number for each of `hours`, or for the day where that is null. What some
 * bodies left out although the day is in others reads 0 and is named in `leftOut`.
 */
export function readColumns(
  bodies: readonly unknown[],
  window: DayRange,
  { columns, hours }: { readonly columns: readonly string[]; readonly hours: readonly Part['hour'][] },
): WindowReading {
  const lengthMs = DAY_MS / hours.length;
  const readings = bodies.map((body) => readBuckets(body, window, single, lengthMs));
  const days = new Map<UsageDay, DayReading>();
  for (const day of eachDay(window)) {
    const starts = hours.map((_, index) => dayStartMs(day) + index * lengthMs);
    const buckets = readings.map(({ at }) => starts.map((startMs) => at.get(startMs)));
    if (buckets.flat().some((bucket) => bucket !== undefined))
      days.set(day, joinColumns(buckets, columns, hours));
  }
  return {
    days,
    outsideBuckets: readings.reduce((sum, reading) => sum + reading.outsideBuckets, 0),
    unknownKeys: readings.reduce((sum, reading) => sum + reading.unknownKeys, 0),
  };
}

/** Joins the buckets of one day, which are given by column and hour. */
function joinColumns(
  buckets: readonly (readonly (BucketReading | undefined)[])[],
  columns: readonly string[],
  hours: readonly Part['hour'][],
): DayReading {
  const leftOut: Part[] = [];
  const numbers: Record<string, number | number[]> = {};
  for (const [index, column] of columns.entries()) {
    const values: number[] = [];
    for (const [place, hour] of hours.entries()) {
      const bucket = buckets[index]?.[place];
      if (bucket === undefined) leftOut.push({ column, hour });
      else if ('problem' in bucket) return invalid(`${nameOf({ column, hour })}: ${bucket.problem}`);
      values.push(bucket?.values[0] ?? 0);
    }
    const sum = values.reduce((a, b) => a + b, 0);
    if (!Number.isSafeInteger(sum)) return invalid(`${column}: the hours add up to more than 2^53 - 1`);
    numbers[column] = hours[0] === null ? sum : values;
  }
  return { kind: 'named', numbers, leftOut };
}

function invalid(message: string): DayReading {
  return { kind: 'quarantined', code: 'invalid_value', message };
}

/**
 * Reads a body `{start, end, counts: [{date, …}]}` of buckets of a day or an hour. `date` is their
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
  const at = new Map<number, BucketReading>();
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

function readBucket(numbers: unknown, bucket: BucketSchema): BucketReading {
  const { data, error } = bucket.safeParse(numbers);
  return error ? { problem: describeProblems(error) } : { values: Object.values(data) };
}

function requireWindow(window: DayRange, start: number | undefined, end: number | undefined): void {
  const late = start !== undefined && start > dayStartMs(window.from);
  const early = end !== undefined && end < dayEndMs(window.to) - 1;
  if (late || early) {
    throw new UnplaceableBodyError(
      `the body covers ${showInstant(start)} to ${showInstant(end)}, ` +
        `but the request was for ${window.from} to ${window.to}`,
    );
  }
}

/** Returns the number of keys unknown to this version; keys that start with `_` are the API's own envelope. */
function countUnknown(object: object, known: object = {}): number {
  return Object.keys(object).filter((key) => !Object.hasOwn(known, key) && !key.startsWith('_')).length;
}

function showInstant(epochMs: number | undefined): string {
  return epochMs === undefined ? '(not said)' : new Date(epochMs).toISOString();
}
