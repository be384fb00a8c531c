import { createBucketParser } from './buckets.ts';
import type { Stream } from './stream.ts';

const columns = { created: 'devices_created', deleted: 'devices_deleted', total: 'devices_total' };

/**
 * Devices: `created` and `deleted` count events of the day, `total` is a level near its end. A day without a bucket is
 * therefore not zero.
 */
export const deviceCounts: Stream = {
  name: 'device_counts',
  requests: [{ action: 'deviceCounts', query: {} }],
  maxDays: 31,
  columns: Object.values(columns),
  kind: 'level',
  counterparts: [],
  parseBodies: createBucketParser({ bodies: [columns], hours: [null] }),
};
