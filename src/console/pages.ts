import type { Context, Hono } from 'hono';
import { html } from 'hono/html';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import { billedPage } from './billed.ts';
import { cacheRead, type Snapshot } from './cached-reads.ts';
import { changesPage } from './changes.ts';
import { readCounts } from './counts.ts';
import { coveragePage } from './coverage.ts';
import { dayPage } from './day.ts';
import { findPage } from './find.ts';
import { gapsPage, quarantinePage } from './gaps.ts';
import { homePage } from './home.ts';
import { monthPage, monthsPage } from './months.ts';
import { organizationPage } from './organization.ts';
import { organizationsPage } from './organizations.ts';
import { type ConsolePage, type PageRequest, renderNotFound, renderPage } from './page.ts';
import { reconciliationPage } from './reconciliation.ts';
import { runsPage } from './runs.ts';
import type { PageSources } from './sources.ts';
import { usagePage } from './usage.ts';

export const PAGES: readonly ConsolePage[] = [
  homePage,
  usagePage,
  findPage,
  organizationsPage,
  organizationPage,
  monthsPage,
  monthPage,
  billedPage,
  coveragePage,
  reconciliationPage,
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
  const recall = createRecall(sources, onFailure);
  for (const { path, navPath, show } of PAGES) {
    app.get(path, async (c: Context) => {
      try {
        const content = await show({
          ...sources,
          getCounts,
          recall,
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

/** Results that are kept at once. */
const MAX_RESULTS = 50;

/** Shares slow queries by their keys, each as long as the counts. */
function createRecall(
  { read, now }: PageSources,
  onFailure: (error: unknown) => void,
): PageRequest['recall'] {
  const results = new Map<string, unknown>();
  return async <T>(key: unknown, query: (db: Kysely<Schema>) => Promise<T>) => {
    const name = JSON.stringify(key);
    const result =
      (results.get(name) as (() => Promise<Snapshot<T> | null>) | undefined) ??
      cacheRead(() => read(query), { ...COUNTS, now, onFailure });
    results.set(name, result);
    const [oldest = ''] = results.keys();
    if (results.size > MAX_RESULTS) results.delete(oldest);
    return await result();
  };
}
