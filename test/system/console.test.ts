import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditPage, LOOKS, MORE_LOOKS } from './console/audit.ts';
import { type Browser, startBrowser } from './console/browser.ts';
import { PATHS, reachPages } from './console/reach.ts';
import { SITUATIONS, type Situation } from './console/situations.ts';

type Name = keyof typeof SITUATIONS;

/** The situation in which every page has most to show. */
const FULL: Name = 'months with gaps';
/** The pictures of README.md; they are replaced when `UPDATE_IMAGES` is set. */
const IMAGES = fileURLToPath(
  new URL(
    process.env['UPDATE_IMAGES'] === undefined ? '../../screenshots/' : '../../docs/images/',
    import.meta.url,
  ),
);

let browser: Browser;
const begun = new Map<Name, Promise<Situation>>();

/** A situation is started once, for all tests that look at it. */
async function at(name: Name): Promise<Situation> {
  const known = begun.get(name) ?? SITUATIONS[name]();
  begun.set(name, known);
  return await known;
}

beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  for (const situation of begun.values()) await (await situation)[Symbol.asyncDispose]();
});

function pictureOf(name: Name, path: string): string {
  return `${name}-${path === '/' ? 'home' : path.slice(1)}`.replaceAll(/[ /:]+/g, '-');
}

async function headlineOf(page: Page, url: string): Promise<string> {
  await page.goto(url);
  return await page.innerText('h1');
}

/** What stands on top of the home page in each situation. */
const HEADLINES: Readonly<Record<Name, RegExp>> = {
  'the first run': /^Yesterday: not read yet$/,
  'many organizations': /^Yesterday: complete$/,
  'a database that is away': /^Yesterday: not known$/,
  'names with markup': /^Yesterday: complete$/,
  'months with gaps': /^Yesterday: complete$/,
};

const NAMES = Object.keys(HEADLINES) as Name[];

test.for(NAMES)('every page can be read, wide and narrow, light and dark: %s', async (name) => {
  const situation = await at(name);
  // The next one comes about while the browser is at work on this one.
  const next = NAMES[NAMES.indexOf(name) + 1];
  if (next !== undefined) at(next).catch(() => {});
  const { worker, token } = situation;
  await using tab = await browser.open({ token });
  // A page that loads itself again is not to do so while it is looked at.
  await tab.page.addInitScript('window.setInterval = () => 0');
  const problems: string[] = [];
  await expect.poll(() => headlineOf(tab.page, worker.url), { timeout: 20_000 }).toMatch(HEADLINES[name]);
  const pages = await reachPages(situation);
  if (name === FULL) expect([...pages.keys()].sort()).toEqual([...PATHS].sort());
  for (const [path, address] of pages) {
    await tab.page.goto(worker.url + address);
    const looks = name === FULL ? MORE_LOOKS : LOOKS;
    problems.push(...(await auditPage(tab.page, pictureOf(name, path), looks)));
  }
  expect([...problems, ...tab.problems]).toEqual([]);
});

test('with HTTP_TOKEN a browser is asked for a password, and the one that the log names opens every page', async () => {
  const { worker, token } = await at(FULL);
  await using stranger = await browser.open();
  await expect(stranger.page.goto(worker.url)).rejects.toThrow('ERR_INVALID_AUTH_CREDENTIALS');
  expect(worker.running.stderr()).toContain('"login":"any user name, HTTP_TOKEN as the password"');
  await using tab = await browser.open({ token });
  expect((await tab.page.goto(worker.url))?.status()).toBe(200);
});

test('README.md has small pictures of the home page and an organization', async () => {
  const { worker, token, orgId } = await at(FULL);
  await using tab = await browser.open({ token });
  await tab.page.setViewportSize({ width: 1280, height: 800 });
  for (const [image, address] of [
    ['home', '/'],
    ['organization', `/organizations/${orgId}`],
  ]) {
    await tab.page.goto(worker.url + address);
    const path = join(IMAGES, `${image}.png`);
    await tab.page.screenshot({ path });
    expect(statSync(path).size).toBeLessThan(200_000);
  }
});
