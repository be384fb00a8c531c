import { HOUR_MS } from '../day.ts';
import { readColumns } from './buckets.ts';
import { payloadTotals } from './payload-totals.ts';
import type { Stream } from './stream.ts';

/** The hours of a UTC day, as the keys of its facts. */
export const HOURS: readonly string[] = Array.from(
  { length: 24 },
  (_, hour) => `${String(hour).padStart(2, '0')}:00`,
);

const { columns } = payloadTotals;

/**
 * Payloads per hour: the numbers of `payload_totals` with a bucket for each UTC hour. A cell is a day
 * of 24 facts, in a table of its own: no column of `usage_days` has their sums, which are those of
 * `payload_totals`. An hour that a body left out reads 0 and is named in `missingColumns`, as the
 * column and the hour.
 */
export const payloadHours: Stream = {
  name: 'payload_hours',
  requests: payloadTotals.requests.map(({ action, query }) => ({
    action,
    query: { ...query, resolution: String(HOUR_MS) },
  })),
  windowDays: 31,
  keyColumns: ['hour'],
  columns,
  metrics: [],
  missingMeans: 'zero',
  // Totals wait for hours: if hours waited too, neither would come.
  crossChecks: [{ stream: payloadTotals.name, column: 'all_count', weight: 'contradicts', columns: [] }],
  readBodies: (bodies, window) => readColumns(bodies, window, { columns, keys: HOURS.map((hour) => [hour]) }),
};
