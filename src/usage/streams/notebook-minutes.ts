import { singleBodyReader } from './buckets.ts';
import type { Stream } from './stream.ts';

const columns = ['minutes', 'completed', 'canceled', 'errored', 'timeout'] as const;

/** Notebook executions: minutes used, and runs by how they ended. */
export const notebookMinutes: Stream = {
  name: 'notebook_minutes',
  requests: [{ action: 'notebookMinuteCounts', query: {} }],
  windowDays: 31,
  keyColumns: [],
  columns,
  metrics: [
    'notebook_minutes',
    'notebook_completed',
    'notebook_canceled',
    'notebook_errored',
    'notebook_timeout',
  ],
  missingMeans: 'zero',
  readBodies: singleBodyReader(columns),
};
