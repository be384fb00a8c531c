import { readsBuckets } from './buckets.ts';
import type { Stream } from './stream.ts';

const columns = {
  minutes: 'notebook_minutes',
  completed: 'notebook_completed',
  canceled: 'notebook_canceled',
  errored: 'notebook_errored',
  timeout: 'notebook_timeout',
};

/** Notebook executions: minutes used, and runs by how they ended. */
export const notebookMinutes: Stream = {
  name: 'notebook_minutes',
  requests: [{ action: 'notebookMinuteCounts', query: {} }],
  windowDays: 31,
  columns: Object.values(columns),
  kind: 'flow',
  counterparts: [],
  readBodies: readsBuckets({ bodies: [columns], hours: [null] }),
};
