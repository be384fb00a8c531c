import { singleBodyReader } from './buckets.ts';
import type { Stream } from './stream.ts';

const columns = ['created', 'deleted', 'total'] as const;

/**
 * Devices per organization: `created` and `deleted` count what happened that
 * day, `total` is a level sampled at about its end. A day without a bucket is
 * therefore not a zero.
 */
export const deviceCounts: Stream = {
  name: 'device_counts',
  requests: [{ action: 'deviceCounts', query: {} }],
  windowDays: 31,
  keyColumns: [],
  columns,
  metrics: ['devices_created', 'devices_deleted', 'devices_total'],
  missingMeans: 'absent',
  readBodies: singleBodyReader(columns),
};
