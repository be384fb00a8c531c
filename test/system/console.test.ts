import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditPage, LOOKS, prepareAudit } from './console/audit.ts';
import { type Browser, startBrowser, type Tab } from './console/browser.ts';
import { PATHS, reachPages } from './console/reach.ts';
import { SITUATIONS, type Situation } from './console/situations.ts';

type Name = keyof typeof SITUATIONS;

/** The situation with the most content on every page. */
const FULL: Name = 'months with gaps';
/** Where screenshots for README.md go: into docs if `UPDATE_IMAGES` is set, otherwise into an ignored folder. */
const IMAGES = fileURLToPath(
  new URL(process.env['UPDATE_IMAGES'] === undefined ? '../../screenshots/' : '../../docs/images/', import.meta.url),
);

let browser: Browser;
const situations = new Map<Name, Promise<Situation>>();

/** Starts a situation, once for all tests. */
async function getSituation(name: Name): Promise<Situation> {
  const situation = situations.get(name) ?? SITUATIONS[name]();
  situations.set(name, situation);
  return await situation;
}

beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  for (const situation of situations.values()) await (await situation)[Symbol.asyncDispose]();
});

function formatPictureName(name: Name, path: string): string {
  return `${name}-${path === '/' ? 'home' : path.slice(1)}`.replaceAll(/[ /:]+/g, '-');
}

async function readHeadline(page: Page, url: string): Promise<string> {
  await page.goto(url);
  return await page.innerText('h1');
}

/** The headline of the home page in each situation. */
const HEADLINES: Readonly<Record<Name, RegExp>> = {
  'the first run': /^Yesterday, .* not read yet$/,
  'many organizations': /^Yesterday, .* complete$/,
  'a database that is away': /^Yesterday, .* unknown$/,
  'months with gaps': /^Yesterday, .* complete$/,
};

const NAMES = Object.keys(HEADLINES) as Name[];

test.for(NAMES)('no link is broken, and every page is accessible and fits: %s', async (name) => {
  const situation = await getSituation(name);
  // Starts the next one while the browser audits this one.
  const next = NAMES[NAMES.indexOf(name) + 1];
  if (next !== undefined) getSituation(next).catch(() => {});
  const { worker, token } = situation;
  const openPrepared = async () => {
    const tab = await browser.open({ token });
    await prepareAudit(tab.page);
    return tab;
  };
  await using first = await openPrepared();
  await expect.poll(() => readHeadline(first.page, worker.url)).toMatch(HEADLINES[name]);
  const pages = await reachPages(situation);
  if (name === FULL) expect([...pages.keys()].sort()).toEqual([...PATHS].sort());
  // Both tabs take the next page from one queue.
  const queue = pages.entries();
  const auditPages = async (tab: Tab) => {
    const problems: string[] = [];
    for (const [path, address] of queue) {
      await tab.page.goto(worker.url + address);
      problems.push(...(await auditPage(tab.page, formatPictureName(name, path), LOOKS)));
    }
    return [...problems, ...tab.problems];
  };
  await using second = await openPrepared();
  expect((await Promise.all([first, second].map(auditPages))).flat()).toEqual([]);
});

test('Home says in the place of each figure why it is not known', async () => {
  const { worker } = await getSituation('a database that is away');
  await using tab = await browser.open();
  await tab.page.goto(worker.url);
  for (const figure of ['Billable payloads', 'Devices', 'Notebook minutes']) {
    const text = await tab.page.innerText(`.card:has-text("${figure}")`);
    expect(text).toContain(`The ${figure.toLowerCase()} could not be read: `);
  }
});

test('the heads of a table stay visible while its rows scroll by', async () => {
  const { worker } = await getSituation('many organizations');
  await using tab = await browser.open();
  await tab.page.setViewportSize({ width: 1440, height: 600 });
  await tab.page.goto(`${worker.url}/organizations`);
  await tab.page.waitForSelector('tbody tr:nth-child(50)');
  const topOf = (selector: string) => tab.page.locator(selector).evaluate((each) => each.getBoundingClientRect().top);
  await tab.page.evaluate('scrollTo(0, 900)');
  await expect.poll(() => topOf('tbody tr:first-child')).toBeLessThan(-300);
  expect(await topOf('thead')).toBeLessThan(0);
  expect(await topOf('thead th:first-child')).toBeGreaterThan(0);
});

test('with HTTP_TOKEN a browser needs a password, and the one mentioned in the log opens every page', async () => {
  const { worker, token } = await getSituation(FULL);
  await using stranger = await browser.open();
  await expect(stranger.page.goto(worker.url)).rejects.toThrow('ERR_INVALID_AUTH_CREDENTIALS');
  expect(worker.running.stderr()).toContain('"login":"any user name, HTTP_TOKEN as the password"');
  await using tab = await browser.open({ token });
  expect((await tab.page.goto(worker.url))?.status()).toBe(200);
});

test('README.md has small pictures of the home page and an organization', async () => {
  const { worker, token, orgId } = await getSituation(FULL);
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
