import { PAGES } from '../../../src/console/pages.ts';
import type { Situation } from './situations.ts';

export const PATHS = PAGES.map(({ path }) => path);

/** Matches the links of a page. */
const LINKS = /<a\s[^>]*href="(\/[^"]*)"/g;

/** So many addresses of a page with parameters are followed: months differ in what they link. */
const MAX_FOLLOWED = 3;

/**
 * Returns an address of each page that can be reached: of a page with parameters, the last that is followed.
 * Throws for a broken link.
 */
export async function reachPages(situation: Situation): Promise<Map<string, string>> {
  const patterns = PATHS.map((path) => ({
    path,
    matches: new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`),
  }));
  const fixed = PATHS.filter((path) => !path.includes(':'));
  const reached = new Map(fixed.map((path) => [path, [path]]));
  const todo = [...fixed];
  for (const address of todo) {
    for (const link of await readLinks(situation, address)) {
      const { pathname } = new URL(link, situation.worker.url);
      const pattern = patterns.find(({ matches }) => matches.test(pathname))?.path;
      const addresses = reached.get(pattern ?? '') ?? [];
      const isFixed = pattern === undefined || fixed.includes(pattern);
      if (isFixed || addresses.length === MAX_FOLLOWED || addresses.includes(link)) continue;
      reached.set(pattern, [...addresses, link]);
      todo.push(link);
    }
  }
  return new Map([...reached].map(([path, addresses]) => [path, addresses.at(-1) ?? path]));
}

/** Returns the links of a page, once everything on it is counted. */
async function readLinks({ worker, token = '' }: Situation, address: string): Promise<string[]> {
  for (;;) {
    // Without a timeout, because a busy machine may take long.
    const response = await fetch(worker.url + address, { headers: { authorization: `Bearer ${token}` } });
    const { status } = response;
    if (status !== 200 && status !== 503) throw new Error(`${address} is linked, but its status is ${status}`);
    const page = await response.text();
    if (!page.includes('Counting…')) {
      return [...page.matchAll(LINKS)].map(([, link = '']) => link.replaceAll('&amp;', '&'));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
