import * as z from 'zod';
import { billed, describeProblems, ifRepeated, instant } from '../body.ts';
import { DAY_MS, type DayRange, dayAt, dayEndMs, dayStartMs, eachDay, type UsageDay } from '../day.ts';
import { nameOf, type Part } from '../numbers.ts';
import { type DayReading, type Stream, UnplaceableBodyError, type WindowReading } from './stream.ts';

const envelope = z.looseObject({
  start: instant.optional(),
  end: instant.optional(),
  counts: z.array(z.looseObject({ date: instant }), { error: ifRepeated }),
});

/** Returns the schema of one bucket, in the order of the fields. */
const bucketOf = (fields: readonly string[]) =>
  z.object(Object.fromEntries(fields.map((field) => [field, billed])));

/** The bucket of a body that has one column. */
const single = bucketOf(['value']);

/** The numbers of one bucket, in the order of its schema, or what is wrong with it. */
type Bucket = readonly number[] | string;

/** The buckets of a body by their starts, in ms. */
interface Buckets extends Omit<WindowReading, 'days'> {
  readonly at: ReadonlyMap<number, Bucket>;
}

/** Returns what reads a body of daily buckets; `columns` are named by the fields of a bucket. */
export function readsDays(columns: Readonly<Record<string, string>>): Stream['readBodies'] {
  const names = Object.values(columns);
  const bucket = bucketOf(Object.keys(columns));
  return ([body], window) => {
    const { at, ...counts } = readBuckets(body, window, bucket, DAY_MS);
    const days = [...at].map(([startMs, values]): [UsageDay, DayReading] => {
      if (typeof values === 'string') return [dayAt(startMs), invalid(values)];
      const numbers = Object.fromEntries(names.map((name, index) => [name, values[index] as number]));
      return [dayAt(startMs), { kind: 'named', numbers, leftOut: [] }];
    });
    return { ...counts, days: new Map(days) };
  };
}

/** The columns of a stream, and the hours of each; null where it has one number for the day. */
interface Columns {
  readonly columns: readonly string[];
  readonly hours: readonly Part['hour'][];
}

/**
 * Reads a body for each column. What some bodies left out although the day is in others reads 0 and is named in
 * `leftOut`.
 */
export function readColumns(bodies: readonly unknown[], window: DayRange, asked: Columns): WindowReading {
  const lengthMs = DAY_MS / asked.hours.length;
  const readings = bodies.map((body) => readBuckets(body, window, single, lengthMs));
  const days = new Map<UsageDay, DayReading>();
  for (const day of eachDay(window)) {
    const startMs = dayStartMs(day);
    const buckets = readings.map(({ at }) =>
      asked.hours.map((_, index) => at.get(startMs + index * lengthMs)),
    );
    if (buckets.flat().some((bucket) => bucket !== undefined)) days.set(day, joinColumns(buckets, asked));
  }
  const sumOf = (key: 'outsideBuckets' | 'unknownKeys') =>
    readings.reduce((sum, reading) => sum + reading[key], 0);
  return { days, outsideBuckets: sumOf('outsideBuckets'), unknownKeys: sumOf('unknownKeys') };
}

/** Joins the buckets of one day, which are given by column and hour. */
function joinColumns(
  buckets: readonly (readonly (Bucket | undefined)[])[],
  { columns, hours }: Columns,
): DayReading {
  const leftOut: Part[] = [];
  const numbers: Record<string, number | number[]> = {};
  for (const [index, column] of columns.entries()) {
    const values: number[] = [];
    for (const [place, hour] of hours.entries()) {
      const bucket = buckets[index]?.[place];
      if (bucket === undefined) leftOut.push({ column, hour });
      else if (typeof bucket === 'string') return invalid(`${nameOf({ column, hour })}: ${bucket}`);
      values.push(bucket?.[0] ?? 0);
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
function readBuckets(body: unknown, window: DayRange, schema: typeof single, lengthMs: number): Buckets {
  const { data, error } = envelope.safeParse(body);
  if (error) throw new UnplaceableBodyError(describeProblems(error));
  const { start, end, counts, ...rest } = data;
  requireWindow(window, start, end);
  const firstMs = dayStartMs(window.from);
  const endMs = dayEndMs(window.to);
  const at = new Map<number, Bucket>();
  let outsideBuckets = 0;
  let unknownKeys = countUnknown(rest);
  for (const { date, ...numbers } of counts) {
    if (date % lengthMs !== 0) {
      const place = lengthMs === DAY_MS ? 'at UTC midnight' : 'on the hour';
      throw new UnplaceableBodyError(`bucket ${showInstant(date)} does not start ${place}`);
    }
    if (at.has(date)) throw new UnplaceableBodyError(`bucket ${showInstant(date)} is in the body twice`);
    if (date < firstMs || date >= endMs) {
      outsideBuckets += 1;
      continue;
    }
    unknownKeys += countUnknown(numbers, schema.shape);
    const read = schema.safeParse(numbers);
    at.set(date, read.success ? Object.values(read.data) : describeProblems(read.error));
  }
  const statesWindow = start !== undefined && end !== undefined;
  if (at.size === 0 && outsideBuckets > 0 && !statesWindow) {
    throw new UnplaceableBodyError(
      `none of its ${outsideBuckets} buckets is of the days asked for, ${window.from} to ${window.to}`,
    );
  }
  return { at, outsideBuckets, unknownKeys };
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
