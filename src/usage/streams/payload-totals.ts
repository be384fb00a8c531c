import { readColumns } from './buckets.ts';
import type { Stream } from './stream.ts';

/** The query for each column. Without `includeNonBillable` the breakdown counts billable payloads only. */
export const payloadQueries = [
  {},
  { includeNonBillable: 'true' },
  { asBytes: 'true', includeNonBillable: 'true' },
];
const columns = ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'];

/** Payloads per day: billable ones, all of them, and the bytes of all of them. */
export const payloadTotals: Stream = {
  name: 'payload_totals',
  requests: payloadQueries.map((query) => ({
    action: 'payloadCountsBreakdown',
    query: { resolution: '86400000', ...query },
  })),
  windowDays: 31,
  columns,
  kind: 'flow',
  counterparts: ['payload_sources', 'payload_hours'],
  waitsFor: 'payload_sources',
  includes: {
    payload_all_count: ['payload_billable_count', 'payload_all_bytes'],
    payload_all_bytes: ['payload_billable_count', 'payload_all_count'],
  },
  readBodies: (bodies, window) => readColumns(bodies, window, { columns, hours: [null] }),
};
