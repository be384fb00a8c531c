import * as z from 'zod';
import { billed } from '../body.ts';
import { readDays } from './buckets.ts';
import type { Stream } from './stream.ts';

const bucket = z.object({ created: billed, deleted: billed, total: billed });
const columns = ['devices_created', 'devices_deleted', 'devices_total'];

/**
 * Devices per organization: `created` and `deleted` count the day's events, `total` is a level sampled at about the
 * day's end. A day without a bucket is therefore not zero.
 */
export const deviceCounts: Stream = {
  name: 'device_counts',
  requests: [{ action: 'deviceCounts', query: {} }],
  windowDays: 31,
  columns,
  kind: 'level',
  counterparts: [],
  readBodies: ([body], window) => readDays(body, window, { bucket, columns }),
};
