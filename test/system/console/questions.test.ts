/** What an account manager asks, in a real browser: at most two steps from Home, with the numbers of the base tables. */
import { Hono } from 'hono';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ICON } from '../../../src/console/page.ts';
import { addPages } from '../../../src/console/pages.ts';
import { listen } from '../../../src/server/listen.ts';
import { showNumber } from '../../../src/terminal/words.ts';
import { ORGS, openWorld, type World } from '../../console/world.ts';
import { type Browser, startBrowser, type Tab } from './browser.ts';

let world: World;
let server: Awaited<ReturnType<typeof listen>>;
let browser: Browser;
let tab: Tab;

beforeAll(async () => {
  world = await openWorld();
  const app = new Hono();
  addPages(app, world.sources);
  app.get('/icon.svg', (c) => c.body(ICON, 200, { 'content-type': 'image/svg+xml' }));
  server = await listen(app, { host: '127.0.0.1', port: 0, token: null, logger: world.sources.logger });
  browser = await startBrowser();
  tab = await browser.open();
});
afterAll(async () => {
  await tab[Symbol.asyncDispose]();
  await browser[Symbol.asyncDispose]();
  await server.close();
  await world.close();
});

type Step = (page: Page) => Promise<void>;

const click =
  (name: string): Step =>
  (page) =>
    page.getByRole('link', { name, exact: true }).first().click();

const fill =
  (label: RegExp, text: string): Step =>
  async (page) => {
    await page.getByLabel(label).fill(text);
    await page.keyboard.press('Enter');
    await page.waitForURL(/organizations/);
  };

const find = (text: string) => fill(/^Find an organization/, text);

/** Each question with its steps, and queries for the numbers that the page must have. */
const QUESTIONS: readonly (readonly [question: string, steps: readonly Step[], queries: readonly string[]])[] = [
  [
    'What is our total by day?',
    [click('Usage')],
    [
      `select sum(payload_billable_count) from losant_usage.usage_days
        where usage_date = '2026-11-16' and org_id <> '0a0000000000000000000009'`,
      `select sum(payload_billable_count) from losant_usage.usage_days
        where usage_date between '2026-11-01' and '2026-11-27' and org_id <> '0a0000000000000000000009'`,
    ],
  ],
  [
    'Who grew most this quarter?',
    [click('Usage'), click('This quarter')],
    [
      // The days that are compared with its first two were before the first of all.
      `select sum(payload_billable_count) from losant_usage.usage_days
        where org_id = '${ORGS.doubled}' and usage_date between '2026-10-03' and '2026-11-27'`,
      `select sum(payload_billable_count) from losant_usage.usage_days
        where org_id = '${ORGS.doubled}' and usage_date between '2026-08-01' and '2026-09-25'`,
    ],
  ],
  [
    'How do two organizations compare?',
    [find('Office'), fill(/^Next to another/, 'Silent')],
    [ORGS.office, ORGS.silent].map(
      (orgId) => `select sum(payload_billable_count) from losant_usage.usage_days
        where org_id = '${orgId}' and usage_date between '2026-11-01' and '2026-11-27'`,
    ),
  ],
  [
    'What was billed this year?',
    [click('Billing'), click('Billed this year by customer')],
    [
      `select sum(quantity) from losant_usage.statement_lines
        where metric = 'payload_billable_count' and org_id <> '0a0000000000000000000009'`,
      `select sum(quantity) from losant_usage.statement_lines
        where metric = 'payload_billable_count' and org_id = '${ORGS.office}'`,
    ],
  ],
  [
    'Which plan is used too much?',
    [click('Usage'), click('Plans and limits')],
    [
      `select sum(payload_billable_count) from losant_usage.usage_days d join losant_usage.organizations o using (org_id)
        where usage_date between '2026-11-01' and '2026-11-27' and o.plan_id = 'gold' and o.limits ? 'payload'`,
      `select sum((limits ->> 'payload')::bigint) from losant_usage.organizations where plan_id = 'gold'`,
    ],
  ],
  [
    'What are the plan and the limits of an organization?',
    [find('C-1')],
    [
      `select (limits ->> 'payload')::bigint from losant_usage.organizations where org_id = '${ORGS.office}'`,
      `select sum(payload_billable_count) from losant_usage.usage_days
        where org_id = '${ORGS.office}' and usage_date between '2026-11-01' and '2026-11-27'`,
    ],
  ],
  [
    'What is October by type and source?',
    [find('Doubled'), click('October 2026')],
    [
      `select sum((payload_sources -> 'mqtt' ->> 'device')::bigint) from losant_usage.usage_days
        where org_id = '${ORGS.doubled}' and usage_date between '2026-10-01' and '2026-10-31'`,
    ],
  ],
];

test.for(QUESTIONS)('%s', async ([, steps, queries]) => {
  const { page, problems } = tab;
  await page.goto(`http://127.0.0.1:${server.port}/`);
  for (const step of steps) await step(page);
  expect(steps.length).toBeLessThanOrEqual(2);
  for (const query of queries) {
    const [row] = await world.ask(query);
    const quantity = showNumber(Number(Object.values(row ?? {})[0]));
    await expect.poll(() => page.textContent('main'), { timeout: 20_000 }).toContain(quantity);
  }
  expect(problems).toEqual([]);
});

test('a list prints within the width of A4', async () => {
  const { page } = tab;
  await page.emulateMedia({ media: 'print' });
  // 210 mm without margins of 15 mm, at 96 pixels an inch.
  await page.setViewportSize({ width: 680, height: 900 });
  for (const path of ['/', '/usage', `/organizations/${ORGS.office}`, '/gaps', '/runs', '/billed', '/attention']) {
    await page.goto(`http://127.0.0.1:${server.port}${path}`);
    const overflow =
      '[...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > 681)' +
      '.map((e) => e.outerHTML.slice(0, 80))';
    expect({ path, wide: await page.evaluate<string[]>(overflow) }).toEqual({ path, wide: [] });
  }
});
