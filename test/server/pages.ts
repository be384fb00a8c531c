import { connect, type Socket } from 'node:net';
import type { DatabaseView, InstanceStatus, WorkerStatus } from '../../src/console/sources.ts';
import { createLogger } from '../../src/logger.ts';
import type { Health, InstanceHealth, StreamHealth } from '../../src/queries/health.ts';
import { type AppSources, createApp } from '../../src/server/app.ts';
import { type Listening, listen } from '../../src/server/listen.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import { sumStandings } from '../../src/usage/standing.ts';

export const INSTANCE = '5c0000000000000000000001';
export const TOKEN = 'a-token-for-readers-0001';

const NOW_MS = Date.parse('2026-11-24T10:30:00.000Z');

/** A stream of which nothing is missing. */
export const STREAM: StreamHealth = {
  stream: 'device_counts',
  cells: sumStandings([{ stored: 5, final: 2 }]),
  yesterday: { waiting: 0, unavailable: 0, in_doubt: 0, missing: 0 },
  lastDay: '2026-11-23',
  completeTo: '2026-11-23',
  orgs: 4,
  orgsComplete: 4,
  gaps: 0,
  orgsWithGaps: 0,
  oldestGap: null,
  expiring: 0,
  failing: 0,
  quarantined: 0,
  newestReadDay: '2026-11-23',
};

/** An instance of which nothing is missing. */
export const INSTANCE_HEALTH: InstanceHealth = {
  instanceId: INSTANCE,
  name: 'Northern plants',
  organizations: 4,
  listedAt: '2026-11-24T00:15:00.000Z',
  listProblem: null,
  totalsProblem: null,
  lastRunAt: '2026-11-24T10:00:00.000Z',
  lastCompleteRunAt: '2026-11-24T10:00:00.000Z',
  leaseSince: null,
  finalChanges30Days: 0,
  finalChanges: 0,
  differences: 0,
  streams: [STREAM],
};

export const HEALTH: Health = {
  at: '2026-11-24T10:30:00.000Z',
  gaps: 0,
  instances: [INSTANCE_HEALTH],
  notInSettings: [],
  runs: [],
};

/** What a worker says of the instance after a complete run. */
export const INSTANCE_STATUS: InstanceStatus = {
  instanceId: INSTANCE,
  state: 'idle',
  progress: null,
  lastRun: { finishedAt: '2026-11-24T10:00:00.000Z', result: 'complete' },
  trouble: null,
};

export const STATUS: WorkerStatus = {
  version: '1.2.3',
  host: 'test-host',
  startedAt: '2026-11-24T00:00:00.000Z',
  schedule: '15 * * * *',
  nextWakeAt: '2026-11-24T11:15:00.000Z',
  instances: [INSTANCE_STATUS],
};

/** A database that has just been read. */
export function viewOf(
  health: Health | null,
  options: { isUp?: boolean; ageMs?: number } = {},
): DatabaseView {
  const { isUp = true, ageMs = 0 } = options;
  return { isUp, reading: health === null ? null : { value: health, atMs: NOW_MS - ageMs } };
}

export interface Pages extends AsyncDisposable {
  readonly port: number;
  readonly logged: string[];
  /** Sends text as it is and returns all that comes back until the connection ends. */
  raw(text: string | Buffer): Promise<string>;
  /** A connection of one's own, and what came back on it. */
  open(): Promise<{ socket: Socket; text: () => string; closed: Promise<void> }>;
  get(path: string, init?: RequestInit): Promise<Response>;
}

/** The server of the pages alone, on 127.0.0.1 unless the options name another address. */
export async function startPages({
  host = '127.0.0.1',
  token = null,
  sources = {},
}: {
  host?: string;
  token?: string | null;
  sources?: Partial<AppSources>;
} = {}): Promise<Pages> {
  const logged: string[] = [];
  const logger = createLogger({
    level: 'trace',
    pretty: false,
    destination: { write: (line) => void logged.push(line) },
  });
  const app = createApp({
    status: () => STATUS,
    database: () => Promise.resolve(viewOf(HEALTH)),
    read: () => Promise.reject(new Error('no database here')),
    instanceIds: [INSTANCE],
    now: () => NOW_MS,
    readiness: () => Promise.resolve([]),
    metrics: createMetrics({ version: '1.2.3', instanceIds: [INSTANCE], startedAtMs: NOW_MS }),
    logger,
    ...sources,
  });
  const listening: Listening = await listen(app, { host, port: 0, token, logger });
  const { port } = listening;
  const open = async () => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    // A reset is one way to be turned away.
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    await new Promise<void>((connected) => socket.once('connect', connected));
    return { socket, text: () => text, closed };
  };
  return {
    port,
    logged,
    open,
    raw: async (message) => {
      const { socket, text, closed } = await open();
      socket.write(message);
      await closed;
      return text();
    },
    get: async (path, init = {}) => await fetch(`http://127.0.0.1:${port}${path}`, init),
    [Symbol.asyncDispose]: () => listening.close(),
  };
}
