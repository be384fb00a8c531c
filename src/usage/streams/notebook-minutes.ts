import { createBucketParser } from './buckets.ts';
import type { Stream } from './stream.ts';

const columns = {
  minutes: 'notebook_minutes',
  completed: 'notebook_completed',
  canceled: 'notebook_canceled',
  errored: 'notebook_errored',
  timeout: 'notebook_timeout',
};

export const notebookMinutes: Stream = {
  name: 'notebook_minutes',
  requests: [{ action: 'notebookMinuteCounts', query: {} }],
  maxDays: 31,
  columns: Object.values(columns),
  kind: 'flow',
  parseBodies: createBucketParser({ bodies: [columns], hours: [null] }),
};
