import { connect } from 'node:net';
import type { DatabaseView, WorkerStatus } from '../../src/console/sources.ts';
import { createLogger } from '../../src/logger.ts';
import type { Health, StreamHealth } from '../../src/queries/health.ts';
import { type AppSources, createApp } from '../../src/server/app.ts';
import { listen } from '../../src/server/listen.ts';
import { createMetrics } from '../../src/server/metrics.ts';

export const TOKEN = 'a-token-for-readers-0001';

export const NOW_MS = Date.parse('2026-11-24T10:30:00.000Z');

const STREAM: StreamHealth = {
  stream: 'device_counts',
  cells: { final: 20, waived: 1, stored: 3, waiting: 2, unavailable: 1, in_doubt: 1, missing: 2 },
  yesterdayExpected: 3,
  yesterday: { waiting: 2, unavailable: 0, in_doubt: 0, missing: 1 },
  firstDay: '2026-11-01',
  lastDay: '2026-11-23',
  completeTo: '2026-11-10',
  orgs: 3,
  orgsComplete: 2,
  gaps: 3,
  orgsWithGaps: 1,
  oldestGap: '2026-11-11',
  expiring: 1,
  failing: 0,
  quarantined: 0,
  newestReadDay: '2026-11-23',
};

/** The health of an instance with a stream that has gaps. */
export const HEALTH: Health = {
  at: '2026-11-24T10:30:00.000Z',
  gaps: 3,
  instance: {
    name: 'Northern plants',
    organizations: 4,
    listedAt: '2026-11-24T00:15:00.000Z',
    listProblem: 'page 2 did not come',
    totalsProblem: null,
    lastRunAt: '2026-11-24T10:00:00.000Z',
    lastCompleteRunAt: '2026-11-24T10:00:00.000Z',
    leaseAcquiredAt: null,
    neverReadSince: null,
    lastAttemptAt: '2026-11-24T10:00:00.000Z',
    lastError: null,
    digestOn: null,
    finalRestatements30Days: 0,
    finalRestatements: 7,
  },
  streams: [STREAM],
  attention: [{ kind: 'missing', total: 12, items: [] }],
  runs: [],
};

const STATUS: WorkerStatus = {
  version: '1.2.3',
  host: 'test-host',
  startedAt: '2026-11-24T00:00:00.000Z',
  schedule: '15 * * * *',
  nextWakeAt: '2026-11-24T11:15:00.000Z',
  state: 'idle',
  progress: null,
  lastRun: null,
  problem: null,
};

/** Returns the view of a database whose snapshot has an age. */
export function viewOf(health: Health | null, options: { isUp?: boolean; ageMs?: number } = {}): DatabaseView {
  const { isUp = true, ageMs = 0 } = options;
  return { isUp, snapshot: health === null ? null : { value: health, atMs: NOW_MS - ageMs } };
}

const rejectRead = () => Promise.reject(new Error('no database here'));

/** Serves the pages without a database. */
export async function startPages(options: { token?: string; sources?: Partial<AppSources> } = {}) {
  const { token = null, sources = {} } = options;
  const logged: string[] = [];
  const destination = { write: (line: string) => void logged.push(line) };
  const logger = createLogger({ level: 'trace', pretty: false, destination });
  const app = createApp({
    status: () => STATUS,
    database: () => Promise.resolve(viewOf(HEALTH)),
    read: rejectRead,
    readInTurn: rejectRead,
    now: () => NOW_MS,
    readiness: () => Promise.resolve([]),
    metrics: createMetrics({ version: '1.2.3', startedAtMs: NOW_MS }),
    logger,
    ...sources,
  });
  const listening = await listen(app, { host: '127.0.0.1', port: 0, token, logger });
  const { port } = listening;
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    // A reset is one way to be refused.
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    await new Promise<void>((connected) => socket.once('connect', connected));
    return { socket, text: () => text, closed };
  };
  return {
    logged,
    open,
    /** Sends raw text and returns the response up to the end of the connection. */
    raw: async (message: string | Buffer) => {
      const { socket, text, closed } = await open();
      socket.write(message);
      await closed;
      return text();
    },
    get: async (path: string, init: RequestInit = {}) => await fetch(`http://127.0.0.1:${port}${path}`, init),
    [Symbol.asyncDispose]: () => listening.close(),
  };
}
