import type { Context, Hono } from 'hono';
import { html } from 'hono/html';
import { monthPage, monthsPage } from './billing.ts';
import { type CachedRead, createRecall, describeReadFailure, type Recall } from './cached-reads.ts';
import { changesPage } from './changes.ts';
import { coveragePage } from './coverage.ts';
import { customerPage } from './customer-statement.ts';
import { dayPage } from './day.ts';
import { gapsPage, reconciliationPage } from './gaps.ts';
import { homePage } from './home.ts';
import { organizationPage } from './organization.ts';
import { organizationsPage } from './organizations.ts';
import { type ConsolePage, isCounting, RELOAD_SECONDS, renderNotFound, renderPage } from './page.ts';
import type { PageSources } from './sources.ts';
import { usagePage } from './usage.ts';

export const PAGES: readonly ConsolePage[] = [
  homePage,
  usagePage,
  organizationsPage,
  organizationPage,
  monthsPage,
  monthPage,
  customerPage,
  coveragePage,
  dayPage,
  gapsPage,
  reconciliationPage,
  changesPage,
];

export function addPages(app: Hono, sources: PageSources): void {
  const recall = createRecall(sources.readInTurn, sources);
  for (const page of PAGES) {
    const [, firstPart] = page.path.split('/');
    const { show, navPath = `/${firstPart}`, subject = `The ${firstPart}` } = page;
    app.get(page.path, async (c: Context) => {
      const { path, raw } = c.req;
      const counts: CachedRead<unknown>[] = [];
      const recallCount: Recall = async (...query) => {
        const count = await recall(...query);
        counts.push(count);
        return count;
      };
      try {
        const request = { path, params: c.req.param(), query: c.req.query() };
        const content = await show({ ...sources, ...request, recall: recallCount, nowMs: sources.now() });
        if (content === null) return await c.html(renderNotFound(navPath), 404);
        const reload = counts.some(isCounting) ? { reloadSeconds: RELOAD_SECONDS } : {};
        return await c.html(renderPage({ ...content, ...reload, navPath }));
      } catch (error) {
        // Nobody reads the page, and nobody has to act.
        if (!raw.signal.aborted) sources.logger.warn({ err: error, path }, 'page query failed');
        return await respondFailure(c, navPath, `${subject} could not be read: ${describeReadFailure(error)}.`);
      }
    });
  }
}

async function respondFailure(c: Context, navPath: string, failure: string): Promise<Response> {
  const body = html`<h1>Not available right now</h1><p>${failure}</p><p><a href="">Try again</a></p>`;
  return await c.html(renderPage({ title: 'Not available', navPath, body }), 503);
}
