import { type Context, Hono } from 'hono';
import { compress } from 'hono/compress';
import { ICON, renderMissing } from '../console/page.ts';
import { addPages } from '../console/pages.ts';
import { boundReads, keepReading, shareReading } from '../console/readings.ts';
import { type InstanceStatus, type PageSources, shownHealth } from '../console/sources.ts';
import type { DatabaseHandle } from '../database/handle.ts';
import { readSchemaState } from '../database/migrate.ts';
import { createDatabase } from '../database/open.ts';
import { describeDatabaseError } from '../database/sqlstate.ts';
import type { Logger } from '../logger.ts';
import { pingDatabase, readHealth } from '../queries/health.ts';
import type { Config } from '../settings/config.ts';
import type { Metrics } from './metrics.ts';

export interface AppSources extends PageSources {
  readonly metrics: Metrics;
  /** Returns the reasons why this process is not ready, for anybody who asks; empty if it is. */
  readonly readiness: () => Promise<readonly string[]>;
}

/** Creates the routes. The guard has already decided who may see them. */
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
  // The document of `status --json`, and what this process knows besides.
  app.get('/status.json', async (c) => {
    const view = await database();
    const ageMs = view.reading && Math.max(0, now() - view.reading.atMs);
    return c.json({
      ...shownHealth(view),
      worker: { ...status(), databaseUp: view.isUp, readingAgeMs: ageMs },
    });
  });
  addPages(app, sources);
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  app.notFound((c) => c.html(renderMissing('/'), 404));
  app.onError((error, c: Context) => {
    logger.error({ err: error, path: c.req.path }, 'page failed');
    return c.text('This page failed; the log says why\n', 500);
  });
  return app;
}

/** The readers' own connections: for the state of everything, the probes, pages and a file. */
const READER = { poolSize: 8, statementTimeoutMs: 60_000, connectTimeoutMs: 3_000 };
/** A caller waits this long for a new reading of the state, and then gets the last good one with its age. */
const HEALTH = { keepMs: 3_000, timeoutMs: 3_000 };
const PING = { keepMs: 1_000, timeoutMs: 3_000 };
const PAGE_READS = { max: 4, timeoutMs: 10_000 };
const READINESS = { keepMs: 5_000, timeoutMs: 3_000 };

interface ServingProcess {
  readonly config: Config;
  readonly logger: Logger;
  readonly hostNow: () => number;
  readonly host: string;
  readonly version: string;
  readonly signal: AbortSignal;
}

export async function openReader({
  config,
  logger,
}: Pick<ServingProcess, 'config' | 'logger'>): Promise<DatabaseHandle> {
  const { readDatabaseUrl: readUrl } = config;
  const options = { readUrl, role: 'losant_usage_writer', applicationName: 'losant-usage pages' } as const;
  return await createDatabase({ url: readUrl(), logger, ...options, ...READER });
}

export interface SourceOptions {
  readonly reader: DatabaseHandle;
  readonly loop: { readonly statuses: readonly InstanceStatus[] };
  readonly schedule: { readonly nextWakeAt: () => Date | null };
  readonly startedAtMs: number;
}

export function createSources(serving: ServingProcess, options: SourceOptions): Omit<AppSources, 'metrics'> {
  const { config, logger, hostNow: now, version, host } = serving;
  const { reader, loop, schedule } = options;
  const { db } = reader;
  const instanceIds = config.instances.map(({ instanceId }) => instanceId);
  const ping = shareReading(() => pingDatabase(db), { ...PING, now });
  const health = keepReading(() => readHealth(db, { nowMs: now(), instanceIds }), {
    ...HEALTH,
    now,
    onFailure: (error) =>
      logger.warn({ err: error }, 'database not read for the pages, the last reading stays'),
  });
  const bound = boundReads(PAGE_READS);
  return {
    logger,
    now,
    instanceIds,
    read: (query) => bound(() => query(db)),
    database: async (waitMs = HEALTH.timeoutMs) => {
      const isUp = ping().then(
        () => true,
        () => false,
      );
      const [up, reading] = await Promise.all([isUp, health(waitMs)]);
      return { isUp: up, reading };
    },
    status: () => ({
      version,
      host,
      startedAt: new Date(options.startedAtMs).toISOString(),
      schedule: config.schedule,
      nextWakeAt: schedule.nextWakeAt()?.toISOString() ?? null,
      instances: loop.statuses,
    }),
    readiness: createReadiness(serving, reader),
  };
}

/** Says whether the database answers or refuses, without its name or the user's: anybody may ask. */
function createReadiness(
  { hostNow: now, signal }: ServingProcess,
  reader: DatabaseHandle,
): () => Promise<readonly string[]> {
  const schema = shareReading(() => readSchemaState(reader), { ...READINESS, now });
  return async () => {
    const problems = signal.aborted ? ['the worker is ending'] : [];
    try {
      const { state } = await schema();
      if (state !== 'at_head') problems.push(`the schema of the database is ${state}`);
    } catch (error) {
      const work = { where: '', role: 'losant_usage_writer' } as const;
      const isRefused = describeDatabaseError(error, work)?.kind === 'database_refused';
      problems.push(isRefused ? 'the database refuses this login' : 'the database does not answer');
    }
    return problems;
  };
}
