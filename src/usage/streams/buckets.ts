import * as z from 'zod';
import { billedNumber, describeProblems, describeRepeatedKey, instant } from '../body.ts';
import { DAY_MS, type DayRange, dayEndMs, dayStartMs, eachDay, type UsageDay } from '../day.ts';
import { describeNumber, type NumberRef } from '../numbers.ts';
import { type BodyContent, type DayVerdict, type Stream, UnplaceableBodyError } from './stream.ts';

const envelope = z.looseObject({
  start: instant.optional(),
  end: instant.optional(),
  counts: z.array(z.looseObject({ date: instant }), { error: describeRepeatedKey }),
});

/** The numbers of one bucket in the order of its columns, or the problem with it. */
type Bucket = readonly number[] | string;

type BucketSchema = z.ZodObject<Record<string, typeof billedNumber>>;

interface Buckets extends Omit<BodyContent, 'days'> {
  /** By the start of the bucket, in ms. */
  readonly at: ReadonlyMap<number, Bucket>;
}

interface BucketLayout {
  /** For each body, the columns by field of its buckets. */
  readonly bodies: readonly Readonly<Record<string, string>>[];
  /** The hours that have a bucket; null for a bucket of the whole day. */
  readonly hours: readonly NumberRef['hour'][];
}

/** Creates a parser of daily or hourly buckets. What one body omits of a day that another reports reads as 0. */
export function createBucketParser({ bodies: layouts, hours }: BucketLayout): Stream['parseBodies'] {
  const lengthMs = DAY_MS / hours.length;
  const parts = layouts.map((columns) => ({
    columns: Object.values(columns),
    schema: z.object(Object.fromEntries(Object.keys(columns).map((field) => [field, billedNumber]))),
  }));
  return (bodies, range) => {
    const parsedBodies = parts.map(({ columns, schema }, index) => {
      return { columns, ...parseBuckets(bodies[index], range, schema, lengthMs) };
    });
    const days = new Map<UsageDay, DayVerdict>();
    for (const day of eachDay(range)) {
      const startMs = dayStartMs(day);
      const starts = hours.map((_, index) => startMs + index * lengthMs);
      const isReported = parsedBodies.some(({ at }) => starts.some((each) => at.has(each)));
      if (isReported) days.set(day, joinColumns(parsedBodies, hours, starts));
    }
    const sumUp = (key: 'outsideBuckets' | 'unknownKeys') => parsedBodies.reduce((sum, body) => sum + body[key], 0);
    return { days, outsideBuckets: sumUp('outsideBuckets'), unknownKeys: sumUp('unknownKeys') };
  };
}

function joinColumns(
  bodies: readonly (Pick<Buckets, 'at'> & { readonly columns: readonly string[] })[],
  hours: BucketLayout['hours'],
  starts: readonly number[],
): DayVerdict {
  const omitted: NumberRef[] = [];
  const numbers: Record<string, number | number[]> = {};
  for (const { at, columns } of bodies) {
    for (const [columnIndex, column] of columns.entries()) {
      const values: number[] = [];
      for (const [index, hour] of hours.entries()) {
        const bucket = at.get(starts[index] as number);
        if (bucket === undefined) omitted.push({ column, hour });
        else if (typeof bucket === 'string') {
          return quarantine(bodies.length === 1 ? bucket : `${describeNumber({ column, hour })}: ${bucket}`);
        }
        values.push(bucket?.[columnIndex] ?? 0);
      }
      const sum = values.reduce((a, b) => a + b, 0);
      if (!Number.isSafeInteger(sum)) return quarantine(`${column}: the hours add up to more than 2^53 − 1`);
      numbers[column] = hours[0] === null ? sum : values;
    }
  }
  return { kind: 'reported', numbers, omitted };
}

function quarantine(detail: string): DayVerdict {
  return { kind: 'quarantined', code: 'invalid_value', detail };
}

/**
 * Parses a body `{start, end, counts: [{date, …}]}`, where `date` is the start of a bucket. If `start` and `end` are
 * present, they must cover the requested days; Losant's `end` is inclusive. An invalid bucket quarantines only
 * its day. Throws UnplaceableBodyError for a body that lacks `counts`, covers fewer days than requested, has a bucket
 * off UTC midnight or the hour, has the same bucket twice, or has only buckets of other days without stating that it
 * covers the requested ones.
 */
function parseBuckets(body: unknown, range: DayRange, schema: BucketSchema, lengthMs: number): Buckets {
  const { data, error } = envelope.safeParse(body);
  if (error) throw new UnplaceableBodyError(describeProblems(error));
  const { start, end, counts, ...otherKeys } = data;
  requireRange(range, start, end);
  const firstMs = dayStartMs(range.from);
  const endMs = dayEndMs(range.to);
  const at = new Map<number, Bucket>();
  let outsideBuckets = 0;
  let unknownKeys = countUnknown(otherKeys);
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
    const bucket = schema.safeParse(numbers);
    at.set(date, bucket.success ? Object.values(bucket.data) : describeProblems(bucket.error));
  }
  const statesRange = start !== undefined && end !== undefined;
  if (at.size === 0 && outsideBuckets > 0 && !statesRange) {
    throw new UnplaceableBodyError(
      `none of its ${outsideBuckets} buckets is within the requested days, ${range.from} to ${range.to}`,
    );
  }
  return { at, outsideBuckets, unknownKeys };
}

function requireRange(range: DayRange, start: number | undefined, end: number | undefined): void {
  const startsLate = start !== undefined && start > dayStartMs(range.from);
  // An end in whole seconds lacks the last milliseconds.
  const endsEarly = end !== undefined && end < dayEndMs(range.to) - 1_000;
  if (startsLate || endsEarly) {
    throw new UnplaceableBodyError(
      `the body covers ${showInstant(start)} to ${showInstant(end)}, ` +
        `but the request was for ${range.from} to ${range.to}`,
      { isCutShort: true },
    );
  }
}

/** Counts the keys unknown to this version. Keys that start with `_` belong to the API's envelope. */
function countUnknown(object: object, knownKeys: object = {}): number {
  return Object.keys(object).filter((key) => !Object.hasOwn(knownKeys, key) && !key.startsWith('_')).length;
}

function showInstant(epochMs: number | undefined): string {
  return epochMs === undefined ? '(not given)' : new Date(epochMs).toISOString();
}
