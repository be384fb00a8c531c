import * as z from 'zod';
import { billedNumber, describeProblems, ifRepeated, instant } from '../body.ts';
import { DAY_MS, type DayRange, dayEndMs, dayStartMs, eachDay, type UsageDay } from '../day.ts';
import { describeNumber, type NumberRef } from '../numbers.ts';
import { type DayReading, type Stream, UnplaceableBodyError, type WindowReading } from './stream.ts';

const envelope = z.looseObject({
  start: instant.optional(),
  end: instant.optional(),
  counts: z.array(z.looseObject({ date: instant }), { error: ifRepeated }),
});

/** The numbers of one bucket, in the order of its columns, or what is wrong with it. */
type Bucket = readonly number[] | string;

type BucketSchema = z.ZodObject<Record<string, typeof billedNumber>>;

/** The buckets of a body by their starts, in ms. */
interface Buckets extends Omit<WindowReading, 'days'> {
  readonly at: ReadonlyMap<number, Bucket>;
}

interface Layout {
  /** The columns of each body, by the fields of its buckets. */
  readonly bodies: readonly Readonly<Record<string, string>>[];
  /** The hours of which there are buckets; null for a bucket of the whole day. */
  readonly hours: readonly NumberRef['hour'][];
}

/**
 * Returns what reads bodies of daily or hourly buckets. What some buckets left out although the day is in others reads
 * 0 and is named in `omitted`.
 */
export function readsBuckets({ bodies: layouts, hours }: Layout): Stream['readBodies'] {
  const lengthMs = DAY_MS / hours.length;
  const parts = layouts.map((columns) => ({
    columns: Object.values(columns),
    schema: z.object(Object.fromEntries(Object.keys(columns).map((field) => [field, billedNumber]))),
  }));
  return (bodies, window) => {
    const readings = parts.map(({ columns, schema }, index) => {
      return { columns, ...readBuckets(bodies[index], window, schema, lengthMs) };
    });
    const days = new Map<UsageDay, DayReading>();
    for (const day of eachDay(window)) {
      const startMs = dayStartMs(day);
      const starts = hours.map((_, index) => startMs + index * lengthMs);
      const isNamed = readings.some(({ at }) => starts.some((each) => at.has(each)));
      if (isNamed) days.set(day, joinColumns(readings, hours, starts));
    }
    const sumOf = (key: 'outsideBuckets' | 'unknownKeys') =>
      readings.reduce((sum, reading) => sum + reading[key], 0);
    return { days, outsideBuckets: sumOf('outsideBuckets'), unknownKeys: sumOf('unknownKeys') };
  };
}

/** Joins the buckets of one day, which start at `starts`. */
function joinColumns(
  bodies: readonly (Pick<Buckets, 'at'> & { readonly columns: readonly string[] })[],
  hours: Layout['hours'],
  starts: readonly number[],
): DayReading {
  const omitted: NumberRef[] = [];
  const numbers: Record<string, number | number[]> = {};
  for (const { at, columns } of bodies) {
    for (const [columnIndex, column] of columns.entries()) {
      const values: number[] = [];
      for (const [index, hour] of hours.entries()) {
        const bucket = at.get(starts[index] as number);
        if (bucket === undefined) omitted.push({ column, hour });
        else if (typeof bucket === 'string') {
          return invalid(bodies.length === 1 ? bucket : `${describeNumber({ column, hour })}: ${bucket}`);
        }
        values.push(bucket?.[columnIndex] ?? 0);
      }
      const sum = values.reduce((a, b) => a + b, 0);
      if (!Number.isSafeInteger(sum)) return invalid(`${column}: the hours add up to more than 2^53 - 1`);
      numbers[column] = hours[0] === null ? sum : values;
    }
  }
  return { kind: 'reported', numbers, omitted };
}

function invalid(detail: string): DayReading {
  return { kind: 'quarantined', code: 'invalid_value', detail };
}

/**
 * Reads a body `{start, end, counts: [{date, …}]}` of buckets of a day or an hour. `date` is their
 * start, in UTC; `start` and `end`, when present, must cover the window (Losant's `end` is inclusive, in ms). A
 * bucket that does not fit its schema quarantines its own day. Throws UnplaceableBodyError for a body without
 * `counts`, a wrong window, a bucket off UTC midnight or the hour, one that occurs twice, or a body that has buckets
 * of other days only and does not state that it covers the window.
 */
function readBuckets(body: unknown, window: DayRange, schema: BucketSchema, lengthMs: number): Buckets {
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
      const boundary = lengthMs === DAY_MS ? 'at UTC midnight' : 'on the hour';
      throw new UnplaceableBodyError(`bucket ${showInstant(date)} does not start ${boundary}`);
    }
    if (at.has(date)) throw new UnplaceableBodyError(`bucket ${showInstant(date)} appears twice in the body`);
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
      `none of its ${outsideBuckets} buckets is within the requested days, ${window.from} to ${window.to}`,
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
  return epochMs === undefined ? '(not given)' : new Date(epochMs).toISOString();
}
