import * as z from 'zod';
import { billed } from '../body.ts';
import { eachDay, type UsageDay } from '../day.ts';
import { readBuckets } from './buckets.ts';
import type { DayReading, Stream } from './stream.ts';

/** The query for each column. Without `includeNonBillable` the breakdown counts billable payloads only. */
const queries = {
  billable_count: {},
  all_count: { includeNonBillable: 'true' },
  all_bytes: { asBytes: 'true', includeNonBillable: 'true' },
};
const columns = Object.keys(queries);
const bucket = z.object({ value: billed });

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
  crossChecks: [
    { stream: 'payload_sources', column: 'count', weight: 'required', columns: ['all_count', 'all_bytes'] },
    { stream: 'payload_hours', column: 'all_count', weight: 'required', columns: ['all_count', 'all_bytes'] },
  ],
  readBodies(bodies, window) {
    const readings = bodies.map((body) => readBuckets(body, window, bucket));
    const days = new Map<UsageDay, DayReading>();
    for (const day of eachDay(window)) {
      const parts = readings.map((reading) => reading.days.get(day));
      if (parts.some((part) => part !== undefined)) days.set(day, joinParts(parts));
    }
    return {
      days,
      outsideBuckets: readings.reduce((sum, reading) => sum + reading.outsideBuckets, 0),
      unknownKeys: readings.reduce((sum, reading) => sum + reading.unknownKeys, 0),
    };
  },
};

/** `joinParts` joins the three bodies of one day, some of which may have left it out. */
function joinParts(parts: readonly (DayReading | undefined)[]): DayReading {
  const values: number[] = [];
  const missingColumns: string[] = [];
  for (const [index, column] of columns.entries()) {
    const part = parts[index];
    if (part?.kind === 'quarantined') return { ...part, message: `${column}: ${part.message}` };
    if (part === undefined) {
      missingColumns.push(column);
      values.push(0);
    } else values.push(...part.facts.flatMap((fact) => fact.values));
  }
  return { kind: 'values', facts: [{ key: [], values }], missingColumns };
}
