import type { Context } from 'hono';
import { html } from 'hono/html';
import type { Kysely } from 'kysely';
import type { Schema } from '../database/schema.ts';
import type { DatabaseView } from './database-view.ts';
import type { Html } from './page.ts';
import type { PageSources } from './page-sources.ts';

/** A page of the console: where it is, and how it answers. */
export interface ConsolePage {
  /** As hono writes routes, e.g. `/organizations/:id`. */
  readonly path: string;
  /** Called once, so that a page may keep readings; what it returns answers each request. */
  readonly open: (sources: PageSources) => (c: Context) => Promise<Response>;
}

/** A page waits no longer for a newer reading of how everything stands; a minute more or less changes little. */
export const READING_WAIT_MS = 100;

const SEARCH_LENGTH_MAX = 100;

/** The answer to a page's query; null if the database does not give it in time: the log says why. */
export async function readOrNull<T>(
  { read, logger }: PageSources,
  query: (db: Kysely<Schema>) => Promise<T>,
): Promise<T | null> {
  try {
    return await read(query);
  } catch (error) {
    logger.warn({ err: error }, 'database not read for a page');
    return null;
  }
}

/** What stands in place of what a page shows when `readOrNull` gave null; the answer is then 503. */
export function renderAway(): Html {
  return html`<p class="bad">The database does not answer in time. Try again in a moment.</p>`;
}

/** What is searched for, from the address: text that Postgres can store, of a length that makes sense. */
export function readSearch(given: string | undefined): string {
  // Postgres stores no NUL and no half of a character.
  const search = (given ?? '').replaceAll('\0', '').toWellFormed().trim().slice(0, SEARCH_LENGTH_MAX);
  return search.toWellFormed();
}

/** The instances' names by id, or their ids where no name is known. */
export function instanceNames({ reading }: DatabaseView): ReadonlyMap<string, string> {
  const instances = reading?.value.instances ?? [];
  return new Map(instances.map(({ instanceId, name }) => [instanceId, name ?? instanceId]));
}
