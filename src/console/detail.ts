import type { Context } from 'hono';
import { html } from 'hono/html';
import { type Html, renderAwayPage, renderMissing } from './page.ts';
import type { ConsolePage, PageSources } from './sources.ts';

/** A page about one thing. */
export interface Detail<Facts> {
  /** The route, and the path in the navigation. */
  readonly path: string;
  readonly place: string;
  /** What it is about, e.g. `run`. */
  readonly noun: string;
  /** Returns what the page shows; null if the address names nothing that there is. */
  readonly read: (c: Context, sources: PageSources) => Promise<Facts | null>;
  readonly render: (facts: Facts, nowMs: number) => Html;
}

/** Makes a page that is read anew for each request. */
export function detailPage<Facts>({ path, place, noun, read, render }: Detail<Facts>): ConsolePage {
  return {
    path,
    open: (sources) => async (c) => {
      try {
        const facts = await read(c, sources);
        if (facts !== null) return await c.html(render(facts, sources.now()));
        const sentence = `There is no such ${noun}`;
        const hint = html`<a href="${place}">All there are</a>`;
        return await c.html(renderMissing({ path: place, title: sentence, sentence, hint }), 404);
      } catch (error) {
        sources.logger.warn({ err: error }, 'database not read for a page');
        return await c.html(renderAwayPage({ title: noun, path: place }), 503);
      }
    },
  };
}
