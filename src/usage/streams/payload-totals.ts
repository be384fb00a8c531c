import { eachDay, type UsageDay } from '../day.ts';
import { type Bucket, bucketReader } from './buckets.ts';
import type { DayReading, Stream } from './stream.ts';

/** Column → the query that asks for it. Without `includeNonBillable` the breakdown counts billable payloads only. */
const queries = {
  billable_count: {},
  all_count: { includeNonBillable: 'true' },
  all_bytes: { asBytes: 'true', includeNonBillable: 'true' },
};
const columns = Object.keys(queries);
const readBuckets = bucketReader(['value']);

/** Payloads per day: billable ones, all of them, and the bytes of all of them. */
export const payloadTotals: Stream = {
  name: 'payload_totals',
  requests: Object.values(queries).map((query) => ({
    action: 'payloadCountsBreakdown',
    query: { resolution: '86400000', ...query },
  })),
  windowDays: 31,
  keyColumns: [],
  columns,
  metrics: ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'],
  missingMeans: 'zero',
  crossCheck: {
    stream: 'payload_sources',
    metric: 'payload_source_count',
    columns: ['all_count', 'all_bytes'],
    isRequired: true,
  },
  readBodies(bodies, window) {
    const readings = bodies.map((body) => readBuckets(body, window));
    const days = new Map<UsageDay, DayReading>();
    for (const day of eachDay(window)) {
      const reading = joinParts(readings.map(({ buckets }) => buckets.get(day)));
      if (reading) days.set(day, reading);
    }
    return {
      days,
      outsideBuckets: sum(readings.map((reading) => reading.outsideBuckets)),
      unknownKeys: sum(readings.map((reading) => reading.unknownKeys)),
    };
  },
};

/** One day out of its three bodies; undefined if none of them has it. */
function joinParts(parts: readonly (Bucket | undefined)[]): DayReading | undefined {
  const values: number[] = [];
  const missingColumns: string[] = [];
  for (const [index, part] of parts.entries()) {
    const column = columns[index] as string;
    if (part?.kind === 'invalid') return { kind: 'invalid', problem: `${column}: ${part.problem}` };
    if (part === undefined) missingColumns.push(column);
    values.push(part === undefined ? 0 : (part.values[0] as number));
  }
  if (missingColumns.length === parts.length) return undefined;
  return { kind: 'values', facts: [{ key: [], values }], missingColumns };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
