import { type Context, Hono } from 'hono';
import { changesPage } from '../console/changes.ts';
import type { ConsolePage } from '../console/console-page.ts';
import { coveragePage } from '../console/coverage.ts';
import { shownHealth } from '../console/database-view.ts';
import { homePage } from '../console/home.ts';
import { monthPage, monthsPage } from '../console/months.ts';
import { monthFilePage } from '../console/months-csv.ts';
import { organizationPage } from '../console/organization.ts';
import { organizationsPage } from '../console/organizations.ts';
import { ICON } from '../console/page.ts';
import type { PageSources } from '../console/page-sources.ts';
import { runPage } from '../console/run.ts';
import { runsPage } from '../console/runs.ts';
import { dayStoryPage, streamStoryPage } from '../console/story.ts';

/** Each page of the console. */
export const PAGES: readonly ConsolePage[] = [
  homePage,
  organizationsPage,
  organizationPage,
  monthsPage,
  monthPage,
  monthFilePage,
  coveragePage,
  dayStoryPage,
  streamStoryPage,
  changesPage,
  runsPage,
  runPage,
];

/** The routes. Who may see them is decided before, in the guard. */
export function createApp(sources: PageSources): Hono {
  const { status, database, readiness, metrics, logger, now } = sources;
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
  for (const { path, open } of PAGES) app.get(path, open(sources));
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  app.notFound((c) => c.text('There is no such page\n', 404));
  app.onError((error, c: Context) => {
    logger.error({ err: error, path: c.req.path }, 'page failed');
    return c.text('This page failed; the log says why\n', 500);
  });
  return app;
}
