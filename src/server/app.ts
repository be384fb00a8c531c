import { type Context, Hono } from 'hono';
import type { Logger } from '../logger.ts';
import type { Health } from '../database/read/health.ts';
import type { Metrics } from './metrics.ts';
import { renderOverview } from './overview.ts';
import type { WorkerStatus } from './status.ts';

/** Where the pages get what they show. */
export interface PageSources {
  readonly status: () => WorkerStatus;
  /** Rejects if the database does not answer in time. */
  readonly health: () => Promise<Health>;
  /** What keeps this process from being ready, for people; empty: nothing. */
  readonly readiness: () => Promise<readonly string[]>;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** The routes. Who may see them is decided before, in the guard. */
export function createApp(sources: PageSources): Hono {
  const { status, readiness, metrics, logger } = sources;
  const app = new Hono();
  app.get('/healthz', (c) => c.text('ok\n'));
  app.get('/readyz', async (c) => {
    const problems = await readiness();
    return problems.length === 0 ? c.text('ready\n') : c.text(`not ready: ${problems.join('; ')}\n`, 503);
  });
  app.get('/metrics', async (c) => {
    const text = await metrics.render(await healthOrNull(sources));
    return c.body(text, 200, { 'content-type': metrics.contentType });
  });
  app.get('/status.json', async (c) => {
    const health = await healthOrNull(sources);
    return c.json({ worker: status(), databaseUp: health !== null, ledger: health });
  });
  app.get('/', async (c) => c.html(renderOverview(status(), await healthOrNull(sources))));
  app.notFound((c) => c.text('There is no such page\n', 404));
  app.onError((error, c: Context) => {
    logger.error({ err: error, path: c.req.path }, 'page failed');
    return c.text('This page failed; the log says why\n', 500);
  });
  return app;
}

/** Pages are shown all the same while the database is away, and say so. */
async function healthOrNull({ health, logger }: PageSources): Promise<Health | null> {
  try {
    return await health();
  } catch (error) {
    logger.debug({ err: error }, 'ledger not read for a page');
    return null;
  }
}
