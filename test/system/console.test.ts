import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asWriter } from '../support/databases.ts';
import { auditPage, LOOKS, MORE_LOOKS } from './console/audit.ts';
import { type Browser, startBrowser } from './console/browser.ts';
import { PATHS, reachPages } from './console/reach.ts';
import { SITUATIONS, type Situation } from './console/situations.ts';

type Name = keyof typeof SITUATIONS;

/** The situation with the most content on every page. */
const FULL: Name = 'months with gaps';
const YESTERDAY = `((now() at time zone 'UTC')::date - 1)`;
const MONTH_START = `date_trunc('month', ${YESTERDAY}::timestamp)::date`;

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
  'names with markup': /^Yesterday, .* complete$/,
  'months with gaps': /^Yesterday, .* complete$/,
};

const NAMES = Object.keys(HEADLINES) as Name[];

test.for(NAMES)('every page is accessible and fits, wide and narrow, light and dark: %s', async (name) => {
  const situation = await getSituation(name);
  // Starts the next one while the browser audits this one.
  const next = NAMES[NAMES.indexOf(name) + 1];
  if (next !== undefined) getSituation(next).catch(() => {});
  const { worker, token } = situation;
  await using tab = await browser.open({ token });
  // Pages must not reload during the audit.
  await tab.page.addInitScript('window.setInterval = () => 0');
  const problems: string[] = [];
  await expect.poll(() => readHeadline(tab.page, worker.url), { timeout: 20_000 }).toMatch(HEADLINES[name]);
  const pages = await reachPages(situation);
  if (name === FULL) expect([...pages.keys()].sort()).toEqual([...PATHS].sort());
  for (const [path, address] of pages) {
    await tab.page.goto(worker.url + address);
    const looks = name === FULL ? MORE_LOOKS : LOOKS;
    problems.push(...(await auditPage(tab.page, formatPictureName(name, path), looks)));
  }
  expect([...problems, ...tab.problems]).toEqual([]);
});

/** Each question, what is clicked one after the other from Home on, and the query on the base tables that answers it. */
const QUESTIONS: readonly (readonly [question: string, clicks: readonly string[], where: string, query: string])[] = [
  [
    'how many payloads are billable this month so far?',
    [],
    '.card:has-text("Billable payloads") strong',
    `select sum(payload_billable_count) from losant_usage.usage_days where usage_date >= ${MONTH_START}`,
  ],
  [
    'how many devices are there?',
    [],
    '.card:has-text("Devices") strong',
    `select sum(devices_total) from losant_usage.usage_days where usage_date = ${YESTERDAY}`,
  ],
  [
    'how many notebook minutes are there this month so far?',
    [],
    '.card:has-text("Notebook minutes") strong',
    `select sum(notebook_minutes) from losant_usage.usage_days where usage_date >= ${MONTH_START}`,
  ],
  [
    'how much was it yesterday?',
    ['summary:has-text("Values of")'],
    '.card details tbody tr:last-child td:nth-child(2)',
    `select sum(payload_billable_count) from losant_usage.usage_days where usage_date = ${YESTERDAY}`,
  ],
  [
    'how much was it on the day that yesterday is compared with?',
    ['summary:has-text("Values of")'],
    '.card details tbody tr:last-child',
    `select sum(payload_billable_count) from losant_usage.usage_days
      where usage_date = ${YESTERDAY} - (extract(day from ${YESTERDAY})::integer + 6) / 7 * 7`,
  ],
  [
    'who has the most payloads this month?',
    ['text=Organizations by payloads'],
    'tbody tr:first-child td:nth-child(2)',
    `select max(payloads) from (
      select sum(payload_billable_count) as payloads from losant_usage.usage_days
      where usage_date >= ${MONTH_START} group by org_id) as o`,
  ],
];

test('questions are answered from Home in at most one click, as the base tables do', async () => {
  const { worker, token, database } = await getSituation(FULL);
  await using tab = await browser.open({ token });
  for (const [question, clicks, where, query] of QUESTIONS) {
    const [row] = await asWriter(database.url, query);
    const expected = Number(Object.values(row ?? {})[0]).toLocaleString('en-US');
    expect(clicks.length).toBeLessThanOrEqual(1);
    await tab.page.goto(worker.url);
    for (const click of clicks) await tab.page.click(click);
    await expect.poll(() => tab.page.innerText(where), { message: question, timeout: 20_000 }).toContain(expected);
  }
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
  await expect.poll(() => topOf('tbody tr:first-child'), { timeout: 20_000 }).toBeLessThan(-300);
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
