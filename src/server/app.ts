import { type Context, Hono } from 'hono';
import type { HeatCell } from '../database/read/heat-map.ts';
import type { OrganizationList, OrganizationQuery } from '../database/read/organization-list.ts';
import type { Logger } from '../logger.ts';
import { addDays, dayAt } from '../usage/day.ts';
import { renderHome } from './console/home.ts';
import { readQuery, renderOrganizations } from './console/organizations.ts';
import { ICON } from './console/page.ts';
import { type DatabaseView, shownHealth } from './database-view.ts';
import type { Metrics } from './metrics.ts';
import type { Reading } from './readings.ts';
import type { WorkerStatus } from './status.ts';

/** Where the pages get what they show. */
export interface PageSources {
  readonly status: () => WorkerStatus;
  readonly database: () => Promise<DatabaseView>;
  /** Null before the first reading. */
  readonly heatMap: () => Promise<Reading<readonly HeatCell[]> | null>;
  /** Rejects if the database does not answer in time. */
  readonly organizations: (query: OrganizationQuery) => Promise<OrganizationList>;
  /** What keeps this process from being ready, for people; empty: nothing. */
  readonly readiness: () => Promise<readonly string[]>;
  readonly metrics: Metrics;
  readonly logger: Logger;
  /** ms since 1970. */
  readonly now: () => number;
}

/** How often a browser loads the home page anew. */
const REFRESH_S = 60;

/** The routes. Who may see them is decided before, in the guard. */
export function createApp(sources: PageSources): Hono {
  const { status, database, heatMap, readiness, metrics, logger, now } = sources;
  const app = new Hono();
  app.get('/healthz', (c) => c.text('ok\n'));
  app.get('/readyz', async (c) => {
    const problems = await readiness();
    return problems.length === 0 ? c.text('ready\n') : c.text(`not ready: ${problems.join('; ')}\n`, 503);
  });
  app.get('/metrics', async (c) => {
    const text = await metrics.render(await database(), now());
    return c.body(text, 200, { 'content-type': metrics.contentType });
  });
  app.get('/status.json', async (c) => {
    const view = await database();
    const health = shownHealth(view);
    const ageMs = view.reading === null ? null : now() - view.reading.atMs;
    return c.json({ worker: status(), databaseUp: view.isUp, ageMs, ledger: health });
  });
  app.get('/', async (c) => {
    const [view, reading] = await Promise.all([database(), heatMap()]);
    const heatCells = reading?.value ?? null;
    c.header('refresh', String(REFRESH_S));
    return c.html(renderHome({ status: status(), view, heatMap: heatCells, nowMs: now() }));
  });
  app.get('/organizations', async (c) => {
    const query = readQuery((name) => c.req.query(name), addDays(dayAt(now()), -1));
    const [view, list] = await Promise.all([database(), listOrNull(sources, query)]);
    const instances = view.reading?.value.instances ?? [];
    const names = new Map(instances.map(({ instanceId, name }) => [instanceId, name ?? instanceId]));
    return c.html(renderOrganizations(query, list, names), list === null ? 503 : 200);
  });
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  app.notFound((c) => c.text('There is no such page\n', 404));
  app.onError((error, c: Context) => {
    logger.error({ err: error, path: c.req.path }, 'page failed');
    return c.text('This page failed; the log says why\n', 500);
  });
  return app;
}

async function listOrNull(
  { organizations, logger }: PageSources,
  query: OrganizationQuery,
): Promise<OrganizationList | null> {
  try {
    return await organizations(query);
  } catch (error) {
    logger.warn({ err: error }, 'organizations not read for a page');
    return null;
  }
}
