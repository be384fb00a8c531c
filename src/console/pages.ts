import type { Context, Hono } from 'hono';
import { html } from 'hono/html';
import { changesPage } from './changes.ts';
import { readCounts } from './counts.ts';
import { coveragePage } from './coverage.ts';
import { gapsPage, quarantinePage } from './gaps.ts';
import { homePage } from './home.ts';
import { monthPage, monthsPage } from './months.ts';
import { organizationPage } from './organization.ts';
import { organizationsPage } from './organizations.ts';
import { type ConsolePage, renderMissing, renderPage } from './page.ts';
import { keepReading } from './readings.ts';
import { runsPage } from './runs.ts';
import type { PageSources } from './sources.ts';
import { storyPage } from './story.ts';

export const PAGES: readonly ConsolePage[] = [
  homePage,
  organizationsPage,
  organizationPage,
  monthsPage,
  monthPage,
  coveragePage,
  storyPage,
  gapsPage,
  quarantinePage,
  changesPage,
  runsPage,
];

/** Counts are a minute old at most, unless counting takes long; nobody waits until they are there. */
const COUNTS = { keepMs: 60_000, timeoutMs: 50 };

/** Adds every page to the routes. */
export function addPages(app: Hono, sources: PageSources): void {
  const { read, instanceIds, now, logger } = sources;
  const onFailure = (error: unknown) => logger.warn({ err: error }, 'database not read for a page');
  const kept = keepReading(() => readCounts(read, instanceIds), { ...COUNTS, now, onFailure });
  const counts = async () => (await kept())?.value ?? null;
  for (const { path, place, show } of PAGES) {
    app.get(path, async (c: Context) => {
      const { path: asked } = c.req;
      try {
        const shown = await show({
          ...sources,
          counts,
          nowMs: now(),
          path: asked,
          params: c.req.param(),
          query: c.req.query(),
        });
        if (shown instanceof Response) return shown;
        if (shown === null) return await c.html(renderMissing(place), 404);
        return await c.html(renderPage({ ...shown, place }));
      } catch (error) {
        onFailure(error);
        const body = html`<h1>The database does not answer in time</h1><p>Try again in a moment.</p>`;
        return c.html(renderPage({ title: 'No answer', place, body }), 503);
      }
    });
  }
}
