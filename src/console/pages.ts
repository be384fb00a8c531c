import type { Context, Hono } from 'hono';
import { html } from 'hono/html';
import { cacheRead } from './cached-reads.ts';
import { changesPage } from './changes.ts';
import { readCounts } from './counts.ts';
import { coveragePage } from './coverage.ts';
import { dayPage } from './day.ts';
import { gapsPage, quarantinePage } from './gaps.ts';
import { homePage } from './home.ts';
import { monthPage, monthsPage } from './months.ts';
import { organizationPage } from './organization.ts';
import { organizationsPage } from './organizations.ts';
import { type ConsolePage, renderNotFound, renderPage } from './page.ts';
import { runsPage } from './runs.ts';
import type { PageSources } from './sources.ts';
import { adjustmentDaysPage, customerPage, customersPage } from './statements.ts';

export const PAGES: readonly ConsolePage[] = [
  homePage,
  organizationsPage,
  organizationPage,
  monthsPage,
  monthPage,
  customersPage,
  customerPage,
  adjustmentDaysPage,
  coveragePage,
  dayPage,
  gapsPage,
  quarantinePage,
  changesPage,
  runsPage,
];

/** Counting many organizations takes seconds, so pages hardly wait for it: they say that it goes on, and reload. */
const COUNTS = { keepMs: 60_000, timeoutMs: 50 };

export function addPages(app: Hono, sources: PageSources): void {
  const { read, instanceIds, now, logger } = sources;
  const onFailure = (error: unknown) => logger.warn({ err: error }, 'page query failed');
  const countsCache = cacheRead(() => readCounts(read, instanceIds), { ...COUNTS, now, onFailure });
  const getCounts = async () => (await countsCache())?.value ?? null;
  for (const { path, navPath, show } of PAGES) {
    app.get(path, async (c: Context) => {
      try {
        const content = await show({
          ...sources,
          getCounts,
          nowMs: now(),
          path: c.req.path,
          params: c.req.param(),
          query: c.req.query(),
        });
        if (content instanceof Response) {
          // Nobody would read the body, and so end its query.
          if (c.req.method === 'HEAD') await content.body?.cancel();
          return content;
        }
        if (content === null) return await c.html(renderNotFound(navPath), 404);
        return await c.html(renderPage({ ...content, navPath }));
      } catch (error) {
        onFailure(error);
        const body = html`<h1>The database is not responding</h1><p>Try again in a moment.</p>`;
        return c.html(renderPage({ title: 'Not responding', navPath, body }), 503);
      }
    });
  }
}
