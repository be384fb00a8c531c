import { PAGES } from '../../../src/console/pages.ts';
import type { Situation } from './situations.ts';

/** The paths of all pages, without files such as `usage.csv`. */
export const PATHS = PAGES.map(({ path }) => path).filter((path) => !/\.\w+$/.test(path));

/** Matches the links of a page. */
const LINKS = /<a\s[^>]*href="(\/[^"]*)"/g;

/**
 * Returns an address of each page that can be reached: of a page with parameters, the first that another page links to.
 * Throws for a broken link.
 */
export async function reachPages(situation: Situation): Promise<Map<string, string>> {
  const patterns = PATHS.map((path) => ({
    path,
    matches: new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`),
  }));
  const fixed = PATHS.filter((path) => !path.includes(':'));
  const reached = new Map(fixed.map((path) => [path, path]));
  const todo = [...fixed];
  for (const address of todo) {
    for (const link of await readLinks(situation, address)) {
      const { pathname } = new URL(link, situation.worker.url);
      const pattern = patterns.find(({ matches }) => matches.test(pathname))?.path;
      if (pattern === undefined || reached.has(pattern)) continue;
      reached.set(pattern, link);
      todo.push(link);
    }
  }
  return reached;
}

async function readLinks({ worker, token = '' }: Situation, address: string): Promise<string[]> {
  // Without a timeout, because a busy machine may take long.
  const response = await fetch(worker.url + address, { headers: { authorization: `Bearer ${token}` } });
  const { status } = response;
  if (status !== 200 && status !== 503) throw new Error(`${address} is linked, but its status is ${status}`);
  return [...(await response.text()).matchAll(LINKS)].map(([, link = '']) => link.replaceAll('&amp;', '&'));
}
