import { type Context, Hono } from 'hono';
import { compress } from 'hono/compress';
import { html } from 'hono/html';
import { changesPage } from '../console/changes.ts';
import { quarantinePage, totalsPage } from '../console/checks.ts';
import { coveragePage } from '../console/coverage.ts';
import { homePage } from '../console/home.ts';
import { monthFilePage } from '../console/month-csv.ts';
import { monthPage, monthsPage } from '../console/months.ts';
import { organizationPage } from '../console/organization.ts';
import { organizationsPage } from '../console/organizations.ts';
import { ICON, renderMissing } from '../console/page.ts';
import { runPage, runsPage } from '../console/runs.ts';
import { type ConsolePage, type PageSources, shownHealth } from '../console/sources.ts';
import { dayStoryPage, streamStoryPage } from '../console/story.ts';
import type { Metrics } from './metrics.ts';

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
  totalsPage,
  quarantinePage,
  runsPage,
  runPage,
];

export interface AppSources extends PageSources {
  readonly metrics: Metrics;
}

const NOT_FOUND = renderMissing({
  path: '',
  title: 'Not found',
  sentence: 'There is no such page',
  hint: html`<a href="/">Home</a> and the links above lead to all there are.`,
});

/** `createApp` creates the routes. The guard has already decided who may see them. */
export function createApp({ metrics, ...sources }: AppSources): Hono {
  const { status, database, readiness, logger, now } = sources;
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
  app.get('/status.json', async (c) => {
    const view = await database();
    const health = shownHealth(view);
    const ageMs = view.reading === null ? null : now() - view.reading.atMs;
    return c.json({ worker: status(), databaseUp: view.isUp, ageMs, ledger: health });
  });
  for (const { path, open } of PAGES) app.get(path, open(sources));
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  app.notFound((c) => c.html(NOT_FOUND, 404));
  app.onError((error, c: Context) => {
    logger.error({ err: error, path: c.req.path }, 'page failed');
    return c.text('This page failed; the log says why\n', 500);
  });
  return app;
}
