import * as z from 'zod';
import { type billed, describeProblems, ifRepeated, instant } from '../body.ts';
import { DAY_MS, type DayRange, dayAt, dayEndMs, dayStartMs, type UsageDay } from '../day.ts';
import { type DayReading, UnplaceableBodyError, type WindowReading } from './stream.ts';

const envelope = z.looseObject({
  start: instant.optional(),
  end: instant.optional(),
  counts: z.array(z.looseObject({ date: instant }), { error: ifRepeated }),
});

/** The billed numbers of one bucket, in the order of a stream's columns. */
export type BucketSchema = z.ZodObject<Readonly<Record<string, typeof billed>>>;

/**
 * `readBuckets` reads a body `{start, end, counts: [{date, …}]}` of daily buckets. `date` is the UTC midnight that
 * starts the bucket; `start` and `end`, when present, must cover the window (Losant's `end` is
 * inclusive, in ms). A bucket that does not fit its schema quarantines its own day. Throws
 * UnplaceableBodyError for a body without `counts`, a wrong window, a bucket off UTC midnight, a day
 * that occurs twice, or a body that has buckets of other days only and does not state that it covers
 * the window.
 */
export function readBuckets(body: unknown, window: DayRange, bucket: BucketSchema): WindowReading {
  const parsed = envelope.safeParse(body);
  if (!parsed.success) throw new UnplaceableBodyError(describeProblems(parsed.error));
  const { start, end, counts, ...rest } = parsed.data;
  requireWindow(window, start, end);
  const firstMs = dayStartMs(window.from);
  const lastMs = dayEndMs(window.to) - 1;
  const days = new Map<UsageDay, DayReading>();
  let outsideBuckets = 0;
  let unknownKeys = countUnknown(rest);
  for (const { date, ...numbers } of counts) {
    if (date % DAY_MS !== 0) {
      throw new UnplaceableBodyError(`bucket ${showInstant(date)} does not start at UTC midnight`);
    }
    if (date < firstMs || date > lastMs) {
      outsideBuckets += 1;
      continue;
    }
    const day = dayAt(date);
    if (days.has(day)) throw new UnplaceableBodyError(`day ${day} is in the body twice`);
    unknownKeys += countUnknown(numbers, bucket.shape);
    days.set(day, readBucket(numbers, bucket));
  }
  const statesWindow = start !== undefined && end !== undefined;
  if (days.size === 0 && outsideBuckets > 0 && !statesWindow) {
    throw new UnplaceableBodyError(
      `none of its ${outsideBuckets} buckets is of the days asked for, ${window.from} to ${window.to}`,
    );
  }
  return { days, outsideBuckets, unknownKeys };
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
