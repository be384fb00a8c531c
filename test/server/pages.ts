import { connect, type Socket } from 'node:net';
import type { Health } from '../../src/database/read/health.ts';
import { createLogger } from '../../src/logger.ts';
import { createApp, type PageSources } from '../../src/server/app.ts';
import { hashToken } from '../../src/server/guard.ts';
import { type Listening, listen } from '../../src/server/listen.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import type { WorkerStatus } from '../../src/server/status.ts';

export const INSTANCE = '5c0000000000000000000001';
export const TOKEN = 'a-token-for-readers-0001';

export const STATUS: WorkerStatus = {
  version: '0.1.0',
  host: 'test-host',
  startedAt: '2026-11-24T00:00:00.000Z',
  schedule: '15 * * * *',
  isArmed: true,
  nextWakeAt: '2026-11-24T11:15:00.000Z',
  isStopping: false,
  instances: [],
};

export const HEALTH: Health = { at: '2026-11-24T10:30:00.000Z', instances: [], runs: [] };

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
  sources?: Partial<PageSources>;
} = {}): Promise<Pages> {
  const logged: string[] = [];
  const logger = createLogger({
    level: 'trace',
    pretty: false,
    destination: { write: (line) => void logged.push(line) },
  });
  const app = createApp({
    status: () => STATUS,
    health: () => Promise.resolve(HEALTH),
    readiness: () => Promise.resolve([]),
    metrics: createMetrics({ version: '0.1.0', instanceIds: [INSTANCE] }),
    logger,
    ...sources,
  });
  const tokenHash = token === null ? null : hashToken(token);
  const access = { host, hostname: 'test-host', tokenHash };
  const listening: Listening = await listen(app, { access, port: 0, logger });
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
