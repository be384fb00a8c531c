import { readColumns } from './buckets.ts';
import type { Stream } from './stream.ts';

/** The query for each column. Without `includeNonBillable` the breakdown counts billable payloads only. */
const queries = {
  billable_count: {},
  all_count: { includeNonBillable: 'true' },
  all_bytes: { asBytes: 'true', includeNonBillable: 'true' },
};
const columns = Object.keys(queries);

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
  readBodies: (bodies, window) => readColumns(bodies, window, { columns, keys: [[]] }),
};
