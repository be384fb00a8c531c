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
  parseBodies: createBucketParser({ bodies: columns.map((column) => ({ value: column })), hours: [null] }),
};
