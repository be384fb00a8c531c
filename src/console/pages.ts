import type { Context, Hono } from 'hono';
import { html } from 'hono/html';
import { attentionPage } from './attention.ts';
import { type CachedRead, createRecall, describeReadFailure, type Recall } from './cached-reads.ts';
import { coveragePage, dayPage } from './coverage.ts';
import { gapsPage, quarantinePage, reconciliationPage } from './gaps.ts';
import { changesPage, runsPage } from './history.ts';
import { homePage } from './home.ts';
import { monthPage, monthsPage } from './months.ts';
import { organizationPage } from './organization.ts';
import { findPage, organizationsPage } from './organizations.ts';
import { type ConsolePage, isCounting, RELOAD_SECONDS, renderNotFound, renderPage } from './page.ts';
import type { PageSources } from './sources.ts';
import { adjustmentDaysPage, billedPage, customerPage, customersPage } from './statements.ts';
import { usagePage } from './usage.ts';

export const PAGES: readonly ConsolePage[] = [
  homePage,
  attentionPage,
  usagePage,
  findPage,
  organizationsPage,
  organizationPage,
  monthsPage,
  monthPage,
  billedPage,
  customersPage,
  customerPage,
  adjustmentDaysPage,
  coveragePage,
  reconciliationPage,
  dayPage,
  gapsPage,
  quarantinePage,
  changesPage,
  runsPage,
];

export function addPages(app: Hono, sources: PageSources): void {
  const recall = createRecall(sources.readInTurn, sources);
  for (const page of PAGES) {
    const [, firstPart] = page.path.split('/');
    const { show, navPath = `/${firstPart}`, subject = `The ${firstPart}` } = page;
    app.get(page.path, async (c: Context) => {
      const { path, raw, method } = c.req;
      const counts: CachedRead<unknown>[] = [];
      const recallCount: Recall = async (...query) => {
        const count = await recall(...query);
        counts.push(count);
        return count;
      };
      try {
        const request = { path, params: c.req.param(), query: c.req.query(), signal: raw.signal };
        const content = await show({ ...sources, ...request, recall: recallCount, nowMs: sources.now() });
        if (content === null) return await c.html(renderNotFound(navPath), 404);
        if (content instanceof Response) {
          // Nobody would read the body, and so end its query.
          if (method === 'HEAD') await content.body?.cancel();
          return content;
        }
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

/** A program that downloads a file gets no page. */
async function respondFailure(c: Context, navPath: string, failure: string): Promise<Response> {
  const isFile = c.req.query('format') !== undefined;
  if (isFile) return c.text(`${failure} Try again in a minute.\n`, 503, { 'retry-after': '60' });
  const body = html`<h1>Not available right now</h1><p>${failure}</p><p><a href="">Try again</a></p>`;
  return await c.html(renderPage({ title: 'Not available', navPath, body }), 503);
}
