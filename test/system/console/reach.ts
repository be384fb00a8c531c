import { PAGES } from '../../../src/console/pages.ts';
import type { Situation } from './situations.ts';

/** The paths of all pages; a file such as `usage.csv` is none. */
export const PATHS = PAGES.map(({ path }) => path).filter((path) => !/\.\w+$/.test(path));

/** Links that a page of the console has, as they are written. */
const LINKS = /<a [^>]*href="(\/[^"]*)"/g;

/**
 * An address of each page that there is: those without parameters, and for the others the first that is linked from the
 * ones before. Fails for a link that leads nowhere.
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
  // However long a busy machine takes for it.
  const response = await fetch(worker.url + address, { headers: { authorization: `Bearer ${token}` } });
  const { status } = response;
  if (status !== 200 && status !== 503) throw new Error(`${address} is linked, and answered ${status}`);
  return [...(await response.text()).matchAll(LINKS)].map(([, link = '']) => link.replaceAll('&amp;', '&'));
}
