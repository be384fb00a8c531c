import { readsBuckets } from './buckets.ts';
import type { Stream } from './stream.ts';

const columns = { created: 'devices_created', deleted: 'devices_deleted', total: 'devices_total' };

/**
 * Devices per organization: `created` and `deleted` count the day's events, `total` is a level sampled at about the
 * day's end. A day without a bucket is therefore not zero.
 */
export const deviceCounts: Stream = {
  name: 'device_counts',
  requests: [{ action: 'deviceCounts', query: {} }],
  windowDays: 31,
  columns: Object.values(columns),
  kind: 'level',
  counterparts: [],
  readBodies: readsBuckets({ bodies: [columns], hours: [null] }),
};
