import { createBucketParser } from './buckets.ts';
import type { Stream, UsageRequest } from './stream.ts';

/** Creates a request for each column. Without `includeNonBillable` the breakdown counts billable payloads only. */
export function createBreakdownRequests(resolution: string): UsageRequest[] {
  const queries = [{}, { includeNonBillable: 'true' }, { asBytes: 'true', includeNonBillable: 'true' }];
  return queries.map((query) => ({ action: 'payloadCountsBreakdown', query: { resolution, ...query } }));
}

const columns = ['payload_billable_count', 'payload_all_count', 'payload_all_bytes'];

export const payloadTotals: Stream = {
  name: 'payload_totals',
  requests: createBreakdownRequests('86400000'),
  maxDays: 31,
  columns,
  kind: 'flow',
  counterparts: ['payload_sources', 'payload_hours'],
  waitsFor: 'payload_sources',
  includes: {
    payload_all_count: ['payload_billable_count', 'payload_all_bytes'],
    payload_all_bytes: ['payload_billable_count', 'payload_all_count'],
  },
  parseBodies: createBucketParser({ bodies: columns.map((column) => ({ value: column })), hours: [null] }),
};
