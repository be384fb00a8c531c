import * as z from 'zod';
import { billed } from '../body.ts';
import { readDays } from './buckets.ts';
import type { Stream } from './stream.ts';

const bucket = z.object({
  minutes: billed,
  completed: billed,
  canceled: billed,
  errored: billed,
  timeout: billed,
});
const columns = [
  'notebook_minutes',
  'notebook_completed',
  'notebook_canceled',
  'notebook_errored',
  'notebook_timeout',
];

/** Notebook executions: minutes used, and runs by how they ended. */
export const notebookMinutes: Stream = {
  name: 'notebook_minutes',
  requests: [{ action: 'notebookMinuteCounts', query: {} }],
  windowDays: 31,
  columns,
  kind: 'flow',
  counterparts: [],
  readBodies: ([body], window) => readDays(body, window, { bucket, columns }),
};
