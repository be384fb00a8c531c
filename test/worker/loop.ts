import { randomUUID } from 'node:crypto';
import type { RunResult } from '../../src/console/sources.ts';
import { createLogger } from '../../src/logger.ts';
import { createMetrics } from '../../src/server/metrics.ts';
import { type Config, readConfig } from '../../src/settings/config.ts';
import { defaultStreamNames } from '../../src/usage/streams/catalog.ts';
import { WorkerLoop } from '../../src/worker/loop.ts';
import { openAs } from '../support/databases.ts';
import { readMetric } from './process.ts';

/** One replica of the worker inside this process, with a clock of the caller's. */
export type Replica = Awaited<ReturnType<typeof openReplica>>;

export const NEVER_MS = 2 ** 31 - 1;

const LOG_LINES = 500;

/** The settings of an instance of a simulated platform. */
type InstanceSettings = Pick<
  Config,
  'instanceId' | 'apiUrl' | 'domain' | 'readToken' | 'streams' | 'selection' | 'requestsPerSecond' | 'concurrency'
>;

export interface ReplicaOptions {
  readonly databaseUrl: string;
  readonly instance: InstanceSettings;
  readonly now: () => number;
  readonly host?: string;
  readonly heartbeatUrl?: string | null;
  readonly retryIntervalMs?: number;
  readonly attempts?: number;
  /** The settings that differ from the usual ones. */
  readonly config?: Partial<Config>;
}

export async function openReplica(options: ReplicaOptions) {
  const { databaseUrl: url, instance, now, host = 'replica-1', heartbeatUrl = null, attempts = 2 } = options;
  const logged: string[] = [];
  let onWaiting = () => {};
  const write = (line: string) => {
    logged.push(line);
    // A run that lost the database is retried before the worker waits, which with such an interval is never.
    const isOver = options.retryIntervalMs === NEVER_MS && line.includes('could not load');
    if (isOver || line.includes('waiting for the next wake-up')) onWaiting();
    // A long soak must show the memory of the worker, not of its log.
    if (logged.length > LOG_LINES) logged.shift();
  };
  const logger = createLogger({ level: 'info', pretty: false, destination: { write } });
  const handle = await openAs('writer', url, { applicationName: host, poolSize: 4, connectTimeoutMs: 2_000 });
  const stop = new AbortController();
  const env = { DATABASE_URL: url, REQUEST_TIMEOUT_MS: '2000', REQUEST_ATTEMPTS: `${attempts}` };
  const usual = readConfig({ env, needs: ['database'] });
  const config: Config = { ...usual, ...instance, heartbeatUrl, ...options.config };
  const metrics = createMetrics({ version: '1.2.3', startedAtMs: now() });
  const loop = new WorkerLoop({
    config,
    logger,
    signal: stop.signal,
    hostNow: now,
    handle,
    metrics,
    newId: randomUUID,
    host,
    version: '1.2.3',
    readNow: () => Promise.resolve(now),
    nextWakeAt: () => null,
    ...(options.retryIntervalMs === undefined ? {} : { retryIntervalMs: options.retryIntervalMs }),
  });
  let running: Promise<void> | null = null;
  const wake = () => {
    if (running === null) running = loop.run();
    else loop.wake();
  };
  return {
    loop,
    logged,
    wake,
    /** Starts the loop, or wakes it up, and returns when it waits for the next wake-up. */
    runAll: async () => {
      const { promise, resolve } = Promise.withResolvers<void>();
      onWaiting = resolve;
      wake();
      await Promise.race([promise, running]);
    },
    /** Returns the value of a series that is not read from the ledger. */
    metric: async (series: string) => readMetric(await metrics.render({ isUp: false, snapshot: null }, now()), series),
    close: async () => {
      stop.abort(new Error('the replica is closed'));
      await running;
      await handle.close();
    },
  };
}

/** An instance of a simulated platform, read as fast as it responds. */
export function instanceOf(
  { url, instanceId, token }: { url: string; instanceId: string; token: string },
  readToken: () => string = () => token,
): InstanceSettings {
  return {
    instanceId,
    apiUrl: url,
    domain: null,
    readToken,
    streams: defaultStreamNames,
    selection: null,
    requestsPerSecond: 5_000,
    concurrency: 8,
  };
}

/** Returns the name of the metric that counts runs with a result. */
export const runsOf = (result: RunResult): string => `losant_usage_runs_total{result="${result}"}`;

/** Returns a logger and the fields of its lines. */
export function recordLog() {
  const logged: Record<string, unknown>[] = [];
  const write = (line: string) => {
    const { time: _time, level: _level, ...fields } = JSON.parse(line) as Record<string, unknown>;
    logged.push(fields);
  };
  return { logged, logger: createLogger({ level: 'info', pretty: false, destination: { write } }) };
}
