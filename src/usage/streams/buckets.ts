import * as z from 'zod';
import { DAY_MS, type DayRange, dayAt, dayEndMs, dayStartMs, type UsageDay } from '../day.ts';
import { REPEATED_KEY } from '../exact-json.ts';
import { findNumberProblem } from './billed-number.ts';
import { type DayReading, type Stream, UnplaceableBodyError } from './stream.ts';

/** The billed numbers of one day, or why they cannot be believed. */
export type Bucket =
  | { readonly kind: 'values'; readonly values: readonly number[] }
  | { readonly kind: 'invalid'; readonly problem: string };

export interface BucketReading {
  readonly buckets: ReadonlyMap<UsageDay, Bucket>;
  readonly outsideBuckets: number;
  readonly unknownKeys: number;
}

const error = ({ input }: { readonly input?: unknown }) =>
  input === REPEATED_KEY ? 'is there twice' : undefined;
const timestamp = z.iso.datetime({ offset: true, error }).transform((text) => Date.parse(text));
const envelope = z.looseObject({
  start: timestamp.optional(),
  end: timestamp.optional(),
  counts: z.array(z.looseObject({ date: timestamp }), { error }),
});

/**
 * Makes the reader of bodies `{start, end, counts: [{date, …}]}` of daily
 * buckets. `date` is the UTC midnight that starts the bucket; `start` and `end`,
 * when present, must cover the window (Losant's `end` is inclusive, in ms).
 * The reader throws UnplaceableBodyError for a body without `counts`, a wrong
 * window, a bucket off UTC midnight, a day that is there twice, or a body that
 * has buckets of other days only and does not state that it covers the window.
 *
 * @param fields the bucket's billed keys, in the order of the returned values
 */
export function bucketReader(fields: readonly string[]): (body: unknown, window: DayRange) => BucketReading {
  const known = new Set(['date', ...fields]);

  return (body, window) => {
    const { start, end, counts, ...rest } = parseEnvelope(body);
    requireWindow(window, start, end);
    const firstMs = dayStartMs(window.from);
    const lastMs = dayEndMs(window.to) - 1;
    const buckets = new Map<UsageDay, Bucket>();
    let outsideBuckets = 0;
    let unknownKeys = countUnknown(rest, new Set());
    for (const { date, ...numbers } of counts) {
      if (date % DAY_MS !== 0) {
        throw new UnplaceableBodyError(`bucket ${showInstant(date)} does not start at UTC midnight`);
      }
      if (date < firstMs || date > lastMs) {
        outsideBuckets += 1;
        continue;
      }
      const day = dayAt(date);
      if (buckets.has(day)) throw new UnplaceableBodyError(`day ${day} is in the body twice`);
      unknownKeys += countUnknown(numbers, known);
      buckets.set(day, readNumbers(numbers, fields));
    }
    const statesWindow = start !== undefined && end !== undefined;
    if (buckets.size === 0 && outsideBuckets > 0 && !statesWindow) {
      throw new UnplaceableBodyError(
        `none of its ${outsideBuckets} buckets is of the days asked for, ${window.from} to ${window.to}`,
      );
    }
    return { buckets, outsideBuckets, unknownKeys };
  };
}

function parseEnvelope(body: unknown) {
  const parsed = envelope.safeParse(body);
  if (!parsed.success) throw new UnplaceableBodyError(describeIssues(parsed.error));
  return parsed.data;
}

function readNumbers(numbers: Readonly<Record<string, unknown>>, fields: readonly string[]): Bucket {
  const problems = fields.flatMap((field) => {
    const problem = findNumberProblem(numbers[field]);
    return problem === null ? [] : [`${field}: ${problem}`];
  });
  if (problems.length > 0) return { kind: 'invalid', problem: problems.join('; ') };
  return { kind: 'values', values: fields.map((field) => numbers[field] as number) };
}

function requireWindow(window: DayRange, start: number | undefined, end: number | undefined): void {
  const late = start !== undefined && start > dayStartMs(window.from);
  const early = end !== undefined && end < dayEndMs(window.to) - 1;
  if (late || early) {
    throw new UnplaceableBodyError(
      `the body covers ${showInstant(start)} to ${showInstant(end)}, asked for were ${window.from} to ${window.to}`,
    );
  }
}

/** `readBodies` of a stream whose slice is a single bucketed body with one fact a day. */
export function singleBodyReader(fields: readonly string[]): Stream['readBodies'] {
  const readBuckets = bucketReader(fields);
  return ([body], window) => {
    const { buckets, ...counts } = readBuckets(body, window);
    const days = new Map<UsageDay, DayReading>();
    for (const [day, bucket] of buckets) {
      days.set(
        day,
        bucket.kind === 'invalid'
          ? bucket
          : { kind: 'values', facts: [{ key: [], values: bucket.values }], missingColumns: [] },
      );
    }
    return { days, ...counts };
  };
}

/** Zod's issues as one line, each with its path in the body. */
function describeIssues({ issues }: z.ZodError): string {
  return issues
    .slice(0, 5)
    .map((issue) => `${issue.path.join('.') || 'body'}: ${issue.message}`)
    .join('; ');
}

/** Counts keys nobody here knows; those that start with `_` are the API's own envelope. */
function countUnknown(object: object, known: ReadonlySet<string>): number {
  return Object.keys(object).filter((key) => !known.has(key) && !key.startsWith('_')).length;
}

function showInstant(epochMs: number | undefined): string {
  return epochMs === undefined ? '(not said)' : new Date(epochMs).toISOString();
}
