import { createBucketParser } from './buckets.ts';
import type { Stream } from './stream.ts';

const columns = { created: 'devices_created', deleted: 'devices_deleted', total: 'devices_total' };

/** `total` is a level near the end of the day, so a day without a bucket is not zero. */
export const deviceCounts: Stream = {
  name: 'device_counts',
  requests: [{ action: 'deviceCounts', query: {} }],
  maxDays: 31,
  columns: Object.values(columns),
  kind: 'level',
  parseBodies: createBucketParser({ bodies: [columns], hours: [null] }),
};
