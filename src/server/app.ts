import { type Context, Hono } from 'hono';
import { compress } from 'hono/compress';
import { type CachedRead, cacheRead, limitReads } from '../console/cached-reads.ts';
import { ICON, renderNotFound } from '../console/page.ts';
import { addPages } from '../console/pages.ts';
import { type LoadStatus, type PageSources, toVisibleHealth } from '../console/sources.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState, SCHEMA_PROBLEMS } from '../database/migrate.ts';
import { readNowMs } from '../database/session.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import type { Logger } from '../logger.ts';
import { readHealth } from '../queries/health.ts';
import type { Config } from '../settings/config.ts';
import type { Metrics } from './metrics.ts';

export interface AppSources extends PageSources {
  readonly metrics: Metrics;
  /** Returns why this process is not ready, without anything confidential; empty if it is ready. */
  readonly readiness: () => Promise<readonly string[]>;
}

/** Creates the routes. Requests have already passed the guard (see `findRejection`). */
export function createApp({ metrics, readiness, ...sources }: AppSources): Hono {
  const { status, database, logger, now } = sources;
  const app = new Hono();
  app.use(compress());
  app.get('/healthz', (c) => c.text('ok\n'));
  app.get('/readyz', async (c) => {
    const problems = await readiness();
    return problems.length === 0 ? c.text('ready\n') : c.text(`not ready: ${problems.join('; ')}\n`, 503);
  });
  app.get('/metrics', async (c) => {
    const text = await metrics.render(await database(), now());
    return c.body(text, 200, { 'content-type': metrics.contentType });
  });
  // The document of `status --json`, with the state of this process.
  app.get('/status.json', async (c) => {
    const view = await database();
    const ageMs = view.snapshot && Math.max(0, now() - view.snapshot.atMs);
    return c.json({
      ...toVisibleHealth(view),
      worker: { ...status(), databaseUp: view.isUp, snapshotAgeMs: ageMs },
    });
  });
  addPages(app, sources);
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  app.notFound((c) => c.html(renderNotFound('/'), 404));
  app.onError((error, c: Context) => {
    logger.error({ err: error, path: c.req.path }, 'page failed');
    return c.text('This page failed; see the log\n', 500);
  });
  return app;
}

/** Connections for readers only: health and pages. */
export const READER = {
  applicationName: 'losant-usage pages',
  poolSize: 12,
  statementTimeoutMs: 60_000,
  connectTimeoutMs: 3_000,
};
/** Connections for probes, which must not wait for slow pages: the database would look as if it were down. */
export const PROBER = { ...READER, poolSize: 2 };
/** A caller waits this long for a new snapshot, and then gets the last one with its age. */
const HEALTH = { keepMs: 3_000, timeoutMs: 3_000 };
const PING = { keepMs: 1_000, timeoutMs: 3_000 };
/** Several pages may be opened at once. */
const PAGE_READS = { max: 4, timeoutMs: 10_000, waitMs: 5_000 };
/** Nobody waits for these; the server cancels a statement at the same time. */
const READS_IN_TURN = { max: 2, timeoutMs: READER.statementTimeoutMs, waitMs: null };
const READINESS = { keepMs: 5_000, timeoutMs: 3_000 };

interface ServingProcess {
  readonly config: Config;
  readonly logger: Logger;
  readonly hostNow: () => number;
  readonly host: string;
  readonly version: string;
  readonly signal: AbortSignal;
}

interface SourceOptions {
  readonly reader: DatabaseHandle;
  readonly prober: DatabaseHandle;
  readonly loop: { readonly status: LoadStatus };
  readonly schedule: { readonly nextWakeAt: () => Date | null };
  readonly startedAtMs: number;
}

export function createSources(serving: ServingProcess, options: SourceOptions): Omit<AppSources, 'metrics'> {
  const { config, logger, hostNow: now, version, host } = serving;
  const { reader, prober, loop, schedule, startedAtMs } = options;
  const { db } = reader;
  const ping = cacheRead(() => readNowMs(prober), { ...PING, now });
  const health = cacheRead(() => readHealth(db), {
    ...HEALTH,
    now,
    onFailure: (error) => logger.warn({ err: error }, 'could not refresh the status; showing the last snapshot'),
  });
  const limitPages = limitReads(PAGE_READS);
  const queueRead = limitReads(READS_IN_TURN);
  return {
    logger,
    now,
    read: (query) => limitPages(() => query(db)),
    readInTurn: (query) => queueRead(() => query(db)),
    database: async (waitMs = HEALTH.timeoutMs) => {
      const [response, { snapshot, error }] = await Promise.all([ping(), health(waitMs)]);
      return { isUp: getCurrent(response) !== null, snapshot, error };
    },
    status: () => ({
      version,
      host,
      startedAt: new Date(startedAtMs).toISOString(),
      schedule: config.schedule,
      nextWakeAt: schedule.nextWakeAt()?.toISOString() ?? null,
      ...loop.status,
    }),
    readiness: createReadiness(serving, prober),
  };
}

/** Returns the result of the last read, if it has ended in time and did not fail; otherwise null. */
function getCurrent<T>({ snapshot, startedAtMs, error }: CachedRead<T>): CachedRead<T>['snapshot'] {
  return startedAtMs === null && error === undefined ? snapshot : null;
}

/** Tells an unreachable database from a rejected login, without naming either: the probes need no token. */
function createReadiness({ hostNow: now, signal }: ServingProcess, prober: DatabaseHandle) {
  const schema = cacheRead(() => readSchemaState(prober), { ...READINESS, now });
  return async () => {
    const problems = signal.aborted ? ['the worker is shutting down'] : [];
    const result = await schema();
    const current = getCurrent(result);
    if (current !== null) {
      const { state } = current.value;
      if (state !== 'at_head') problems.push(`the database ${SCHEMA_PROBLEMS[state]}`);
      if (prober.readOnly !== null) problems.push('the database is read-only');
    } else {
      const context = { where: '', role: 'losant_usage_writer' } as const;
      const isRejected = describeDatabaseError(result.error, context)?.kind === 'database_rejected';
      problems.push(isRejected ? 'the database rejects this login' : 'the database is not responding');
    }
    return problems;
  };
}
